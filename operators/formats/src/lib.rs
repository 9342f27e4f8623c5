//! Notes in and entities out, in the formats of hospitals, warehouses and annotators.

mod brat;
mod dates;
mod draft;
mod error;
mod fhir;
mod files;
mod html;
mod inputs;
mod lines;
mod names;
mod omop;
mod parquet;
mod places;
mod positions;
mod pubtator;
mod remarks;
#[cfg(test)]
mod testing;
mod writer;

pub use brat::BratWriter;
pub use error::FormatError;
pub use fhir::{FhirConfig, FhirWriter};
pub use html::HtmlWriter;
pub use inputs::{
    ColumnsConfig, CsvConfig, DatesConfig, DocumentsConfig, InputConfig, InputFormat, InputPart, InputParts, InputSaid,
    Inputs, NoteField, PART_BYTES_MAX,
};
pub use omop::{OmopConfig, OmopWriter};
// The crate is called so, too.
pub use self::parquet::ParquetWriter;
pub use pubtator::PubtatorWriter;
pub use writer::Writer;
