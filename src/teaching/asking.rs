//! Teachers that are asked while notes flow.
//!
//! In: the questions that `Ask` draws, without waiting. Out: labels on their topic, from where they come back as input. A thread of its
//! own asks, and nothing that becomes of a question holds up a note: what is drawn while too much is waiting is not asked. Each teacher
//! has a queue of its own, and its labels are written as they come, so that none waits for a slower one. An answer is kept in the store before it is written, so a question that comes again after a kill is not paid again; a question that
//! was waiting when the process ended is not asked again.

use crate::teaching::labels::{TEXTS_OPEN_MAX, label_of, runtime, usd};
use crate::teaching::tallies::Tallies;
use crate::teaching::{TeachersConfig, Wanted};
use anyhow::{Context, Result, anyhow, ensure};
use futures_util::future::{Either, select};
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
        let (labeler, budget) = config.open(&wanted).context("cannot ask the teachers of [teachers] ask")?;
        Ok(Some(Asker { labeler: Arc::new(labeler), budget }))
    }

    /// Starts to ask, and to write labels to `topic`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(self, config: &TeachersConfig, log: Arc<dyn Log>, topic: &str) -> Result<Asking> {
        let Asker { labeler, budget } = self;
        let teachers = labeler.teachers().len();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..teachers).map(|_| mpsc::unbounded_channel()).unzip();
        let (ending, ended) = oneshot::channel();
        let is_ending = Arc::new(AtomicBool::new(false));
        let queue = |_| Waiting { bytes_max: config.waiting_bytes_max / teachers, ..Waiting::default() };
        let waiting: Arc<[Waiting]> = (0..teachers).map(queue).collect();
        let desk = Desk {
            labeler: Arc::clone(&labeler),
            budget: Arc::clone(&budget),
            log,
            topic: topic.to_owned(),
            waiting: Arc::clone(&waiting),
            is_ending: Arc::clone(&is_ending),
            tallies: Tallies::default(),
            appender: None,
        };
        let thread = std::thread::Builder::new().name("teachers".to_owned());
        let thread = thread.spawn(move || desk.run(receivers, ended)).context("cannot start a thread")?;
        let waiting_of_ask = Arc::clone(&waiting);
        let ask = move |question: TeacherQuestion| {
            let question = Arc::new(question);
            for (sender, waiting) in senders.iter().zip(waiting_of_ask.iter()) {
                if waiting.admits(question.bytes()) {
                    // Why nobody asks any more is said at the end.
                    let _sent = sender.send(Arc::clone(&question));
                }
            }
        };
        let ask = AskConfig { sampling: config.sampling.clone(), ask: Arc::new(ask) };
        Ok(Asking { ask, ending, is_ending, labeler, budget, waiting, thread })
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
        let choice = Choice::load(path).context("cannot measure the ensembles of [teachers] ensemble")?;
        for (task, chosen) in &choice.0 {
            for teacher in &chosen.ensemble.teachers {
                let found = asked.iter().find(|(name, _)| name == teacher);
                let (path, task_name) = (path.display(), task.name());
                ensure!(
                    asked.is_empty() || found.is_some(),
                    "the ensembles in {path} have the teacher {teacher}, which is not asked; add it to [teachers] ask"
                );
                ensure!(
                    found.is_none_or(|(_, tasks)| tasks.contains(task)),
                    "the ensemble for {task_name} in {path} has the teacher {teacher}, which does not label it; choose anew"
                );
            }
        }
        chosen = choice.0.into_iter().map(|(task, chosen)| (task, chosen.ensemble)).collect();
    }
    Ok(TeacherPanel::new(&asked, chosen))
}

/// What is drawn and not yet labelled by one teacher.
#[derive(Default)]
struct Waiting {
    questions: AtomicUsize,
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Questions that were not asked, because too much was waiting.
    skipped: AtomicU64,
}

impl Waiting {
    /// Whether a question of so many bytes may wait; it is counted if so.
    fn admits(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_admitted = before + bytes <= self.bytes_max;
        if is_admitted {
            self.questions.fetch_add(1, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        is_admitted
    }

    fn release(&self, bytes: usize) {
        self.questions.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Teachers that are being asked.
pub(crate) struct Asking {
    /// For the engine.
    pub(crate) ask: AskConfig,
    ending: oneshot::Sender<()>,
    is_ending: Arc<AtomicBool>,
    labeler: Arc<Labeler>,
    budget: Arc<Budget>,
    /// Of each teacher.
    waiting: Arc<[Waiting]>,
    thread: JoinHandle<Result<Tallies>>,
}

impl Asking {
    /// Asks nothing any more, and waits for what is under way, but not long; what became of the questions, for people. The engine has
    /// ended before.
    ///
    /// # Errors
    /// Why asking ended before its time.
    pub(crate) fn finish(self) -> Result<String> {
        let Asking { ask, ending, is_ending, labeler, budget, waiting, thread } = self;
        is_ending.store(true, Ordering::SeqCst);
        labeler.end();
        drop(ask);
        // A thread that has ended by itself hears nothing.
        let _heard = ending.send(());
        let tallies = thread.join().map_err(|_| anyhow!("the thread that asks teachers panicked"))??;
        let mut table = tallies.table(&labeler, &budget)?;
        for (teacher, waiting) in labeler.teachers().iter().zip(waiting.iter()) {
            let (teacher, left) = (teacher.name(), waiting.questions.load(Ordering::Relaxed));
            let skipped = waiting.skipped.load(Ordering::Relaxed);
            if left > 0 {
                table += &format!(
                    "\n{left} notes that were drawn are without labels of {teacher}, as it had not answered when the run ended, or its \
                     labels could not be written; it is not asked about them again"
                );
            }
            if skipped > 0 {
                table += &format!(
                    "\n{skipped} notes that were drawn were not shown to {teacher}, as too many were waiting: raise [teachers] \
                     waiting_bytes_max, or lower the rates of [teachers.sampling]"
                );
            }
        }
        Ok(table)
    }
}

type Question = Arc<TeacherQuestion>;

/// A teacher, what it was asked, and what it said.
type Answered = (usize, Question, Result<Option<Labeled>>);

/// Asks by a task of its own, which goes on while labels are written.
async fn ask(labeler: Arc<Labeler>, teacher: usize, question: Question) -> Answered {
    let of_task = Arc::clone(&question);
    let asked = async move { labeler.label(&labeler.teachers()[teacher], &of_task.text, &Task::ALL.into()).await };
    let labeled = tokio::spawn(asked).await.context("a question ended before its time");
    (teacher, question, labeled.and_then(|labeled| Ok(labeled?)))
}

/// Where questions become labels.
struct Desk {
    labeler: Arc<Labeler>,
    budget: Arc<Budget>,
    log: Arc<dyn Log>,
    topic: String,
    waiting: Arc<[Waiting]>,
    is_ending: Arc<AtomicBool>,
    tallies: Tallies,
    /// Made by the first label; one that failed is not used again.
    appender: Option<Box<dyn Appender>>,
}

impl Desk {
    fn run(
        mut self,
        questions: Vec<mpsc::UnboundedReceiver<Question>>,
        ended: oneshot::Receiver<()>,
    ) -> Result<Tallies> {
        let runtime = runtime()?;
        let asked = runtime.block_on(self.answer(questions, ended));
        // A log that is away may keep a thread that writes to it for a minute.
        runtime.shutdown_background();
        if let Err(error) = &asked {
            tracing::error!("teachers are not asked any more: {error:#}");
        }
        asked.map(|()| self.tallies)
    }

    async fn answer(
        &mut self,
        questions: Vec<mpsc::UnboundedReceiver<Question>>,
        ended: oneshot::Receiver<()>,
    ) -> Result<()> {
        let of_teacher = |(teacher, questions): (usize, mpsc::UnboundedReceiver<Question>)| {
            let labeler = Arc::clone(&self.labeler);
            let questions = stream::unfold(questions, async |mut questions| Some((questions.recv().await?, questions)));
            let asked = questions.map(move |question| ask(Arc::clone(&labeler), teacher, question));
            asked.buffer_unordered(TEXTS_OPEN_MAX).boxed()
        };
        let answered = stream::select_all(questions.into_iter().enumerate().map(of_teacher));
        let drained = async {
            // An error says as much: nobody waits any more.
            let _ended = ended.await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        // What comes while labels are written is written at once.
        let mut answered = answered.ready_chunks(TEXTS_OPEN_MAX);
        let writing = async {
            while let Some(chunk) = answered.next().await {
                self.write(chunk).await?;
            }
            Ok(())
        };
        match select(pin!(writing), pin!(drained)).await {
            Either::Left((written, _)) => written,
            Either::Right(_) => Ok(()),
        }
    }

    /// Writes what is of use of some answers.
    async fn write(&mut self, answered: Vec<Answered>) -> Result<()> {
        let (mut records, mut written, mut failed) = (Vec::new(), Vec::new(), None);
        for (teacher, question, labeled) in answered {
            if matches!(labeled, Ok(Some(Labeled::Ended))) {
                // It stays among those that are without labels.
                continue;
            }
            written.push((teacher, question.bytes()));
            let labeled = labeled.unwrap_or_else(|error| {
                failed.get_or_insert(error);
                None
            });
            let (teacher, Some(labeled)) = (&self.labeler.teachers()[teacher], labeled) else { continue };
            self.tallies.add(teacher, &labeled);
            if let Some(label) = label_of(&question.note_id, &question.text_hash, teacher, &labeled) {
                let key = label_key(&question.note_id, teacher.name(), &question.text_hash);
                let value = Some(serde_json::to_vec(&label)?);
                records.push(Appended { key: Some(key), value, ..Appended::default() });
            }
        }
        self.append(Arc::new(records)).await?;
        // Until then they are without labels, should the run end meanwhile.
        written.into_iter().for_each(|(teacher, bytes)| self.waiting[teacher].release(bytes));
        if let Some(error) = failed {
            return Err(error);
        }
        tracing::info!(
            waiting = self.waiting.iter().map(|of| of.questions.load(Ordering::Relaxed)).sum::<usize>(),
            skipped = self.waiting.iter().map(|of| of.skipped.load(Ordering::Relaxed)).sum::<u64>(),
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
                Err(error) if self.is_ending.load(Ordering::SeqCst) => {
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
mod tests;
