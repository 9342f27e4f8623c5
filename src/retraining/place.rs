//! The folder of retraining: what is remembered between runs, and a folder for each run.
//!
//! ```text
//! lock                        held by the one process that retrains here; says whether it follows the log
//! request.json, answer.json   a run that is asked for, until it begins, and what became of the last one
//! state.json                  the run under way, and when and how earlier ones ended
//! learned.json                what the last run with a verdict learned from
//! live.json                   what live figures were
//! <first 12 digits of the snapshot's hash>/
//!   train.jsonl, dev.jsonl, heldout.jsonl, learned.json; then snapshot.json, which makes them whole
//!   train.lock                held by the training
//!   student/                  the candidate
//!   stage/                    the copy of it that is measured
//!   shadow.json               where it began to read along, and what came of it
//! ```
//!
//! Files are replaced as a whole, so a kill leaves the old ones or the new ones. Folders are for their owner alone.

use crate::retraining::request::{Request, Taken};
use crate::retraining::run_folder::{RunFolder, entries, make_folder, read, write};
use crate::retraining::triggers::{Cause, History};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use stillroom_schemas::{ModelId, Task};

/// Digits of a snapshot's hash that name its folder.
const DIGITS: usize = 12;

/// Attempts at a run, after which it is given up: what kills it might kill it each time.
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// What the lock says when who holds it follows the log.
const FOLLOWING: &[u8] = b"following";

/// What is remembered between runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// The run that is under way, or was when the process ended.
    pub(crate) under_way: Option<UnderWay>,
    /// Those before.
    pub(crate) history: History,
}

/// A run that goes on after a kill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnderWay {
    /// Of what is learned from, in hexadecimal.
    pub(crate) snapshot: String,
    /// Why.
    pub(crate) cause: Cause,
    /// Who served when it began.
    pub(crate) serving: ModelId,
    /// The folder of the base.
    pub(crate) base: PathBuf,
    /// The heads that are trained.
    pub(crate) tasks: Vec<Task>,
    /// How often it was begun or gone on with, without those that were ended by a stop, or as the log was away.
    pub(crate) attempts: u32,
    /// Whether its candidate could not be measured or promoted, which is tried again after the interval between runs.
    pub(crate) has_failed: bool,
}

/// The folder of retraining, which no other process has at the same time.
pub(crate) struct Place {
    folder: PathBuf,
    /// What is remembered.
    pub(crate) state: State,
    /// A run that is asked for.
    pub(crate) request: Request,
    /// Locked until it is closed.
    lock: File,
}

impl Place {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// When another process has it, by [`Taken`], or it cannot be read or written.
    pub(crate) fn open(folder: &Path) -> Result<Place> {
        make_folder(folder)?;
        let path = folder.join("lock");
        // It is never replaced, as the lock belongs to the file and not to its name.
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.with_context(|| format!("cannot write {}", path.display()))?;
        match lock.try_lock() {
            // What an earlier process said of itself.
            Ok(()) => lock.set_len(0).with_context(|| format!("cannot write {}", path.display()))?,
            Err(TryLockError::WouldBlock) => {
                let is_following = fs::read(&path).is_ok_and(|said| said == FOLLOWING);
                return Err(Taken { folder: folder.to_owned(), is_following }.into());
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let state = read(&folder.join("state.json"))?.unwrap_or_default();
        // The training runs in a folder of its own.
        let folder = std::path::absolute(folder).with_context(|| format!("cannot find {}", folder.display()))?;
        Ok(Place { request: Request::of(&folder), folder, state, lock })
    }

    /// Says to others that this process follows the log, and takes up requests.
    ///
    /// # Errors
    /// When it cannot be said.
    pub(crate) fn follow(&self) -> Result<()> {
        (&self.lock).write_all(FOLLOWING).with_context(|| format!("cannot write to {}", self.folder.display()))
    }

    /// What the last run learned from, by its fingerprints.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn learned(&self) -> Result<BTreeSet<u64>> {
        Ok(read(&self.folder.join("learned.json"))?.unwrap_or_default())
    }

    /// The folder of a snapshot.
    pub(crate) fn run_folder(&self, snapshot: &str) -> RunFolder {
        RunFolder(self.folder.join(&snapshot[..snapshot.len().min(DIGITS)]))
    }

    /// Counts another attempt at the run under way; nothing when there is none, or there were [`ATTEMPTS_MAX`].
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn attempt(&mut self) -> Result<Option<UnderWay>> {
        let under_way = self.state.under_way.as_mut().filter(|under_way| under_way.attempts < ATTEMPTS_MAX);
        let Some(under_way) = under_way else { return Ok(None) };
        under_way.attempts += 1;
        let attempted = under_way.clone();
        self.save()?;
        Ok(Some(attempted))
    }

    /// Takes an attempt back, which was stopped, or had no log to go on with.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn stopped(&mut self) -> Result<()> {
        if let Some(under_way) = &mut self.state.under_way {
            under_way.attempts = under_way.attempts.saturating_sub(1);
        }
        self.save()
    }

    /// Removes what stayed of runs that are not under way, but finished candidates: a kill may have left texts of
    /// notes.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub(crate) fn sweep(&self) -> Result<()> {
        let under_way = self.state.under_way.as_ref().map(|under_way| self.run_folder(&under_way.snapshot).0);
        let runs = entries(&self.folder)?.into_iter().filter(|path| is_of_run(path));
        runs.filter(|path| Some(path) != under_way.as_ref()).try_for_each(|path| RunFolder(path).remove_but_student())
    }

    /// Remembers what the state says now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self) -> Result<()> {
        write(&self.folder.join("state.json"), &self.state)
    }

    /// Remembers that a run came to a verdict: what it learned from is new no more.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn learn(&self, folder: &RunFolder) -> Result<()> {
        write(&self.folder.join("learned.json"), &folder.learned()?)
    }

    /// Remembers that the run under way has ended, and removes what is not to be kept of it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn finish(&mut self, folder: &RunFolder, kept: Kept) -> Result<()> {
        self.state.under_way = None;
        self.save()?;
        match kept {
            Kept::Nothing => folder.remove(),
            Kept::Student => folder.remove_but_student(),
            Kept::All => Ok(()),
        }
    }
}

/// Whether a folder is named as those of runs are.
fn is_of_run(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit()) && path.is_dir()
}

/// What stays of a run that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The registry has its candidate, or there is none.
    Nothing,
    /// The candidate, which could not be put into the registry or be measured.
    Student,
    /// Text of notes, too.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under_way(snapshot: &str) -> UnderWay {
        UnderWay {
            snapshot: snapshot.to_owned(),
            cause: Cause::Labels { new: 7 },
            serving: ModelId("s@1".to_owned()),
            base: "base".into(),
            tasks: vec![Task::Disease],
            attempts: 1,
            has_failed: false,
        }
    }

    #[test]
    fn one_process_at_a_time_and_what_is_remembered_is_there_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("retraining");
        let mut place = Place::open(&folder).unwrap();
        let refused = Place::open(&folder).err().unwrap().to_string();
        assert!(refused.contains("another process retrains in"), "{refused}");
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&folder).unwrap().permissions()) & 0o777,
            0o700
        );

        let run = place.run_folder("0123456789abcdef");
        assert!(run.train().ends_with("0123456789ab/train.jsonl"), "{run:?}");
        run.begin(&[1, u64::MAX].into()).unwrap();
        let under_way = under_way("0123456789abcdef");
        place.state.under_way = Some(under_way.clone());
        place.save().unwrap();
        drop(place);

        let mut again = Place::open(&folder).unwrap();
        assert_eq!((&again.state.under_way, again.learned().unwrap()), (&Some(under_way), BTreeSet::new()));
        assert_eq!(run.snapshot().unwrap(), None, "its documents are not whole");
        again.learn(&run).unwrap();
        again.finish(&run, Kept::Nothing).unwrap();
        assert_eq!(again.state.under_way, None);
        drop(again);
        let last = Place::open(&folder).unwrap();
        assert_eq!((last.state.clone(), last.learned().unwrap()), (State::default(), [1, u64::MAX].into()));
        assert!(!run.train().parent().unwrap().exists(), "nothing of the run is left");
    }

    #[test]
    fn who_follows_the_log_is_asked_for_a_run() {
        let root = tempfile::tempdir().unwrap();
        let is_following = || {
            let refused = Place::open(root.path()).err().unwrap();
            refused.downcast_ref::<Taken>().unwrap().is_following
        };
        let once = Place::open(root.path()).unwrap();
        assert!(!is_following());
        drop(once);
        let follower = Place::open(root.path()).unwrap();
        follower.follow().unwrap();
        assert!(is_following() && follower.request.askers().is_none());
        Request::of(root.path()).leave().unwrap();
        Request::of(root.path()).leave().unwrap();
        assert_eq!(follower.request.askers().unwrap().len(), 2);
        drop(follower);
        let next = Place::open(root.path()).unwrap();
        assert!(!is_following(), "what the one before said is gone");
        assert!(next.request.askers().is_some(), "nobody has taken it up");
    }

    #[test]
    fn no_text_stays_of_runs_that_are_not_under_way() {
        let root = tempfile::tempdir().unwrap();
        let mut place = Place::open(root.path()).unwrap();
        let [going, killed, trained] = ["0123456789abcdef", "1123456789abcdef", "2123456789abcdef"];
        for snapshot in [going, killed, trained] {
            let run = place.run_folder(snapshot);
            run.begin(&BTreeSet::new()).unwrap();
            [run.train(), run.dev(), run.held_out()].iter().for_each(|path| fs::write(path, "text").unwrap());
        }
        let student = place.run_folder(trained).student();
        fs::create_dir(&student).unwrap();
        fs::write(student.join("manifest.json"), "{}").unwrap();
        place.state.under_way = Some(under_way(going));
        place.sweep().unwrap();
        assert!(place.run_folder(going).train().exists(), "it goes on");
        assert!(!place.run_folder(killed).path().exists());
        assert_eq!(entries(place.run_folder(trained).path()).unwrap(), [student]);
        assert!(root.path().join("lock").exists());
    }

    #[test]
    fn a_run_is_given_up_after_some_attempts_and_stops_are_none() {
        let root = tempfile::tempdir().unwrap();
        let mut place = Place::open(root.path()).unwrap();
        assert_eq!(place.attempt().unwrap(), None, "nothing is under way");
        place.state.under_way = Some(under_way("0123456789abcdef"));
        for attempts in 2..=ATTEMPTS_MAX {
            assert_eq!(place.attempt().unwrap().unwrap().attempts, attempts);
            place.stopped().unwrap();
            assert_eq!(place.attempt().unwrap().unwrap().attempts, attempts);
        }
        drop(place);
        assert_eq!(Place::open(root.path()).unwrap().attempt().unwrap(), None, "it is remembered");
    }
}
