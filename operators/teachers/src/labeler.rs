//! Asks several teachers about a text, each question once.

use crate::client::Client;
use crate::vocabulary::Vocabulary;
use crate::{Answer, AnswerKey, Budget, Found, Profile, Prompt, Question, Store, TeacherError, TeacherPurse, today};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use stillroom_schemas::TaskSet;
use tokio::sync::Mutex;

/// Questions that may be under way at once, so that the same one is not asked twice: one lock a group of questions.
const LOCKS: usize = 1024;

/// Somebody who labels.
pub struct Teacher {
    name: String,
    tasks: TaskSet,
    kind: Kind,
    /// Why it is not asked any more.
    stopped: OnceLock<String>,
}

enum Kind {
    Remote(Box<Remote>),
    Local(Box<Vocabulary>),
}

struct Remote {
    client: Client,
    purse: TeacherPurse,
    /// Of its own.
    prompt: Option<Prompt>,
    fingerprint: String,
}

/// What came of asking one teacher about one text.
#[derive(Debug)]
pub enum Labeled {
    /// It was asked before, or is asked now.
    Answered {
        /// What it said.
        answer: Answer,
        /// What it was asked for.
        tasks: TaskSet,
        /// Whether it had been asked before, and nothing was paid.
        was_kept: bool,
    },
    /// It gave no answer, and may be asked again another time.
    Unanswered {
        /// Why not.
        reason: String,
    },
}

impl Teacher {
    /// A teacher that is asked over the network.
    ///
    /// # Errors
    /// When the profile, its key or its prompt cannot be used, or has no price although there is a budget.
    pub fn remote(name: &str, profile: Profile, budget: &Arc<Budget>) -> Result<Teacher, TeacherError> {
        let prompt = profile.prompt.as_deref().map(Prompt::load).transpose()?;
        let purse = budget.purse(name, profile.priced_model())?;
        let (tasks, fingerprint) = (profile.tasks.clone(), profile.fingerprint());
        let kind = Kind::Remote(Box::new(Remote { client: Client::new(name, profile)?, purse, prompt, fingerprint }));
        Ok(Teacher { name: name.to_owned(), tasks, kind, stopped: OnceLock::new() })
    }

    /// A vocabulary as a teacher.
    pub fn local(name: &str, vocabulary: Vocabulary) -> Teacher {
        let (name, tasks) = (name.to_owned(), vocabulary.tasks().clone());
        Teacher { name, tasks, kind: Kind::Local(Box::new(vocabulary)), stopped: OnceLock::new() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it can find.
    pub fn tasks(&self) -> &TaskSet {
        &self.tasks
    }

    /// The prompt for some tasks; nothing for a vocabulary.
    pub fn prompt(&self, tasks: &TaskSet) -> Option<Prompt> {
        match &self.kind {
            Kind::Remote(remote) => Some(remote.prompt.clone().unwrap_or_else(|| Prompt::built_in(tasks))),
            Kind::Local(_) => None,
        }
    }

    /// Sends a made-up text, and confirms that the answer can be used.
    ///
    /// # Errors
    /// Says why it cannot.
    pub async fn canary(&self) -> Result<(), TeacherError> {
        match &self.kind {
            Kind::Remote(remote) => remote.client.canary().await,
            Kind::Local(_) => Ok(()),
        }
    }
}

/// Asks teachers, keeps what they say, and asks nothing twice.
pub struct Labeler {
    teachers: Vec<Teacher>,
    store: Arc<Store>,
    prices: String,
    /// Whether a question whose answer was of no use is asked again.
    retries_failed: bool,
    locks: Vec<Mutex<()>>,
}

impl Labeler {
    /// A labeler by these teachers, which pay from `budget`.
    pub fn new(teachers: Vec<Teacher>, store: Arc<Store>, budget: &Budget, retries_failed: bool) -> Labeler {
        let prices = budget.prices().version().to_owned();
        Labeler { teachers, store, prices, retries_failed, locks: (0..LOCKS).map(|_| Mutex::default()).collect() }
    }

    /// The teachers.
    pub fn teachers(&self) -> &[Teacher] {
        &self.teachers
    }

    /// What a teacher says of a text, for those of `tasks` that it can find; nothing if it can find none.
    ///
    /// # Errors
    /// When the store cannot be read or written. That a teacher does not answer is no error.
    pub async fn label(&self, teacher: &Teacher, text: &str, tasks: &TaskSet) -> Result<Option<Labeled>, TeacherError> {
        let tasks: TaskSet = tasks.intersection(&teacher.tasks).copied().collect();
        if tasks.is_empty() {
            return Ok(None);
        }
        match &teacher.kind {
            Kind::Local(vocabulary) => Ok(Some(self.look_up(vocabulary, text, tasks))),
            Kind::Remote(remote) => {
                let built_in = Prompt::built_in(&tasks);
                let instructions = remote.prompt.as_ref().map_or(built_in.text.as_str(), |prompt| prompt.text.as_str());
                let question = Question { text, tasks: &tasks, instructions };
                let key = AnswerKey::new(&question, &remote.fingerprint);
                let _alone = self.locks[lock_of(&key)].lock().await;
                match self.store.answer(&key)? {
                    Some(answer) if !self.retries_failed || matches!(answer.found, Found::Spans { .. }) => {
                        Ok(Some(Labeled::Answered { answer, tasks, was_kept: true }))
                    }
                    _ => self.ask(teacher, remote, (&question, &key)).await.map(Some),
                }
            }
        }
    }

    fn look_up(&self, vocabulary: &Vocabulary, text: &str, tasks: TaskSet) -> Labeled {
        let began = Instant::now();
        let spans = vocabulary.label(text, &tasks);
        let parameters = serde_json::json!({ "vocabulary": vocabulary.version() });
        let answer = Answer {
            found: Found::Spans { spans, ungrounded: 0, parameters },
            usage: crate::Usage::default(),
            cost_nano_usd: Some(0),
            prices: self.prices.clone(),
            seconds: began.elapsed().as_secs_f64(),
            day: today(),
        };
        Labeled::Answered { answer, tasks, was_kept: false }
    }

    async fn ask(
        &self,
        teacher: &Teacher,
        remote: &Remote,
        (question, key): (&Question<'_>, &AnswerKey),
    ) -> Result<Labeled, TeacherError> {
        if let Some(reason) = teacher.stopped.get() {
            return Ok(Labeled::Unanswered { reason: reason.clone() });
        }
        let (asked, day) = (remote.client.ask(question, &remote.purse).await, today());
        let found = match asked.outcome {
            Ok(reply) => {
                Found::Spans { spans: reply.spans, ungrounded: reply.ungrounded, parameters: reply.parameters }
            }
            Err(error) if error.is_of_the_answer() => Found::Failed { reason: error.to_string() },
            Err(error) => {
                let reason = error.to_string();
                if error.is_final() {
                    let _first = teacher.stopped.set(reason.clone());
                }
                return Ok(Labeled::Unanswered { reason });
            }
        };
        let answer = Answer {
            found,
            usage: asked.usage,
            cost_nano_usd: remote.purse.cost(&day, &asked.usage),
            prices: self.prices.clone(),
            seconds: asked.elapsed.as_secs_f64(),
            day,
        };
        self.store.keep(key, &answer)?;
        Ok(Labeled::Answered { answer, tasks: question.tasks.clone(), was_kept: false })
    }
}

fn lock_of(key: &AnswerKey) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() as usize % LOCKS
}
