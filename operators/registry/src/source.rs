//! Holds records back until their schemas are known.
//!
//! In: records of another source. Out: the same records, in the same order. State: one poll's records at most, while a schema that
//! they name is asked for. A thread asks, so that no poll lasts longer than it may; one poll's ids are under way at most.

use crate::{Registry, RegistryError, RegistryFormat};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use stillroom_connectors::{LogError, Source};
use stillroom_dataflow::Record;

/// The first pause before a registry that failed is asked again; each that follows is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The least time between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// A source whose records can be read without waiting for the registry.
///
/// While the registry fails, or refuses to tell a schema, the source delivers nothing, keeps its log's connection alive, warns from
/// time to time and goes on asking. An id that the registry says it does not have holds nothing back: its records become dead
/// letters.
pub struct RegistrySource {
    inner: Box<dyn Source>,
    format: Arc<RegistryFormat>,
    fetcher: Fetcher,
    /// Records that were polled and not delivered; the inner source is paused while there are any.
    held: Vec<Record>,
    /// The ids that they name and that are still to be asked for.
    wanted: BTreeSet<u32>,
    is_paused: bool,
    backoff: Duration,
    retry_at: Instant,
    warned_at: Option<Instant>,
}

/// The thread that asks. It ends when this is dropped, after the request that is under way.
struct Fetcher {
    ids: SyncSender<BTreeSet<u32>>,
    answers: Receiver<Result<(), RegistryError>>,
    is_busy: bool,
}

impl Fetcher {
    fn start(registry: Arc<Registry>) -> Fetcher {
        let (ids, asked) = sync_channel::<BTreeSet<u32>>(1);
        let (answer, answers) = sync_channel(1);
        thread::spawn(move || {
            for ids in asked {
                if answer.send(ids.into_iter().try_for_each(|id| registry.fetch(id))).is_err() {
                    break;
                }
            }
        });
        Fetcher { ids, answers, is_busy: false }
    }

    fn ask(&mut self, ids: BTreeSet<u32>) {
        self.ids.send(ids).expect("the thread lives as long as its sender");
        self.is_busy = true;
    }

    /// What came of the last question, if that is known by `deadline`.
    fn wait(&mut self, deadline: Instant) -> Option<Result<(), RegistryError>> {
        match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => {
                self.is_busy = false;
                Some(answer)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the thread that asks the schema registry is gone"),
        }
    }
}

impl RegistrySource {
    /// Wraps `inner`, for what `format` reads.
    pub fn new(inner: Box<dyn Source>, format: Arc<RegistryFormat>) -> RegistrySource {
        let fetcher = Fetcher::start(Arc::clone(format.registry()));
        RegistrySource {
            inner,
            format,
            fetcher,
            held: Vec::new(),
            wanted: BTreeSet::new(),
            is_paused: false,
            backoff: BACKOFF_MIN,
            retry_at: Instant::now(),
            warned_at: None,
        }
    }

    /// Asks for what is wanted, again after failures, and says whether all is told by `deadline`.
    ///
    /// What was told once counts, even if the cache has no room for all of it: otherwise a poll with more unknown ids than are
    /// remembered would be asked for without end.
    fn settle(&mut self, deadline: Instant) -> bool {
        while self.fetcher.is_busy || !self.wanted.is_empty() {
            if !self.fetcher.is_busy && Instant::now() >= self.retry_at {
                self.fetcher.ask(std::mem::take(&mut self.wanted));
            }
            let until = if self.fetcher.is_busy { deadline } else { deadline.min(self.retry_at) };
            match self.fetcher.wait(until) {
                Some(Ok(())) => self.backoff = BACKOFF_MIN,
                Some(Err(error)) => self.put_off(&error),
                None if Instant::now() >= deadline => return false,
                None => {}
            }
        }
        true
    }

    fn put_off(&mut self, error: &RegistryError) {
        self.wanted = self.format.lacking(&self.held);
        let now = Instant::now();
        self.retry_at = now + self.backoff;
        self.backoff = (2 * self.backoff).min(BACKOFF_MAX);
        if self.warned_at.is_none_or(|at| now.duration_since(at) >= WARN_EVERY) {
            let sources = std::iter::successors(std::error::Error::source(error), |error| error.source());
            let causes: Vec<_> = sources.map(ToString::to_string).collect();
            tracing::warn!(%error, causes = causes.join(": "), records = self.held.len(), "records wait for their schemas");
            self.warned_at = Some(now);
        }
    }
}

impl Source for RegistrySource {
    fn partitions(&mut self, topic: &str) -> Result<u32, LogError> {
        self.inner.partitions(topic)
    }

    fn assign(&mut self, topic: &str, partition: u32, next: u64) -> Result<(), LogError> {
        self.inner.assign(topic, partition, next)
    }

    fn poll(&mut self, bytes_max: usize, wait: Duration) -> Result<Vec<Record>, LogError> {
        let deadline = Instant::now() + wait;
        if self.held.is_empty() {
            let records = self.inner.poll(bytes_max, wait)?;
            self.wanted = self.format.lacking(&records);
            if self.wanted.is_empty() {
                return Ok(records);
            }
            self.held = records;
            self.inner.pause();
        }
        if self.settle(deadline) && !self.is_paused {
            self.inner.resume();
            return Ok(std::mem::take(&mut self.held));
        }
        // A paused source gives nothing. Polling it keeps it alive, and waits out the time if the engine has paused this one.
        let late = self.inner.poll(bytes_max, deadline.saturating_duration_since(Instant::now()))?;
        self.wanted.extend(self.format.lacking(&late));
        self.held.extend(late);
        Ok(Vec::new())
    }

    fn pause(&mut self) {
        self.is_paused = true;
        self.inner.pause();
    }

    fn resume(&mut self) {
        self.is_paused = false;
        if self.held.is_empty() {
            self.inner.resume();
        }
    }

    fn is_finished(&self) -> bool {
        self.held.is_empty() && self.inner.is_finished()
    }
}
