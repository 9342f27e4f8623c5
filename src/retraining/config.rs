//! The configuration of retraining.

use crate::gate::DOCUMENTS_MIN;
use crate::recipe::RecipeConfig;
use crate::refused::{Refused, dollars, in_range, not_empty};
use crate::training::{DEV_DOCUMENTS_MAX, PATIENCE, training_device};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use stillroom_student::Precision;

/// When students are trained while notes flow, on what, and when they take over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetrainingConfig {
    /// The folder of what is learned from, of students under way, and of what is remembered between runs; one process
    /// has it at a time. It holds text of notes while a run lasts, also of those that are withdrawn meanwhile. Default
    /// `stillroom-retraining`.
    pub(crate) dir: PathBuf,
    /// The BERT to start from, as for `train --base`. Empty: the student that serves. Default empty.
    pub(crate) base: String,
    /// The name of students that are trained. Default `retrained`.
    pub(crate) name: String,
    /// Examples, a note and a task each, that are new since the last run and start one, 0 to a billion; 0 is never.
    /// Default 500.
    pub(crate) labels_min: u64,
    /// By how much F1 in words of the serving student against a reference must have fallen below its best to start a
    /// run, 0 to 1; 0 is never. It starts none without a new example. Default 0.05.
    pub(crate) f1_drop: f64,
    /// The confidence with which it must have fallen, 0.5 to 0.9999: the intervals of both figures must lie apart.
    /// Default 0.95.
    pub(crate) confidence: f64,
    /// How far notes must have drifted since the serving student took over to start a run, as a population stability
    /// index, 0 to 10; 0 is never, and then nothing is measured. By custom 0.1 is a moderate shift and 0.25 a large
    /// one. It starts none without a new example. Default 0.25.
    pub(crate) drift_psi: f64,
    /// Notes that are compared, 50 to 100000: the first that the serving student tagged, and the last; of all notes,
    /// and of each note type and site that has so many. With fewer, chance makes larger shifts, and what it may make is
    /// no drift. Default 500.
    pub(crate) drift_notes: usize,
    /// Hours from one run to the next where there is anything new to learn, 0 to 8760; 0 is never. Default 0.
    pub(crate) every_hours: u64,
    /// Minutes from the end of one run to the next at least, whatever starts it, 0 to 525600. Default 60.
    pub(crate) interval_min_minutes: u64,
    /// Seconds from one look at the log to the next, 1 to 3600. Default 10.
    pub(crate) look_every_seconds: u64,
    /// The share of the patients whose notes are never learned from, above 0 and below 1: candidates are measured on
    /// their references. With a greater one than the serving student was trained with no run starts, as students would be
    /// measured on what that one learned from. Default 0.2.
    pub(crate) held_out: f64,
    /// Notes with references of patients that are held out, for each task of the serving student, without which no
    /// candidate takes over, 20 to a million: fewer tell no two students apart. Default 20.
    pub(crate) held_out_min: u64,
    /// Notes of the stream that a candidate which passed the gate reads along with the serving student before it takes over, 0 to
    /// a million; 0 is none. It does not take over when it is worse on a task by references of 20 of these notes or more. Default 0.
    pub(crate) shadow_notes: u64,
    /// The share of the notes that it reads along, above 0, 1 at most. Default 0.2.
    pub(crate) shadow_share: f64,
    /// Hours that it reads along at most, 1 to 8760, whatever was read by then; it ends with the batch of notes, or the
    /// request to the log, that is under way then. A process that goes on with it after a restart has an hour in any
    /// case, to read again what was read before. Default 24.
    pub(crate) shadow_hours_max: u64,
    /// The share of the other patients by whose notes passes and thresholds are chosen, above 0 and below 1. Default
    /// 0.1.
    pub(crate) dev: f64,
    /// Notes that are learned from at most, and that are measured on at most, 2 to 10 million; those with references go
    /// first, and their texts are in memory together, see `text_bytes_max`. Default 20000.
    pub(crate) notes_max: usize,
    /// What trains: `cpu`, or in a build with the feature `cuda` one GPU, as `cuda:1`. Default `cpu`.
    pub(crate) device: String,
    /// Threads of a processor that a run may have, 0 to 256; 0 is half of the cores. Default 0.
    pub(crate) threads: usize,
    /// The niceness that the training of a run has, 0 to 19: the greater, the more it gives way to whatever else runs
    /// here. What reads the log and measures has that of the process. Above 0 the training is started by the program
    /// `nice`. Default 10.
    pub(crate) nice: u8,
    /// Whether what was learned from stays in the folder when the run is done, text of notes included. Where it is not
    /// to stay, the next start also removes what stayed of earlier runs. Default false.
    pub(crate) keep_snapshots: bool,
    /// Passes without a better F1 on the notes that it is chosen by, after which a run stops, 1 to 1000. Default 3.
    pub(crate) patience: usize,
    /// Notes that are tagged after a pass, 1 to a million; at the end all are. Default 100.
    pub(crate) dev_documents_max: usize,
    /// Seed of shuffling and dropout. Default 0.
    pub(crate) seed: u64,
    /// By how much F1 in words of a student that was promoted must lie below that of the one before, against the same
    /// reference and with `confidence`, for that one to serve again, 0 to 1; 0 is never. Default 0.05.
    pub(crate) rollback_drop: f64,
    /// Notes that each of the two must have been compared with that reference on, 1 to a million. Default 50.
    pub(crate) rollback_notes_min: u64,
    /// Bytes that the texts of all notes of a run may have together, 1 to 1 TiB: they are in memory when they are
    /// written to `dir`. Notes with references go first; what does not fit is left out. Default 268435456, 256 MiB.
    pub(crate) text_bytes_max: u64,
    /// Bytes that the training of a run may have in memory, 0 to 1 PiB; 0 is no bound. It is a bound of the process's
    /// data (`RLIMIT_DATA`), where the system has it, as Linux does: a training that needs more fails and says so,
    /// before the system ends whatever it chooses, such as the extraction that runs beside it. A large base, a large
    /// `recipe.batch` and many notes need more. Default 8589934592, 8 GiB.
    pub(crate) memory_bytes_max: u64,
    /// US dollars an hour of the machine that trains, 0 to 1000: times the seconds of a training it is told what that cost. 0
    /// is not stated. Default 0.
    pub(crate) usd_an_hour: f64,
    /// How it learns.
    pub(crate) recipe: RecipeConfig,
}

impl Default for RetrainingConfig {
    fn default() -> RetrainingConfig {
        RetrainingConfig {
            dir: "stillroom-retraining".into(),
            base: String::new(),
            name: "retrained".to_owned(),
            labels_min: 500,
            f1_drop: 0.05,
            confidence: 0.95,
            drift_psi: 0.25,
            drift_notes: 500,
            every_hours: 0,
            interval_min_minutes: 60,
            look_every_seconds: 10,
            held_out: 0.2,
            held_out_min: DOCUMENTS_MIN as u64,
            shadow_notes: 0,
            shadow_share: 0.2,
            shadow_hours_max: 24,
            dev: 0.1,
            notes_max: 20_000,
            device: "cpu".to_owned(),
            threads: 0,
            nice: 10,
            keep_snapshots: false,
            patience: PATIENCE,
            dev_documents_max: DEV_DOCUMENTS_MAX,
            seed: 0,
            rollback_drop: 0.05,
            rollback_notes_min: 50,
            text_bytes_max: 256 << 20,
            memory_bytes_max: 8 << 30,
            usd_an_hour: 0.0,
            recipe: RecipeConfig::default(),
        }
    }
}

impl RetrainingConfig {
    /// Refuses values outside their ranges.
    ///
    /// # Errors
    /// Names the setting, its value and its range.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        not_empty("retraining.dir", self.dir.as_os_str().is_empty(), "name a folder")?;
        not_empty("retraining.name", self.name.is_empty(), "name the students")?;
        if self.name.contains(['@', '/', '\\']) {
            let reason = format!("is {:?}; choose a name without @, / and \\", self.name);
            return Err(Refused::new("retraining.name", reason));
        }
        let numbers: [(&str, u64, u64, u64); 11] = [
            ("labels_min", self.labels_min, 0, 1_000_000_000),
            ("drift_notes", self.drift_notes as u64, 50, 100_000),
            ("every_hours", self.every_hours, 0, 8760),
            ("interval_min_minutes", self.interval_min_minutes, 0, 525_600),
            ("look_every_seconds", self.look_every_seconds, 1, 3600),
            ("held_out_min", self.held_out_min, DOCUMENTS_MIN as u64, 1_000_000),
            ("notes_max", self.notes_max as u64, 2, 10_000_000),
            ("threads", self.threads as u64, 0, 256),
            ("nice", self.nice.into(), 0, 19),
            ("patience", self.patience as u64, 1, 1000),
            ("dev_documents_max", self.dev_documents_max as u64, 1, 1_000_000),
        ];
        for (field, value, min, max) in numbers {
            in_range(format!("retraining.{field}"), value, min..=max)?;
        }
        in_range("retraining.shadow_notes", self.shadow_notes, 0..=1_000_000)?;
        in_range("retraining.shadow_hours_max", self.shadow_hours_max, 1..=8760)?;
        if !(self.shadow_share > 0.0 && self.shadow_share <= 1.0) {
            let reason = format!("is {}; choose a share above 0, 1 at most", self.shadow_share);
            return Err(Refused::new("retraining.shadow_share", reason));
        }
        in_range("retraining.rollback_notes_min", self.rollback_notes_min, 1..=1_000_000)?;
        in_range("retraining.text_bytes_max", self.text_bytes_max, 1..=1 << 40)?;
        in_range("retraining.memory_bytes_max", self.memory_bytes_max, 0..=1 << 50)?;
        dollars("retraining.usd_an_hour", self.usd_an_hour, 1000.0)?;
        let is_part = |share: f64| share > 0.0 && share < 1.0;
        let shares = [
            ("f1_drop", self.f1_drop, (0.0..=1.0).contains(&self.f1_drop), "from 0 to 1"),
            ("confidence", self.confidence, (0.5..=0.9999).contains(&self.confidence), "from 0.5 to 0.9999"),
            ("held_out", self.held_out, is_part(self.held_out), "above 0 and below 1"),
            ("dev", self.dev, is_part(self.dev), "above 0 and below 1"),
            ("rollback_drop", self.rollback_drop, (0.0..=1.0).contains(&self.rollback_drop), "from 0 to 1"),
        ];
        if let Some((field, value, _, range)) = shares.into_iter().find(|(_, _, is_right, _)| !is_right) {
            return Err(Refused::new(format!("retraining.{field}"), format!("is {value}; choose a share {range}")));
        }
        if !(0.0..=10.0).contains(&self.drift_psi) {
            let reason = format!("is {}; choose a number from 0 to 10", self.drift_psi);
            return Err(Refused::new("retraining.drift_psi", reason));
        }
        if let Err(refused) = training_device(&self.device, Precision::Auto) {
            return Err(Refused::new("retraining.device", format!("is {:?}: {refused}", self.device)));
        }
        self.recipe.check("retraining.recipe")
    }

    /// Threads that a run may have.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => (crate::runtime::threads_or_cores(0) / 2).max(1),
            threads => threads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_round_trip() {
        let config = RetrainingConfig::default();
        config.check().unwrap();
        assert_eq!(toml::from_str::<RetrainingConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn what_cannot_run_is_refused() {
        let check = |text: &str, expected: &str| {
            let refused = toml::from_str::<RetrainingConfig>(text).unwrap().check().unwrap_err();
            assert!(refused.to_string().contains(expected), "{text}: {refused}");
        };
        check("held_out = 0.0", "retraining.held_out is 0; choose a share above 0 and below 1");
        check("confidence = 1.0", "retraining.confidence is 1; choose a share from 0.5 to 0.9999");
        check("drift_psi = -0.1", "retraining.drift_psi is -0.1; choose a number from 0 to 10");
        check("drift_notes = 49", "retraining.drift_notes is 49; choose a value from 50 to 100000");
        check("labels_min = 1000000001", "retraining.labels_min is 1000000001; choose a value from 0 to 1000000000");
        check("held_out_min = 19", "retraining.held_out_min is 19; choose a value from 20 to 1000000");
        check("look_every_seconds = 0", "retraining.look_every_seconds is 0; choose a value from 1 to 3600");
        check("shadow_share = 0.0", "retraining.shadow_share is 0; choose a share above 0, 1 at most");
        check("shadow_hours_max = 0", "retraining.shadow_hours_max is 0; choose a value from 1 to 8760");
        check("rollback_drop = 1.5", "retraining.rollback_drop is 1.5; choose a share from 0 to 1");
        check("rollback_notes_min = 0", "retraining.rollback_notes_min is 0; choose a value from 1 to 1000000");
        check("usd_an_hour = -1.0", "retraining.usd_an_hour is -1; choose a value from 0 to 1000");
        check("text_bytes_max = 0", "retraining.text_bytes_max is 0; choose a value from 1 to 1099511627776");
        check("name = 'a@b'", "retraining.name is \"a@b\"");
        check("dir = ''", "retraining.dir is empty; name a folder");
        check("recipe.batch = 0", "retraining.recipe.batch is 0; choose a value from 1 to 4096");
        check("recipe.rate = -1.0", "retraining.recipe.rate is -1; choose a number above 0");
    }
}
