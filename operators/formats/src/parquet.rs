//! Entities and notes as two tables of Parquet, in folders by the date of signing, as Hive, Spark, DuckDB and Arrow read them.
//!
//! In: notes and what was found in them. Out, below the folder:
//! ```text
//! entities/signed_date=2026-11-27/part-00000.parquet                    a row an entity
//! notes/signed_date=2026-11-27/part-00000.parquet                       a row a note, also one without entities
//! notes/signed_date=__HIVE_DEFAULT_PARTITION__/part-00001.parquet       notes whose date is not known
//! _SUCCESS                                                              everything is there
//! ```
//! The date is the one where the note was signed, and stands in the folder's name alone, as Hive has it. A table without
//! a dated row has an empty file for 1970-01-01, so that its columns and their types can be read. A file appears when it is complete: until then it has another name, which these readers
//! pass over.
//!
//! Memory: rows wait until a table has [`BUFFERED_BYTES_MAX`] of them, then the dates with most rows are written, each as a row
//! group, until half is left; while one is encoded it is there up to three times. A table has [`OPEN_MAX`] files open at once, and a
//! file [`ROW_GROUPS_MAX`] row groups, whose statistics stay in memory until it is complete: some 25 MB of them at most. By this
//! count both tables take up 200 MB at most. Notes of more dates than that, in no order, make more and smaller files for a date.
//!
//! [`BUFFERED_BYTES_MAX`]: table::BUFFERED_BYTES_MAX
//! [`OPEN_MAX`]: table::OPEN_MAX
//! [`ROW_GROUPS_MAX`]: table::ROW_GROUPS_MAX

mod columns;
mod part;
mod rows;
mod table;
#[cfg(test)]
mod tests;

use crate::dates::Signed;
use crate::files::claim_folder;
use crate::{FormatError, Writer};
use rows::{EntityRow, NoteRow};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stillroom_schemas::{Extraction, Note};
use table::Table;

/// Writes entities and notes as Parquet.
pub struct ParquetWriter {
    folder: PathBuf,
    notes: Table<Arc<NoteRow>>,
    entities: Table<EntityRow>,
}

impl ParquetWriter {
    /// Into the folder `path`, which is made where it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made, or holds something.
    pub fn create(path: &Path) -> Result<ParquetWriter, FormatError> {
        claim_folder(path)?;
        Ok(ParquetWriter {
            folder: path.to_owned(),
            notes: Table::new(path.join("notes")),
            entities: Table::new(path.join("entities")),
        })
    }
}

impl Writer for ParquetWriter {
    fn write(&mut self, _note: &Note, extraction: &Extraction) -> Result<(), FormatError> {
        let signed = extraction.signed_at.as_deref().and_then(Signed::of);
        let date = signed.map(|signed| signed.date);
        let note = Arc::new(NoteRow::of(extraction, signed.and_then(Signed::moment)));
        for (ordinal, entity) in extraction.entities.iter().enumerate() {
            let row = EntityRow { note: note.clone(), ordinal: ordinal as u32, entity: entity.clone() };
            self.entities.push(date, row)?;
        }
        self.notes.push(date, note)
    }

    fn finish(self: Box<Self>) -> Result<(), FormatError> {
        self.entities.finish()?;
        self.notes.finish()?;
        let success = self.folder.join("_SUCCESS");
        File::create(&success).map_err(FormatError::file("create", &success))?;
        Ok(())
    }
}
