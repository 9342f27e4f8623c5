//! A run that somebody asks for while another process has the folder of retraining.
//!
//! ```text
//! askers ─► request.json ─► the process that has the folder ─► answer.json ─► askers
//! ```
//!
//! The request names its askers. The process takes it up at its next look, and removes it when the run begins, or when
//! no run can be made of what there is; where one cannot begin for another reason it stays. A process that ended before
//! leaves it to the next one. Each answer takes the place of the one before: it is for who waits for it.

use crate::clock::utc_now;
use crate::retraining::run_folder::{read, removed, write};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Files of the folder of retraining by which a run is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    asked: PathBuf,
    taken: PathBuf,
    answered: PathBuf,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answered {
    /// The run has begun.
    Begun,
    /// No run can be made of what there is, for this reason; it is asked for no more.
    Refused(String),
    /// The run cannot begin, for this reason; it stays asked for, and is tried again.
    PutOff(String),
}

/// An answer, and to whom.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    askers: Vec<String>,
    answered: Answered,
}

impl Request {
    /// The one that may stand in this folder.
    pub(crate) fn of(folder: &Path) -> Request {
        let [asked, taken, answered] =
            ["request.json", "request.taken.json", "answer.json"].map(|name| folder.join(name));
        Request { asked, taken, answered }
    }

    /// Asks for a run; the name of the asker, for whom there will be an answer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn leave(&self) -> Result<String> {
        let asker = format!("{} by process {}", utc_now(), std::process::id());
        let mut askers = self.askers().unwrap_or_default();
        askers.push(asker.clone());
        write(&self.asked, &askers)?;
        Ok(asker)
    }

    /// Who asks for a run; nothing when nobody does.
    pub(crate) fn askers(&self) -> Option<Vec<String>> {
        let bytes = fs::read(&self.asked).ok()?;
        // A request of an earlier version names nobody.
        Some(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// The run has begun, or is asked for no more; whoever asks from now on asks for another one.
    ///
    /// # Errors
    /// When a file cannot be read, written or removed.
    pub(crate) fn settle(&self, answered: Answered) -> Result<()> {
        // It is taken away at once, so that nobody's request goes unseen.
        match fs::rename(&self.asked, &self.taken) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            renamed => renamed.with_context(|| format!("cannot rename {}", self.asked.display()))?,
        }
        let taken = Request { asked: self.taken.clone(), ..self.clone() };
        self.answer(taken.askers().unwrap_or_default(), answered)?;
        removed(&self.taken, fs::remove_file(&self.taken))
    }

    /// Tells askers what became of their request.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn answer(&self, askers: Vec<String>, answered: Answered) -> Result<()> {
        write(&self.answered, &Answer { askers, answered })
    }

    /// The answer to an asker, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn heard(&self, asker: &str) -> Result<Option<Answered>> {
        let answer: Option<Answer> = read(&self.answered)?;
        let is_theirs = |answer: &Answer| answer.askers.iter().any(|other| other == asker);
        Ok(answer.filter(is_theirs).map(|answer| answer.answered))
    }
}

/// Another process has the folder of retraining.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Whether that process follows the log, and takes up requests.
    pub(crate) is_following: bool,
}

impl Display for Taken {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        write!(formatter, "another process retrains in {folder}; stop it, or name another folder in [retraining] dir")
    }
}

impl Error for Taken {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_ask_are_answered_and_who_asks_later_waits_for_another_answer() {
        let folder = tempfile::tempdir().unwrap();
        let request = Request::of(folder.path());
        assert_eq!((request.askers(), request.heard("nobody").unwrap()), (None, None));
        request.settle(Answered::Begun).unwrap();
        assert_eq!(request.heard("nobody").unwrap(), None, "nothing was asked");

        let first = request.leave().unwrap();
        assert_eq!(request.askers(), Some(vec![first.clone()]));
        request.answer(vec![first.clone()], Answered::PutOff("no base".to_owned())).unwrap();
        assert_eq!(request.heard(&first).unwrap(), Some(Answered::PutOff("no base".to_owned())));
        let askers = [first.clone(), "another".to_owned()];
        write(&request.asked, &askers).unwrap();
        request.settle(Answered::Begun).unwrap();
        for asker in &askers {
            assert_eq!(request.heard(asker).unwrap(), Some(Answered::Begun));
        }
        assert_eq!((request.askers(), request.taken.exists()), (None, false));

        let refused = Answered::Refused("nothing to learn from".to_owned());
        write(&request.asked, &["later".to_owned()]).unwrap();
        request.settle(refused.clone()).unwrap();
        assert_eq!((request.heard("later").unwrap(), request.heard("another").unwrap()), (Some(refused), None));
        fs::write(&request.asked, "\"2026-01-01T00:00:00.000Z\"").unwrap();
        assert_eq!(request.askers(), Some(Vec::new()), "an earlier version asks too");
    }
}
