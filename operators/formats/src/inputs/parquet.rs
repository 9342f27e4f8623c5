//! Notes in Parquet: a row is one, its columns by name.
//!
//! Columns are read as what Parquet itself calls them, whatever kinds of text a writer remembers beside. Of the columns that hold
//! fields of notes some pages and [`ROWS_AT_ONCE`] rows are in memory, row group by row group; the others are not read.

use super::csv::{NO_NOTE_ID, NO_REVISION, NO_TIME};
use super::mapping::Found;
use super::times::written;
use super::{InputPart, InputSaid, Inputs, NoteField, Times};
use crate::FormatError;
use crate::dates::Signed;
use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema, TimeUnit};
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use stillroom_schemas::Note;
use time::{OffsetDateTime, UtcOffset};

/// Rows that are decoded at once.
const ROWS_AT_ONCE: usize = 64;

const DAMAGED: &str = "it is damaged or was cut off, or is compressed as no reader here can undo; get it again, or write it with Snappy or Zstandard";

/// The rows of a file.
pub(super) struct ParquetNotes {
    batches: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    /// The next row of the batch.
    row: usize,
    /// The names of the columns, by [`NoteField::ALL`].
    columns: [Option<String>; NoteField::ALL.len()],
    times: Times,
    number: u64,
    is_at_end: bool,
}

impl ParquetNotes {
    /// # Errors
    /// When the file cannot be read or is no Parquet, or has not the columns of notes.
    pub(super) fn open(path: &Path, inputs: &Inputs) -> Result<ParquetNotes, FormatError> {
        let file = File::open(path).map_err(FormatError::file("open", path))?;
        let not_notes = |reason: String| FormatError::NotNotes { path: path.to_owned(), reason };
        // What Arrow has written beside is one of several kinds of text for the same column.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(|_| not_notes(format!("is no Parquet that can be read: {DAMAGED}")))?;
        let schema = builder.schema().clone();
        let header: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let found = inputs.columns.find(&header).map_err(not_notes)?;
        check_types(&schema, &found).map_err(not_notes)?;
        let columns = NoteField::ALL.map(|field| found.of(field).map(|column| header[column].to_owned()));
        let roots = NoteField::ALL.into_iter().filter_map(|field| found.of(field));
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let batches = builder
            .with_projection(mask)
            .with_batch_size(ROWS_AT_ONCE)
            .build()
            .map_err(|_| not_notes(format!("cannot be read: {DAMAGED}")))?;
        let times = inputs.times.clone();
        Ok(ParquetNotes { batches, batch: None, row: 0, columns, times, number: 0, is_at_end: false })
    }

    /// What a row says, or what is wrong with it.
    fn note(&self, batch: &RecordBatch, row: usize) -> Result<Note, String> {
        let column_of = |field: NoteField| {
            let name = self.columns[field as usize].as_deref()?;
            // A column of nulls alone has none that it could tell.
            batch.column_by_name(name).filter(|it| *it.data_type() != DataType::Null && !it.is_null(row))
        };
        let text_of = |field: NoteField| column_of(field).map(|column| text_at(column, row, field)).transpose();
        let name_of = |field: NoteField| {
            let text = text_of(field)?.map(|text| text.trim().to_owned());
            Ok::<_, String>(text.filter(|text| !text.is_empty()))
        };
        let signed_at = match column_of(NoteField::SignedAt) {
            Some(column) => signed_at(column, row, &self.times)?,
            None => None,
        };
        let revision =
            name_of(NoteField::Revision)?.map(|text| text.parse::<u64>().map_err(|_| NO_REVISION.to_owned()));
        Ok(Note {
            note_id: name_of(NoteField::NoteId)?.ok_or(NO_NOTE_ID)?,
            patient_id: name_of(NoteField::PatientId)?,
            revision: revision.transpose()?.unwrap_or(0),
            note_type: name_of(NoteField::NoteType)?,
            site: name_of(NoteField::Site)?,
            signed_at,
            text: text_of(NoteField::Text)?.ok_or("text is null; give the note a text, if an empty one")?.into_owned(),
        })
    }
}

impl Iterator for ParquetNotes {
    type Item = Result<InputPart, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_at_end {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.row < batch.num_rows()) {
                let said = match self.note(batch, self.row) {
                    Ok(note) => InputSaid::Note(note),
                    Err(reason) => InputSaid::Refused(reason),
                };
                self.row += 1;
                self.number += 1;
                return Some(Ok(InputPart { place: Some(("row", self.number)), said }));
            }
            match self.batches.next() {
                Some(Ok(batch)) => {
                    self.batch = Some(batch);
                    self.row = 0;
                }
                // What the reader says may quote what it read.
                Some(Err(_)) => {
                    self.is_at_end = true;
                    let reason = format!("and those after it cannot be read: the file is damaged, or {NOT_UTF8}");
                    return Some(Ok(InputPart::refused(Some(("row", self.number + 1)), reason)));
                }
                None => self.is_at_end = true,
            }
        }
        None
    }
}

const NOT_UTF8: &str = "a text in it is not UTF-8; get it again";

/// Refuses columns of types that cannot hold their fields.
fn check_types(schema: &Schema, found: &Found) -> Result<(), String> {
    for field in NoteField::ALL {
        let Some(column) = found.of(field) else { continue };
        let column = schema.field(column);
        let data_type = column.data_type();
        if *data_type == DataType::Null {
            // Written so where no row has a value.
            continue;
        }
        let is_text = matches!(data_type, DataType::Utf8 | DataType::Binary);
        let (fits, wanted) = match field {
            NoteField::Text => (is_text, "texts"),
            NoteField::SignedAt => {
                let is_time = matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
                (is_text || is_time, "timestamps, dates or texts")
            }
            _ => (is_text || is_whole(data_type), "texts or whole numbers"),
        };
        if !fits {
            return Err(format!(
                "has the type {data_type} in the column {} for {}; write it as {wanted}",
                column.name(),
                field.name()
            ));
        }
    }
    Ok(())
}

fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Decimal128(_, 0))
}

/// A cell that is not null, as a text.
fn text_at(column: &ArrayRef, row: usize, field: NoteField) -> Result<Cow<'_, str>, String> {
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Ok(Cow::Borrowed(texts.value(row)));
    }
    if let Some(bytes) = column.as_binary_opt::<i32>() {
        return std::str::from_utf8(bytes.value(row)).map(Cow::Borrowed).map_err(|error| {
            format!("{} is not UTF-8 from its byte {} on; write it as UTF-8", field.name(), error.valid_up_to())
        });
    }
    Ok(Cow::Owned(whole_at(column, row).to_string()))
}

/// A cell of whole numbers.
fn whole_at(column: &ArrayRef, row: usize) -> i128 {
    match column.data_type() {
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value(row),
        other => unreachable!("the types of columns are checked, and {other} holds no field"),
    }
}

/// A cell that is not null, as a time; nothing where it is an empty text.
fn signed_at(column: &ArrayRef, row: usize, times: &Times) -> Result<Option<String>, String> {
    let (unit, zone) = match column.data_type() {
        DataType::Timestamp(unit, zone) => (unit, zone),
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().value(row);
            let midnight = OffsetDateTime::from_unix_timestamp(i64::from(days) * 24 * 3600).map_err(|_| NO_TIME)?;
            return known(Signed { date: midnight.date(), time: None, offset: None }).map(Some);
        }
        _ => {
            let text = text_at(column, row, NoteField::SignedAt)?;
            if text.trim().is_empty() {
                return Ok(None);
            }
            return known(times.read(text.trim()).ok_or(NO_TIME)?).map(Some);
        }
    };
    let (value, nanoseconds) = match unit {
        TimeUnit::Second => (column.as_primitive::<TimestampSecondType>().value(row), 1_000_000_000),
        TimeUnit::Millisecond => (column.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000),
        TimeUnit::Microsecond => (column.as_primitive::<TimestampMicrosecondType>().value(row), 1_000),
        TimeUnit::Nanosecond => (column.as_primitive::<TimestampNanosecondType>().value(row), 1),
    };
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(value) * nanoseconds).map_err(|_| NO_TIME)?;
    // Without a zone it is what clocks showed there.
    let offset = zone.is_some().then_some(UtcOffset::UTC);
    known(times.complete(Signed { date: at.date(), time: Some(at.time()), offset }, None)).map(Some)
}

/// The time as notes have it, if it is of our era.
fn known(signed: Signed) -> Result<String, String> {
    if signed.date.year() > 0 { Ok(written(signed)) } else { Err(NO_TIME.to_owned()) }
}

#[cfg(test)]
mod tests;
