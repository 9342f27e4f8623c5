//! `stillroom assert`: how sentences mean their entities, by the lexicon of triggers and sections.

mod eval;
mod show;

use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_assertion::{Context, ContextConfig};
use stillroom_schemas::{Assertion, Certainty, Experiencer, Temporality};

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum AssertCommand {
    /// Count how many sentences are understood: those that come with the program, or those of a file.
    Eval(eval::Eval),
    /// Print how a text means the entities that are marked in it.
    Show(show::Show),
}

impl AssertCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            AssertCommand::Eval(command) => command.run(),
            AssertCommand::Show(command) => command.run(),
        }
    }
}

/// Which lexicons.
#[derive(Args)]
struct LexiconArgs {
    /// A lexicon in TOML that adds to that of the program, replaces and removes; may be given again.
    #[arg(long = "lexicon", value_name = "FILE")]
    lexicons: Vec<PathBuf>,
    /// Leave the lexicon of the program out.
    #[arg(long)]
    without_own: bool,
}

impl LexiconArgs {
    /// # Errors
    /// When a file is no lexicon.
    fn open(self) -> Result<Context> {
        let config = ContextConfig { lexicons: self.lexicons, own_lexicon: !self.without_own };
        Ok(Context::load(&config)?)
    }
}

/// The three axes in words.
fn words(assertion: &Assertion) -> [&'static str; 3] {
    [certainty(assertion.certainty), temporality(assertion.temporality), experiencer(assertion.experiencer)]
}

fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Affirmed => "affirmed",
        Certainty::Uncertain => "uncertain",
        Certainty::Negated => "negated",
    }
}

fn temporality(temporality: Temporality) -> &'static str {
    match temporality {
        Temporality::Recent => "recent",
        Temporality::Historical => "historical",
        Temporality::Hypothetical => "hypothetical",
    }
}

fn experiencer(experiencer: Experiencer) -> &'static str {
    match experiencer {
        Experiencer::Patient => "patient",
        Experiencer::Family => "family",
        Experiencer::Other => "other",
    }
}

/// What decided, with positions: `negated by "denies" at 0 to 6`.
fn cues(assertion: &Assertion) -> String {
    let show = |cue: &stillroom_schemas::Cue| {
        let stillroom_schemas::Cue { says, trigger, start, end } = cue;
        format!("{says} by {trigger:?} at {start} to {end}")
    };
    assertion.cues.iter().map(show).collect::<Vec<_>>().join(", ")
}
