//! `stillroom run` and `stillroom config`: the topology on the embedded log.

use crate::commands::print_line;
use crate::config::Config;
use crate::engine::{self, Committed, Observer, Parts, Topics};
use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stillroom_connectors::{EmbeddedCommitter, EmbeddedLog, EmbeddedSource, Source};
use stillroom_schemas::Progress;

/// Arguments of `run`.
#[derive(Args)]
pub(crate) struct Run {
    /// The configuration; the defaults when absent.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let config = Config::load(self.config.as_deref())?;
        let log = EmbeddedLog::open(&config.log.dir)?;
        let stop = stop_on_signal()?;
        let run = LogRun::open(&config, log)?;
        eprintln!("running on the log {}; stop with Ctrl-C or SIGTERM", config.log.dir.display());
        let progress = run.run(Box::new(Quiet), stop)?;
        print_line(serde_json::to_string(&progress.totals)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A supervisor may send one stop as several signals; what comes after this is another.
const STOP_IS_ONE: Duration = Duration::from_secs(1);

/// The flag that SIGTERM, SIGHUP and Ctrl-C set: read no more, commit what was read, end. A second stop ends at once, which
/// loses nothing: what is not committed is read again.
pub(crate) fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let mut first = None;
    let on_signal = move || {
        flag.store(true, Ordering::SeqCst);
        match first {
            None => {
                first = Some(Instant::now());
                eprintln!("what was read is tagged and committed; stop once more to leave that to the next run");
            }
            Some(first) if first.elapsed() > STOP_IS_ONE => {
                eprintln!("stopped at once; the next run goes on from the last commit");
                std::process::exit(1);
            }
            Some(_) => {}
        }
    };
    ctrlc::set_handler(on_signal).context("cannot listen for signals")?;
    Ok(stop)
}

/// The extraction topology on an embedded log that no other process runs on.
pub(crate) struct LogRun<'a> {
    config: &'a Config,
    log: EmbeddedLog,
    committer: EmbeddedCommitter,
}

impl LogRun<'_> {
    /// Takes the log for this process, and creates topics that are missing.
    ///
    /// # Errors
    /// When another process runs on the log, a topic has too few partitions, or the log cannot be read or written.
    pub(crate) fn open(config: &Config, log: EmbeddedLog) -> Result<LogRun<'_>> {
        let topics = &config.engine.topics;
        create_topics(topics, &log, config.log.partitions)?;
        let outputs = [&topics.extractions, &topics.quality, &topics.state, &topics.dead_letters].map(String::as_str);
        let committer = EmbeddedCommitter::open(&log, &outputs)?;
        Ok(LogRun { config, log, committer })
    }

    /// Runs until `stop` is set.
    ///
    /// # Errors
    /// When the student cannot be loaded, or the log cannot be read or written.
    pub(crate) fn run(self, observer: Box<dyn Observer>, stop: Arc<AtomicBool>) -> Result<Progress> {
        let LogRun { config, log, committer } = self;
        let runtime = config.student.start(&config.engine)?;
        let source = |_| Box::new(EmbeddedSource::tail(&log)) as Box<dyn Source>;
        let parts = Parts {
            sources: (0..config.engine.workers).map(source).collect(),
            history: Box::new(EmbeddedSource::bounded(&log)),
            committer: Box::new(committer),
            tokenize: runtime.tokenize,
            pool: runtime.pool,
            observer,
        };
        engine::run(&config.engine, parts, stop)
    }
}

/// Creates the topics that do not exist. What is made of a record goes to the partition of the same number, so an output needs
/// as many partitions as its input.
fn create_topics(topics: &Topics, log: &EmbeddedLog, partitions: u32) -> Result<()> {
    let create = |topic: &String, partitions: u32| -> Result<u32> {
        if log.partitions(topic).is_err() {
            log.create_topic(topic, partitions)?;
        }
        let has = log.partitions(topic)?;
        ensure!(
            has >= partitions,
            "the topic {topic} has {has} partitions and needs {partitions}, as many as its input; copy it into a new one"
        );
        Ok(has)
    };
    let of_notes = create(&topics.notes, log.partitions(&topics.notes).unwrap_or(partitions))?;
    let of_references = create(&topics.references, log.partitions(&topics.references).unwrap_or(of_notes))?;
    create(&topics.extractions, of_notes)?;
    create(&topics.state, of_notes)?;
    create(&topics.dead_letters, of_notes.max(of_references))?;
    create(&topics.quality, 1)?;
    Ok(())
}

struct Quiet;

impl Observer for Quiet {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        tracing::info!(epoch = committed.progress.epoch, notes = committed.totals.notes, "committed");
        Ok(())
    }
}

/// What to do with the configuration.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print it, defaults included, as a file that `run -c` reads.
    Show {
        /// The configuration; the defaults when absent.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

impl ConfigCommand {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let ConfigCommand::Show { config } = self;
        print_line(toml::to_string_pretty(&Config::load(config.as_deref())?)?.trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}
