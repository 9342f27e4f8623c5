//! On the development splits of public corpora, where they are.

use std::path::{Path, PathBuf};
use stillroom_dataflow::{Tokenizer, score_spans};
use stillroom_schemas::{Counts, Span, Task};
use stillroom_teachers::vocabulary::{Vocabulary, VocabularyConfig, VocabularySource};

/// The folder of public corpora beside the workspace.
fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data")
}

/// A tokenizer that cuts words as BERT does; its word pieces do not matter here.
fn tokenizer() -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n").unwrap();
    Tokenizer::load(folder.path()).unwrap()
}

/// Micro F1 over words on the development split of a corpus.
fn f1(vocabulary: &Vocabulary, tokenizer: &Tokenizer, corpus: &str, task: Task) -> f64 {
    let text = std::fs::read_to_string(shared().join("corpora").join(corpus).join("dev.jsonl")).unwrap();
    let mut sum = Counts::default();
    for line in text.lines() {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = document["text"].as_str().unwrap();
        let entities = document["entities"].as_array().unwrap();
        let at = |entity: &serde_json::Value, field: &str| entity[field].as_u64().unwrap() as u32;
        let gold: Vec<Span> = entities
            .iter()
            .filter(|entity| entity["task"] == task.name())
            .map(|entity| Span { task, start: at(entity, "start"), end: at(entity, "end") })
            .collect();
        let words = tokenizer.tokenize(text).unwrap().words;
        let [word, ..] = score_spans(&words, task, &vocabulary.label(text, &[task].into()), &gold);
        sum.tp += word.tp;
        sum.fp += word.fp;
        sum.fn_ += word.fn_;
    }
    2.0 * sum.tp as f64 / (2 * sum.tp + sum.fp + sum.fn_) as f64
}

/// The published baseline (longest match alone) is 0.51, 0.50, 0.44, 0.60, 0.46 and 0.29.
#[test]
fn better_than_longest_match_alone_on_the_development_splits() {
    let names = shared().join("vocab");
    if !names.exists() {
        println!("skipped: there are no corpora at {}", shared().display());
        return;
    }
    let sources = vec![
        VocabularySource::new(Task::Disease, names.join("disease_doid.tsv")),
        VocabularySource::new(Task::Medication, names.join("medication_rxnorm_prescribable_partial.tsv")),
        VocabularySource::new(Task::Medication, names.join("medication_drugsatfda.tsv")),
        VocabularySource::new(Task::Symptom, names.join("symptom_symp.tsv")),
    ];
    let public =
        Vocabulary::load(&VocabularyConfig { own_names: false, ..VocabularyConfig::new(sources.clone()) }).unwrap();
    let all = Vocabulary::load(&VocabularyConfig::new(sources)).unwrap();
    let tokenizer = tokenizer();
    let cases = [
        ("ncbi_disease", Task::Disease, 0.51, 0.60),
        ("bc5cdr", Task::Disease, 0.50, 0.55),
        ("maccrobat", Task::Disease, 0.44, 0.50),
        ("bc5cdr", Task::Medication, 0.60, 0.62),
        ("maccrobat", Task::Medication, 0.46, 0.55),
        ("maccrobat", Task::Symptom, 0.29, 0.40),
    ];
    for (corpus, task, baseline, floor) in cases {
        let [public, all] = [&public, &all].map(|vocabulary| f1(vocabulary, &tokenizer, corpus, task));
        println!("{corpus} {}: {public:.3} by public names, {all:.3} with our own", task.name());
        assert!(public >= baseline, "{corpus} {}: {public} by public names, {baseline} is published", task.name());
        assert!(all >= floor, "{corpus} {}: {all} is less than {floor}", task.name());
    }
}
