//! Training from every layout that bases are published in: what is stored is read again, cuts texts as its base, and says what it
//! learned.

use crate::examples::words_inside;
use crate::{Corpus, DataFile, Device, Document, Precision, Recipe, Student, TrainConfig, train};
use std::path::{Path, PathBuf};
use stillroom_dataflow::SoftSpans;
use stillroom_schemas::{Span, Task, TaskSet};

const TEXT: &str = "Pt seen today: Gout and no rash on Fentanyl 50 mg.";

fn corpus(name: &str, count: usize) -> Corpus {
    let mentions = [("Gout", Task::Disease), ("Fentanyl", Task::Medication), ("rash", Task::Symptom)];
    let span = |(mention, task): (&str, Task)| {
        let start = TEXT.find(mention).unwrap() as u32;
        Span { task, start, end: start + mention.len() as u32 }
    };
    let document = |index: usize| Document {
        id: index.to_string(),
        text: TEXT.to_owned(),
        tasks: TaskSet::from(Task::ALL),
        spans: mentions.map(span).to_vec(),
        soft: SoftSpans::new(),
    };
    let file = DataFile { name: name.into(), hash: name.into(), documents: count };
    Corpus { file, documents: (0..count).map(document).collect() }
}

/// A pass from `base`.
fn config(base: &Path, out: PathBuf) -> TrainConfig {
    TrainConfig {
        base: base.to_owned(),
        out,
        name: "small".into(),
        command: "test".into(),
        tasks: Task::ALL.to_vec(),
        recipe: Recipe { learning_rate: 1e-2, batch: 2, epochs: 1, linear_decay: true, ..Recipe::default() },
        patience: 1,
        dev_documents_max: 1,
        teachers: Vec::new(),
        threads: 1,
        device: Device::default(),
    }
}

/// How far a student's probabilities, without temperatures, are on average from what the words of a document are marked as.
fn away(student: &Student, precision: Precision, document: &Document) -> f32 {
    let text = student.tokenizer().tokenize(&document.text).unwrap();
    let mut tagger = Student::taggers(&[student.uncalibrated()], Device::Cpu(precision), 1).unwrap().remove(0);
    let said = tagger.tag(&text.windows.iter().collect::<Vec<_>>()).unwrap().concat();
    assert_eq!(said.len(), text.words.len());
    let mut sum = 0.0;
    for task in Task::ALL {
        let marked = words_inside(&text.words, document, task);
        let differences =
            said.iter().zip(marked).map(|(row, is_inside)| (row[task.index()] - f32::from(is_inside)).abs());
        sum += differences.sum::<f32>();
    }
    sum / (said.len() * Task::ALL.len()) as f32
}

#[test]
fn a_student_of_every_layout_is_stored_and_says_what_it_learned() {
    // Its backward passes would clear away what other tests need twice.
    let _alone = crate::backend::tests::alone();
    for layout in ["prefixed", "bare", "cased", "distilbert", "archive", "legacy"] {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bases").join(layout);
        let folder = tempfile::tempdir().unwrap();
        let config = config(&base, folder.path().join("student"));
        let dev = corpus("dev", 2);
        let manifest = train(&config, &[corpus("train", 60)], std::slice::from_ref(&dev), &mut |_| {}).unwrap();
        let [base, student] = [&base, &config.out].map(|folder| Student::load(folder).unwrap());
        assert_eq!(student.manifest(), Some(&manifest), "{layout}");
        let odd = "ÉTAT fébrile, NAÏVE Øre; 患者 has Gout";
        let [of_base, ours] = [&base, &student].map(|student| student.tokenizer().tokenize(odd).unwrap().windows);
        assert_eq!(ours, of_base, "{layout} cuts texts otherwise");
        for precision in [Precision::F32, Precision::Int8] {
            let [before, after] = [&base, &student].map(|student| away(student, precision, &dev.documents[0]));
            assert!(
                after < before / 3.0,
                "{layout} in {precision}: {after} away from what was marked, {before} before"
            );
        }
    }
}
