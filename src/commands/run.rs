//! `stillroom run` and `stillroom config`: the topology on the embedded log.

use crate::config::Config;
use crate::engine::{self, Committed, EngineConfig, Observer, Parts};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
        eprintln!("running on the log {}; stop with Ctrl-C or SIGTERM", config.log.dir.display());
        let progress = run_on_log(&config, &log, Box::new(Quiet), stop)?;
        println!("{}", serde_json::to_string(&progress.totals)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// The flag that SIGTERM, SIGHUP and Ctrl-C set: read no more, commit what was read, end.
pub(crate) fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst)).context("cannot listen for signals")?;
    Ok(stop)
}

/// Runs the extraction topology on `log` until `stop` is set, and creates topics that are missing.
///
/// # Errors
/// When another process runs on the log, the student cannot be loaded, or the log cannot be read or written.
pub(crate) fn run_on_log(
    config: &Config,
    log: &EmbeddedLog,
    observer: Box<dyn Observer>,
    stop: Arc<AtomicBool>,
) -> Result<Progress> {
    create_topics(&config.engine, log, config.log.partitions)?;
    let topics = &config.engine.topics;
    let outputs = [&topics.extractions, &topics.quality, &topics.state, &topics.dead_letters].map(String::as_str);
    let committer = EmbeddedCommitter::open(log, &outputs)?;
    let runtime = config.student.start(&config.engine)?;
    let source = |_| Box::new(EmbeddedSource::tail(log)) as Box<dyn Source>;
    let parts = Parts {
        sources: (0..config.engine.workers).map(source).collect(),
        history: Box::new(EmbeddedSource::bounded(log)),
        committer: Box::new(committer),
        tokenize: runtime.tokenize,
        pool: runtime.pool,
        observer,
    };
    engine::run(&config.engine, parts, stop)
}

/// Creates the topics that do not exist; those about notes have as many partitions as the notes.
pub(crate) fn create_topics(engine: &EngineConfig, log: &EmbeddedLog, partitions: u32) -> Result<()> {
    let topics = &engine.topics;
    let partitions = log.partitions(&topics.notes).unwrap_or(partitions);
    for topic in [&topics.notes, &topics.references, &topics.extractions, &topics.state, &topics.dead_letters] {
        if log.partitions(topic).is_err() {
            log.create_topic(topic, partitions)?;
        }
    }
    if log.partitions(&topics.quality).is_err() {
        log.create_topic(&topics.quality, 1)?;
    }
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
        print!("{}", toml::to_string_pretty(&Config::load(config.as_deref())?)?);
        Ok(ExitCode::SUCCESS)
    }
}
