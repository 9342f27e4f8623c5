//! The demo's input: repeatable, varied, and with references that are true.

use super::rng::SplitMix64;
use super::templates::NOTE_TYPES;
use super::vocabulary::{CONDITIONS, MEDICATIONS};
use super::*;
use std::collections::{BTreeSet, HashMap, HashSet};

const SEED: u64 = 1;
const NOTES: u64 = 1200;

/// A note event that decodes, or `None` for a broken one.
fn note_of(value: &[u8]) -> Option<Note> {
    serde_json::from_slice(value).ok()
}

fn vocabulary() -> HashMap<String, Task> {
    let mut names = HashMap::new();
    let diseases = CONDITIONS.iter().flat_map(|condition| condition.names).map(|name| (name, Task::Disease));
    let symptoms = CONDITIONS.iter().flat_map(|condition| condition.symptoms).map(|name| (name, Task::Symptom));
    let drugs = MEDICATIONS.iter().map(|(name, _, _)| (name, Task::Medication));
    for (name, task) in diseases.chain(symptoms).chain(drugs) {
        let before = names.insert(name.to_lowercase(), task);
        assert!(before.is_none_or(|before| before == task), "{name} is of two tasks");
    }
    names
}

/// All texts of a stream by hash, all references that are not tombstones.
fn texts_and_references(events: &[DemoEvent]) -> (HashMap<TextHash, Note>, Vec<Reference>) {
    let mut texts = HashMap::new();
    let mut references = Vec::new();
    for event in events {
        match event {
            DemoEvent::Note { value: Some(value), .. } => {
                texts.extend(note_of(value).map(|note| (TextHash::of(&note.text), note)));
            }
            DemoEvent::Reference { value: Some(value), .. } => references.push(serde_json::from_slice(value).unwrap()),
            _ => {}
        }
    }
    (texts, references)
}

fn slice(text: &str, span: &Span) -> String {
    text.chars().skip(span.start as usize).take((span.end - span.start) as usize).collect()
}

#[test]
fn notes_alone_are_those_of_the_stream() {
    let (streamed, _) = texts_and_references(&DemoStream::new(SEED, 50).collect::<Vec<_>>());
    let alone: Vec<Note> = notes(SEED, 50).collect();
    let ids: BTreeSet<&str> = alone.iter().map(|note| note.note_id.as_str()).collect();
    assert_eq!(ids.len(), 50);
    for note in &alone {
        assert_eq!(streamed.get(&TextHash::of(&note.text)), Some(note));
    }
}

#[test]
fn what_is_annotated_alone_is_what_the_whole_references_say() {
    let (_, references) = texts_and_references(&DemoStream::new(SEED, 50).collect::<Vec<_>>());
    let (mut compared, mut whole) = (0, 0);
    for (note, spans) in annotated_notes(SEED, 50) {
        let hash = TextHash::of(&note.text);
        let of_text = references.iter().filter(|it| it.annotator == GENERATOR && it.text_hash == hash);
        let of_text: Vec<_> = of_text.collect();
        assert!(of_text.iter().all(|it| it.spans.iter().all(|span| spans.contains(span))), "{}", note.note_id);
        compared += usize::from(!of_text.is_empty());
        whole += usize::from(of_text.iter().any(|it| it.spans == spans));
    }
    assert!(compared > 30 && whole > 25, "{compared} notes have a reference, and {whole} a whole one");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
    let events: Vec<_> = DemoStream::new(SEED, 200).collect();
    assert_eq!(events, DemoStream::new(SEED, 200).collect::<Vec<_>>());
    assert_ne!(events, DemoStream::new(SEED + 1, 200).collect::<Vec<_>>());
    let longer: Vec<_> = DemoStream::new(SEED, 400).take(150).collect();
    assert_eq!(events[..150], longer);
    // Of every build and version: a change of this figure changes everybody's demo and must be meant.
    let mut all = String::new();
    events.iter().for_each(|event| all.push_str(&format!("{event:?}\n")));
    assert_eq!(TextHash::of(&all).0[..16], *"1f3043f0976da31d");
}

#[test]
fn the_vocabulary_is_large_and_consistent() {
    let names = vocabulary();
    let count = |task| names.values().filter(|of| **of == task).count();
    assert!(CONDITIONS.len() >= 80 && count(Task::Medication) >= 80 && count(Task::Symptom) >= 80);
    let dosed: HashSet<_> = MEDICATIONS.iter().map(|(name, _, _)| name).collect();
    assert_eq!(dosed.len(), MEDICATIONS.len());
    let given: HashSet<_> = CONDITIONS.iter().flat_map(|condition| condition.drugs).collect();
    assert_eq!(given, dosed);
    let sentences = NOTE_TYPES.iter().flat_map(|note_type| note_type.sections);
    let sentences = sentences.flat_map(|section| section.templates);
    assert!(sentences.collect::<HashSet<_>>().len() >= 60);
}

#[test]
fn reference_spans_are_mentions_and_no_mention_is_left_out() {
    let names = vocabulary();
    let (texts, references) = texts_and_references(&DemoStream::new(SEED, 150).collect::<Vec<_>>());
    let complete = references.iter().filter(|reference| reference.annotator == GENERATOR && reference.tasks.len() == 3);
    let mut by_text: HashMap<_, Vec<Span>> = HashMap::new();
    for reference in complete {
        let text = &texts[&reference.text_hash].text;
        for span in &reference.spans {
            assert_eq!(names.get(&slice(text, span).to_lowercase()), Some(&span.task), "{}", reference.note_id);
        }
        // Of a hasty and a corrected reference, the corrected one.
        let spans = by_text.entry(&reference.text_hash).or_default();
        if reference.spans.len() > spans.len() {
            *spans = reference.spans.clone();
        }
    }
    assert!(by_text.len() > 90);
    for (hash, spans) in by_text {
        let text = texts[hash].text.to_ascii_lowercase();
        let code_points = |bytes| text[..bytes].chars().count() as u32;
        for name in names.keys() {
            for (at, _) in text.match_indices(name) {
                let mut around =
                    [text[..at].chars().next_back(), text[at + name.len()..].chars().next()].into_iter().flatten();
                let inside_a_word = around.any(char::is_alphanumeric);
                let (start, end) = (code_points(at), code_points(at + name.len()));
                let annotated = spans.iter().any(|span| span.start <= start && end <= span.end);
                assert!(annotated || inside_a_word, "{name:?} at {start} of {}", texts[hash].note_id);
            }
        }
    }
}

#[test]
fn references_are_accepted_by_their_schema_and_key() {
    for event in DemoStream::new(SEED, NOTES) {
        let DemoEvent::Reference { key, value: Some(value) } = event else { continue };
        let reference: Reference = serde_json::from_slice(&value).unwrap();
        assert_eq!(key, reference_key(&reference.note_id, &reference.annotator));
        assert!(reference.spans.iter().all(|span| span.start < span.end && reference.tasks.contains(&span.task)));
    }
}

/// What a reader of the topics sees happen, by name.
fn happenings(events: &[DemoEvent]) -> HashMap<&'static str, u64> {
    let mut seen: HashMap<&str, u64> = HashMap::new();
    let mut latest: HashMap<Vec<u8>, Option<Note>> = HashMap::new();
    let mut labelled: HashMap<Vec<u8>, Option<Reference>> = HashMap::new();
    for event in events {
        let what = match event {
            DemoEvent::Note { key, value: None } => {
                latest.insert(key.clone(), None);
                "withdrawn"
            }
            DemoEvent::Note { key, value: Some(value) } => match (note_of(value), latest.get(key)) {
                (None, _) => "broken",
                (Some(note), Some(Some(before))) if note == *before => "duplicate",
                (Some(note), Some(Some(before))) if note.revision < before.revision => "stale",
                (Some(note), before) => {
                    let what = match before {
                        Some(Some(_)) => "amended",
                        Some(None) => "reinstated or late",
                        None => "signed",
                    };
                    latest.insert(key.clone(), Some(note));
                    what
                }
            },
            DemoEvent::Reference { key, value } => {
                let reference: Option<Reference> = value.as_ref().map(|value| serde_json::from_slice(value).unwrap());
                let what = match (&reference, labelled.get(key)) {
                    (None, _) => "reference withdrawn",
                    (Some(now), Some(Some(before))) if now.text_hash == before.text_hash => "re-labelled",
                    (Some(now), _) if now.annotator == SECOND_READER => "second reader",
                    (Some(now), _) => match latest.get(now.note_id.as_bytes()) {
                        None => "labelled before its note",
                        Some(_) if now.tasks.len() < 3 => "labelled for one task",
                        Some(_) => "labelled",
                    },
                };
                labelled.insert(key.clone(), reference);
                what
            }
        };
        *seen.entry(what).or_default() += 1;
    }
    seen
}

#[test]
fn everything_happens_and_nothing_too_often() {
    let seen = happenings(&DemoStream::new(SEED, NOTES).collect::<Vec<_>>());
    let check = |what, least, most| {
        let times = seen.get(what).copied().unwrap_or(0);
        assert!((least..=most).contains(&times), "{what}: {times} times in {seen:?}");
    };
    check("signed", NOTES - 5, NOTES);
    check("amended", 60, 180);
    check("withdrawn", 25, 90);
    check("reinstated or late", 5, 40);
    check("duplicate", 15, 80);
    check("stale", 10, 60);
    check("broken", 10, 10);
    check("labelled", 700, 1200);
    check("labelled before its note", 10, 60);
    check("labelled for one task", 70, 200);
    check("re-labelled", 25, 100);
    check("reference withdrawn", 8, 50);
    check("second reader", 120, 320);
    // A demo of a few hundred notes shows all of it too.
    assert_eq!(happenings(&DemoStream::new(SEED, 300).collect::<Vec<_>>()).len(), seen.len());
}

#[test]
fn some_labels_come_late_and_some_never() {
    let events: Vec<_> = DemoStream::new(SEED, NOTES).collect();
    let mut signed = HashMap::new();
    let mut late = 0;
    let mut labelled = HashSet::new();
    for (position, event) in events.iter().enumerate() {
        match event {
            DemoEvent::Note { key, .. } => drop(signed.entry(key.clone()).or_insert(position)),
            DemoEvent::Reference { value: Some(value), .. } => {
                let reference: Reference = serde_json::from_slice(value).unwrap();
                let note = reference.note_id.into_bytes();
                late += usize::from(signed.get(&note).is_some_and(|signed| position > signed + 10));
                labelled.insert(note);
            }
            _ => {}
        }
    }
    assert!(late > 200, "{late}");
    assert!((50..300).contains(&(signed.len() - labelled.len())));
}

#[test]
fn notes_are_varied() {
    let (texts, references) = texts_and_references(&DemoStream::new(SEED, NOTES).collect::<Vec<_>>());
    let mut types: HashMap<_, u64> = HashMap::new();
    let mut sites: HashMap<_, u64> = HashMap::new();
    let (mut long, mut non_ascii) = (0, 0);
    for note in texts.values() {
        *types.entry(note.note_type.clone().unwrap()).or_default() += 1;
        *sites.entry(note.site.clone().unwrap()).or_default() += 1;
        let words = note.text.split_whitespace().count();
        long += u64::from(words >= 512);
        non_ascii += u64::from(!note.text.is_ascii());
        assert!((12..1200).contains(&words), "{words} words in {}", note.note_id);
    }
    let all = texts.len() as u64;
    assert!(types.len() >= 6 && types.values().all(|&count| count > all / 20), "{types:?}");
    assert!(sites.len() >= 4 && sites.values().all(|&count| count > all / 8), "{sites:?}");
    assert!((all / 16..all / 9).contains(&long), "{long} long notes of {all}");
    assert!(non_ascii > all / 2, "{non_ascii} notes with non-ASCII text of {all}");
    let characters: BTreeSet<char> =
        texts.values().flat_map(|note| note.text.chars()).filter(|c| !c.is_ascii()).collect();
    assert!("µ°é–“”üøéñŁ²×≈•₂".chars().all(|c| characters.contains(&c)), "{characters:?}");

    let mut mentions: HashMap<(Task, String), u64> = HashMap::new();
    for reference in references.iter().filter(|reference| reference.annotator == GENERATOR) {
        for span in &reference.spans {
            *mentions.entry((span.task, slice(&texts[&reference.text_hash].text, span).to_lowercase())).or_default() +=
                1;
        }
    }
    for task in Task::ALL {
        let of_task: Vec<u64> = mentions.iter().filter(|((of, _), _)| *of == task).map(|(_, count)| *count).collect();
        let sum: u64 = of_task.iter().sum();
        assert!(of_task.len() >= 80, "{} names of {}", of_task.len(), task.name());
        assert!(of_task.iter().all(|&count| count < sum / 12), "one name makes up most of {}", task.name());
        assert!(sum / texts.len() as u64 >= 3, "{sum} mentions of {}", task.name());
    }
}

#[test]
fn samples_are_without_repetition() {
    let mut rng = SplitMix64::of(3, 0);
    let items: Vec<u32> = (0..50).collect();
    let drawn: HashSet<_> = rng.sample(&items, 20).into_iter().collect();
    assert_eq!(drawn.len(), 20);
    assert_eq!(rng.sample(&items, 80).len(), 50);
}
