//! Words on which the student that serves and the ensemble disagree, for people to judge; and what they judged, as references.
//!
//! ```text
//! notes, references, labels ─► Current ─► notes without a reference ─► Reader (student) ─► disagreements ─► rows
//! rows with verdicts ─► what the ensemble says of the text, corrected ─► references
//! ```
//!
//! A list reads the log and writes nothing; applying verdicts appends references, as any annotator does.

mod applying;
mod correcting;
mod listing;
mod ranking;
mod reader;
mod said;

pub(crate) use applying::{Applied, apply};
pub(crate) use listing::{Listed, Wanted, list};

use crate::config::Config;
use anyhow::{Context, Result};
use stillroom_teachers::ensemble::Choice;

/// The ensembles that the student is compared with.
///
/// # Errors
/// When none are chosen, or they cannot be read.
fn ensembles(config: &Config) -> Result<Choice> {
    let path = config.teachers.ensemble().context(
        "no ensemble is chosen, so there is nothing to disagree with; name the file that `teachers select` wrote in \
         [teachers] ensemble",
    )?;
    Choice::load(path).context("cannot read the ensembles of [teachers] ensemble")
}
