//! What it costs to tell of entities, beside finding them: assertions and sections by the lexicon that comes with
//! stillroom, concepts by vocabularies, dosages; on one thread, on the demo's notes with the mentions that are known to be
//! in them.
//!
//!     cargo run --release --example figures -- interpret [NOTES]
//!
//! The vocabularies are those of the demo's teacher, of some hundred names; with `STILLROOM_CONCEPTS=FILE` they are those
//! that the file names, as `extract --concepts` takes it.

use crate::{student, support};
use anyhow::{Context as _, Result};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;
use stillroom::generator::{annotated_notes, teacher_vocabulary};
use stillroom_assertion::{Context, ContextConfig};
use stillroom_concepts::{Concepts, ConceptsConfig, VocabularyConfig, dosage};
use stillroom_dataflow::Window;
use stillroom_schemas::{Note, Span, Task};
use stillroom_student::{Device, Precision, Student};

const ROUNDS: usize = 5;

/// Notes that the student reads: enough to be measured, as it is slower by far.
const STUDENT_NOTES: usize = 60;

pub(crate) fn run_all(numbers: &[u64]) -> Result<()> {
    let count = numbers.first().copied().unwrap_or(2000);
    let mut notes: Vec<(Note, Vec<Span>)> = annotated_notes(1, count).collect();
    // As a student gives them.
    notes.iter_mut().for_each(|(_, spans)| spans.sort_unstable());
    let mentions: usize = notes.iter().map(|(_, spans)| spans.len()).sum();
    println!("{} notes with {mentions} mentions, one thread", notes.len());
    let context = Context::load(&ContextConfig::default())?;
    measure("assertions and sections", &notes, |(note, spans)| {
        black_box(context.assert(&note.text, spans));
    });
    let folder = tempfile::tempdir()?;
    let concepts = Concepts::load(&vocabularies(folder.path())?)?;
    let names: usize = concepts.vocabularies().iter().map(|vocabulary| vocabulary.names).sum();
    let words: Vec<Vec<(Task, String)>> = notes.iter().map(words).collect();
    let found = words.iter().flatten().filter(|(task, words)| concepts.find(*task, words).is_some()).count();
    println!("{names} names: {found} of the mentions have a concept");
    measure("concepts", &words, |mentions| {
        mentions.iter().for_each(|(task, words)| drop(black_box(concepts.find(*task, words))));
    });
    measure("dosages", &notes, |(note, spans)| {
        let medications: Vec<&Span> = spans.iter().filter(|span| span.task == Task::Medication).collect();
        for (at, medication) in medications.iter().enumerate() {
            black_box(dosage(&note.text, medication, medications.get(at + 1).map(|next| next.start)));
        }
    });
    read(&notes[..STUDENT_NOTES.min(notes.len())])
}

/// The mentions of a note by their words.
fn words((note, spans): &(Note, Vec<Span>)) -> Vec<(Task, String)> {
    let part = |span: &Span| note.text.chars().skip(span.start as usize).take((span.end - span.start) as usize);
    spans.iter().map(|span| (span.task, part(span).collect())).collect()
}

/// Those of a file that the environment names, or of the demo's teacher, which are put into a folder.
fn vocabularies(folder: &Path) -> Result<ConceptsConfig> {
    if let Some(file) = std::env::var_os("STILLROOM_CONCEPTS") {
        let text = std::fs::read_to_string(&file).context("cannot read the file of STILLROOM_CONCEPTS")?;
        let table: toml::Table = toml::from_str(&text)?;
        return Ok(table.get("concepts").context("the file has no table [concepts]")?.clone().try_into()?);
    }
    let mut config = ConceptsConfig::default();
    for task in Task::ALL {
        let path = folder.join(format!("{}.tsv", task.name()));
        std::fs::write(&path, teacher_vocabulary(task))?;
        config.vocabularies.push(VocabularyConfig::new(task.name(), task, path));
    }
    Ok(config)
}

/// Prints how many notes a second `tell` takes.
fn measure<T>(what: &str, notes: &[T], tell: impl Fn(&T)) {
    let round = |_| {
        let began = Instant::now();
        notes.iter().for_each(&tell);
        began.elapsed().as_secs_f64()
    };
    print(what, notes.len(), (0..=ROUNDS).map(round).collect());
}

/// Prints how many notes a second the student finds entities in, from their texts on.
fn read(notes: &[(Note, Vec<Span>)]) -> Result<()> {
    let (tokenizer, shipped) = (support::tokenizer()?, Student::load(&support::student())?);
    let mut taggers = Student::taggers(std::slice::from_ref(&shipped), Device::Cpu(Precision::Int8), 1)?;
    let mut seconds = Vec::new();
    for _ in 0..=ROUNDS {
        let (began, mut windows) = (Instant::now(), Vec::<Window>::new());
        for (note, _) in notes {
            windows.extend(tokenizer.tokenize(&note.text)?.windows);
        }
        let cut = began.elapsed().as_secs_f64();
        seconds.push(cut + student::tag(&mut taggers, &student::batches(&windows, 512)));
    }
    print("the student in 8 bits, words and word pieces cut", notes.len(), seconds);
    Ok(())
}

/// Notes a second of rounds after the first, which warms up.
fn print(what: &str, notes: usize, mut seconds: Vec<f64>) {
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    let [median, least, most] = [ROUNDS / 2, ROUNDS - 1, 0].map(|at| notes as f64 / seconds[at]);
    println!("{what}: {median:.0} notes/s ({least:.0} to {most:.0})");
}
