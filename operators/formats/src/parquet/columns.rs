//! From rows to columns of Arrow.

use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{Field, Fields, Schema, SchemaRef};
use std::sync::Arc;
use stillroom_schemas::{Code, Cue, Stated};

/// A column and what it is called.
pub(super) type Column = (Field, ArrayRef);

/// A column without nulls.
pub(super) fn required(name: &str, values: ArrayRef) -> Column {
    (Field::new(name, values.data_type().clone(), false), values)
}

/// A column in which values may be missing.
pub(super) fn optional(name: &str, values: ArrayRef) -> Column {
    (Field::new(name, values.data_type().clone(), true), values)
}

/// Texts.
pub(super) fn strings<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Texts, some of which are missing.
pub(super) fn optional_strings<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// Whole numbers.
pub(super) fn numbers(values: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(values))
}

/// One value of several columns a row; `is_there` says which rows have one.
pub(super) fn structs(columns: Vec<Column>, is_there: impl Iterator<Item = bool>) -> ArrayRef {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    Arc::new(StructArray::new(Fields::from(fields), arrays, Some(is_there.collect::<NullBuffer>())))
}

/// A list of values a row: `values` has those of all rows, `lengths` how many a row has, `None` where it has no list.
pub(super) fn lists(values: Vec<Column>, lengths: &[Option<usize>]) -> ArrayRef {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = values.into_iter().unzip();
    let values = StructArray::new(Fields::from(fields), arrays, None);
    let field = Arc::new(Field::new("element", values.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().map(|length| length.unwrap_or(0)));
    let is_there = lengths.iter().map(Option::is_some).collect::<NullBuffer>();
    Arc::new(ListArray::new(field, offsets, Arc::new(values), Some(is_there)))
}

/// Words that stand beside a medication.
pub(super) fn stated(values: &[Option<&Stated>]) -> ArrayRef {
    let values = values.iter().copied();
    let columns = vec![
        required("start", numbers(values.clone().map(|stated| stated.map_or(0, |stated| stated.start)))),
        required("end", numbers(values.clone().map(|stated| stated.map_or(0, |stated| stated.end)))),
        required("text", strings(values.clone().map(|stated| stated.map_or("", |stated| stated.text.as_str())))),
    ];
    structs(columns, values.map(|stated| stated.is_some()))
}

/// Lists of cues.
pub(super) fn cues(values: &[Option<&[Cue]>]) -> ArrayRef {
    let all = || values.iter().flatten().copied().flatten();
    let columns = vec![
        required("says", strings(all().map(|cue| cue.says.as_str()))),
        required("trigger", strings(all().map(|cue| cue.trigger.as_str()))),
        required("start", numbers(all().map(|cue| cue.start))),
        required("end", numbers(all().map(|cue| cue.end))),
    ];
    lists(columns, &values.iter().map(|cues| cues.map(<[Cue]>::len)).collect::<Vec<_>>())
}

/// Lists of codes.
pub(super) fn codes(values: &[Option<&[Code]>]) -> ArrayRef {
    let all = || values.iter().flatten().copied().flatten();
    let columns = vec![
        required("vocabulary", strings(all().map(|code| code.vocabulary.as_str()))),
        required("code", strings(all().map(|code| code.code.as_str()))),
    ];
    lists(columns, &values.iter().map(|codes| codes.map(<[Code]>::len)).collect::<Vec<_>>())
}

/// The schema of `columns`.
pub(super) fn schema_of(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(field, _)| field.clone()).collect::<Vec<_>>()))
}

/// The rows of `columns`.
///
/// # Panics
/// When the columns are not those of `schema`: a row's columns are the same for all rows.
pub(super) fn batch_of(schema: &SchemaRef, columns: Vec<Column>) -> RecordBatch {
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(schema.clone(), arrays).expect("columns are those of the schema")
}
