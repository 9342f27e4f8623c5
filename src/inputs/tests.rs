use super::*;

fn formats(format: Option<Format>) -> Formats {
    Formats { format, inputs: Inputs::new(&InputConfig::default()).unwrap() }
}

#[test]
fn files_are_taken_by_their_extensions_and_of_folders_those_that_hold_notes_only() {
    let check = |format: Option<Format>, name: &str, named: Option<FileKind>, found: Option<FileKind>| {
        let formats = formats(format);
        let kinds = [true, false].map(|is_named| formats.kind_of(Path::new(name), is_named));
        assert_eq!(kinds, [named, found], "{name} as {format:?}");
    };
    let (text, lines, other) = (Some(FileKind::Text), Some(FileKind::Lines), Some(FileKind::Other));
    check(None, "a.txt", text, text);
    check(None, "a.JSONL", lines, lines);
    check(None, "a.hl7", other, other);
    check(None, "a.ndjson", other, other);
    check(None, "a.csv", other, None);
    check(None, "a.parquet", other, None);
    check(None, "a.json", other, None);
    check(None, "a.pdf", None, None);
    check(Some(Format::Csv), "a.csv", other, other);
    check(Some(Format::Csv), "a.dat", other, None);
    check(Some(Format::Csv), "a.txt", other, None);
    check(Some(Format::Fhir), "a.json", other, other);
    check(Some(Format::Fhir), "a.hl7", other, None);
    check(Some(Format::Jsonl), "a.ndjson", lines, None);
    check(Some(Format::Jsonl), "a.jsonl", lines, lines);
    check(Some(Format::Text), "a.md", text, None);
}

#[test]
fn columns_are_fields_and_their_names() {
    assert_eq!(column("note_id=NOTE_KEY").unwrap(), (NoteField::NoteId, "NOTE_KEY".to_owned()));
    assert_eq!(column("signed_at=").unwrap(), (NoteField::SignedAt, String::new()));
    assert!(column("note_id").unwrap_err().to_string().starts_with("write FIELD=COLUMN"));
    assert!(column("key=a").unwrap_err().to_string().contains("write one of note_id, text, patient_id"));
}

#[test]
fn a_mapping_is_read_and_the_command_line_goes_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("mapping.toml");
    let args = |text: &str, columns: &[(NoteField, &str)]| {
        fs::write(&mapping, text).unwrap();
        let columns = columns.iter().map(|(field, column)| (*field, (*column).to_owned())).collect();
        InputArgs { input_format: None, columns, mapping: Some(mapping.clone()) }
    };
    let notes = folder.path().join("notes.csv");
    fs::write(&notes, "KEY;BODY;OTHER\nn1;one;two\n").unwrap();
    let read = |args: &InputArgs| -> Vec<FilePart> {
        args.formats().unwrap().open(&notes).unwrap().map(Result::unwrap).collect()
    };
    let text = "[columns]\nnote_id = \"KEY\"\ntext = \"BODY\"\n[csv]\ndelimiter = \";\"\n";
    let said = |columns: &[(NoteField, &str)]| match &read(&args(text, columns))[..] {
        [FilePart { place: Some(("row", 1)), said: FileSaid::Note(note) }] => note.text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(said(&[]), "one");
    assert_eq!(said(&[(NoteField::Text, "OTHER")]), "two");
    let refused = |text: &str| format!("{:#}", args(text, &[]).formats().map(|_| ()).unwrap_err());
    assert!(refused("[columns]\nkey = \"a\"").contains("is no mapping of notes"));
    assert!(refused("[dates]\nutc_offset = \"CET\"").contains("dates.utc_offset is \"CET\""));
}
