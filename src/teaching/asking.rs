//! Teachers that are asked while notes flow.
//!
//! In: the questions that `Ask` draws, without waiting. Out: labels on their topic, from where they come back as input. A thread of its
//! own asks, and nothing that becomes of a question holds up a note: what is drawn while too much is waiting is not asked. An
//! answer is kept in the store before it is written, so a question that comes again after a kill is not paid again; a question that
//! was waiting when the process ended is not asked again.

use crate::teaching::labels::{TEXTS_OPEN_MAX, label_all, label_of, runtime, usd};
use crate::teaching::tallies::Tallies;
use crate::teaching::{TeachersConfig, Wanted};
use anyhow::{Context, Result, anyhow, ensure};
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use stillroom_connectors::{Appended, Appender, Log, LogError};
use stillroom_dataflow::ensemble::Ensemble;
use stillroom_dataflow::{AskConfig, TeacherPanel, TeacherQuestion, label_key};
use stillroom_schemas::{Task, TaskSet};
use stillroom_teachers::ensemble::Choice;
use stillroom_teachers::{Budget, Labeled, Labeler};
use tokio::sync::{mpsc, oneshot};

/// How long the end of a run waits for answers that are under way: they are paid for.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Between two tries to write labels: the log says nothing when it can be written again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Teachers, ready to be asked.
pub(crate) struct Asker {
    labeler: Arc<Labeler>,
    budget: Arc<Budget>,
}

impl Asker {
    /// The teachers that `run` is to ask; nothing if there are none. Without `keeps` they are only looked at, also while `run` has the
    /// store.
    ///
    /// # Errors
    /// When one cannot be used, or may not see notes of real patients; when another process has the store.
    pub(crate) fn open(config: &TeachersConfig, keeps: bool) -> Result<Option<Asker>> {
        if config.ask.is_empty() {
            return Ok(None);
        }
        let wanted = Wanted { teachers: &config.ask, budget: None, keeps, is_public: false, retries_failed: false };
        let (labeler, budget) = config.open(&wanted)?;
        Ok(Some(Asker { labeler: Arc::new(labeler), budget }))
    }

    /// Starts to ask, and to write labels to `topic`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(self, config: &TeachersConfig, log: Arc<dyn Log>, topic: &str) -> Result<Asking> {
        let Asker { labeler, budget } = self;
        let (sender, receiver) = mpsc::unbounded_channel();
        let (ending, ended) = oneshot::channel();
        let waiting = Arc::new(Waiting { bytes_max: config.waiting_bytes_max, ..Waiting::default() });
        let desk = Desk {
            labeler: Arc::clone(&labeler),
            budget: Arc::clone(&budget),
            log,
            topic: topic.to_owned(),
            waiting: Arc::clone(&waiting),
            tallies: Tallies::default(),
            appender: None,
        };
        let thread = std::thread::Builder::new().name("teachers".to_owned());
        let thread = thread.spawn(move || desk.run(receiver, ended)).context("cannot start a thread")?;
        let waiting_of_ask = Arc::clone(&waiting);
        let ask = move |question: TeacherQuestion| {
            if waiting_of_ask.admits(question.bytes()) && sender.send(question).is_err() {
                // Why nobody asks any more is said at the end.
                waiting_of_ask.skipped.fetch_add(1, Ordering::Relaxed);
            }
        };
        let ask = AskConfig { sampling: config.sampling.clone(), ask: Arc::new(ask) };
        Ok(Asking { ask, ending, labeler, budget, waiting, thread })
    }
}

/// The panel that `Score` compares: the teachers that are asked, and the chosen ensemble.
///
/// # Errors
/// When the choice cannot be read, or has teachers that are not asked although some are.
pub(crate) fn panel(config: &TeachersConfig, asker: Option<&Asker>) -> Result<TeacherPanel> {
    let asked: Vec<(String, TaskSet)> = asker.map_or(Vec::new(), |asker| {
        asker.labeler.teachers().iter().map(|teacher| (teacher.name().to_owned(), teacher.tasks().clone())).collect()
    });
    let mut chosen: BTreeMap<Task, Ensemble> = BTreeMap::new();
    if let Some(path) = config.ensemble() {
        let choice = Choice::load(path)?;
        for teacher in choice.teachers() {
            ensure!(
                asked.is_empty() || asked.iter().any(|(name, _)| *name == teacher),
                "the ensembles in {} have the teacher {teacher}, which is not asked; add it to [teachers] ask",
                path.display()
            );
        }
        chosen = choice.0.into_iter().map(|(task, chosen)| (task, chosen.ensemble)).collect();
    }
    Ok(TeacherPanel::new(&asked, chosen))
}

/// What is drawn and not yet labelled.
#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Questions that were not asked, because too much was waiting.
    skipped: AtomicU64,
    is_ending: AtomicBool,
}

impl Waiting {
    /// Whether a question of so many bytes may wait; it is counted if so.
    fn admits(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_admitted = before + bytes <= self.bytes_max;
        if !is_admitted {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        is_admitted
    }

    fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Teachers that are being asked.
pub(crate) struct Asking {
    /// For the engine.
    pub(crate) ask: AskConfig,
    ending: oneshot::Sender<()>,
    labeler: Arc<Labeler>,
    budget: Arc<Budget>,
    waiting: Arc<Waiting>,
    thread: JoinHandle<Result<Tallies>>,
}

impl Asking {
    /// Asks nothing any more, and waits for what is under way, but not long; what became of the questions, for people. The engine has
    /// ended before.
    ///
    /// # Errors
    /// Why asking ended before its time.
    pub(crate) fn finish(self) -> Result<String> {
        let Asking { ask, ending, labeler, budget, waiting, thread } = self;
        waiting.is_ending.store(true, Ordering::SeqCst);
        labeler.end();
        drop(ask);
        // A thread that has ended by itself hears nothing.
        let _heard = ending.send(());
        let tallies = thread.join().map_err(|_| anyhow!("the thread that asks teachers panicked"))??;
        let skipped = waiting.skipped.load(Ordering::Relaxed);
        let mut table = tallies.table(&labeler, &budget)?;
        if skipped > 0 {
            table += &format!(
                "\n{skipped} notes were drawn and not asked about, as too many were waiting: raise [teachers] waiting_bytes_max, or lower \
                 the rates of [teachers.sampling]"
            );
        }
        Ok(table)
    }
}

type Answered = (TeacherQuestion, Result<Vec<Option<Labeled>>>);

/// Where questions become labels.
struct Desk {
    labeler: Arc<Labeler>,
    budget: Arc<Budget>,
    log: Arc<dyn Log>,
    topic: String,
    waiting: Arc<Waiting>,
    tallies: Tallies,
    /// Made by the first label; one that failed is not used again.
    appender: Option<Box<dyn Appender>>,
}

impl Desk {
    fn run(
        mut self,
        questions: mpsc::UnboundedReceiver<TeacherQuestion>,
        ended: oneshot::Receiver<()>,
    ) -> Result<Tallies> {
        let asked = runtime()?.block_on(self.answer(questions, ended));
        if let Err(error) = &asked {
            tracing::error!("teachers are not asked any more: {error:#}");
        }
        asked.map(|()| self.tallies)
    }

    async fn answer(
        &mut self,
        questions: mpsc::UnboundedReceiver<TeacherQuestion>,
        ended: oneshot::Receiver<()>,
    ) -> Result<()> {
        let labeler = Arc::clone(&self.labeler);
        let ask = |question: TeacherQuestion| {
            let labeled = label_all(Arc::clone(&labeler), question.text.clone(), Task::ALL.into());
            async move { (question, labeled.await) }
        };
        let questions = stream::unfold(questions, async |mut questions| Some((questions.recv().await?, questions)));
        let drained = async {
            // An error says as much: nobody waits any more.
            let _ended = ended.await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        // What comes while labels are written is written at once.
        let answered = questions.map(ask).buffer_unordered(TEXTS_OPEN_MAX).ready_chunks(TEXTS_OPEN_MAX);
        let mut answered = pin!(answered.take_until(drained));
        while let Some(chunk) = answered.next().await {
            self.write(chunk).await?;
        }
        Ok(())
    }

    /// Writes the labels of some texts.
    async fn write(&mut self, answered: Vec<Answered>) -> Result<()> {
        let mut records = Vec::new();
        for (question, labels) in answered {
            let labels = labels?;
            for (teacher, labeled) in self.labeler.teachers().iter().zip(labels) {
                let Some(labeled) = labeled else { continue };
                self.tallies.add(teacher, &labeled);
                if let Some(label) = label_of(&question.note_id, &question.text_hash, teacher, &labeled) {
                    let key = label_key(&question.note_id, teacher.name(), &question.text_hash);
                    let value = Some(serde_json::to_vec(&label)?);
                    records.push(Appended { key: Some(key), value, ..Appended::default() });
                }
            }
            self.waiting.release(question.bytes());
        }
        self.append(Arc::new(records)).await?;
        tracing::info!(
            waiting_bytes = self.waiting.bytes.load(Ordering::Relaxed),
            skipped = self.waiting.skipped.load(Ordering::Relaxed),
            usd_today = usd(self.budget.spent_today()?),
            "labels written"
        );
        Ok(())
    }

    /// Appends until it succeeds, or the run ends: the labels are paid for.
    async fn append(&mut self, records: Arc<Vec<Appended>>) -> Result<()> {
        while !records.is_empty() {
            let (log, topic, of_try) = (Arc::clone(&self.log), self.topic.clone(), Arc::clone(&records));
            let kept = self.appender.take();
            let appended = tokio::task::spawn_blocking(move || -> Result<Box<dyn Appender>, LogError> {
                let mut appender = kept.map_or_else(|| log.appender(&topic), Ok)?;
                appender.append(&of_try)?;
                Ok(appender)
            });
            let labels = records.len();
            match appended.await.context("writing labels ended before its time")? {
                Ok(appender) => {
                    self.appender = Some(appender);
                    return Ok(());
                }
                Err(error) if self.waiting.is_ending.load(Ordering::SeqCst) => {
                    tracing::warn!(
                        "{labels} labels could not be written to {}, and are in the store alone: {error}; `stillroom label` writes \
                         them to a file without paying again",
                        self.topic
                    );
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(
                        "{labels} labels cannot be written to {}, which is tried again: {error}",
                        self.topic
                    );
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::TextHash;

    #[test]
    fn short_texts_have_a_bound_too() {
        let question = TeacherQuestion { note_id: "n".to_owned(), text: "x".to_owned(), text_hash: TextHash::of("x") };
        let waiting = Waiting { bytes_max: 64 << 10, ..Waiting::default() };
        let admitted = (0..64 << 10).take_while(|_| waiting.admits(question.bytes())).count();
        assert!((100..1000).contains(&admitted), "{admitted}");
        waiting.release(question.bytes());
        assert!(waiting.admits(question.bytes()) && !waiting.admits(question.bytes()));
        assert_eq!(waiting.skipped.load(Ordering::Relaxed), 2);
    }
}
