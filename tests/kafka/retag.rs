//! Live notes that are tagged again after another student has taken over.

use crate::cluster::Cluster;
use crate::running::{DEADLINE, Running};
use crate::site::{Broker, Site};
use crate::students::{models, two_students};
use crate::support::stdout;
use serde_json::json;
use std::collections::BTreeMap;
use stillroom_dataflow::reference_key;
use stillroom_schemas::{Comparison, Extraction, Level, Quality, Reference, Span, Task, TextHash, Totals};

/// Notes, of which more are live than can be tagged again, one a second, while a test waits for anything.
const NOTES: usize = 220;

/// What becomes of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    /// It stays, and a person has annotated it.
    Annotated,
    Amended,
    Withdrawn,
    /// While notes are tagged again.
    AmendedLate,
    WithdrawnLate,
}

/// As many of each as of the others, but for those that stay.
fn fate(number: usize) -> Fate {
    let fates = [Fate::Annotated, Fate::Amended, Fate::Withdrawn, Fate::AmendedLate, Fate::WithdrawnLate];
    fates.get(number % 11).copied().unwrap_or(Fate::Stays)
}

fn notes_of(of: Fate) -> impl Iterator<Item = usize> {
    (0..NOTES).filter(move |number| fate(*number) == of)
}

fn id(number: usize) -> String {
    format!("n{number}")
}

fn text(number: usize, revision: u64) -> String {
    format!("Note {number}, revision {revision}: fever and chills.")
}

fn note(number: usize, revision: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    let note = json!({ "note_id": id(number), "revision": revision, "text": text(number, revision) });
    (id(number).into_bytes(), Some(note.to_string().into_bytes()))
}

fn withdrawal(number: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    (id(number).into_bytes(), None)
}

/// What people say of it: its fever is a symptom.
fn reference(number: usize) -> (Vec<u8>, Option<Vec<u8>>) {
    let text = text(number, 0);
    let start = text.find("fever").unwrap() as u32;
    let reference = Reference {
        note_id: id(number),
        annotator: "people".to_owned(),
        text_hash: TextHash::of(&text),
        tasks: [Task::Symptom].into(),
        spans: vec![Span { task: Task::Symptom, start, end: start + 5 }],
    };
    (reference_key(&id(number), "people"), Some(serde_json::to_vec(&reference).unwrap()))
}

/// What was said of a note: the revision and the student, or that it is withdrawn.
type Said = Option<(u64, String)>;

fn by(revision: u64, model: &str) -> Said {
    Some((revision, model.to_owned()))
}

/// What a client that is not ours reads of each note, in its order.
fn histories(site: &Site) -> BTreeMap<String, Vec<Said>> {
    let mut histories: BTreeMap<String, Vec<Said>> = BTreeMap::new();
    for record in site.kcat("extractions", "read_committed") {
        let said = record.payload.map(|payload| {
            let extraction: Extraction = serde_json::from_str(&payload).unwrap();
            assert_eq!(Some(&extraction.note_id), record.key.as_ref());
            let number = extraction.note_id[1..].parse().unwrap();
            assert_eq!(extraction.text_hash, TextHash::of(&text(number, extraction.revision)));
            (extraction.revision, extraction.model.0)
        });
        histories.entry(record.key.unwrap()).or_default().push(said);
    }
    histories
}

/// What is to be said of a note in all. Of one that changes late it depends on the time whether the second student comes to its first
/// revision before.
fn expected(of: Fate, [first, second]: [&str; 2], is_again_before: bool) -> Vec<Said> {
    let before = if is_again_before { vec![by(0, first), by(0, second)] } else { vec![by(0, first)] };
    match of {
        Fate::Stays | Fate::Annotated => vec![by(0, first), by(0, second)],
        Fate::Amended => vec![by(0, first), by(1, first), by(1, second)],
        Fate::Withdrawn => vec![by(0, first), None],
        Fate::AmendedLate => [before, vec![by(1, second)]].concat(),
        Fate::WithdrawnLate => [before, vec![None]].concat(),
    }
}

/// Tags again, a note a second, and is killed when it has begun; how many notes it has come to.
fn killed_in_the_middle(site: &Site) -> usize {
    let live = NOTES - notes_of(Fate::Withdrawn).count();
    assert!(live as u64 > DEADLINE.as_secs(), "it might be done before the kill: let there be more notes");
    let running = Running::start(site.command(&["run", "--retag", "1"]));
    site.wait(|progress| progress.totals.retagged >= 3);
    running.kill();
    let retagged = site.progress().totals.retagged as usize;
    assert!((3..live).contains(&retagged), "{retagged} of {live} live notes were tagged again before the kill");
    retagged
}

/// Checks what became of every note, by the records and by the totals, which began as those of `extracted`.
fn check_notes(site: &Site, extracted: Totals, [first, second]: [&str; 2]) {
    let (histories, mut retagged) = (histories(site), 0);
    assert_eq!(histories.len(), NOTES);
    for number in 0..NOTES {
        let (of, found) = (fate(number), &histories[&id(number)]);
        let again = found.iter().filter(|said| **said == by(0, second)).count();
        assert_eq!(*found, expected(of, [first, second], again > 0), "note {number}, which is {of:?}");
        retagged += if of == Fate::Amended { 1 } else { again as u64 };
    }
    let [amended, withdrawn] = [Fate::AmendedLate, Fate::WithdrawnLate].map(|of| notes_of(of).count() as u64);
    let expected = Totals {
        notes: extracted.notes + amended + withdrawn,
        extracted: extracted.extracted + amended,
        withdrawn: extracted.withdrawn + withdrawn,
        retagged,
        ..extracted
    };
    assert_eq!(site.progress().totals, expected);
}

/// Checks that figures are those of the second student alone, over all notes that people annotated.
fn check_figures(site: &Site, second: &str) {
    let figures = site.committed().quality.into_values();
    let figures: Vec<Quality> = figures.map(|figure| serde_json::from_str(&figure).unwrap()).collect();
    assert!(figures.iter().all(|figure| figure.key.model.0 == second), "{figures:?}");
    let in_words = |figure: &&Quality| {
        (figure.key.level, figure.key.comparison, figure.key.rollup)
            == (Level::Word, Comparison::StudentReference, true)
    };
    let found =
        figures.iter().filter(in_words).map(|figure| (figure.counts.notes, figure.counts.tp + figure.counts.fn_));
    let annotated = notes_of(Fate::Annotated).count() as i64;
    assert_eq!(found.collect::<Vec<_>>(), [(annotated, annotated)], "each has one word that is a symptom");
}

/// Every live note is tagged by the new student exactly once, though a process is killed, and notes are amended and withdrawn meanwhile.
#[test]
fn notes_that_were_there_are_tagged_again_by_a_process_that_is_killed_and_then_by_two() {
    let Some(broker) = Broker::shared() else { return };
    let mut cluster = Cluster::new(&broker);
    let [first, second] = two_students(&mut cluster.site);
    let site = &cluster.site;
    site.append("notes", (0..NOTES).map(|number| note(number, 0)));
    site.append("references", notes_of(Fate::Annotated).map(reference));
    site.append("notes", notes_of(Fate::Amended).map(|number| note(number, 1)));
    site.append("notes", notes_of(Fate::Withdrawn).map(withdrawal));
    let extracted = site.finish(2).totals;
    let [amended, withdrawn] = [Fate::Amended, Fate::Withdrawn].map(|of| notes_of(of).count());
    assert_eq!(extracted.extracted as usize, NOTES + amended);
    assert_eq!((extracted.withdrawn as usize, extracted.retagged), (withdrawn, 0));

    models(site, &["promote", "second", "--force"]);
    let before = killed_in_the_middle(site);

    site.append("notes", notes_of(Fate::AmendedLate).map(|number| note(number, 1)));
    site.append("notes", notes_of(Fate::WithdrawnLate).map(withdrawal));
    let [one, other] = [0, 1].map(|process| {
        let mut command = cluster.command(process, 1);
        command.args(["--retag", "1000"]);
        Running::start(command)
    });
    site.wait_for_end();
    let is_by_second = |said: &Said| said.as_ref().is_none_or(|(_, model)| *model == second);
    site.wait(|_| histories(site).values().all(|history| history.last().is_some_and(is_by_second)));
    // What they had under way is committed before they end.
    stdout(&other.terminate());
    stdout(&one.wait());
    assert!(site.progress().totals.retagged as usize > before, "the two had nothing to do");
    check_notes(site, extracted, [&first, &second]);
    check_figures(site, &second);
}
