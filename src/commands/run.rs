//! `stillroom run`: the extraction topology on a log, or beside it the retraining topology.

use crate::cohorts::hierarchy;
use crate::commands::retrain::{STOP_NOTES, tell};
use crate::commands::{ConfigArgs, print_line};
use crate::config::Config;
use crate::engine::{self, Cluster, CohortParts, Committed, Observer, Parts, RetagSources, Role};
use crate::interpreter::Loaded;
use crate::log::{first_progress, open_log, open_written_log, prepare_topics};
use crate::teaching::asking::{self, Asker, Asking};
use crate::{interpreter, offline, retraining, serving, students, wire};
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stillroom_connectors::{Committer, Log, Source};
use stillroom_dataflow::{Output, Students, TeacherPanel};
use stillroom_schemas::Progress;

/// What runs on the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Topology {
    /// Notes become entities, and live quality.
    #[default]
    Extraction,
    /// Labels and references become better students: beside an extraction, in a process of its own.
    Retraining,
}

/// Arguments of `run`.
#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    config: ConfigArgs,
    /// What runs on the log.
    #[arg(long, value_enum, default_value_t)]
    topology: Topology,
    /// Worker threads of each process; overrides engine.workers.
    #[arg(short, long, value_name = "N")]
    workers: Option<usize>,
    /// Read live notes again that another student has tagged than the one that serves, or that were asserted or coded by another
    /// lexicon or vocabulary, so many a second; overrides engine.retag_notes_per_second.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20", conflicts_with = "dry_run")]
    retag: Option<u64>,
    /// A file with the host:port of every process of a cluster, a line each, the same for all of them.
    #[arg(long, value_name = "FILE", requires = "process")]
    processes: Option<PathBuf>,
    /// Which of them this is, from 0.
    #[arg(long, value_name = "I", requires = "processes")]
    process: Option<usize>,
    /// Read notes from where the last commit ended, print their entities, and commit nothing.
    #[arg(long, conflicts_with = "processes")]
    dry_run: bool,
    /// Notes to read in a dry run.
    #[arg(long, value_name = "N", requires = "dry_run", default_value_t = 10)]
    limit: u64,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut config = self.config.load()?.config;
        if self.topology == Topology::Retraining {
            ensure!(
                self.workers.is_none() && self.processes.is_none() && !self.dry_run && self.retag.is_none(),
                "the retraining topology has one worker and one process, tags nothing and has no dry run; leave the options out, \
                 or see `stillroom retrain --dry-run`"
            );
            return retrain(&config);
        }
        if let Some(workers) = self.workers {
            config.engine.workers = workers;
            config.engine.check()?;
        }
        if let Some(notes_per_second) = self.retag {
            config.engine.retag_notes_per_second = notes_per_second;
            config.engine.check()?;
        }
        if self.dry_run {
            return dry_run(&config, open_written_log(&config)?.as_ref(), self.limit);
        }
        let log = open_log(&config)?;
        let cluster = match (&self.processes, self.process) {
            (Some(processes), Some(process)) => Some(cluster(&config, processes, process)?),
            _ => None,
        };
        let stop = stop_on_signal(StopNotes::default())?;
        let run = LogRun::open(&config, log, cluster)?;
        eprintln!("running on {}; stop with Ctrl-C or SIGTERM", run.log.place());
        eprintln!("{}", run.bounds());
        let progress = run.run(Box::new(Quiet), stop)?;
        print_line(serde_json::to_string(&progress.totals)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The retraining topology, until a stop.
fn retrain(config: &Config) -> Result<ExitCode> {
    let log = open_written_log(config)?;
    let stop = stop_on_signal(STOP_NOTES)?;
    eprintln!("retraining on {}; stop with Ctrl-C or SIGTERM", log.place());
    retraining::follow(config, log, &stop, &mut tell)?;
    Ok(ExitCode::SUCCESS)
}

/// A key is long enough when nobody can try all of that length.
const KEY_BYTES_MIN: usize = 32;

fn cluster(config: &Config, processes: &Path, process: usize) -> Result<Cluster> {
    let path = config.cluster.key_file.as_ref().context(
        "several processes need a key that they share; make one with `head -c 32 /dev/urandom | base64 > FILE`, give it to all \
         processes and name it in [cluster] key_file",
    )?;
    let secret = std::fs::read(path).with_context(|| format!("cannot read the key_file {}", path.display()))?;
    ensure!(
        secret.len() >= KEY_BYTES_MIN,
        "the key_file {} has {} bytes and needs {KEY_BYTES_MIN}; make one with `head -c 32 /dev/urandom | base64 > FILE`",
        path.display(),
        secret.len()
    );
    Ok(Cluster {
        addresses: Cluster::read_addresses(processes)?,
        process,
        key: Sha256::digest(&secret).into(),
        start_max: Duration::from_millis(config.cluster.start_ms_max),
    })
}

/// A supervisor may send one stop as several signals; what comes after this is another.
const STOP_IS_ONE: Duration = Duration::from_secs(1);

/// What is said of a stop.
#[derive(Clone, Copy)]
pub(crate) struct StopNotes {
    /// Of the first.
    pub(crate) first: &'static str,
    /// Of another.
    pub(crate) second: &'static str,
}

impl Default for StopNotes {
    /// Those of an engine.
    fn default() -> StopNotes {
        StopNotes {
            first: "what was read is tagged and committed; stop once more to leave that to the next run",
            second: "stopped at once; the next run goes on from the last commit",
        }
    }
}

/// The flag that SIGTERM, SIGHUP and Ctrl-C set: read no more, commit what was read, end. A second stop ends at once, which
/// loses nothing: what is not committed is read again.
pub(crate) fn stop_on_signal(notes: StopNotes) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let mut first = None;
    let on_signal = move || {
        flag.store(true, Ordering::SeqCst);
        match first {
            None => {
                first = Some(Instant::now());
                eprintln!("{}", notes.first);
            }
            Some(first) if first.elapsed() > STOP_IS_ONE => {
                eprintln!("{}", notes.second);
                std::process::exit(1);
            }
            Some(_) => {}
        }
    };
    ctrlc::set_handler(on_signal).context("cannot listen for signals")?;
    Ok(stop)
}

/// The extraction topology on a log that no other engine has.
pub(crate) struct LogRun<'a> {
    config: &'a Config,
    log: Arc<dyn Log>,
    wire: wire::Wire,
    cluster: Option<Cluster>,
    /// Of the process that commits.
    committer: Option<Box<dyn Committer>>,
    /// If teachers are to be asked.
    asker: Option<Asker>,
    panel: TeacherPanel,
}

impl LogRun<'_> {
    /// Takes the log for this process, unless it only follows the first of a cluster, and creates topics that are missing, where it
    /// may.
    ///
    /// # Errors
    /// When another process runs on the log, a topic is missing or has too few partitions, or the log cannot be read or written.
    pub(crate) fn open(config: &Config, log: Arc<dyn Log>, cluster: Option<Cluster>) -> Result<LogRun<'_>> {
        let wire = wire::Wire::open(config)?;
        let asker = Asker::open(&config.teachers, true)?;
        let panel = asking::panel(&config.teachers, asker.as_ref())?;
        let follows = cluster.as_ref().is_some_and(|cluster| cluster.process > 0);
        let committer = if follows {
            None
        } else {
            prepare_topics(config, log.as_ref())?;
            Some(wire.committer(log.committer(&config.engine.outputs())?)?)
        };
        Ok(LogRun { config, log, wire, cluster, committer, asker, panel })
    }

    /// What is in memory at worst beside the program, the student, the vocabularies and the state of notes.
    fn bounds(&self) -> String {
        let (engine, commits) = (&self.config.engine, self.committer.is_some());
        let readers = engine.workers + usize::from(engine.retag_notes_per_second > 0);
        let mib = |bytes: usize| bytes.div_ceil(1 << 20);
        let of_commit = if commits { engine.commit_bytes_max } else { 0 };
        let of_teachers = if self.asker.is_some() { self.config.teachers.waiting_bytes_max } else { 0 };
        format!(
            "records in memory at most: about {} MiB being worked on, {} MiB in the log's clients, {} MiB in a commit, {} MiB waiting \
             for teachers, and {} word pieces with the student",
            mib(engine.record_bytes_max_in_memory()),
            mib(self.log.client_bytes_max(readers, commits)),
            mib(of_commit),
            mib(of_teachers),
            engine.pieces_open_max()
        )
    }

    /// Runs until `stop` is set.
    ///
    /// # Errors
    /// When the student, a lexicon or a vocabulary cannot be loaded, or the log cannot be read or written.
    pub(crate) fn run(self, observer: Box<dyn Observer>, stop: Arc<AtomicBool>) -> Result<Progress> {
        let LogRun { config, log, wire, cluster, committer, asker, panel } = self;
        let Loaded { interpret, concepts } = interpreter::load(&config.assertion, &config.concepts)?;
        let runtime = config.student.start(&config.engine)?;
        let sources = (0..config.engine.workers).map(|_| Ok(wire.source(log.tail()?)));
        let sources = sources.collect::<Result<Vec<Box<dyn Source>>>>()?;
        let history = wire.source(log.bounded()?);
        let role = match committer {
            Some(committer) => Role::Commits { committer, observer },
            None => {
                let (log, topics) = (Arc::clone(&log), config.engine.topics.clone());
                Role::Follows { progress: Box::new(move || first_progress(log.as_ref(), &topics)) }
            }
        };
        let format = wire.format();
        let (retag, cohorts) =
            (Some(retag_sources(&log, wire)), CohortParts { hierarchy: hierarchy(concepts), tally: Arc::default() });
        let tally = Arc::clone(&cohorts.tally);
        let students = Students::new(runtime.pool, students::loader(config, runtime.tokenizer_hash));
        let tokenize = runtime.tokenize;
        let (teachers, labels) = (&config.teachers, &config.engine.topics.labels);
        let asking = asker.map(|asker| asker.start(teachers, log, labels)).transpose()?;
        let ask = asking.as_ref().map(|asking| asking.ask.clone());
        let parts = Parts {
            sources,
            history,
            role,
            wire: format,
            tokenize,
            students,
            interpret,
            cluster,
            ask,
            panel,
            retag,
            cohorts,
        };
        let ran = engine::run(&config.engine, parts, stop);
        let asked = asking.map(Asking::finish).transpose();
        if let Ok(Some(table)) = &asked {
            eprintln!("{table}");
        }
        let (progress, (nobody, undated)) = (ran?, (tally.without_patient(), tally.without_day()));
        if nobody > 0 || undated > 0 {
            eprintln!(
                "{nobody} live notes have no patient and are in no cohort; {undated} have no date and are in no window of days"
            );
        }
        asked.context("not all that teachers said is written")?;
        Ok(progress)
    }
}

/// By which live notes are read again, if the configuration says so. States are stillroom's own, and plain, which the wire lets pass.
fn retag_sources(log: &Arc<dyn Log>, wire: wire::Wire) -> RetagSources {
    let wire = Arc::new(wire);
    let (of_bounded, of_tail) = ((Arc::clone(&wire), Arc::clone(log)), (wire, Arc::clone(log)));
    RetagSources {
        bounded: Box::new(move || Ok(of_bounded.0.source(of_bounded.1.bounded()?))),
        tail: Box::new(move || Ok(of_tail.0.source(of_tail.1.tail()?))),
    }
}

struct Quiet;

impl Observer for Quiet {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        tracing::info!(
            epoch = committed.progress.epoch,
            notes = committed.totals.notes,
            retagged = committed.totals.retagged,
            "committed"
        );
        Ok(())
    }
}

/// The notes after the last commit, tagged by the student that serves and printed.
fn dry_run(config: &Config, log: &dyn Log, limit: u64) -> Result<ExitCode> {
    let wire = wire::Wire::open(config)?;
    let mut engine = config.engine.clone();
    engine.workers = 1;
    // As if every note came for the first time: what is known of earlier revisions is not restored.
    let start = log.progress()?.inputs.remove(&engine.topics.notes).unwrap_or_default();
    let runtime = serving::student_config(config)?.start(&engine)?;
    let (source, interpret) =
        (wire.source(log.bounded()?), interpreter::load(&config.assertion, &config.concepts)?.interpret);
    let input = offline::Input { source, wire: wire.format(), start, limit, interpret };
    let totals = offline::extract(runtime, &engine, input, Box::new(Printed))?;
    eprintln!(
        "{} notes read, nothing committed: {} extracted, {} dead letters, {} superseded, {} withdrawn",
        totals.notes, totals.extracted, totals.dead_lettered, totals.superseded, totals.withdrawn
    );
    Ok(ExitCode::SUCCESS)
}

/// Prints what would be written.
struct Printed;

impl Observer for Printed {
    fn committed(&mut self, committed: &Committed<'_>) -> Result<()> {
        for output in committed.outputs {
            match output {
                Output::Extracted { extraction, .. } => print_line(serde_json::to_string(extraction)?)?,
                Output::DeadLettered { letter, .. } => {
                    let (topic, partition, offset) = (&letter.topic, letter.partition, letter.offset);
                    eprintln!("{topic}/{partition} offset {offset} would be a dead letter: {}", letter.error);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
