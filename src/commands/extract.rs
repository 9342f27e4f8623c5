//! `stillroom extract`: the extraction topology over files.

use crate::commands::{check_output, some_dead_lettered};
use crate::engine::{Committed, EngineConfig, Observer, Topics};
use crate::runtime::StudentConfig;
use crate::{highlight, offline};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use stillroom_connectors::{FILES_TOPIC, NoteFiles, Origins, Source};
use stillroom_dataflow::{Output, Record};
use stillroom_schemas::{Extraction, Note, OffsetUnit};
use stillroom_student::Precision;

const FILES_CHANGED: &str = "the files have changed while they were read; start again";

/// Arguments of `extract`.
#[derive(Args)]
pub(crate) struct Extract {
    /// Folders, .txt files (a note each), .jsonl files (a note a line: {"note_id", "text", …}), or - for JSON Lines on stdin.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Where to write the entities, a line a note in input order; - is stdout.
    #[arg(short, long, default_value = "-")]
    output: PathBuf,
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
}

impl Extract {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let stdin = Path::new("-");
        ensure!(
            !self.show || self.paths.iter().all(|path| path != stdin),
            "--show reads the notes twice, which stdin does not allow; save them to a file first"
        );
        check_output(&self.output, &self.paths)?;
        let notes = NoteFiles::open(&self.paths)?;
        let topics = Topics { notes: FILES_TOPIC.to_owned(), ..Topics::default() };
        let (offset_unit, note_bytes_max) = (self.offset_unit, self.note_bytes_max);
        let (folders, device, precision) = (self.models, self.device, self.precision);
        let student = StudentConfig { folders, device, precision, ..StudentConfig::default() };
        let config = EngineConfig { offset_unit, note_bytes_max, topics, ..student.engine() };
        config.check()?;
        // Before the output is created: a student that cannot be loaded must not cost an earlier result.
        let runtime = student.start(&config)?;
        let bar = progress_bar(&notes);
        let writer: Box<dyn Write + Send> = if self.output == stdin {
            Box::new(std::io::stdout())
        } else {
            let created = File::create(&self.output);
            Box::new(created.with_context(|| format!("cannot write {}", self.output.display()))?)
        };
        let texts = self.show.then(|| Texts::open(&self.paths)).transpose()?;
        let sheet = Sheet { writer: BufWriter::new(writer), texts, origins: notes.origins(), bar: bar.clone() };
        let totals = offline::extract(runtime, &config, offline::Input::whole(Box::new(notes)), Box::new(sheet))?;
        bar.finish_and_clear();
        eprintln!(
            "{} notes: {} extracted, {} dead-lettered, {} superseded",
            totals.notes, totals.extracted, totals.dead_lettered, totals.superseded
        );
        Ok(if totals.dead_lettered > 0 { some_dead_lettered() } else { ExitCode::SUCCESS })
    }
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

/// Writes a line a note, and says which could not be read.
struct Sheet {
    writer: BufWriter<Box<dyn Write + Send>>,
    texts: Option<Texts>,
    origins: Origins,
    bar: ProgressBar,
}

impl Sheet {
    fn write(&mut self, offset: u64, extraction: &Extraction) -> Result<()> {
        match &mut self.texts {
            Some(texts) => {
                let shown = highlight::text(&texts.at(offset)?, &extraction.entities);
                writeln!(self.writer, "\x1b[1m{}\x1b[0m\n{shown}\n", highlight::plain(&extraction.note_id))?;
            }
            None => {
                let mut line = serde_json::to_vec(extraction)?;
                line.push(b'\n');
                self.writer.write_all(&line)?;
            }
        }
        Ok(())
    }
}

impl Observer for Sheet {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        for output in committed.outputs {
            match output {
                Output::Extracted { position, extraction, .. } => {
                    self.write(position.offset, extraction).context("cannot write the entities")?;
                }
                Output::DeadLettered { letter, .. } => {
                    let origin = self.origins.of(letter.offset);
                    self.bar.suspend(|| eprintln!("{origin}: {}", letter.error));
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
        self.writer.flush().context("cannot write the entities")
    }
}

/// The texts once more, in step with their extractions.
struct Texts {
    notes: NoteFiles,
    records: std::vec::IntoIter<Record>,
}

impl Texts {
    fn open(paths: &[PathBuf]) -> Result<Texts> {
        let mut notes = NoteFiles::open(paths)?;
        notes.assign(FILES_TOPIC, 0, 0)?;
        Ok(Texts { notes, records: Vec::new().into_iter() })
    }

    /// The text of the note at `offset`; offsets may be skipped, and never fall.
    fn at(&mut self, offset: u64) -> Result<String> {
        loop {
            match self.records.find(|record| record.position.offset == offset) {
                Some(record) => {
                    // What the parser says may quote the text.
                    return match serde_json::from_slice::<Note>(&record.value.unwrap_or_default()) {
                        Ok(note) => Ok(note.text),
                        Err(_) => bail!(FILES_CHANGED),
                    };
                }
                None if self.notes.is_finished() => bail!(FILES_CHANGED),
                None => self.records = self.notes.poll(1 << 20, Duration::ZERO)?.into_iter(),
            }
        }
    }
}
