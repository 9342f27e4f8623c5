//! `stillroom dlq`: dead letters, and their replay.

use crate::commands::{ConfigArgs, print_line};
use crate::config::Config;
use crate::log::open_written_log;
use crate::reading::read_topic;
use anyhow::{Context, Result, bail, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;
use stillroom_connectors::{Appended, Log};
use stillroom_dataflow::{Position, Record};
use stillroom_schemas::{DeadLetter, Header, REPLAYS_HEADER, Stage};

/// Bytes of letters that are sent at once.
const SENT_BYTES: usize = 4 << 20;

/// What to do with dead letters.
#[derive(Subcommand)]
pub(crate) enum Dlq {
    /// Print a line of JSON a letter, without the original bytes.
    List {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        which: Which,
    },
    /// Print letters with their original bytes.
    Show {
        #[command(flatten)]
        config: ConfigArgs,
        /// Letters by PARTITION/OFFSET of the dead letters' topic, as `list` names them.
        #[arg(required = true)]
        letters: Vec<Place>,
        /// Write the value alone, byte for byte; for one letter.
        #[arg(long)]
        value: bool,
    },
    /// Send the original records to their partition once more, and count that in a header. A note that was corrected since is
    /// replaced by its letter, unless its revision is higher.
    Replay {
        #[command(flatten)]
        config: ConfigArgs,
        /// Letters by PARTITION/OFFSET of the dead letters' topic, as `list` names them.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        letters: Vec<Place>,
        /// All letters; narrow them with --stage and --replays-max.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        which: Which,
    },
}

/// Which letters are meant.
#[derive(Args)]
pub(crate) struct Which {
    /// Only those that failed at this operator.
    #[arg(long, value_parser = stage())]
    stage: Option<Stage>,
    /// Only those that were replayed no more often than this.
    #[arg(long, value_name = "N")]
    replays_max: Option<u32>,
}

impl Which {
    fn holds(&self, letter: &DeadLetter) -> bool {
        self.stage.is_none_or(|stage| stage == letter.stage) && self.replays_max.is_none_or(|max| letter.replays <= max)
    }
}

fn stage() -> impl TypedValueParser<Value = Stage> {
    let of_name = |name: String| Stage::ALL.into_iter().find(|stage| stage.name() == name);
    PossibleValuesParser::new(Stage::ALL.map(Stage::name)).try_map(move |name| of_name(name).context("no such stage"))
}

/// Where a letter stands in the dead letters' topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(Position);

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Place> {
        let numbers = text.split_once('/').and_then(|(partition, offset)| {
            Some(Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        numbers.map(Place).context("write PARTITION/OFFSET, such as 0/17")
    }
}

impl Dlq {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Dlq::List { config, which } => list(&config.load()?.config, &which),
            Dlq::Show { config, letters, value } => show(&config.load()?.config, &letters, value),
            Dlq::Replay { config, letters, which, .. } => replay(&config.load()?.config, &letters, &which),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn list(config: &Config, which: &Which) -> Result<()> {
    read(config, open_written_log(config)?.as_ref(), |position, letter| {
        if which.holds(&letter) {
            let bytes = letter.value.as_ref().map(Vec::len);
            print_line(json!({
                "letter": format!("{}/{}", position.partition, position.offset),
                "topic": letter.topic, "partition": letter.partition, "offset": letter.offset,
                "stage": letter.stage, "error": letter.error, "replays": letter.replays, "bytes": bytes,
            }))?;
        }
        Ok(())
    })
}

fn show(config: &Config, places: &[Place], is_value_alone: bool) -> Result<()> {
    ensure!(!is_value_alone || places.len() == 1, "--value writes one letter's value; name one letter");
    for (_, letter) in find(config, open_written_log(config)?.as_ref(), places)? {
        match letter.value {
            Some(value) if is_value_alone => {
                std::io::stdout().lock().write_all(&value).context("cannot write to stdout")?;
            }
            _ => print_line(serde_json::to_string(&letter)?)?,
        }
    }
    Ok(())
}

fn replay(config: &Config, places: &[Place], which: &Which) -> Result<()> {
    let log = open_written_log(config)?;
    let mut batch = Batch::default();
    if places.is_empty() {
        // What comes back as a letter in the meantime lies behind the ends that are read to.
        read(config, log.as_ref(), |_, letter| batch.add(log.as_ref(), letter, which))?;
    } else {
        let letters = find(config, log.as_ref(), places)?;
        letters.into_iter().try_for_each(|(_, letter)| batch.add(log.as_ref(), letter, which))?;
    }
    batch.send(log.as_ref())?;
    print_line(json!({ "replayed": batch.sent }))
}

/// Letters of one topic, in order.
#[derive(Default)]
struct Batch {
    topic: String,
    records: Vec<Appended>,
    bytes: usize,
    sent: usize,
}

impl Batch {
    /// Adds a letter as the record that it was, to the partition that it came from: elsewhere it would be another note.
    fn add(&mut self, log: &dyn Log, letter: DeadLetter, which: &Which) -> Result<()> {
        if !which.holds(&letter) {
            return Ok(());
        }
        let length = letter.value.as_ref().map_or(0, Vec::len);
        if self.topic != letter.topic || self.bytes + length > SENT_BYTES {
            self.send(log)?;
            self.topic.clone_from(&letter.topic);
        }
        self.bytes += length;
        let headers: Vec<Header> = vec![(REPLAYS_HEADER.to_owned(), (letter.replays + 1).to_string().into_bytes())];
        let partition = Some(letter.partition);
        self.records.push(Appended { key: letter.key, value: letter.value, headers, partition });
        Ok(())
    }

    fn send(&mut self, log: &dyn Log) -> Result<()> {
        if !self.records.is_empty() {
            log.append(&self.topic, &self.records)?;
            self.sent += self.records.len();
        }
        self.records.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// The letters at these places, in this order.
fn find(config: &Config, log: &dyn Log, places: &[Place]) -> Result<Vec<(Position, DeadLetter)>> {
    let mut found = Vec::new();
    read(config, log, |position, letter| {
        if places.contains(&Place(position)) {
            found.push((position, letter));
        }
        Ok(())
    })?;
    for Place(Position { partition, offset }) in places {
        if !found.iter().any(|(at, _)| (at.partition, at.offset) == (*partition, *offset)) {
            bail!("there is no dead letter {partition}/{offset}; `stillroom dlq list` names them");
        }
    }
    found.sort_by_key(|(position, _)| places.iter().position(|place| place.0 == *position));
    Ok(found)
}

/// Every letter that is committed now.
fn read(config: &Config, log: &dyn Log, mut each: impl FnMut(Position, DeadLetter) -> Result<()>) -> Result<()> {
    let topic = &config.engine.topics.dead_letters;
    read_topic(log.bounded()?, topic, |Record { position, key, value, headers, .. }| {
        match DeadLetter::from_record(&headers, key, value) {
            Some(letter) => each(position, letter)?,
            None => tracing::warn!("{topic}/{} offset {} is no dead letter", position.partition, position.offset),
        }
        Ok(())
    })
}
