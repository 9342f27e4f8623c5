//! Cohorts through kills and restarts.

use super::*;
use crate::engine::{OpenSource, RetagSources};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use stillroom_schemas::{CohortEvent, Day, LeaveCause, Membership, MembershipChange};

const PARTITIONS: u32 = 3;

/// Texts that differ in what is tagged in them: a word of three letters is a disease, of one a medication, of two a symptom.
const TEXTS: [&str; 5] = ["xxx", "x xxx", "x xx xxx xx", "xx xx", "xxxx xxx"];

/// Definitions as they are written: one changes, one goes.
const DEFINITIONS: [(&str, Option<&str>); 6] = [
    ("now", Some(r#""all":[{"task":"disease","days":3,"assertion":{"any":true}}]"#)),
    ("twice", Some(r#""all":[{"words":["XXX"],"count":2,"assertion":{"any":true}}]"#)),
    ("gone", Some(r#""any":[{"task":"symptom","assertion":{"any":true}}]"#)),
    ("without", Some(r#""all":[{"task":"symptom","assertion":{"any":true}}]"#)),
    (
        "without",
        Some(
            r#""any":[{"task":"disease","assertion":{"any":true}},{"words":["x"],"assertion":{"any":true}}],
            "none":[{"task":"symptom","note_types":["letter"],"assertion":{"any":true}}]"#,
        ),
    ),
    ("gone", None),
];

fn log_of(seed: u64) -> MemoryLog {
    let topics = Topics::default();
    let read = [&topics.notes, &topics.references, &topics.labels, &topics.models, &topics.cohorts];
    let written = [&topics.extractions, &topics.quality, &topics.state, &topics.dead_letters];
    let of_cohorts = [&topics.cohort_events, &topics.memberships];
    let log = MemoryLog::new(read.into_iter().chain(written).chain(of_cohorts), PARTITIONS as usize);
    for (name, lists) in DEFINITIONS {
        let value = lists.map(|lists| format!(r#"{{"name":"{name}",{lists}}}"#).into_bytes());
        log.append(&topics.cohorts, 0, name.as_bytes(), value);
    }
    log.append(&topics.cohorts, 0, b"wrong", Some(br#"{"name":"wrong","none":[{"task":"disease"}]}"#.to_vec()));
    let mut random = SmallRng::seed_from_u64(seed);
    for step in 0..300u32 {
        let id = random.random_range(0..24u32);
        let (note_id, partition) = (format!("n{id}"), id % PARTITIONS);
        let note = serde_json::json!({
            "note_id": note_id,
            "patient_id": random.random_bool(0.9).then(|| format!("p{}", id % 7)),
            "revision": step,
            "note_type": if random.random_bool(0.5) { "letter" } else { "report" },
            "signed_at": random.random_bool(0.9).then(|| format!("{}T08:00:00Z", Day::from_number(20_000 + step / 10))),
            "text": TEXTS.choose(&mut random).unwrap(),
        });
        let value = random.random_bool(0.85).then(|| note.to_string().into_bytes());
        log.append(&topics.notes, partition, note_id.as_bytes(), value);
    }
    log
}

fn run_with_cohorts(log: &MemoryLog, workers: usize, seed: u64, fault: Fault) -> Result<Progress> {
    let run = Run { ahead_max: 6, ..Run::new(log, workers, seed) };
    let config = EngineConfig { cohorts: true, ..run.config.clone() };
    Run { config, ..run }.run(fault)
}

/// Members in the end, whenever they came in: that depends on how partitions interleave.
fn members(log: &MemoryLog) -> BTreeMap<Vec<u8>, Membership> {
    let mut members = BTreeMap::new();
    for record in log.records(&Topics::default().memberships).concat() {
        let key = record.key.unwrap();
        match record.value.map(|value| serde_json::from_slice::<Membership>(&value).unwrap()) {
            Some(membership) => drop(members.insert(key, Membership { since: None, ..membership })),
            None => assert!(members.remove(&key).is_some(), "who was not in it left"),
        }
    }
    members
}

/// The events, each after one of the other kind for its patient and cohort; who is in by them in the end.
fn events(log: &MemoryLog) -> (Vec<CohortEvent>, BTreeSet<Vec<u8>>) {
    let (mut events, mut inside) = (Vec::new(), BTreeSet::new());
    for record in log.records(&Topics::default().cohort_events).concat() {
        let event: CohortEvent = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let key = record.key.unwrap();
        let is_news = match event.change {
            MembershipChange::Enter => inside.insert(key),
            MembershipChange::Leave => inside.remove(&key),
        };
        assert!(is_news, "said twice: {event:?}");
        events.push(event);
    }
    (events, inside)
}

#[test]
fn kills_and_workers_change_no_member() {
    let mut seen: BTreeMap<Option<LeaveCause>, usize> = BTreeMap::new();
    for seed in 0..4 {
        let begin = log_of(seed);
        let whole = begin.copy();
        run_with_cohorts(&whole, 1, seed, Fault::None).unwrap();
        let (log, mut kills, mut attempt) = (begin.copy(), 0, 0);
        loop {
            let workers = 1 + (seed + attempt) as usize % 3;
            let result = run_with_cohorts(&log, workers, seed + attempt, Fault::FailsAt(1 + (seed + 3 * attempt) % 4));
            attempt += 1;
            if !is_killed(&result).unwrap() {
                break;
            }
            kills += 1;
        }
        assert!(kills >= 3, "seed {seed}: {kills} kills prove little");
        assert_eq!(members(&log), members(&whole), "seed {seed}, {kills} kills");
        for log in [&whole, &log] {
            let (told, inside) = events(log);
            assert_eq!(inside, members(log).into_keys().collect(), "seed {seed}");
            for event in told {
                assert!(!event.why.contains(&LeaveCause::Reconfigured), "a restart changed something: {event:?}");
                let causes = event.why.into_iter().map(Some);
                causes.chain([None]).for_each(|cause| *seen.entry(cause).or_default() += 1);
            }
            let letters = log.records(&Topics::default().dead_letters).concat();
            let (topic, .., error, _) = letter(letters.last().unwrap());
            assert_eq!(topic, "clinical.cohorts.v1");
            assert!(error.contains("none alone"), "{error}");
        }
        assert!(members(&whole).len() > 3, "seed {seed}: too poor");
    }
    let wanted = [None, Some(LeaveCause::Aged), Some(LeaveCause::Amended), Some(LeaveCause::Withdrawn)];
    assert!(wanted.iter().all(|cause| seen.get(cause).is_some_and(|times| *times > 5)), "too poor: {seen:?}");
}

/// Whether the last state of every live note says what the note says of its patient.
fn all_have_facts(log: &MemoryLog) -> bool {
    let records = log.records(&Topics::default().state).concat();
    let states = records.into_iter().map(|record| (record.key, record.value));
    let last: BTreeMap<_, _> = states.collect();
    last.into_values().all(|value| {
        let state: NoteState = serde_json::from_slice(value.as_deref().unwrap()).unwrap();
        state.prediction.is_none() || state.facts.is_some()
    })
}

/// Stops the run once all is there.
struct UntilAll(MemoryLog, Arc<AtomicBool>);

impl Observer for UntilAll {
    fn committed(&mut self, _committed: &Committed<'_>) -> Result<()> {
        if all_have_facts(&self.0) {
            self.1.store(true, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[test]
fn what_was_extracted_before_cohorts_were_kept_counts_once_it_is_read_again() {
    let log = log_of(9);
    let whole = log.copy();
    run_with_cohorts(&whole, 2, 1, Fault::None).unwrap();
    assert!(members(&whole).len() > 3 && all_have_facts(&whole), "too poor");
    Run::new(&log, 2, 2).run(Fault::None).unwrap();
    run_with_cohorts(&log, 1, 3, Fault::None).unwrap();
    assert!(!all_have_facts(&log), "nothing is remembered where no cohorts are kept");
    assert_eq!(members(&log), BTreeMap::new());

    let stop = Arc::new(AtomicBool::new(false));
    let open = |is_bounded| -> OpenSource {
        let log = log.clone();
        Box::new(move || Ok(log.source(5, is_bounded, usize::MAX)))
    };
    let observer = UntilAll(log.clone(), Arc::clone(&stop));
    let parts = Parts {
        sources: vec![log.source(5, false, 4)],
        history: log.source(5, true, usize::MAX),
        role: Role::Commits { committer: log.committer(Fault::None), observer: Box::new(observer) },
        wire: Arc::new(PlainJson),
        tokenize: Arc::new(tokenize),
        students: students::any_of(TaggerPool::start(vec![by_length()], 2).unwrap()),
        interpret: None,
        cluster: None,
        ask: None,
        panel: TeacherPanel::default(),
        retag: Some(RetagSources { bounded: open(true), tail: open(false) }),
        cohorts: CohortParts::default(),
    };
    let again = EngineConfig { cohorts: true, retag_notes_per_second: 100_000, ..config(1, 3) };
    run(&again, parts, stop).unwrap();
    assert_eq!(members(&log), members(&whole));
}

#[test]
fn a_damaged_membership_is_not_built_upon() {
    let log = log_of(2);
    run_with_cohorts(&log, 1, 1, Fault::None).unwrap();
    log.tamper(&Topics::default().memberships, |value| value.truncate(5));
    let error = run_with_cohorts(&log, 1, 1, Fault::None).unwrap_err();
    assert!(format!("{error:#}").contains("clinical.memberships.v1/0 holds at offset"), "{error:#}");
}
