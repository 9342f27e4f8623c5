//! What cohorts cost: an update, by how many cohorts there are, and the memory of a patient.
//!
//!     cargo run --release -p stillroom-dataflow --example cohorts [PATIENTS [COHORTS …]]
//!
//! Each patient has five notes of eight mentions; codes are drawn from two thousand, the common ones more often, as those of diagnoses
//! are. A cohort asks for two codes, one of them within a year for every second cohort, and rules out a third. Then notes come one by
//! one, each an epoch of its own: new ones, amended ones and withdrawn ones. Every number of cohorts has a process of its own, so
//! that memory is that of one. An update is timed from its note's arrival until everything that it changes is known.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stillroom_dataflow::{CohortChange, Cohorts, CohortsConfig, NoHierarchy, NoteFactsUpsert, worker_config};
use stillroom_schemas::{Axes, Code, Cohort, Criterion, Day, Mention, NoteFacts, Task, WordsHash};
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::{Input, Inspect, Probe};

const NOTES_PER_PATIENT: u64 = 5;
const MENTIONS_PER_NOTE: usize = 8;
const CODES: usize = 2000;
const PATIENTS_PER_EPOCH: u64 = 1000;
const UPDATES: usize = 3000;
const FIRST_DAY: u32 = 19_000;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|number| number.parse::<u64>().ok());
    let patients = numbers.next().unwrap_or(100_000);
    let mut cohorts: Vec<u64> = numbers.collect();
    if std::env::var_os("COHORTS_ONE").is_some() {
        return measure(patients, cohorts[0] as usize);
    }
    if cohorts.is_empty() {
        cohorts = vec![1, 100, 1000];
    }
    println!("{patients} patients, {} notes of {MENTIONS_PER_NOTE} mentions", patients * NOTES_PER_PATIENT);
    println!(
        "{:>8} {:>8} {:>9} {:>10} {:>10} {:>10} {:>16}",
        "cohorts", "load s", "members", "p50 us", "p99 us", "changes", "bytes a patient"
    );
    let program = std::env::current_exe().expect("this program has a path");
    for count in cohorts {
        let mut one = Command::new(&program);
        one.args([patients.to_string(), count.to_string()]).env("COHORTS_ONE", "1");
        let status = one.status().expect("this program runs");
        assert!(status.success(), "{count} cohorts: {status}");
    }
}

fn code_of(number: usize) -> Code {
    Code { vocabulary: "codes".to_owned(), code: number.to_string() }
}

/// A common code more often than a rare one: the share of the first hundredth is a tenth.
fn any_code(random: &mut SmallRng) -> usize {
    let share: f64 = random.random();
    ((CODES as f64 * share * share) as usize).min(CODES - 1)
}

fn any_cohort(random: &mut SmallRng, number: usize) -> Cohort {
    let criterion = |code, days| Criterion { concepts: vec![code_of(code)], days, ..Criterion::default() };
    let days = number.is_multiple_of(2).then_some(365);
    let (first, second, none) = (any_code(random), any_code(random), any_code(random));
    Cohort {
        name: format!("cohort-{number}"),
        title: None,
        all: vec![criterion(first, None), criterion(second, days)],
        any: Vec::new(),
        none: vec![criterion(none, None)],
    }
}

fn any_note(random: &mut SmallRng, (patient, note): (u64, u64), (revision, day): (u64, u32)) -> NoteFactsUpsert {
    let mention = |(place, code): (u32, usize)| Mention {
        task: Task::Disease,
        start: 20 * place,
        end: 20 * place + 9,
        words: WordsHash::of(&format!("words of {code}")),
        code: Some(code_of(code)),
        assertion: Some(Axes::default()),
        section: None,
    };
    let codes: Vec<usize> = (0..MENTIONS_PER_NOTE).map(|_| any_code(random)).collect();
    let facts = NoteFacts {
        patient_id: Some(format!("patient-{patient}")),
        note_type: Some("progress_note".to_owned()),
        signed_on: Some(Day::from_number(day)),
        mentions: (0..).zip(codes).map(mention).collect(),
    };
    ((format!("note-{patient}-{note}"), 0), (revision, revision, Some(facts)))
}

/// A note of any patient, new or amended; every tenth one is withdrawn.
fn any_update(random: &mut SmallRng, patients: u64, update: usize) -> NoteFactsUpsert {
    let (patient, revision) = (random.random_range(0..patients), update as u64 + 1);
    // A day passes with every hundred updates.
    let day = FIRST_DAY + 1000 + update as u32 / 100;
    let note = random.random_range(0..2 * NOTES_PER_PATIENT);
    let (key, mut upsert) = any_note(random, (patient, note), (revision, day));
    if update.is_multiple_of(10) {
        upsert.2 = None;
    }
    (key, upsert)
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident: u64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    resident * 4096
}

/// Loads all patients, then sends updates one by one; prints a row.
fn measure(patients: u64, cohorts: usize) {
    let (of_members, of_changes) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicUsize::new(0)));
    let config = timely::Config { communication: timely::CommunicationConfig::Thread, worker: worker_config() };
    let guards = timely::execute(config, move |worker| {
        let (before, began) = (resident(), Instant::now());
        let (members, changes) = (of_members.clone(), of_changes.clone());
        let (mut notes, mut definitions, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (notes, facts) = scope.new_input();
            let (definitions, defined) = scope.new_input();
            let (hierarchy, today) = (Arc::new(NoHierarchy), Arc::new(|_: u64| Day::LAST));
            let config = CohortsConfig { hierarchy, today, live: 0, tally: Arc::default() };
            let told = facts.cohorts(defined, empty(scope), config).inspect(move |change: &CohortChange| {
                changes.fetch_add(1, Ordering::Relaxed);
                if change.event.is_some() {
                    members.fetch_add(if change.membership.is_some() { 1 } else { -1 }, Ordering::Relaxed);
                }
            });
            (notes, definitions, told.probe().0)
        });
        let (mut random, mut epoch) = (SmallRng::seed_from_u64(1), 1);
        notes.advance_to(epoch);
        definitions.advance_to(epoch);
        for number in 0..cohorts {
            let cohort = any_cohort(&mut random, number);
            definitions.send((cohort.name.clone(), (number as u64, Some(cohort))));
        }
        for patient in 0..patients {
            for note in 0..NOTES_PER_PATIENT {
                let day = FIRST_DAY + random.random_range(0..1000);
                notes.send(any_note(&mut random, (patient, note), (0, day)));
            }
            if (patient + 1).is_multiple_of(PATIENTS_PER_EPOCH) || patient + 1 == patients {
                epoch += 1;
                notes.advance_to(epoch);
                definitions.advance_to(epoch);
                worker.step_while(|| probe.less_than(&epoch));
            }
        }
        let loaded = began.elapsed();
        of_changes.store(0, Ordering::Relaxed);
        let mut times: Vec<Duration> = Vec::with_capacity(UPDATES);
        for update in 0..UPDATES {
            let upsert = any_update(&mut random, patients, update);
            let began = Instant::now();
            notes.send(upsert);
            epoch += 1;
            notes.advance_to(epoch);
            definitions.advance_to(epoch);
            worker.step_while(|| probe.less_than(&epoch));
            times.push(began.elapsed());
        }
        times.sort();
        let of = |share: usize| times[times.len() * share / 100].as_micros();
        let bytes = resident().saturating_sub(before) / patients;
        let (members, changes) = (of_members.load(Ordering::Relaxed), of_changes.load(Ordering::Relaxed));
        println!(
            "{cohorts:>8} {:>8.1} {members:>9} {:>10} {:>10} {changes:>10} {bytes:>16}",
            loaded.as_secs_f64(),
            of(50),
            of(99)
        );
    });
    guards.expect("a worker starts").join().into_iter().for_each(|ended| ended.expect("the worker ends"));
}
