//! Corpora in their publishers' formats, on made-up files: text in, documents and problems out.

use std::fs;
use std::path::{Path, PathBuf};
use stillroom_connectors::{
    Corpus, CorpusConfig, CorpusDocument, CorpusFormat, CorpusItem, KnownCorpus, LogError, Part,
};
use stillroom_schemas::{Note, Span, Task};

/// The items of what lies in a folder of these files, a line each: `id (tasks) part: task start..end text, …`, notes as
/// `note id patient type: text`, problems as they are shown.
fn read(files: &[(&str, &[u8])], config: &CorpusConfig) -> Result<String, LogError> {
    let dir = tempfile::tempdir().unwrap();
    // Named, as the name of a temporary folder might tell something.
    let root = dir.path().join("made-up");
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let corpus = Corpus::open(std::slice::from_ref(&root), config)?;
    let lines: Result<Vec<String>, LogError> = corpus.items().map(|item| item.map(|item| shown(&item))).collect();
    Ok(lines?.join("\n").replace(&format!("{}/", root.display()), ""))
}

fn shown(item: &CorpusItem) -> String {
    match item {
        CorpusItem::Document(CorpusDocument { document, part, discontinuous, .. }) => {
            let tasks: Vec<&str> = document.tasks.iter().map(|task| task.name()).collect();
            let span = |&Span { task, start, end }: &Span| {
                let text: String = document.text.chars().skip(start as usize).take((end - start) as usize).collect();
                format!("{} {start}..{end} {text:?}", task.name())
            };
            let spans: Vec<String> = document.spans.iter().map(span).collect();
            let part = part.map_or(String::new(), |part| format!(" {}", part.name()));
            let split = if *discontinuous > 0 { format!(", {discontinuous} in fragments") } else { String::new() };
            format!("{} ({}){part}: {}{split}", document.id, tasks.join(" "), spans.join(", "))
        }
        CorpusItem::Note(Note { note_id, patient_id, note_type, text, .. }) => {
            let name = |name: &Option<String>| name.clone().unwrap_or("-".into());
            format!("note {note_id} {} {}: {text:?}", name(patient_id), name(note_type))
        }
        CorpusItem::Problem(problem) => format!("! {problem}"),
    }
}

fn check(files: &[(&str, &str)], expected: &[&str]) {
    check_with(files, &CorpusConfig::default(), expected);
}

fn check_with(files: &[(&str, &str)], config: &CorpusConfig, expected: &[&str]) {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    assert_eq!(read(&files, config).unwrap(), expected.join("\n"));
}

/// What it cannot be read for.
fn error(files: &[(&str, &str)], config: &CorpusConfig) -> String {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let message = read(&files, config).expect_err("no corpus").to_string();
    message.split_once("made-up").map_or(message.clone(), |(_, rest)| rest.to_owned())
}

fn mapped(map: &[(&str, Option<Task>)]) -> CorpusConfig {
    CorpusConfig { map: map.iter().map(|(label, task)| ((*label).to_owned(), *task)).collect(), ..Default::default() }
}

#[test]
fn pubtator_counts_code_points_over_title_and_abstract() {
    let file = "\n71|t|Fièvre | goutte 😀.\n71|a|No gout.\n71\t0\t6\tFièvre\tDiseaseClass\tD1\n\
                71\t22\t26\tgout\tSpecificDisease\tD2\tgout|a\n71\tCID\tD1\tD2\n\n72|t|Nothing.\n72|a|\n";
    let expected = [r#"71 (disease) train: disease 0..6 "Fièvre", disease 22..26 "gout""#, "72 (disease) train: "];
    check(&[("NCBItrainset_corpus.txt", file)], &expected);
    // With the line ends of Windows, and a byte order mark, nothing moves.
    check(&[("NCBItrainset_corpus.txt", &format!("\u{feff}{}", file.replace('\n', "\r\n")))], &expected);
    // Without blank lines, by the extension, and without an abstract.
    let file = "71|t|Gout\n71\t0\t4\tGout\tModifier\n72|t|Gout\n72\t0\t4\tGout\tModifier";
    let expected = [r#"71 (disease): disease 0..4 "Gout""#, r#"72 (disease): disease 0..4 "Gout""#];
    check(&[("a.pubtator", file), ("readme.txt", "Words\n"), ("b.md", "# B")], &expected);
}

#[test]
fn pubtator_reports_what_does_not_fit_and_moves_nothing() {
    let lines = [
        "7|t|Gout and lithium.",
        "7|a|Lithium  helps.",
        "7\t0\t4\tGout\tDisease\tD1",
        "7\t1\t5\tGout\tDisease\tD1",
        "7\t26\t90\thelps\tDisease\tD1",
        "7\t4\t4\t\tDisease\tD1",
        "7\t9\t16\tlithium \tChemical\tD2",
        "7\t18\t32\tLithium helps\tChemical\tD2",
        "8\t0\t4\tGout\tDisease\tD1",
        "7\tone\t4\tGout\tDisease\tD1",
        "7\t0\t4\tGout\tof the left foot\tD1",
        "Gout of the left foot",
        "8|a|Lithium.",
        "7\t0\t4\tgout\tSpecies\tD9",
    ];
    let expected = [
        "! cdr.txt, line 9: belongs to no document that was begun by a title; left out",
        "! cdr.txt, line 10: its second and third column are no offsets; left out",
        "! cdr.txt, line 11: its fifth column is no label; left out",
        "! cdr.txt, line 12: is neither title, abstract, annotation nor relation; left out",
        "! cdr.txt, line 13: belongs to no document that was begun by a title; left out",
        "! cdr.txt, line 4: Disease: what it quotes is not what stands at 1..5, in code points; left out",
        "! cdr.txt, line 5: Disease at 26..90, but the text has 33 code points; left out",
        "! cdr.txt, line 6: Disease at 4..4, but the text has 33 code points; left out",
        r#"7 (disease medication): disease 0..4 "Gout", medication 9..16 "lithium", medication 18..32 "Lithium  helps""#,
    ];
    check(&[("cdr.txt", &lines.join("\n"))], &expected);
}

#[test]
fn a_document_that_cannot_be_read_is_left_out_with_its_annotations() {
    let good = "7|t|Gout\n7\t0\t4\tGout\tDisease\n";
    let bad = b"8|t|Gout\xff\n8|a|Gout\n8\t0\t4\tGout\tDisease\n9|t|Gout\n9\t0\t4\tGo\xfft\tDisease\n9\t0\t4\tGout\tDisease\n";
    let files: [(&str, &[u8]); 1] = [("a.txt", &[good.as_bytes(), bad, good.as_bytes()].concat())];
    let expected = [
        r#"7 (disease medication): disease 0..4 "Gout""#,
        "! a.txt, line 3: is not UTF-8; its document is left out",
        "! a.txt, line 7: is not UTF-8; its document is left out",
        "! a.txt: the document 7 was there before; left out",
    ];
    assert_eq!(read(&files, &CorpusConfig::default()).unwrap(), expected.join("\n"));
}

#[test]
fn brat_spans_may_be_in_fragments_nested_and_overlapping() {
    let text = "Fièvre 😀 and pain in the left and right arm.";
    let ann = "T1\tSign_symptom 0 6\tFièvre\nE1\tSign_symptom:T1 \nA1\tPOLARITY E1 NEG\nR1\tMODIFY Arg1:T1 Arg2:T2\t\n\
               T2\tSign_symptom 13 17;25 29;40 43\tpain left arm\n*\tOVERLAP T1 T2\n#1\tAnnotatorNotes T1\tsure?\n\
               T3\tSign_symptom 13 43\tpain in the left and right arm\nT4\tDisease_disorder 25 39\tleft and right\n\
               T6\tSign_symptom 34 43\tright arm\nT5\tBiological_structure 0 9999\tarm\nN1\tReference T1 UMLS:C1\tfever\n";
    let expected = [
        "b (disease medication symptom): ",
        concat!(
            "c (disease medication symptom): symptom 0..6 \"Fièvre\", symptom 13..17 \"pain\", ",
            "symptom 13..43 \"pain in the left and right arm\", symptom 25..29 \"left\", ",
            "disease 25..39 \"left and right\", symptom 34..43 \"right arm\", symptom 40..43 \"arm\", 1 in fragments"
        ),
    ];
    check(
        &[("c.txt", text), ("c.ann", ann), ("b.txt", "Nothing."), ("b.ann", ""), ("annotation.conf", "[entities]")],
        &expected,
    );
}

#[test]
fn brat_counts_the_line_ends_of_the_text() {
    let bare = "Took iron,\nvitamin\nC.";
    let with_returns = bare.replace('\n', "\r\n");
    let ann = "T1\tDrug 5 9\tiron\nT2\tDrug 11 20\tvitamin C\n";
    let counting_returns = "T1\tDrug 5 9\tiron\nT2\tDrug 12 22\tvitamin C\n";
    let expected = r#"x (medication): medication 5..9 "iron", medication 11..20 "vitamin\nC""#;
    check(&[("x.txt", bare), ("x.ann", ann)], &[expected]);
    check(&[("x.txt", bare), ("x.ann", &ann.replace('\n', "\r\n"))], &[expected]);
    let as_it_is = r#"x (medication): medication 5..9 "iron", medication 12..22 "vitamin\r\nC""#;
    check(&[("x.txt", &with_returns), ("x.ann", counting_returns)], &[as_it_is]);
    check(
        &[("x.txt", &with_returns), ("x.ann", ann)],
        &["! x.ann: its offsets do not count the CRs of the text, which was read without them", expected],
    );
    check(
        &[("x.txt", bare), ("x.ann", counting_returns)],
        &[
            "! x.ann, line 2: Drug at 12..22, but the text has 21 code points; left out",
            r#"x (medication): medication 5..9 "iron""#,
        ],
    );
}

#[test]
fn brat_reports_lines_and_files_that_cannot_be_read() {
    let ann = "T1\tDrug 0 4\tIron\nT2\tDrug 0 4\nT3\tthe drug 0 4\tIron\nT4\tDrug 0-4\tIron\n\nIron was taken\nT5\tDrug 0 4;6 9\tIron two\n";
    let files: [(&str, &[u8]); 6] = [
        ("train/1.txt", b"Iron, two"),
        ("train/1.ann", ann.as_bytes()),
        ("train/2.txt", b"Iron"),
        ("test/3.ann", b"T1\tDrug 0 4\tIron\n"),
        ("test/4.txt", b"Iron\xff"),
        ("test/4.ann", b"T1\tDrug 0 4\tIron\n"),
    ];
    let expected = [
        "! test/3.txt: is missing; its document is left out",
        "! test/4.txt: is not UTF-8; its document is left out",
        r#"train/1 (medication) train: medication 0..4 "Iron", medication 6..9 "two", 1 in fragments"#,
        "! train/1.ann, line 2: has fewer than three columns; left out",
        "! train/1.ann, line 3: its offsets are no numbers; left out",
        "! train/1.ann, line 4: its offsets are no numbers; left out",
        "! train/1.ann, line 6: is no annotation; left out",
        "! train/2.ann: is missing; its document is left out",
    ];
    assert_eq!(read(&files, &CorpusConfig::default()).unwrap(), expected.join("\n"));
}

#[test]
fn labels_tell_the_corpus_and_may_be_read_otherwise() {
    let text = "Pain, gout and iron.";
    let n2c2 = "T1\tDrug 15 19\tiron\nT2\tReason 6 10\tgout\nT3\tADE 0 4\tPain\n";
    let files = [("a.txt", text), ("a.ann", n2c2)];
    check(&files, &[r#"a (medication): medication 15..19 "iron""#]);
    check_with(
        &files,
        &mapped(&[("Reason", Some(Task::Disease)), ("ADE", Some(Task::Disease)), ("Drug", None)]),
        &[r#"a (disease): disease 0..4 "Pain", disease 6..10 "gout""#],
    );
    let coral = "T1\tMedicationName 15 19\tiron\nT2\tClinicalCondition 6 10\tgout\nT3\tSymptom 0 4\tPain\n";
    let files = [("a.txt", text), ("a.ann", coral)];
    check(&files, &[r#"a (medication symptom): symptom 0..4 "Pain", medication 15..19 "iron""#]);
    let other = "T1\tCondition 6 10\tgout\n";
    let unknown = [("a.txt", text), ("a.ann", other)];
    assert_eq!(
        error(&unknown, &CorpusConfig::default()),
        " has no label that is read (Condition); name the corpus, or the task of a label, such as Disease=disease"
    );
    check_with(&unknown, &mapped(&[("Condition", Some(Task::Disease))]), &[r#"a (disease): disease 6..10 "gout""#]);
    assert_eq!(
        error(&files, &mapped(&[("Sympton", Some(Task::Symptom))])),
        "no annotation has the label Sympton; there are ClinicalCondition, MedicationName, Symptom"
    );
    assert_eq!(
        error(&[("a.txt", text), ("a.ann", coral), ("b.txt", text), ("b.ann", n2c2)], &CorpusConfig::default()),
        " has labels of n2c2_2018 and of coral; give each corpus by itself, or name the one"
    );
    // Where no annotation tells, it must be said; then a document without one is annotated all the same.
    let bare = [("a.txt", text), ("a.ann", "")];
    assert!(error(&bare, &CorpusConfig::default()).contains("(none)"));
    let corpus = KnownCorpus::ALL.into_iter().find(|known| known.name == "maccrobat");
    check_with(&bare, &CorpusConfig { corpus, ..Default::default() }, &["a (disease medication symptom): "]);
}

#[test]
fn notes_of_mimic_are_read_from_quoted_rows_of_many_lines() {
    let header = r#""ROW_ID","SUBJECT_ID","HADM_ID","CHARTDATE","CHARTTIME","STORETIME","CATEGORY","DESCRIPTION","CGID","ISERROR","TEXT""#;
    let rows = [
        header,
        "1,7,100,\"2151-08-04\",,,\"Discharge summary\",\"Report\",,,\"Admission Date:  [**2151-7-16**]\r\n\r\nSaid \"\"fine\"\",\r\nno fever.\n\"",
        "2,7,100,2151-08-04,,,Nursing/other,Report,,1,\"An error, \"",
        "3,8,,2151-08-04,2151-08-04 10:00:00,2151-08-04 10:01:00,\"Physician \",Report,5,,Fièvre",
        "4,8,,too,few",
        ",8,,2151-08-04,,,ECG,Report,,,No id",
        "6,9,,2151-08-04,,,ECG,Report,,0,Sinus rhythm",
    ];
    let expected = [
        r#"note 1 7 Discharge summary: "Admission Date:  [**2151-7-16**]\r\n\r\nSaid \"fine\",\r\nno fever.\n""#,
        r#"note 3 8 Physician: "Fièvre""#,
        "! NOTEEVENTS.csv, line 9: has other than the header's columns; left out",
        "! NOTEEVENTS.csv, line 10: has no id; left out",
        r#"note 6 9 ECG: "Sinus rhythm""#,
    ];
    check(&[("NOTEEVENTS.csv", &rows.join("\n"))], &expected);
    check(&[("NOTEEVENTS.csv", &rows.join("\n")), ("D_ITEMS.csv", "ROW_ID,LABEL\n1,x\n")], &expected);
    let config = CorpusConfig { format: Some(CorpusFormat::Mimic), ..Default::default() };
    let message = error(&[("D_ITEMS.csv", "ROW_ID,LABEL\n1,x\n")], &config);
    assert_eq!(
        message,
        "/D_ITEMS.csv has the header neither of NOTEEVENTS.csv nor of OMOP's note.csv; give such a file"
    );
}

#[test]
fn a_quote_that_nobody_closes_does_not_take_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("NOTEEVENTS.csv");
    fs::write(&path, "ROW_ID,SUBJECT_ID,CATEGORY,ISERROR,TEXT\n1,7,ECG,,\"Sinus").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    let corpus = Corpus::open(&[path], &CorpusConfig::default()).unwrap();
    let items: Vec<Result<CorpusItem, LogError>> = corpus.items().collect();
    let [Err(LogError::Io { source, .. })] = items.as_slice() else { panic!("{} items", items.len()) };
    assert_eq!(source.to_string(), "a row of over 64 MiB: is a quote open?");
}

#[test]
fn notes_of_medalign_are_read_from_either_xml_and_from_the_table() {
    let record = r#"<record>
        <visit type="Clinic Visit" start="05/15/2022 02:00 PM"><day start="05/15/2022 02:00 PM">
            <person>Birth: 1/1/1966</person>
            <condition_occurrence start="05/15/2022 02:00 PM"><code>[ICD/I63.5] Not a note</code></condition_occurrence>
            <note type="Clinic &amp; Ward Note" start="05/15/2022 02:15 PM">
                Fever &lt; 38 &#176;C & no pain.
                Second line.
            </note>
            <note type="NULL" start="05/15/2022 03:00 PM"><![CDATA[<b>gout</b>]]></note>
            <note type="NULL"/>
        </day></visit>
    </record>"#;
    let stream = r#"<?xml version="1.0" encoding="UTF-8"?>
      <eventstream person_id="12"><encounter start_timestamp="2013-10-10 19:08:00"><events>
        <entry timestamp="2013-10-10 19:08:00">
          <event type="measurement" code="LOINC/8310-5" name="Body temperature">38.1</event>
          <event type="note" note_id="991" code="LOINC/LP173418-7" name="progress note">Pain gone.</event>
          <event type="note" note_id="" name="">Fine.</event>
        </entry></events></encounter></eventstream>"#;
    let table = "note_id,person_id,note_date,note_title,note_text\n5,12,2013-10-10,Consult,\"Two\nlines\"\n";
    let expected = [
        r#"note 12/2 12 -: "Fine.""#,
        r#"note 5 12 Consult: "Two\nlines""#,
        r#"note 77/1 77 Clinic & Ward Note: "Fever < 38 °C & no pain.\n                Second line.""#,
        r#"note 77/2 77 -: "<b>gout</b>""#,
        r#"note 991 12 progress note: "Pain gone.""#,
        "! ehrs/77.xml: the note 77/3 has no text; left out",
        "! instructions.csv: has instructions, which are no notes; not read",
    ];
    let instructions = "instruction_id,question,source\n1,Is she well?,t\n";
    let files =
        [("ehrs/77.xml", record), ("ehrs/p12.xml", stream), ("note.csv", table), ("instructions.csv", instructions)];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let found = read(&files, &CorpusConfig::default()).unwrap();
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_by_key(|line| line.trim_start_matches('!').to_owned());
    let mut expected = expected.to_vec();
    expected.sort_by_key(|line| line.trim_start_matches('!').to_owned());
    assert_eq!(found, expected);
    check(
        &[("1.xml", "<record><note>Pain</note><note>gout</day>"), ("2.xml", "<record><note>Pain")],
        &[
            r#"note 1/1 1 -: "Pain""#,
            "! 1.xml: is not XML from byte 35 on; what follows is left out",
            "! 2.xml: ends within a note, which is left out",
        ],
    );
}

#[test]
fn our_own_lines_are_a_corpus_and_nothing_else_is() {
    let good = r#"{"id":"d","tasks":["disease"],"text":"gout","entities":[{"task":"disease","start":0,"end":4,"text":"gout"}]}"#;
    let bad = good.replace("\"end\":4", "\"end\":3");
    let expected = [
        r#"d (disease) dev: disease 0..4 "gout""#,
        "! dev.jsonl, line 2: entity 0: its `text` is not what stands at 0..3, counted in code points; left out",
        "! dev.jsonl: the document d was there before; left out",
    ];
    check(&[("dev.jsonl", &format!("{good}\n{bad}\n{good}\n"))], &expected);
    let config = CorpusConfig::default();
    let message = error(&[("a.txt", "Some text.")], &config);
    let formats = "pubtator, brat, mimic, medalign, jsonl";
    assert_eq!(
        message,
        format!(" holds no file of a format that is known; give other files, or say the format: {formats}")
    );
    let absent = Corpus::open(&[PathBuf::from("/no/such/corpus")], &config).unwrap_err().to_string();
    assert_eq!(absent, "cannot read /no/such/corpus");
}

#[test]
fn a_document_is_written_as_it_is_read() {
    let line = r#"{"id":"d","text":"Fièvre 😀 du foie","tasks":["disease","symptom"],"entities":[{"task":"symptom","start":0,"end":6,"text":"Fièvre"},{"task":"disease","start":12,"end":16,"text":"foie"}]}"#;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.jsonl");
    fs::write(&path, line).unwrap();
    let documents: Vec<_> = stillroom_connectors::GoldDocuments::open(&path).unwrap().collect();
    assert_eq!(documents.into_iter().map(|document| document.unwrap().to_line()).collect::<Vec<_>>(), [line]);
}

/// The corpora are not part of the project: without them this test says so and proves nothing.
#[test]
fn originals_hold_what_the_converted_corpora_hold() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.join("raw").is_dir() {
        eprintln!("skipped, as the corpora are not in {}", data.display());
        return;
    }
    // Raw files, converted files, documents, and what is left out: NCBI's training file has one abstract twice.
    let compared = [
        ("raw/ncbi_disease/NCBItrainset_corpus.txt", vec!["ncbi_disease/train"], 592, 1, Some(Part::Train)),
        ("raw/ncbi_disease/NCBIdevelopset_corpus.txt", vec!["ncbi_disease/dev"], 100, 0, Some(Part::Dev)),
        ("raw/bc5cdr/CDR_DevelopmentSet.PubTator.txt", vec!["bc5cdr/dev"], 500, 0, Some(Part::Dev)),
        ("raw/maccrobat", vec!["maccrobat/train", "maccrobat/dev"], 40, 0, None),
    ];
    for (raw, converted, documents, problems, part) in compared {
        let mut expected = std::collections::HashMap::new();
        for name in converted {
            for document in
                Corpus::open(&[data.join(format!("corpora/{name}.jsonl"))], &CorpusConfig::default()).unwrap().items()
            {
                let CorpusItem::Document(CorpusDocument { document, .. }) = document.unwrap() else { panic!("{name}") };
                expected.insert(document.id.split_once(':').unwrap().1.to_owned(), document);
            }
        }
        let (mut read, mut left_out) = (0, 0);
        for item in Corpus::open(&[data.join(raw)], &CorpusConfig::default()).unwrap().items() {
            match item.unwrap() {
                CorpusItem::Document(found) => {
                    let other = &expected[&found.document.id];
                    let (text, tasks) = (found.document.text == other.text, found.document.tasks == other.tasks);
                    assert!(text && tasks && found.document.spans == other.spans, "{raw}: {}", found.document.id);
                    assert_eq!(found.part, part);
                    read += 1;
                }
                CorpusItem::Problem(problem) => {
                    eprintln!("{problem}");
                    left_out += 1;
                }
                CorpusItem::Note(_) => panic!("{raw} is annotated"),
            }
        }
        assert_eq!((read, left_out), (documents, problems), "{raw}");
    }
}
