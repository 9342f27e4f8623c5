//! Figures of the concepts: load time, bytes and look-ups a second over a million made-up names.
//!
//! `cargo run --release -p stillroom-concepts --example concepts [NAMES]`

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write;
use std::time::Instant;
use stillroom_concepts::{Concepts, ConceptsConfig, VocabularyConfig, dosage};
use stillroom_schemas::{Code, Span, Task, Tier};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Names where the command line says nothing.
const NAMES: usize = 1_000_000;

/// Names of one concept.
const SYNONYMS: usize = 3;

/// Different words that names are made of.
const WORDS: usize = 40_000;

/// Look-ups of each kind that are timed.
const LOOKUPS: usize = 20_000;

const SYLLABLES: [&str; 24] = [
    "car", "di", "o", "my", "pa", "thy", "neu", "ro", "derm", "a", "ti", "tis", "os", "te", "al", "gi", "hep", "to",
    "meg", "ly", "gas", "tri", "ne", "phro",
];

/// A word of two to five syllables and, as names are lower case, letters alone.
fn word(random: &mut SmallRng) -> String {
    (0..random.random_range(2..=5)).map(|_| SYLLABLES[random.random_range(0..SYLLABLES.len())]).collect()
}

/// Names of one to five words, several for a concept, which has up to two concepts above it; in TSV.
fn vocabulary(names: usize, random: &mut SmallRng) -> Outcome<(String, Vec<String>)> {
    let words: Vec<String> = (0..WORDS).map(|_| word(random)).collect();
    let (mut text, mut all) = ("id\tsynonym\tparents\n".to_owned(), Vec::with_capacity(names));
    for number in 0..names {
        let count = random.random_range(1..=5);
        let name: Vec<&str> = (0..count).map(|_| words[random.random_range(0..WORDS)].as_str()).collect();
        let (name, concept) = (name.join(" "), number / SYNONYMS);
        let parents: Vec<String> = (0..concept.min(2)).map(|_| random.random_range(0..concept).to_string()).collect();
        writeln!(text, "{concept}\t{name}\t{}", parents.join("|"))?;
        all.push(name);
    }
    Ok((text, all))
}

/// A name with one letter left out, away from its beginning.
fn misspelt(name: &str, random: &mut SmallRng) -> String {
    let mut name = name.to_owned();
    name.remove(random.random_range(1..name.len()));
    name
}

/// Times look-ups, and says how many came to which tier.
fn time(label: &str, concepts: &Concepts, asked: &[String]) {
    let start = Instant::now();
    let found: Vec<Option<Tier>> =
        asked.iter().map(|words| concepts.find(Task::Disease, words).map(|concept| concept.tier)).collect();
    let seconds = start.elapsed().as_secs_f64();
    let of = |tier: Option<Tier>| found.iter().filter(|found| **found == tier).count();
    println!(
        "{label:<12} {:>9.0} look-ups/s: {} exact, {} normalised, {} fuzzy, {} unknown",
        asked.len() as f64 / seconds,
        of(Some(Tier::Exact)),
        of(Some(Tier::Normalised)),
        of(Some(Tier::Fuzzy)),
        of(None)
    );
}

fn main() -> Outcome<()> {
    let names = std::env::args().nth(1).map_or(Ok(NAMES), |names| names.parse())?;
    let mut random = SmallRng::seed_from_u64(7);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("made-up.tsv");
    let (text, all) = vocabulary(names, &mut random)?;
    std::fs::write(&path, &text)?;
    println!("{names} names, {:.1} MB of TSV", text.len() as f64 / 1e6);
    drop(text);

    let vocabularies = vec![VocabularyConfig::new("made_up", Task::Disease, path)];
    let (before, start) = (memory_bytes("VmRSS:"), Instant::now());
    let concepts = Concepts::load(&ConceptsConfig { vocabularies, ..ConceptsConfig::default() })?;
    let seconds = start.elapsed().as_secs_f64();
    let stats = &concepts.vocabularies()[0];
    println!(
        "loaded in {seconds:.1} s: {} names of {} concepts, {} relations, {:.1} MB, {:.1} bytes a name; process {:+.1} MB, peak {:.1} MB",
        stats.names,
        stats.concepts,
        stats.relations,
        concepts.bytes() as f64 / 1e6,
        concepts.bytes() as f64 / stats.names as f64,
        (memory_bytes("VmRSS:") as f64 - before as f64) / 1e6,
        memory_bytes("VmHWM:") as f64 / 1e6
    );

    let mut drawn = || all[random.random_range(0..all.len())].clone();
    let exact: Vec<String> = (0..LOOKUPS).map(|_| drawn()).collect();
    let long: Vec<String> =
        std::iter::repeat_with(&mut drawn).filter(|name| name.len() >= 12).take(2 * LOOKUPS).collect();
    let (plural, near) = long.split_at(LOOKUPS);
    let plural: Vec<String> = plural.iter().map(|name| format!("{name}s")).collect();
    let near: Vec<String> = near.iter().map(|name| misspelt(name, &mut random)).collect();
    let unknown: Vec<String> = (0..LOOKUPS).map(|_| format!("{} {}", word(&mut random), word(&mut random))).collect();
    time("exact", &concepts, &exact);
    time("normalised", &concepts, &plural);
    time("fuzzy", &concepts, &near);
    time("unknown", &concepts, &unknown);

    let root = Code { vocabulary: "made_up".to_owned(), code: "0".to_owned() };
    let start = Instant::now();
    let below = concepts.descendants(&root).count();
    println!("descendants  {below} of concept 0 in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);

    let text = "Discharge: lisinopril (Zestril) 10mg tablet, 1 tab by mouth daily for 30 days. Follow up in two weeks.";
    let medication = Span { task: Task::Medication, start: 11, end: 21 };
    let start = Instant::now();
    let read = (0..LOOKUPS).filter(|_| dosage(text, &medication, None).is_some()).count();
    println!("dosage       {:>9.0} a second", read as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// A figure of the process's memory, where the system tells; else 0.
fn memory_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1000
}
