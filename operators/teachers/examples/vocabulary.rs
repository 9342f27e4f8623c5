//! Figures of the local vocabulary teacher: F1 by corpus and task with more and more of its rules, what it loads and takes, and its
//! throughput beside the automaton alone and a scan that looks up every run of words.
//!
//! `cargo run --release -p stillroom-teachers --example vocabulary [dev|train] [rules|million]`: with `rules` also what F1 is without
//! each of them, with `million` instead what a million made-up names take. `../shared/data` must be beside the workspace.

use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;
use stillroom_dataflow::{Tokenizer, Words, score_spans};
use stillroom_schemas::{Counts, Span, Task, TaskSet};
use stillroom_teachers::vocabulary::{Vocabulary, VocabularyConfig, VocabularyRules, VocabularySource};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const CORPORA: [&str; 4] = ["ncbi_disease", "bc5cdr", "maccrobat", "phee"];

/// Texts are labelled this often for a throughput.
const ROUNDS: usize = 5;

/// The longest run of words that the scan looks up.
const SCAN_WORDS_MAX: usize = 6;

struct Document {
    text: String,
    tasks: TaskSet,
    gold: Vec<Span>,
    words: Words,
}

fn main() -> Outcome<()> {
    let split = std::env::args().nth(1).unwrap_or_else(|| "dev".to_owned());
    let more = std::env::args().nth(2).unwrap_or_default();
    if more == "million" {
        return million();
    }
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let sources = sources(&shared.join("vocab"));
    let plain = VocabularyConfig {
        rules: VocabularyRules::none(),
        own_exclusions: false,
        own_names: false,
        ..VocabularyConfig::new(sources.clone())
    };
    let rules = VocabularyConfig { rules: VocabularyRules::default(), ..plain.clone() };
    let exclusions = VocabularyConfig { own_exclusions: true, ..rules.clone() };
    let names = VocabularyConfig::new(sources.clone());
    let mut vocabularies = Vec::new();
    for (label, config) in [("plain", plain), ("rules", rules), ("+ exclusions", exclusions), ("+ own names", names)] {
        let (before, start) = (memory_bytes("VmRSS:"), Instant::now());
        let vocabulary = Vocabulary::load(&config)?;
        let names: u64 = vocabulary.reports().iter().map(|report| report.names).sum();
        println!(
            "{label}: {names} names of files, {} forms, loaded in {:.2} s, {:.1} MB, process {:+.1} MB, {}",
            vocabulary.forms(),
            start.elapsed().as_secs_f64(),
            vocabulary.bytes() as f64 / 1e6,
            (memory_bytes("VmRSS:") as f64 - before as f64) / 1e6,
            vocabulary.version()
        );
        vocabularies.push(vocabulary);
    }
    println!("\nmicro F1 over words, split {split}: precision recall F1");
    println!("{:24}{:>20}{:>20}{:>20}{:>20}", "", "plain", "rules", "+ exclusions", "+ own names");
    let mut texts = Vec::new();
    for corpus in CORPORA {
        let documents = documents(&shared.join("corpora").join(corpus).join(format!("{split}.jsonl")))?;
        for task in Task::ALL {
            if documents.iter().any(|document| document.tasks.contains(&task)) {
                print!("{:24}", format!("{corpus} {}", task.name()));
                for vocabulary in &vocabularies {
                    let [precision, recall, f1] = quality(vocabulary, &documents, task);
                    print!("{:>20}", format!("{precision:.3} {recall:.3} {f1:.3}"));
                }
                println!();
            }
        }
        if more == "rules" {
            ablate(&sources, &documents, corpus)?;
        }
        texts.extend(documents.into_iter().map(|document| document.text));
    }
    throughputs(&vocabularies, &sources, &texts)
}

fn sources(folder: &Path) -> Vec<VocabularySource> {
    let files: [(Task, &str); 4] = [
        (Task::Disease, "disease_doid.tsv"),
        (Task::Medication, "medication_rxnorm_prescribable_partial.tsv"),
        (Task::Medication, "medication_drugsatfda.tsv"),
        (Task::Symptom, "symptom_symp.tsv"),
    ];
    files.into_iter().map(|(task, file)| VocabularySource::new(task, folder.join(file))).collect()
}

fn documents(path: &PathBuf) -> Outcome<Vec<Document>> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")?;
    let tokenizer = Tokenizer::load(folder.path())?;
    let mut documents = Vec::new();
    for line in std::fs::read_to_string(path)?.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let text = row["text"].as_str().ok_or("a document has no text")?.to_owned();
        let mut gold = Vec::new();
        for entity in row["entities"].as_array().ok_or("a document has no entities")? {
            let at = |field: &str| entity[field].as_u64().ok_or("an entity has no position").map(|at| at as u32);
            let (start, end) = (at("start")?, at("end")?);
            gold.push(Span { task: serde_json::from_value(entity["task"].clone())?, start, end });
        }
        let words = tokenizer.tokenize(&text)?.words;
        documents.push(Document { tasks: serde_json::from_value(row["tasks"].clone())?, gold, words, text });
    }
    Ok(documents)
}

fn quality(vocabulary: &Vocabulary, documents: &[Document], task: Task) -> [f64; 3] {
    let mut sum = Counts::default();
    for document in documents.iter().filter(|document| document.tasks.contains(&task)) {
        let found = vocabulary.label(&document.text, &[task].into());
        let [word, ..] = score_spans(&document.words, task, &found, &document.gold);
        (sum.tp, sum.fp, sum.fn_) = (sum.tp + word.tp, sum.fp + word.fp, sum.fn_ + word.fn_);
    }
    let [tp, fp, fn_] = [sum.tp, sum.fp, sum.fn_].map(|count| count as f64);
    [tp / (tp + fp), tp / (tp + fn_), 2.0 * tp / (2.0 * tp + fp + fn_)]
}

/// Takes a rule away.
type Change = fn(&mut VocabularyRules);

/// F1 without each rule.
fn ablate(sources: &[VocabularySource], documents: &[Document], corpus: &str) -> Outcome<()> {
    let rules: [(&str, Change); 9] = [
        ("all rules", |_| {}),
        ("plurals", |rules| rules.plurals = false),
        ("capitals", |rules| rules.capitals = false),
        ("inversions", |rules| rules.inversions = false),
        ("spelling", |rules| rules.spelling = false),
        ("heads", |rules| rules.heads = false),
        ("salts", |rules| rules.salts = false),
        ("explained", |rules| rules.explained = false),
        ("modifiers", |rules| rules.modifiers = false),
    ];
    for (rule, change) in rules {
        let mut config = VocabularyConfig::new(sources.to_vec());
        change(&mut config.rules);
        let vocabulary = Vocabulary::load(&config)?;
        let tasks = Task::ALL.into_iter().filter(|task| documents.iter().any(|document| document.tasks.contains(task)));
        let f1 = tasks.map(|task| format!("{} {:.4}", task.name(), quality(&vocabulary, documents, task)[2]));
        println!("    {corpus} without {rule}: {}", f1.collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

fn throughputs(vocabularies: &[Vocabulary], sources: &[VocabularySource], texts: &[String]) -> Outcome<()> {
    let bytes: usize = texts.iter().map(String::len).sum();
    println!("\nthroughput on {} texts, {:.2} MB, one thread, best of {ROUNDS}", texts.len(), bytes as f64 / 1e6);
    let mut names = HashSet::new();
    for source in sources {
        for line in std::fs::read_to_string(&source.path)?.lines().skip(1) {
            names.extend(line.split('\t').nth(2).map(str::to_lowercase));
        }
    }
    let automaton =
        AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).ascii_case_insensitive(true).build(&names)?;
    let tasks: TaskSet = Task::ALL.into_iter().collect();
    let (plain, full) = (&vocabularies[0], &vocabularies[3]);
    best("scan of runs of words", bytes, || texts.iter().map(|text| scan(&names, text)).sum());
    best("automaton alone, no folding", bytes, || texts.iter().map(|text| automaton.find_iter(text).count()).sum());
    best("vocabulary, plain", bytes, || texts.iter().map(|text| plain.label(text, &tasks).len()).sum());
    best("vocabulary, all rules", bytes, || texts.iter().map(|text| full.label(text, &tasks).len()).sum());
    Ok(())
}

fn best(label: &str, bytes: usize, run: impl Fn() -> usize) {
    let (mut fastest, mut found) = (f64::INFINITY, 0);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        found = run();
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    println!("{label:32}{:>10.1} MB/s  {found} matches", bytes as f64 / 1e6 / fastest);
}

/// Looks up every run of words that white space separates, the longest first.
fn scan(names: &HashSet<String>, text: &str) -> usize {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_matches([',', '.', ';', '(', ')'])).collect();
    let (mut first, mut found) = (0, 0);
    while first < words.len() {
        let lasts = (first + 1..=words.len().min(first + SCAN_WORDS_MAX)).rev();
        let last = lasts.into_iter().find(|&last| names.contains(&words[first..last].join(" ")));
        found += usize::from(last.is_some());
        first = last.unwrap_or(first + 1);
    }
    found
}

/// Loads a million names of two to five made-up words.
fn million() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("million.tsv");
    let mut state = 1u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut names = "id\tsynonym\n".to_owned();
    for id in 0..1_000_000 {
        let words: Vec<String> = (0..2 + draw(4)).map(|_| word(draw(40_000))).collect();
        names += &format!("{id}\t{}\n", words.join(" "));
    }
    std::fs::write(&path, &names)?;
    let bytes = names.len();
    drop(names);
    let (before, start) = (memory_bytes("VmRSS:"), Instant::now());
    let vocabulary = Vocabulary::load(&VocabularyConfig::new(vec![VocabularySource::new(Task::Disease, path)]))?;
    println!(
        "a million names ({:.0} MB), {} forms: loaded in {:.1} s, {:.0} MB, process {:+.0} MB, at the most {:.0} MB",
        bytes as f64 / 1e6,
        vocabulary.forms(),
        start.elapsed().as_secs_f64(),
        vocabulary.bytes() as f64 / 1e6,
        (memory_bytes("VmRSS:") as f64 - before as f64) / 1e6,
        memory_bytes("VmHWM:") as f64 / 1e6
    );
    Ok(())
}

/// A word for a number: syllables.
fn word(mut number: u64) -> String {
    let mut word = String::new();
    while number > 0 || word.is_empty() {
        word.push(b"bcdfghklmnprstvz"[number as usize % 16] as char);
        word.push(b"aeiou"[number as usize / 16 % 5] as char);
        number /= 80;
    }
    word + "n"
}

/// A figure of the process's memory, where the system tells; else 0.
fn memory_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1000
}
