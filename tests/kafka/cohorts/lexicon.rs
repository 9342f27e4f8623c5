//! A lexicon that changes, and what notes that were there say by it.

use super::setting::{NOTES, SIGNED, causes, define, events, keep_cohorts, line, make_topics, patients, send};
use crate::running::Running;
use crate::site::{Broker, Read, Site};
use crate::support::stdout;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use stillroom_schemas::{Certainty, Extraction, LeaveCause, Task};

/// The last extraction of each note.
fn extractions(site: &Site) -> BTreeMap<String, Extraction> {
    let mut last = BTreeMap::new();
    for Read { key, payload, .. } in site.kcat("extractions", "read_committed") {
        match payload {
            Some(payload) => drop(last.insert(key.unwrap(), serde_json::from_str::<Extraction>(&payload).unwrap())),
            None => drop(last.remove(&key.unwrap())),
        }
    }
    last
}

/// By what all notes were interpreted, and of each how sure it is of the disease that it mentions.
fn interpreted(site: &Site) -> (String, BTreeMap<String, Certainty>) {
    let (mut by, mut certainties) = (BTreeSet::new(), BTreeMap::new());
    for (note_id, Extraction { interpretation, entities, .. }) in extractions(site) {
        by.extend(interpretation);
        let certainty_of = |task: Task| {
            let mut of_task = entities.iter().filter(|entity| entity.task == task);
            of_task.next().and_then(|entity| entity.assertion.as_ref()).map(|assertion| assertion.certainty)
        };
        assert_eq!(certainty_of(Task::Medication), Some(Certainty::Affirmed), "{note_id}: {entities:?}");
        certainties.insert(note_id, certainty_of(Task::Disease).unwrap());
    }
    let by: Vec<String> = by.into_iter().collect();
    let [by] = <[String; 1]>::try_from(by).unwrap();
    assert!(by.starts_with("assertion@") && by.contains(" concepts@"), "{by}");
    (by, certainties)
}

#[test]
fn another_lexicon_with_retag_corrects_what_notes_say_and_who_is_in() {
    let Some(broker) = Broker::shared() else { return };
    let mut site = Site::new(&broker, 2);
    keep_cohorts(&mut site);
    let notes = [
        ("k1", "kim", NOTES[0].2),
        ("s1", "sam", "No stranger to type 2 diabetes. Takes metformin 500 mg daily."),
        ("w1", "wim", NOTES[0].2),
        ("z1", "zoe", "Zilch of type 2 diabetes. Takes metformin 500 mg daily."),
    ];
    let withdrawn = json!({"note_id": "w1", "withdrawn": true}).to_string();
    let config = site.config(1);
    make_topics(&config);
    define(&config);
    assert_eq!(send(&config, "notes.jsonl", &(notes.map(|note| line(note, 0, SIGNED)).concat() + &withdrawn)), [4, 1]);
    site.finish(1);
    let (before, certainties) = interpreted(&site);
    let of = |certainties: [(&str, Certainty); 3]| {
        BTreeMap::from(certainties.map(|(note_id, certainty)| (note_id.to_owned(), certainty)))
    };
    let (affirmed, negated) = (Certainty::Affirmed, Certainty::Negated);
    assert_eq!(certainties, of([("k1", affirmed), ("s1", negated), ("z1", affirmed)]));
    assert_eq!(patients(&site), ["kim", "zoe"]);

    let lexicon = site.folder.path().join("ward.toml");
    let ours = [("says = 'negated'\ndirection = 'forward'", "zilch of"), ("direction = 'pseudo'", "no stranger to")];
    let trigger = |(is, text): (&str, &str)| format!("[[triggers]]\n{is}\ntexts = ['{text}']\n");
    fs::write(&lexicon, ours.map(trigger).concat()).unwrap();
    site.extra += &format!("[assertion]\nlexicons = [{lexicon:?}]\n");
    let running = Running::start(site.command(&["run", "--retag", "1000"]));
    site.wait(|progress| progress.totals.retagged >= 3);
    stdout(&running.terminate());
    assert_eq!(site.progress().totals.retagged, 3, "a withdrawn note is read again, or one twice");
    let (after, certainties) = interpreted(&site);
    assert_eq!(certainties, of([("k1", affirmed), ("s1", affirmed), ("z1", negated)]));
    assert_ne!(after, before, "the records tell which lexicon");
    let expected = [("kim", vec![vec![]]), ("sam", vec![vec![]]), ("zoe", vec![vec![], vec![LeaveCause::ReadAgain]])];
    assert_eq!(causes(&events(&site)), BTreeMap::from(expected));
}
