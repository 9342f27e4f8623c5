//! Notes in and entities out, in the formats of hospitals, warehouses and annotators.

mod dates;
mod error;
mod files;
mod names;
mod omop;
mod parquet;
mod positions;
#[cfg(test)]
mod testing;
mod writer;

pub use error::FormatError;
pub use omop::{OmopConfig, OmopWriter};
// The crate is called so, too.
pub use self::parquet::ParquetWriter;
pub use writer::Writer;
