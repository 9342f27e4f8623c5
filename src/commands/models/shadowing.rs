//! `stillroom models shadow`: a student reads along before it serves.

use crate::commands::run::{StopNotes, stop_on_signal};
use crate::commands::{ConfigArgs, print_line};
use crate::promotion::{Switch, check_followed};
use crate::shadow::{Course, End, Figures, Shadow, ends_now};
use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use stillroom_schemas::{ModelId, TopicOffsets};

/// What is said of a stop while a student reads along.
const STOP_NOTES: StopNotes =
    StopNotes { first: "what was read until now is compared", second: "stopped at once; nothing is compared" };

/// From one look at the log to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Arguments of `models shadow`.
#[derive(Args)]
pub(crate) struct ShadowStudent {
    #[command(flatten)]
    config: ConfigArgs,
    /// The student: its id, its name if no other has it, or the beginning of its version.
    #[arg(value_name = "ID")]
    student: String,
    /// The share of the notes that it reads, above 0, 1 at most. A note is drawn by its id.
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    share: f64,
    /// Notes that both students are to have read.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    notes: u64,
    /// Read what is there, from the earliest note that is kept, in the place of notes that are still to come.
    #[arg(long)]
    from_beginning: bool,
}

/// What came of it.
#[derive(Serialize)]
struct Report<'a> {
    serving: &'a ModelId,
    candidate: &'a ModelId,
    share: f64,
    #[serde(flatten)]
    figures: &'a Figures,
    /// Why it would not serve; nothing if it might.
    refusal: Option<String>,
    /// Why nothing is decided; nothing if something is.
    undecided: Option<String>,
}

impl ShadowStudent {
    pub(super) fn run(self) -> Result<ExitCode> {
        ensure!(self.share > 0.0 && self.share <= 1.0, "--share is {}; choose a share above 0, 1 at most", self.share);
        let config = self.config.load()?.config;
        let switch = Switch::open(config.clone())?;
        let candidate = switch.registry.find(&self.student)?.model;
        let verified = switch.verify(&candidate)?;
        check_followed(&switch.load_serving()?, &verified.student)?;
        let stop = stop_on_signal(STOP_NOTES)?;
        let begin = if self.from_beginning { TopicOffsets::new() } else { ends_now(&config)? };
        let mut shadow = Shadow::open(&config, (&switch, &verified), self.share, begin)?;
        let (serving, notes) = (&switch.serving.model, self.notes);
        eprintln!("{} reads along with {}, until both have read {notes} notes", candidate.0, serving.0);
        let course = Course {
            notes: usize::try_from(notes)?,
            until: None,
            cut: None,
            is_bounded: self.from_beginning,
            look_every: LOOK_EVERY,
        };
        match shadow.read_along(&|| switch.is_current(), course, &stop)? {
            End::Exhausted => eprintln!("there are no more notes that {} has read", serving.0),
            End::Replaced => eprintln!("another student was activated, so {} is read along with no more", serving.0),
            End::Read | End::Stopped | End::Late => {}
        }
        let figures = shadow.figures();
        figures.lines().iter().for_each(|line| eprintln!("{line}"));
        let (refusal, undecided) = (figures.refusal(), figures.undecided());
        undecided.iter().for_each(|undecided| eprintln!("{undecided}"));
        if let Some(refusal) = &refusal {
            eprintln!("{} should not serve: {refusal}", candidate.0);
        }
        let report =
            Report { serving, candidate: &candidate, share: self.share, figures: &figures, refusal, undecided };
        print_line(serde_json::to_string(&report)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
