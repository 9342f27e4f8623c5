//! `stillroom calibrate`: a student's probabilities and thresholds, fitted to annotated documents of one's own.

use crate::commands::train::{corpora, print_dev_counts};
use crate::commands::{print_line, some_dead_lettered};
use crate::corpora::{Problems, ReadingArgs};
use crate::runtime::threads_or_cores;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_student::{Calibration, calibrate};

/// Arguments of `calibrate`.
#[derive(Args)]
pub(crate) struct Calibrate {
    /// Folder of a student that stillroom trained. Its weights stay as they are; its manifest is written anew.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Annotated documents to choose temperatures and thresholds by, which the student did not learn from.
    #[arg(long = "dev", required = true, value_name = "PATH[:PART]")]
    dev: Vec<PathBuf>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Threads; 0 is one for every core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

impl Calibrate {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut problems = Problems::default();
        let dev = corpora(&self.dev, &self.reading, &mut problems)?;
        let manifest = calibrate(&self.model, &dev, threads_or_cores(self.threads))?;
        print_line("task        temperature  threshold  calibration error  of tagged words")?;
        for (task, calibration) in &manifest.calibration {
            let Calibration { temperature, ece, ece_uncalibrated, ece_tagged, ece_tagged_uncalibrated } = calibration;
            print_line(format_args!(
                "{:<11} {temperature:>11.3} {:>10.2}   {ece_uncalibrated:.4} to {ece:.4}   {ece_tagged_uncalibrated:.4} to {ece_tagged:.4}",
                task.name(),
                manifest.thresholds[task],
            ))?;
        }
        print_dev_counts(&manifest)?;
        Ok(if problems.finish() == 0 { ExitCode::SUCCESS } else { some_dead_lettered() })
    }
}
