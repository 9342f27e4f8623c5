//! One file of a table.

use crate::FormatError;
use crate::files::Unfinished;
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file that is being written, a row group at a time.
pub(super) struct Part {
    writer: ArrowWriter<File>,
    // Removed after the writer is dropped, which still writes what it holds.
    unfinished: Unfinished,
    row_groups: usize,
}

impl Part {
    /// The file `path`, and its folder where that is missing.
    pub(super) fn create(path: PathBuf, schema: SchemaRef) -> Result<Part, FormatError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(FormatError::file("create", folder))?;
        let unfinished = Unfinished::new(path);
        let file = File::create(unfinished.beside()).map_err(FormatError::file("create", unfinished.beside()))?;
        // Of each page, statistics would have to be kept until the file is complete.
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by(concat!("stillroom ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = ArrowWriter::try_new(file, schema, Some(properties))
            .map_err(io::Error::from)
            .map_err(FormatError::file("write", unfinished.beside()))?;
        Ok(Part { writer, unfinished, row_groups: 0 })
    }

    /// Adds a row group.
    pub(super) fn append(&mut self, rows: &RecordBatch) -> Result<(), FormatError> {
        let appended = self.writer.write(rows).and_then(|()| self.writer.flush());
        appended.map_err(io::Error::from).map_err(FormatError::file("write", self.unfinished.beside()))?;
        self.row_groups += 1;
        Ok(())
    }

    /// How many row groups it has.
    pub(super) fn row_groups(&self) -> usize {
        self.row_groups
    }

    /// Ends the file and shows it to readers.
    pub(super) fn complete(self) -> Result<(), FormatError> {
        let Part { writer, unfinished, .. } = self;
        let written = writer.into_inner().map_err(io::Error::from);
        written.map_err(FormatError::file("write", unfinished.beside()))?;
        unfinished.complete()
    }
}
