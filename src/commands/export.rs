//! `stillroom export`: what is extracted on the stream, in the formats of others.

use crate::commands::extract::format::{FhirArgs, Format, OmopArgs};
use crate::commands::run::{StopNotes, stop_on_signal};
use crate::commands::{ConfigArgs, print_line, some_dead_lettered};
use crate::export::{Counts, ExportFormat, Exporter, LinesWriter, PartSize};
use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;
use stillroom_formats::Writer;

/// What is said of a stop.
const STOP_NOTES: StopNotes = StopNotes {
    first: "what is not in a part yet comes with the next export",
    second: "stopped at once; nothing is half written, and the next export goes on from the last part",
};

/// Arguments of `export`.
#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    config: ConfigArgs,
    /// What to write notes and their entities as.
    #[arg(long, value_enum)]
    format: Format,
    /// The folder to which parts are added: part-000000, part-000001 and so on. It is made where it is missing.
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Notes in a part at most, those among them that were withdrawn.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    notes_per_part: u32,
    /// Go on until SIGTERM or Ctrl-C, and not only to what is committed now.
    #[arg(long)]
    follow: bool,
    /// After so many seconds write a part that is not full, if there is anything for it.
    #[arg(
        long, value_name = "N", requires = "follow", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..)
    )]
    every_seconds: u32,
    #[command(flatten)]
    omop: OmopArgs,
    #[command(flatten)]
    fhir: FhirArgs,
}

/// A part, as it is told.
#[derive(Serialize)]
struct Told<'a> {
    part: &'a str,
    #[serde(flatten)]
    counts: &'a Counts,
}

impl Export {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Export { config, format, output, notes_per_part, follow, every_seconds, omop, fhir } = self;
        ensure!(output != Path::new("-"), "an export is a folder; say by -o which");
        format.check(&output, &omop, &fhir)?;
        ensure!(
            !omop.counts_ids(),
            "--omop-first-id gives a person or a note another id in every part; leave it out for hashes, which stay, or give ids by \
             --omop-persons and --omop-notes"
        );
        let config = config.load()?.config;
        let size = PartSize {
            notes: notes_per_part as usize,
            every: follow.then(|| Duration::from_secs(every_seconds.into())),
        };
        let exporter = Exporter::open(&config, &output, parts_of(format, omop, fhir), size)?;
        let stop = stop_on_signal(STOP_NOTES)?;
        if follow {
            eprintln!("exporting to {}; stop with Ctrl-C or SIGTERM", output.display());
        }
        let totals = exporter.run(&stop, &mut tell)?;
        let Counts { notes, entities, withdrawn, superseded, left_out } = totals;
        eprintln!(
            "{notes} notes with {entities} entities, {withdrawn} withdrawals; {superseded} superseded, {left_out} left out"
        );
        ensure!(
            follow || !stop.load(Ordering::SeqCst),
            "stopped before all was exported; export once more, which goes on from the last part"
        );
        Ok(if left_out > 0 { some_dead_lettered() } else { ExitCode::SUCCESS })
    }
}

/// The format as an export needs it.
fn parts_of(format: Format, omop: OmopArgs, fhir: FhirArgs) -> ExportFormat {
    let (name, result) = format.names();
    let begin = move |path: &Path| -> Result<Box<dyn Writer>> {
        match format.writer(path, &omop, &fhir)? {
            Some(writer) => Ok(writer),
            None => Ok(Box::new(LinesWriter::create(path)?)),
        }
    };
    ExportFormat { name, result, begin: Box::new(begin) }
}

/// Prints a line for a part.
fn tell(part: &str, counts: &Counts) -> Result<()> {
    if counts.left_out > 0 {
        eprintln!("{part}: {} notes are left out; its left_out.jsonl says which and why", counts.left_out);
    }
    print_line(serde_json::to_string(&Told { part, counts })?)
}
