//! Cohorts on the log: their definitions, their members, and what notes say of a patient.

use crate::config::Config;
use crate::engine::{Topics, state_of};
use crate::log::open_written_log;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stillroom_concepts::Concepts;
use stillroom_connectors::{Appended, Log};
use stillroom_dataflow::{
    Hierarchy, NAME_BYTES_MAX, NoHierarchy, NoteFactsUpsert, Record, definition_of, membership_of,
};
use stillroom_schemas::{Code, Cohort, Day, Membership, membership_key};

/// Bytes of records that are read at once.
const BATCH_BYTES: usize = 4 << 20;

/// How long a poll waits for the log.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// The one partition of the topics of cohorts.
const PARTITION: u32 = 0;

/// The topics of cohorts, of a log that is there.
pub(crate) struct CohortsLog {
    log: Arc<dyn Log>,
    topics: Topics,
}

/// What is known of a patient.
pub(crate) struct PatientNotes {
    /// What the live notes say, by partition and id.
    pub(crate) notes: Vec<NoteFactsUpsert>,
    /// The day that it is by the dates of all live notes.
    pub(crate) day: Option<Day>,
}

/// Notes by partition and id.
pub(crate) type NoteKey = (u32, String);

impl CohortsLog {
    /// # Errors
    /// When cohorts are not kept, there is no log, or it has no topics of cohorts.
    pub(crate) fn open(config: &Config) -> Result<CohortsLog> {
        ensure!(config.engine.cohorts, "cohorts are not kept; set engine.cohorts = true");
        let (log, topics) = (open_written_log(config)?, config.engine.topics.clone());
        for topic in [&topics.cohorts, &topics.memberships] {
            ensure!(
                log.partitions(topic)?.is_some(),
                "{} has no topic {topic}; make it by `stillroom check --connect --create`, or start `stillroom run` once",
                log.place()
            );
        }
        Ok(CohortsLog { log, topics })
    }

    /// The definitions that hold now, by name.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn definitions(&self) -> Result<BTreeMap<String, Cohort>> {
        let mut definitions = BTreeMap::new();
        self.read(&self.topics.cohorts, |record| {
            match definition_of(&record) {
                Some((name, (_, Some(cohort)))) => drop(definitions.insert(name, cohort)),
                Some((name, (_, None))) => drop(definitions.remove(&name)),
                // Why, its dead letter says.
                None => tracing::warn!("{} offset {} is no cohort", record.topic, record.position.offset),
            }
            Ok(())
        })?;
        Ok(definitions)
    }

    /// Defines cohorts, or defines them anew.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub(crate) fn define(&self, cohorts: &[Cohort]) -> Result<()> {
        let value_of = |cohort: &Cohort| Ok(appended(&cohort.name, Some(serde_json::to_vec(cohort)?)));
        let records: Vec<Appended> = cohorts.iter().map(value_of).collect::<Result<_>>()?;
        Ok(self.log.append(&self.topics.cohorts, &records)?)
    }

    /// Removes a cohort.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        Ok(self.log.append(&self.topics.cohorts, &[appended(name, None)])?)
    }

    /// How many members each cohort has.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn sizes(&self) -> Result<BTreeMap<String, usize>> {
        let mut members: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        self.read(&self.topics.memberships, |record| {
            if let Some(((cohort, patient), _)) = membership_of(&record) {
                let members = members.entry(cohort).or_default();
                let _was_there =
                    if record.value.is_some() { members.insert(patient) } else { members.remove(&patient) };
            }
            Ok(())
        })?;
        Ok(members.into_iter().map(|(cohort, members)| (cohort, members.len())).collect())
    }

    /// How a patient is in a cohort, if so.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) fn membership(&self, cohort: &str, patient: &str) -> Result<Option<Membership>> {
        let (key, mut membership) = (membership_key(cohort, patient), None);
        self.read(&self.topics.memberships, |record| {
            if record.key.as_ref() == Some(&key) {
                membership = membership_of(&record).and_then(|(_, (_, membership))| membership);
            }
            Ok(())
        })?;
        Ok(membership)
    }

    /// What the live notes of a patient say.
    ///
    /// # Errors
    /// When the log cannot be read, or a state is none.
    pub(crate) fn notes_of(&self, patient: &str, today: Day) -> Result<PatientNotes> {
        let (mut notes, mut days) = (BTreeMap::new(), HashMap::new());
        self.read(&self.topics.state, |record| {
            let (partition, state) = (record.position.partition, state_of(&record)?);
            let key: NoteKey = (partition, state.note_id.clone());
            match state.facts.as_ref().and_then(|facts| facts.signed_on) {
                Some(day) => drop(days.insert(key.clone(), day)),
                None => drop(days.remove(&key)),
            }
            let is_of_patient = state.facts.as_ref().is_some_and(|facts| facts.patient_id.as_deref() == Some(patient));
            if is_of_patient {
                let upsert = ((state.note_id, partition), (state.revision, state.offset, state.facts));
                notes.insert(key, upsert);
            } else {
                notes.remove(&key);
            }
            Ok(())
        })?;
        let day = days.into_values().filter(|day| *day <= today).max();
        Ok(PatientNotes { notes: notes.into_values().collect(), day })
    }

    /// Live notes of which it is not remembered what they say, with the offsets of their records.
    ///
    /// # Errors
    /// When the log cannot be read, or a state is none.
    pub(crate) fn lacking(&self) -> Result<HashMap<NoteKey, u64>> {
        let mut lacking = HashMap::new();
        self.read(&self.topics.state, |record| {
            let (partition, state) = (record.position.partition, state_of(&record)?);
            if state.prediction.is_some() && state.facts.is_none() {
                lacking.insert((partition, state.note_id), state.offset);
            } else {
                lacking.remove(&(partition, state.note_id));
            }
            Ok(())
        })?;
        Ok(lacking)
    }

    /// Every record that a topic has now; those of a partition in their order.
    fn read(&self, topic: &str, mut visit: impl FnMut(Record) -> Result<()>) -> Result<()> {
        let mut source = self.log.bounded()?;
        for partition in 0..source.partitions(topic)? {
            source.assign(topic, partition, 0)?;
        }
        while !source.is_finished() {
            source.poll(BATCH_BYTES, POLL_WAIT)?.into_iter().try_for_each(&mut visit)?;
        }
        Ok(())
    }
}

fn appended(name: &str, value: Option<Vec<u8>>) -> Appended {
    Appended { key: Some(name.as_bytes().to_vec()), value, headers: Vec::new(), partition: Some(PARTITION) }
}

/// What is below a concept in the vocabularies of a site.
struct ByConcepts(Arc<Concepts>);

impl Hierarchy for ByConcepts {
    fn descendants(&self, code: &Code) -> Vec<Code> {
        // The first is the concept itself.
        self.0.descendants(code).skip(1).collect()
    }
}

/// What is below a concept; where there are no vocabularies, a concept is itself.
pub(crate) fn hierarchy(concepts: Option<Arc<Concepts>>) -> Arc<dyn Hierarchy> {
    match concepts {
        Some(concepts) => Arc::new(ByConcepts(concepts)),
        None => Arc::new(NoHierarchy),
    }
}

/// The cohort that a file in TOML defines.
///
/// # Errors
/// When it cannot be read, has a key that is not known, cannot be meant, or has a name that is too long. Names the file.
pub(crate) fn cohort_of(path: &Path) -> Result<Cohort> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let cohort: Cohort = toml::from_str(&text).with_context(|| format!("{} defines no cohort", path.display()))?;
    cohort.check().with_context(|| format!("{} defines a cohort that cannot be kept", path.display()))?;
    let bytes = cohort.name.len();
    ensure!(
        bytes <= NAME_BYTES_MAX,
        "{} defines a cohort whose name has {bytes} bytes, more than the {NAME_BYTES_MAX} that names may have; shorten it",
        path.display()
    );
    Ok(cohort)
}
