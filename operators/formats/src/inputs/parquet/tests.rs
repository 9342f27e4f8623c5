use super::super::testing::{refused, said, shown};
use super::super::{InputConfig, InputFormat, Inputs, NoteField, PART_BYTES_MAX};
use crate::testing::{extraction, note};
use crate::{ParquetWriter, Writer};
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, Float64Array, Int64Array, LargeStringArray, NullArray,
    RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt8Array,
};
use std::fs;
use std::sync::Arc;

/// A file with these columns, in row groups of two rows.
fn file(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    // Without statistics, texts stand in the pages alone.
    let properties = WriterProperties::builder().set_compression(compression);
    let properties = properties.set_statistics_enabled(EnabledStatistics::None).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    for start in (0..batch.num_rows()).step_by(2) {
        writer.write(&batch.slice(start, (batch.num_rows() - start).min(2))).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    bytes
}

fn column(name: &str, values: impl Array + 'static) -> (&str, ArrayRef) {
    (name, Arc::new(values))
}

fn texts(values: &[Option<&str>]) -> StringArray {
    StringArray::from(values.to_vec())
}

fn check(columns: Vec<(&str, ArrayRef)>, expected: &[&str]) {
    let bytes = file(columns, Compression::SNAPPY);
    assert_eq!(said(InputFormat::Parquet, &InputConfig::default(), &bytes), expected);
}

#[test]
fn a_row_is_a_note_whatever_kinds_of_text_and_number_its_columns_are() {
    let mut types = StringDictionaryBuilder::<Int32Type>::new();
    types.append_value("discharge_summary");
    types.append_null();
    types.append_value("discharge_summary");
    let utc = TimestampMicrosecondArray::from(vec![Some(1_795_766_400_250_000), None, Some(0)]).with_timezone("UTC");
    check(
        vec![
            column("ignored", Float64Array::from(vec![1.0, 2.0, 3.0])),
            column("note_id", Int64Array::from(vec![7, 8, 9])),
            column("text", LargeStringArray::from(vec!["\u{1f912} Fever.", "", "c\r\nd"])),
            column("note_type", types.finish()),
            column("site", StringViewArray::from(vec!["north", " ", "a site with a longer name than that"])),
            column("patient_id", Decimal128Array::from(vec![70, 80, 90]).with_precision_and_scale(38, 0).unwrap()),
            column("revision", UInt8Array::from(vec![Some(1), None, Some(3)])),
            column("signed_at", utc),
        ],
        &[
            "row 1: 7 r1 p=70 type=discharge_summary site=north at=2026-11-27T08:00:00.25Z | \u{1f912} Fever.",
            "row 2: 8 r0 p=80 | ",
            "row 3: 9 r3 p=90 type=discharge_summary site=a site with a longer name than that at=1970-01-01T00:00:00Z | c\r\nd",
        ],
    );
}

#[test]
fn times_keep_what_is_known_of_them() {
    fn check(times: impl Array + 'static, expected: &str) {
        let mut config = InputConfig::default();
        config.dates.utc_offset = Some("-05:00".to_owned());
        let note = [column("note_id", texts(&[Some("n")])), column("text", texts(&[Some("x")]))];
        let columns = note.into_iter().chain([column("signed_at", times)]).collect();
        let bytes = file(columns, Compression::UNCOMPRESSED);
        assert_eq!(said(InputFormat::Parquet, &config, &bytes), [format!("row 1: n r0 at={expected} | x")]);
    }
    // Eight o'clock on 27 November 2026.
    let seconds = 1_795_766_400;
    check(TimestampMillisecondArray::from(vec![seconds * 1000]), "2026-11-27T08:00:00-05:00");
    check(TimestampNanosecondArray::from(vec![seconds * 1_000_000_000]).with_timezone("UTC"), "2026-11-27T08:00:00Z");
    check(Date32Array::from(vec![(seconds / 86400) as i32]), "2026-11-27");
    check(texts(&[Some("2026-11-27 08:00:00")]), "2026-11-27T08:00:00-05:00");
}

#[test]
fn rows_that_are_wrong_are_left_out() {
    let ids = [Some("n1"), None, Some("n3"), Some("n4"), Some("n5"), Some("n6")];
    let times = [None, None, None, Some("soon"), Some(""), None];
    let revisions = [None, None, None, None, None, Some(-1)];
    let bodies: Vec<Option<&[u8]>> =
        vec![Some(b"one"), Some(b"two"), None, Some(b"four"), Some(b"fi\xe9ver"), Some(b"six")];
    let bytes = file(
        vec![
            column("note_id", texts(&ids)),
            column("text", BinaryArray::from(bodies)),
            column("signed_at", texts(&times)),
            column("revision", Int64Array::from(revisions.to_vec())),
        ],
        Compression::ZSTD(ZstdLevel::default()),
    );
    let said = said(InputFormat::Parquet, &InputConfig::default(), &bytes);
    let expected = [
        "row 1: n1 r0 | one",
        "row 2: refused, note_id is empty",
        "row 3: refused, text is null",
        "row 4: refused, signed_at is no time",
        "row 5: refused, text is not UTF-8 from its byte 2 on",
        "row 6: refused, revision is no whole number",
    ];
    assert_eq!(said.len(), expected.len());
    assert!(said.iter().zip(expected).all(|(said, expected)| said.starts_with(expected)), "{said:?}");
}

#[test]
fn a_column_in_which_nobody_has_a_value_is_none() {
    let note = || [column("note_id", texts(&[Some("n1"), Some("n2")])), column("text", texts(&[Some("a"), Some("b")]))];
    let nulls =
        ["patient_id", "signed_at", "note_type", "site", "revision"].map(|name| column(name, NullArray::new(2)));
    check(note().into_iter().chain(nulls).collect(), &["row 1: n1 r0 | a", "row 2: n2 r0 | b"]);
    let [note_id, _] = note();
    let bytes = file(vec![note_id, column("text", NullArray::new(2))], Compression::SNAPPY);
    let said = said(InputFormat::Parquet, &InputConfig::default(), &bytes);
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|said| said.contains("refused, text is null")), "{said:?}");
}

#[test]
fn a_file_that_is_none_or_was_cut_off_is_refused() {
    let whole =
        file(vec![column("note_id", texts(&[Some("n")])), column("text", texts(&[Some("x")]))], Compression::SNAPPY);
    for bytes in [&b""[..], b"PAR1", b"note_id,text\nn,x\n", &whole[..whole.len() - 9]] {
        let reason = refused(InputFormat::Parquet, &InputConfig::default(), bytes);
        assert!(reason.starts_with("is no Parquet that can be read: it is damaged or was cut off"), "{reason}");
    }
    let check = |columns: Vec<(&str, ArrayRef)>, expected: &str| {
        let bytes = file(columns, Compression::SNAPPY);
        let reason = refused(InputFormat::Parquet, &InputConfig::default(), &bytes);
        assert!(reason.starts_with(expected), "{reason}");
    };
    let number = || Float64Array::from(vec![1.0]);
    check(vec![column("ID", texts(&[Some("n")]))], "has no column called note_id for note_id; it has ID; say");
    check(
        vec![column("note_id", number()), column("text", number())],
        "has the type Float64 in the column note_id for note_id; write it as texts or whole numbers",
    );
    check(
        vec![column("note_id", texts(&[Some("n")])), column("text", Int64Array::from(vec![1]))],
        "has the type Int64 in the column text for text; write it as texts",
    );
}

#[test]
fn rows_before_a_damaged_page_are_read() {
    let ids: Vec<String> = (0..200).map(|at| format!("n{at}")).collect();
    let bodies: Vec<String> = (0..200).map(|at| format!("the text of note {at} .")).collect();
    let columns = ["note_id", "text"].into_iter().zip([&ids, &bodies]);
    let columns = columns.map(|(name, values)| column(name, StringArray::from_iter_values(values))).collect();
    let mut bytes = file(columns, Compression::UNCOMPRESSED);
    // A text stands behind its length.
    let damaged = bytes.windows(bodies[100].len()).position(|window| window == bodies[100].as_bytes()).unwrap();
    bytes[damaged - 4..damaged].fill(0xff);
    let said = said(InputFormat::Parquet, &InputConfig::default(), &bytes);
    let (last, before) = said.split_last().unwrap();
    assert!(last.starts_with("row 65: refused, and those after it cannot be read: the file is damaged"), "{last}");
    let expected: Vec<String> = (0..64).map(|at| format!("row {}: {} r0 | {}", at + 1, ids[at], bodies[at])).collect();
    assert_eq!(before, expected);
}

/// What `extract --format parquet` writes has no texts, and says so when it is read as notes; its ids and fields are there.
#[test]
fn our_own_table_of_notes_has_what_it_was_given_but_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut writer = ParquetWriter::create(&out).unwrap();
    let of = note("n1", "no fever");
    writer.write(&of, &extraction(&of, Vec::new())).unwrap();
    Box::new(writer).finish().unwrap();
    let part = fs::read_dir(out.join("notes")).unwrap().next().unwrap().unwrap().path().join("part-00000.parquet");
    let mut config = InputConfig::default();
    let read = |config: &InputConfig| Inputs::new(config).unwrap().open(InputFormat::Parquet, &part);
    let error = read(&config).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("has no column called text or note_text for text; it has note_id, "), "{error}");
    config.columns.set(NoteField::Text, "patient_id".to_owned());
    let parts: Vec<String> = read(&config).unwrap().map(|part| shown(part.unwrap())).collect();
    assert_eq!(parts, ["row 1: n1 r0 p=p1 type=progress_note site=north at=2026-11-28T04:30:00Z | p1"]);
}

#[test]
fn a_text_of_some_megabytes_is_one() {
    let long = "fever ".repeat(1 << 20);
    assert!(long.len() < PART_BYTES_MAX);
    let bytes =
        file(vec![column("note_id", texts(&[Some("n")])), column("text", texts(&[Some(&long)]))], Compression::SNAPPY);
    assert_eq!(said(InputFormat::Parquet, &InputConfig::default(), &bytes), [format!("row 1: n r0 | {long}")]);
}
