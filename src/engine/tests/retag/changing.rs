//! Students that take over from one another while notes are tagged again.

use super::*;
use anyhow::ensure;
use std::collections::BTreeSet;

/// Students that take over before [`NEW`].
const CHANGES: usize = 12;

/// Activates the next student as soon as the one before has tagged a note again, and takes note of who tags what again.
struct Changing {
    adding: Adding,
    log: MemoryLog,
    next: usize,
    /// Partitions, offsets and students.
    again: BTreeSet<(u32, u64, String)>,
    stop: Arc<AtomicBool>,
}

impl Observer for Changing {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        self.adding.committed(committed)?;
        for output in committed.outputs {
            let Output::Extracted { position, extraction, is_again: true, .. } = output else { continue };
            let (partition, offset, student) = (position.partition, position.offset, extraction.model.0.clone());
            let is_new = self.again.insert((partition, offset, student));
            ensure!(is_new, "{} has tagged {partition}/{offset} again twice", extraction.model.0);
        }
        if committed.totals.retagged > 0 && self.next <= CHANGES {
            self.next += 1;
            activate(&self.log, self.next);
        }
        let is_over = self.next > CHANGES && all_is_new(&self.log, committed.progress);
        if is_over {
            self.stop.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Lets the student of this number take over; the last one is [`NEW`].
fn activate(log: &MemoryLog, number: usize) {
    let name = if number > CHANGES { NEW.to_owned() } else { format!("shifted@{number}") };
    log.append(&Topics::default().models, 0, name.as_bytes(), Some(activation(&name)));
}

#[test]
fn no_student_tags_a_note_again_twice_however_students_change() {
    for seed in 0..6 {
        let (topics, partitions) = (Topics::default(), 3);
        let names = [&topics.extractions, &topics.quality, &topics.state, &topics.dead_letters];
        let log = MemoryLog::new(topics.inputs().into_iter().chain(names), partitions);
        for note in 0..60 {
            let id = format!("n{note}");
            let value = serde_json::json!({ "note_id": id, "text": "xxx xx x" }).to_string();
            log.append(&topics.notes, note % partitions as u32, id.as_bytes(), Some(value.into_bytes()));
        }
        Run::new(&log, 2, seed).run(Fault::None).unwrap();
        activate(&log, 1);
        let stop = Arc::new(AtomicBool::new(false));
        let (adding, again, of_observer) = (Adding::default(), BTreeSet::new(), Arc::clone(&stop));
        let observer = Changing { adding, log: log.clone(), next: 1, again, stop: of_observer };
        // A slow log, so that batches are held back while students change.
        let slow = Fault::Slow(Duration::from_millis(4));
        let shape = (1 + seed as usize % 3, seed, FIRST);
        let progress = run_observed(&log, shape, slow, (Box::new(observer), stop)).unwrap();
        let expected = Totals { notes: 60, extracted: 60, retagged: progress.totals.retagged, ..Totals::default() };
        assert_eq!(progress.totals, expected, "seed {seed}");
        assert!(progress.totals.retagged >= 60 + CHANGES as u64, "seed {seed}: {}", progress.totals.retagged);
    }
}
