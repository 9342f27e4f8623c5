//! Notes in and entities out, in the formats of hospitals, warehouses and annotators.

mod error;
mod writer;

pub use error::FormatError;
pub use writer::Writer;
