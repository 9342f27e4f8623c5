//! `stillroom study`: the published experiment, from one configuration.

use crate::commands::{print_line, some_dead_lettered};
use crate::study::config::StudyConfig;
use crate::study::{plan, review, run};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_dataflow::Bootstrap;

/// Arguments of `study`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Study {
    /// The configuration of the study, in TOML. A run that was stopped or killed goes on where it was.
    #[arg(required = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print what would be asked and trained, and what it may cost at worst; ask and write nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(subcommand)]
    command: Option<StudyCommand>,
}

/// What else there is to do about a study.
#[derive(Subcommand)]
enum StudyCommand {
    /// Tell what a filled sheet of false positives says: the share that annotators had missed, and the precision as corrected.
    Review(ReviewSheet),
}

/// Arguments of `study review`.
#[derive(Args)]
struct ReviewSheet {
    /// The sheet that the study wrote, with its last column filled: annotation, student, or nothing.
    #[arg(value_name = "FILE")]
    sheet: PathBuf,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Study {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if let Some(StudyCommand::Review(sheet)) = &self.command {
            return sheet.run();
        }
        let config = StudyConfig::load(&self.config.context("name the configuration of the study")?)?;
        if self.dry_run {
            plan(&config)?.iter().try_for_each(print_line)?;
            return Ok(ExitCode::SUCCESS);
        }
        let done = run(&config)?;
        print_line(done.page.display())?;
        Ok(if done.problems == 0 { ExitCode::SUCCESS } else { some_dead_lettered() })
    }
}

impl ReviewSheet {
    fn run(&self) -> Result<ExitCode> {
        let bootstrap = Bootstrap { seed: self.seed, ..Bootstrap::default() };
        for verdicts in review::read(&self.sheet, bootstrap)? {
            let ((rows, judged), task) = (verdicts.rows, verdicts.task.name());
            print_line(format!("{task}: {judged} of {rows} rows are judged"))?;
            let (Some((share, of_share)), Some((corrected, of_corrected))) = (verdicts.share, verdicts.corrected)
            else {
                continue;
            };
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            print_line(format!(
                "  the annotation is at fault at {} of the words (95 % interval {} to {})",
                percent(share),
                percent(of_share.0),
                percent(of_share.1)
            ))?;
            print_line(format!(
                "  precision {:.4} as annotated, {corrected:.4} as corrected ({:.4} to {:.4})",
                verdicts.precision, of_corrected.0, of_corrected.1
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
