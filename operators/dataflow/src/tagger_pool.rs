//! Threads that run students, one instance each.
//!
//! Workers hand over batches for which they have credits, so that no send ever fails for want of room and nobody need be woken when
//! room comes back. A batch that fails is bisected until the window to blame fails alone.

use crate::batches::{Slot, WindowBatch};
use crate::{Probabilities, Tagger, TaggerError, Window};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use stillroom_schemas::{ModelId, Task};
use timely::scheduling::SyncActivator;

/// Makes a student on the thread that it will serve.
pub type TaggerFactory = Box<dyn FnOnce() -> Result<Box<dyn Tagger>, TaggerFactoryError> + Send>;

/// Why a student could not be made.
pub type TaggerFactoryError = Box<dyn std::error::Error + Send + Sync>;

/// Threads that run students.
#[derive(Debug)]
pub struct TaggerPool {
    handle: TaggerHandle,
    threads: Vec<JoinHandle<()>>,
}

/// What of a student shows in what it has tagged.
#[derive(Clone, Debug, PartialEq)]
pub struct TaggedBy {
    /// Its name and version.
    pub model: ModelId,
    /// See [`Tagger::thresholds`].
    pub thresholds: [f32; Task::ALL.len()],
}

/// A worker's access to the pool.
#[derive(Clone, Debug)]
pub(crate) struct TaggerHandle {
    /// The student.
    pub(crate) student: Arc<TaggedBy>,
    /// Batches that one worker may have with the pool.
    pub(crate) credits: usize,
    jobs: Sender<Job>,
    is_lost: Lost,
}

/// Whether a batch was never answered, so that its epoch cannot complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<AtomicBool>);

impl Lost {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Whether somebody else may still set it.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Why a pool could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TaggerPoolError {
    /// There is nothing to run.
    #[error("no student was given; the pool needs at least one")]
    Empty,
    /// A student could not be made.
    #[error("a student could not be loaded")]
    Load(#[source] TaggerFactoryError),
    /// The operating system gave no thread.
    #[error("cannot start a thread for a student")]
    Thread(#[source] std::io::Error),
    /// Two threads have different students.
    #[error(
        "the students of one pool must be the same, but one is {one} and another {other}, or their thresholds differ"
    )]
    Different {
        /// One of them.
        one: String,
        /// Another.
        other: String,
    },
    /// A student that was activated cannot be loaded, and notes are to be tagged by it.
    #[error(
        "the student {0} was activated and cannot be loaded, for the reason that was logged; `stillroom models verify` says more, and \
         `stillroom models rollback` activates the one before"
    )]
    Activated(String),
    /// A thread ended before its time.
    #[error(
        "a student's thread ended with batches unanswered; what it held is not committed and is read again on restart"
    )]
    Lost,
}

impl TaggerPool {
    /// Starts one thread for each factory, for workers that have at most `credits` batches with it each, and waits until every student is
    /// loaded.
    ///
    /// # Errors
    /// When a student cannot be loaded, or the students differ.
    pub fn start(factories: Vec<TaggerFactory>, credits: usize) -> Result<TaggerPool, TaggerPoolError> {
        let credits = credits.max(1);
        // Bounded by the credits of all who send. A student that serves twice, with another between, has two who send on a worker.
        let (jobs, queue) = unbounded();
        let (loaded, students) = bounded(factories.len());
        let mut threads = Vec::new();
        for (index, factory) in factories.into_iter().enumerate() {
            let (queue, loaded) = (queue.clone(), loaded.clone());
            let thread = std::thread::Builder::new().name(format!("tagger-{index}"));
            let thread = thread.spawn(move || match factory() {
                Ok(mut tagger) => {
                    // Nobody waits any more when another student failed to load.
                    let _unwanted =
                        loaded.send(Ok(TaggedBy { model: tagger.model().clone(), thresholds: tagger.thresholds() }));
                    drop(loaded);
                    serve(tagger.as_mut(), &queue);
                }
                Err(error) => {
                    let _unwanted = loaded.send(Err(error));
                }
            });
            threads.push(thread.map_err(TaggerPoolError::Thread)?);
        }
        drop(loaded);
        let mut student: Option<TaggedBy> = None;
        for _ in &threads {
            let next = students.recv().map_err(|_| TaggerPoolError::Lost)?.map_err(TaggerPoolError::Load)?;
            match &student {
                Some(one) if *one != next => {
                    return Err(TaggerPoolError::Different { one: one.model.0.clone(), other: next.model.0 });
                }
                _ => student = Some(next),
            }
        }
        let student = Arc::new(student.ok_or(TaggerPoolError::Empty)?);
        Ok(TaggerPool { handle: TaggerHandle { student, credits, jobs, is_lost: Lost::default() }, threads })
    }

    /// The student.
    pub fn model(&self) -> &ModelId {
        &self.handle.student.model
    }

    /// A worker's access, and the threads, which end when all such are gone.
    pub(crate) fn into_parts(self) -> (TaggerHandle, Vec<JoinHandle<()>>) {
        (self.handle, self.threads)
    }
}

impl TaggerHandle {
    pub(crate) fn lost(&self) -> Lost {
        self.is_lost.clone()
    }

    /// Sends a batch for which the worker has a credit.
    pub(crate) fn submit(&self, windows: WindowBatch, answers: &Sender<Answers>, wake: &SyncActivator) {
        let reply = Reply { answers: answers.clone(), wake: wake.clone() };
        // A job that cannot be sent is dropped, and says itself that it is lost.
        let _lost = self.jobs.send(Job { windows, reply: Some(reply), is_lost: self.lost() });
    }
}

/// A batch's answers, window by window.
pub(crate) type Answers = Vec<(Slot, Result<Probabilities, String>)>;

struct Job {
    windows: WindowBatch,
    reply: Option<Reply>,
    is_lost: Lost,
}

struct Reply {
    answers: Sender<Answers>,
    wake: SyncActivator,
}

impl Drop for Job {
    /// A job that goes before it was answered takes the run with it: its notes are neither extracted nor dead letters.
    fn drop(&mut self) {
        if self.reply.is_some() {
            self.is_lost.set();
        }
    }
}

fn serve(tagger: &mut dyn Tagger, jobs: &Receiver<Job>) {
    for mut job in jobs {
        let windows: Vec<&Window> = job.windows.iter().map(|(_, window)| window).collect();
        let answers = bisect(tagger, &windows);
        let answers = job.windows.iter().zip(answers).map(|((slot, _), answer)| (*slot, answer)).collect();
        if let Some(reply) = job.reply.take() {
            // A worker that is gone wants no answer. The data goes first, then the wake-up.
            let _gone = reply.answers.send(answers);
            let _gone = reply.wake.activate();
        }
    }
}

/// Tags all windows; halves what fails until single windows fail.
fn bisect(tagger: &mut dyn Tagger, windows: &[&Window]) -> Vec<Result<Probabilities, String>> {
    match tag_checked(tagger, windows) {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if windows.len() <= 1 => vec![Err(error.to_string())],
        Err(_) => {
            let (left, right) = windows.split_at(windows.len() / 2);
            let mut answers = bisect(tagger, left);
            answers.extend(bisect(tagger, right));
            answers
        }
    }
}

/// Holds a student to its contract: one number between 0 and 1 for each task, word and window.
fn tag_checked(tagger: &mut dyn Tagger, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
    let answers = tagger.tag(windows)?;
    let is_whole = answers.len() == windows.len()
        && answers.iter().zip(windows).all(|(answer, window)| answer.len() == window.words.len());
    let is_probable = |answer: &Probabilities| answer.iter().flatten().all(|p| (0.0..=1.0).contains(p));
    let cause = match () {
        () if !is_whole => "it did not answer for every word",
        () if !answers.iter().all(is_probable) => "it answered with what is no probability",
        () => return Ok(answers),
    };
    Err(TaggerError { model: tagger.model().0.clone(), windows: windows.len(), cause: cause.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with the first id of a window; fails on 13, gives too little on 14 and nonsense on 15.
    struct Moody(ModelId);

    impl Tagger for Moody {
        fn model(&self) -> &ModelId {
            &self.0
        }

        fn thresholds(&self) -> [f32; 3] {
            [0.5; 3]
        }

        fn tag(&mut self, windows: &[&Window]) -> Result<Vec<Probabilities>, TaggerError> {
            if windows.iter().any(|window| window.ids[0] == 13) {
                let cause = "unlucky".to_owned();
                return Err(TaggerError { model: self.0.0.clone(), windows: windows.len(), cause });
            }
            let answer = |window: &&Window| match window.ids[0] {
                14 => vec![],
                15 => vec![[f32::NAN; 3]],
                id => vec![[id as f32 / 100.0; 3]],
            };
            Ok(windows.iter().map(answer).collect())
        }
    }

    fn moody(name: &str) -> TaggerFactory {
        let model = ModelId(name.to_owned());
        Box::new(move || Ok(Box::new(Moody(model)) as Box<dyn Tagger>))
    }

    fn check(ids: &[u32], expected: &str) {
        let windows: Vec<Window> =
            ids.iter().map(|&id| Window { ids: vec![id], words: 0..1, pieces: vec![0] }).collect();
        let answers = bisect(&mut Moody(ModelId("moody".to_owned())), &windows.iter().collect::<Vec<_>>());
        let answers = answers.iter().map(|answer| match answer {
            Ok(probabilities) => format!("{:.2}", probabilities[0][0]),
            Err(error) => error.rsplit(": ").next().unwrap_or_default().to_owned(),
        });
        assert_eq!(answers.collect::<Vec<_>>().join(", "), expected, "{ids:?}");
    }

    #[test]
    fn only_the_window_to_blame_fails() {
        check(&[1, 2, 3], "0.01, 0.02, 0.03");
        check(&[1, 13, 3, 4, 13], "0.01, unlucky, 0.03, 0.04, unlucky");
        check(&[14, 1, 15], "it did not answer for every word, 0.01, it answered with what is no probability");
    }

    #[test]
    fn students_must_load_and_agree() {
        let error = |factories| TaggerPool::start(factories, 1).unwrap_err().to_string();
        assert!(error(vec![]).starts_with("no student was given"));
        assert!(error(vec![moody("a"), moody("b")]).contains("the same"));
        assert!(error(vec![moody("a"), Box::new(|| Err("no such folder".into()))]).contains("could not be loaded"));
        let pool = TaggerPool::start(vec![moody("a"), moody("a")], 2).unwrap();
        assert_eq!(*pool.model(), ModelId("a".to_owned()));
    }
}
