//! Live notes whose records are gone from a topic that is compacted.

use super::*;

fn append_revision(log: &MemoryLog, (id, revision): (&str, u64), text: &str) {
    let value = serde_json::json!({ "note_id": id, "revision": revision, "text": text }).to_string();
    log.append(&Topics::default().notes, 0, id.as_bytes(), Some(value.into_bytes()));
}

#[test]
fn a_note_whose_record_is_gone_behind_a_copy_is_tagged_again_as_if_it_were_there() {
    let (whole, topics) = (empty_log(), Topics::default());
    append_revision(&whole, ("copied", 1), "xxx xx");
    append_revision(&whole, ("alone", 1), "x");
    append_revision(&whole, ("lost", 2), "xxxx");
    append_revision(&whole, ("copied", 1), "xxx xx");
    // What came late takes the place of the revision that counts.
    append_revision(&whole, ("lost", 1), "xx");
    Run::new(&whole, 1, 0).run(Fault::None).unwrap();
    whole.append(&topics.models, 0, NEW.as_bytes(), Some(activation(NEW)));
    let compacted = whole.copy();
    compacted.compact(&topics.notes);

    let seen = whole.clone();
    run_until(&whole, (1, 0, FIRST), Fault::None, move |progress| all_is_new(&seen, progress)).unwrap();
    let progress = run_until(&compacted, (1, 0, FIRST), Fault::None, |progress| progress.totals.retagged == 2).unwrap();
    let expected = Totals { notes: 5, extracted: 3, superseded: 2, retagged: 2, ..Totals::default() };
    assert_eq!(progress.totals, expected);
    let last = |log: &MemoryLog, topic: &str, id: &str| last_values(log, topic)[&(0, id.as_bytes().to_vec())].clone();
    for topic in [&topics.extractions, &topics.state] {
        for id in ["copied", "alone"] {
            assert_eq!(last(&compacted, topic, id), last(&whole, topic, id), "{id}");
        }
    }
    let lost: NoteState = serde_json::from_slice(&last(&compacted, &topics.state, "lost").unwrap()).unwrap();
    assert_eq!((lost.revision, lost.prediction.unwrap().model.0.as_str()), (2, MODEL), "its text is nowhere any more");
}
