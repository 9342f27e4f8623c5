//! A candidate that passed the gate reads along with the student that serves, before it takes over.

use crate::config::Config;
use crate::promotion::Switch;
use crate::retraining::now;
use crate::retraining::run_folder::{RunFolder, read, write};
use crate::shadow::{Course, End, Figures, Shadow, ends_now};
use crate::students::Verified;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stillroom_schemas::{ModelId, TopicOffsets};

/// So long a process that goes on with it may read what was read before, although the time is over: nothing of that is kept,
/// and without it there would be nothing to compare by.
const CATCH_UP_MAX: Duration = Duration::from_secs(3600);

/// What a run remembers of it: after a kill the same notes are read again, and what was decided stays.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Along {
    candidate: ModelId,
    /// The student that it reads along with.
    serving: ModelId,
    /// Where it began in the topics.
    begin: TopicOffsets,
    /// When it began, in seconds of Unix time.
    began_at: u64,
    /// What came of it; absent while it lasts.
    figures: Option<Figures>,
}

/// How both students do on notes that come while the candidate reads along; nothing when `stop` is set meanwhile.
///
/// # Errors
/// When the candidate or the log cannot be used, the folder cannot be written, or another student was activated.
pub(crate) fn read_along(
    config: &Config,
    (switch, verified): (&Switch, &Verified),
    (folder, stop): (&RunFolder, &AtomicBool),
) -> Result<Option<Figures>> {
    let (candidate, serving, path) = (&verified.entry.model, &switch.serving.model, folder.shadow());
    let known: Option<Along> = read(&path)?;
    let known = known.filter(|along| along.candidate == *candidate && along.serving == *serving);
    let is_resumed = known.is_some();
    let along = match known {
        Some(along) => along,
        None => {
            let (candidate, serving, begin) = (candidate.clone(), serving.clone(), ends_now(config)?);
            let along = Along { candidate, serving, begin, began_at: now(), figures: None };
            write(&path, &along)?;
            along
        }
    };
    if let Some(figures) = &along.figures {
        return Ok(Some(figures.clone()));
    }
    let mut config = config.clone();
    // What reads along has no more of the processor than what trains.
    config.student.threads = config.retraining.threads();
    let (notes, hours_max) = (config.retraining.shadow_notes, config.retraining.shadow_hours_max);
    let mut shadow = Shadow::open(&config, (switch, verified), config.retraining.shadow_share, along.begin.clone())?;
    eprintln!(
        "{} reads along with {} until both have read {notes} notes, {hours_max} hours at most",
        candidate.0, serving.0
    );
    let until = UNIX_EPOCH + Duration::from_secs(along.began_at + 3600 * hours_max);
    let cut = if is_resumed { until.max(SystemTime::now() + CATCH_UP_MAX) } else { until };
    let course = Course {
        notes: usize::try_from(notes)?,
        until: Some(until),
        cut: Some(cut),
        is_bounded: false,
        look_every: Duration::from_secs(config.retraining.look_every_seconds),
    };
    match shadow.read_along(&|| switch.is_current(), course, stop)? {
        End::Stopped => return Ok(None),
        End::Replaced => bail!(
            "another student was activated while {} read along with {}; it is compared with that one next",
            candidate.0,
            serving.0
        ),
        End::Read | End::Late | End::Exhausted => {}
    }
    let figures = shadow.figures();
    write(&path, &Along { figures: Some(figures.clone()), ..along })?;
    Ok(Some(figures))
}
