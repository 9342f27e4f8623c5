//! `stillroom extract`: the extraction topology over files.

pub(crate) mod format;
mod interpreting;
mod outlet;
mod texts;

use crate::commands::{check_output, some_dead_lettered};
use crate::engine::{Committed, EngineConfig, Observer, Topics};
use crate::inputs::InputArgs;
use crate::offline;
use crate::runtime::StudentConfig;
use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use format::{FhirArgs, Format, OmopArgs};
use indicatif::{ProgressBar, ProgressStyle};
use interpreting::InterpretArgs;
use outlet::Outlet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use stillroom_connectors::{FILES_TOPIC, NoteFiles, Origins, Withdrawals};
use stillroom_dataflow::Output;
use stillroom_schemas::{Extraction, OffsetUnit};
use stillroom_student::Precision;
use texts::Texts;

/// Arguments of `extract`.
#[derive(Args)]
pub(crate) struct Extract {
    /// Folders, .txt files (a note each), .jsonl files (a note a line: {"note_id", "text", …}), .csv, .parquet, .ndjson and .json (FHIR)
    /// and .hl7 files, or - for JSON Lines on stdin.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Where to write the entities: a file, or - for stdout; for parquet, omop and brat a folder that is empty or not there yet.
    #[arg(short, long, default_value = "-")]
    output: PathBuf,
    /// What to write them as.
    #[arg(long, value_enum, conflicts_with = "show", default_value_t = Format::Jsonl)]
    format: Format,
    /// Show the notes with their entities in colour instead of writing JSON Lines.
    #[arg(long, conflicts_with = "output")]
    show: bool,
    /// In what positions are counted: as Python does, in bytes of UTF-8, or as JavaScript and Java do.
    #[arg(long, conflicts_with = "show", default_value = "code_point", value_parser = offset_unit())]
    offset_unit: OffsetUnit,
    /// Bytes of a note at most; a larger one is left out, and said so.
    #[arg(long, value_name = "BYTES", default_value_t = EngineConfig::default().note_bytes_max)]
    note_bytes_max: usize,
    /// Folder of a student; may be given again for students with tasks of their own.
    #[arg(long = "model", value_name = "DIR")]
    models: Vec<PathBuf>,
    /// cpu, or in a build with the feature cuda: cuda for all devices, cuda:0, or cuda:0,cuda:1.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// In what is multiplied: auto is int8 on a processor (f32 without AVX2) and bf16 on a GPU; f32 is as in training; a GPU takes f16, too.
    #[arg(long, default_value_t)]
    precision: Precision,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    interpret: InterpretArgs,
    #[command(flatten)]
    omop: OmopArgs,
    #[command(flatten)]
    fhir: FhirArgs,
}

impl Extract {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let reads_twice = self.show || self.format != Format::Jsonl;
        ensure!(
            !reads_twice || self.paths.iter().all(|path| can_be_read_twice(path)),
            "{} reads the notes twice, which stdin does not allow, nor does a pipe; save them to a file first",
            if self.show { "--show" } else { "a format other than jsonl" }
        );
        check_output(&self.output, &self.paths)?;
        self.format.check(&self.output, &self.omop, &self.fhir)?;
        self.inputs.check(&self.paths)?;
        let formats = self.inputs.formats()?;
        let notes = NoteFiles::open_as(&self.paths, Arc::clone(&formats))?;
        let topics = Topics { notes: FILES_TOPIC.to_owned(), ..Topics::default() };
        let (offset_unit, note_bytes_max) = (self.offset_unit, self.note_bytes_max);
        let (folders, device, precision) = (self.models, self.device, self.precision);
        let student = StudentConfig { folders, device, precision, ..StudentConfig::default() };
        let config = EngineConfig { offset_unit, note_bytes_max, topics, ..student.engine() };
        config.check()?;
        // Before the output is created: a lexicon or a student that cannot be loaded must not cost an earlier result.
        let interpret = self.interpret.load()?;
        let runtime = student.start(&config)?;
        let bar = progress_bar(&notes);
        let withdrawals = notes.withdrawals()?;
        let texts = reads_twice.then(|| Texts::open(&self.paths, formats)).transpose()?;
        let outlet = match (self.format.writer(&self.output, &self.omop, &self.fhir)?, texts) {
            (Some(writer), Some(texts)) => Outlet::format(writer, texts),
            (_, texts) => Outlet::lines(&self.output, texts)?,
        };
        let sheet = Sheet { outlet: outlet.clone(), origins: notes.origins(), withdrawals, bar: bar.clone() };
        let input = offline::Input { interpret, ..offline::Input::whole(Box::new(notes)) };
        let totals = offline::extract(runtime, &config, input, Box::new(sheet))?;
        outlet.finish().with_context(|| format!("cannot complete {}", self.output.display()))?;
        bar.finish_and_clear();
        let withdrawn = match totals.withdrawn {
            0 => String::new(),
            withdrawn => format!(", {withdrawn} withdrawals"),
        };
        eprintln!(
            "{} notes: {} extracted, {} dead-lettered, {} superseded{withdrawn}",
            totals.notes, totals.extracted, totals.dead_lettered, totals.superseded
        );
        Ok(if totals.dead_lettered > 0 { some_dead_lettered() } else { ExitCode::SUCCESS })
    }
}

/// Whether `path` is no stream. What is not there is said when it is opened.
fn can_be_read_twice(path: &Path) -> bool {
    let is_stream = |metadata: std::fs::Metadata| !metadata.is_file() && !metadata.is_dir();
    path != Path::new("-") && !std::fs::metadata(path).is_ok_and(is_stream)
}

/// What `--offset-unit` may be.
fn offset_unit() -> impl TypedValueParser<Value = OffsetUnit> {
    // The names are those of the record's field.
    PossibleValuesParser::new(["code_point", "byte", "utf16"]).map(|name| match name.as_str() {
        "byte" => OffsetUnit::Byte,
        "utf16" => OffsetUnit::Utf16,
        _ => OffsetUnit::CodePoint,
    })
}

/// On a terminal only; counts up where the number of notes is not known.
fn progress_bar(notes: &NoteFiles) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:30} {human_pos}/{human_len} notes, {per_sec}, {eta} left";
    match notes.count() {
        Some(notes) => {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(notes).with_style(style)
        }
        None => ProgressBar::new_spinner(),
    }
}

/// Writes what was found, and says which notes could not be read.
struct Sheet {
    outlet: Outlet,
    origins: Origins,
    /// What later records withdraw is not written; `None` where that is not known.
    withdrawals: Option<Withdrawals>,
    bar: ProgressBar,
}

impl Sheet {
    /// Whether a later record withdraws the note that was read at `offset`.
    fn is_withdrawn(&self, extraction: &Extraction, offset: u64) -> bool {
        self.withdrawals.as_ref().is_some_and(|withdrawals| withdrawals.withdraws(&extraction.note_id, offset))
    }
}

impl Observer for Sheet {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        for output in committed.outputs {
            match output {
                Output::Extracted { position, extraction, .. } if !self.is_withdrawn(extraction, position.offset) => {
                    self.outlet.write(position.offset, extraction).context("cannot write the entities")?;
                }
                Output::DeadLettered { letter, .. } => {
                    let origin = self.origins.of(letter.offset);
                    let refusal = self.origins.refusal(letter.offset);
                    self.bar.suspend(|| eprintln!("{origin}: {}", refusal.as_ref().unwrap_or(&letter.error)));
                }
                Output::Withdrawn { position, .. } if self.withdrawals.is_none() => {
                    let origin = self.origins.of(position.offset);
                    self.bar.suspend(|| {
                        eprintln!(
                            "{origin}: withdraws a note, whose entities may have been written before; read a file"
                        );
                    });
                }
                Output::Superseded { position } => {
                    let origin = self.origins.of(position.offset);
                    self.bar.suspend(|| {
                        eprintln!("{origin}: left out, the same note came before in this or a later revision")
                    });
                }
                _ => {}
            }
        }
        self.bar.inc(committed.totals.notes);
        self.outlet.flush().context("cannot write the entities")
    }
}
