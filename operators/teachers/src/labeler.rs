//! Asks several teachers about a text, each question once.

use crate::client::Client;
use crate::stop::Stop;
use crate::vocabulary::Vocabulary;
use crate::{
    Answer, AnswerKey, Api, Asked, Budget, Found, NanoUsd, Profile, Prompt, Question, Store, TeacherError,
    TeacherPurse, Usage, today,
};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stillroom_schemas::TaskSet;
use tokio::sync::{Mutex, Semaphore};

/// Questions that may be under way at once, so that the same one is not asked twice: one lock a group of questions.
const LOCKS: usize = 1024;

/// A teacher that is left alone for longer has stopped.
const OUTAGE_MAX: Duration = Duration::from_secs(60);

/// How often a question waits for a teacher that is left alone.
const OUTAGES_MAX: u32 = 5;

/// Somebody who labels.
pub struct Teacher {
    name: String,
    tasks: TaskSet,
    kind: Kind,
    stop: Stop,
}

enum Kind {
    Remote(Box<Remote>),
    Local(Box<Vocabulary>),
}

struct Remote {
    client: Client,
    /// So that those that wait see that the teacher has stopped, before they ask. One is held until the answer is kept: a kill loses no
    /// more answers than there are.
    permits: Semaphore,
    purse: TeacherPurse,
    /// Of its own.
    prompt: Option<Prompt>,
    fingerprint: String,
}

impl Remote {
    /// Nothing for one that takes no instructions.
    fn prompt(&self, tasks: &TaskSet) -> Option<Prompt> {
        let takes_instructions = self.client.profile().api != Api::Bioportal;
        takes_instructions.then(|| self.prompt.clone().unwrap_or_else(|| Prompt::built_in(tasks)))
    }

    /// Asks, and waits where that is all that is in the way: for money that is set aside, and for a teacher that is left alone for a
    /// moment. Nothing if the teacher has stopped before its turn came.
    async fn ask(&self, teacher: &Teacher, question: &Question<'_>) -> Option<Asked> {
        let (mut all, mut outages) = (None::<Asked>, 0);
        while teacher.stop.reason().is_none() {
            let settled = self.purse.settled();
            let mut asked = self.client.ask(question, &self.purse).await;
            if let Some(before) = &all {
                asked.usage += before.usage;
                asked.elapsed += before.elapsed;
            }
            let outcome = &all.insert(asked).outcome;
            match outcome {
                Err(TeacherError::Budget { is_spent: false, .. }) => settled.await,
                Err(TeacherError::Open { left, .. }) if *left <= OUTAGE_MAX && outages < OUTAGES_MAX => {
                    outages += 1;
                    tokio::time::sleep(*left).await;
                }
                Err(error) if error.is_final() => teacher.stop.stop(&teacher.name, error),
                _ => break,
            }
        }
        all
    }
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
    /// It was not asked, as the run ends.
    Ended,
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
        let permits = Semaphore::new(profile.requests_open_max);
        let kind =
            Kind::Remote(Box::new(Remote { client: Client::new(name, profile)?, permits, purse, prompt, fingerprint }));
        Ok(Teacher { name: name.to_owned(), tasks, kind, stop: Stop::default() })
    }

    /// A vocabulary as a teacher.
    pub fn local(name: &str, vocabulary: Vocabulary) -> Teacher {
        let (name, tasks) = (name.to_owned(), vocabulary.tasks().clone());
        Teacher { name, tasks, kind: Kind::Local(Box::new(vocabulary)), stop: Stop::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it can find.
    pub fn tasks(&self) -> &TaskSet {
        &self.tasks
    }

    /// The prompt for some tasks; nothing for one that takes no instructions.
    pub fn prompt(&self, tasks: &TaskSet) -> Option<Prompt> {
        match &self.kind {
            Kind::Remote(remote) => remote.prompt(tasks),
            Kind::Local(_) => None,
        }
    }

    /// Whether it runs here, and costs what this machine costs.
    pub fn is_local(&self) -> bool {
        matches!(self.kind, Kind::Local(_))
    }

    /// Tells it from every other, and from itself with other instructions, names or parameters.
    pub fn version(&self, tasks: &TaskSet) -> String {
        match &self.kind {
            Kind::Remote(remote) => {
                let prompt = remote.prompt(tasks).map_or_else(String::new, |prompt| prompt.hash());
                format!("{} {prompt}", remote.fingerprint)
            }
            Kind::Local(vocabulary) => vocabulary.version().to_owned(),
        }
    }

    /// What one attempt at a question costs at worst: a token a byte, and as many in the answer as its profile allows. Nothing where
    /// its model has no price.
    pub fn worst_case(&self, text: &str, tasks: &TaskSet) -> Option<NanoUsd> {
        let Kind::Remote(remote) = &self.kind else { return Some(0) };
        let prompt = remote.prompt(tasks);
        let instructions = prompt.as_ref().map_or("", |prompt| prompt.text.as_str());
        remote.purse.cost(&today(), &remote.client.worst(&Question { text, tasks, instructions }))
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
    /// With the questions that were asked by this run, if it asks again at all.
    locks: Vec<Mutex<HashSet<AnswerKey>>>,
}

impl Labeler {
    /// A labeler by these teachers, which pay from `budget`.
    pub fn new(teachers: Vec<Teacher>, store: Arc<Store>, budget: &Budget, retries_failed: bool) -> Labeler {
        let prices = budget.prices().version().to_owned();
        Labeler { teachers, store, prices, retries_failed, locks: (0..LOCKS).map(|_| Mutex::default()).collect() }
    }

    /// Asks nothing any more; what is under way may end.
    pub fn end(&self) {
        self.teachers.iter().for_each(|teacher| teacher.stop.end("the run ends"));
    }

    /// The teachers.
    pub fn teachers(&self) -> &[Teacher] {
        &self.teachers
    }

    /// What a teacher says of a text, for those of `tasks` that it can find; nothing if it can find none.
    ///
    /// A teacher that has stopped is asked again: with the next day, UTC, if its budget or quota of a day is used up; else after minutes.
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
                let prompt = remote.prompt(&tasks);
                let instructions = prompt.as_ref().map_or("", |prompt| prompt.text.as_str());
                let question = Question { text, tasks: &tasks, instructions };
                let key = AnswerKey::new(&question, &remote.fingerprint);
                if text.trim().is_empty() {
                    let found =
                        Found::Spans { spans: Vec::new(), ungrounded: 0, parameters: remote.client.parameters() };
                    let answer = self.answer(found, Usage::default(), Duration::ZERO);
                    return Ok(Some(Labeled::Answered { answer, tasks, was_kept: false }));
                }
                let mut asked = self.locks[lock_of(&key)].lock().await;
                let kept = self.store.answer(&key)?;
                let is_failed = kept.as_ref().is_some_and(|answer| matches!(answer.found, Found::Failed { .. }));
                let is_due = is_failed && self.retries_failed && !asked.contains(&key);
                match kept {
                    Some(answer) if !is_due => Ok(Some(Labeled::Answered { answer, tasks, was_kept: true })),
                    failed => {
                        if self.retries_failed {
                            asked.insert(key.clone());
                        }
                        self.ask(teacher, remote, (&question, &key, failed)).await.map(Some)
                    }
                }
            }
        }
    }

    fn look_up(&self, vocabulary: &Vocabulary, text: &str, tasks: TaskSet) -> Labeled {
        let began = Instant::now();
        let spans = vocabulary.label(text, &tasks);
        let parameters = serde_json::json!({ "vocabulary": vocabulary.version() });
        let answer = self.answer(Found::Spans { spans, ungrounded: 0, parameters }, Usage::default(), began.elapsed());
        Labeled::Answered { answer, tasks, was_kept: false }
    }

    async fn ask(
        &self,
        teacher: &Teacher,
        remote: &Remote,
        (question, key, failed): (&Question<'_>, &AnswerKey, Option<Answer>),
    ) -> Result<Labeled, TeacherError> {
        let _permit = remote.permits.acquire().await;
        let asked = remote.ask(teacher, question).await;
        if teacher.stop.is_for_good() && asked.as_ref().is_none_or(Asked::was_left_alone) {
            return Ok(Labeled::Ended);
        }
        let Some(asked) = asked else {
            let reason = teacher.stop.reason().unwrap_or_default();
            return Ok(Labeled::Unanswered { reason });
        };
        let found = match asked.outcome {
            Ok(reply) => {
                Found::Spans { spans: reply.spans, ungrounded: reply.ungrounded, parameters: reply.parameters }
            }
            Err(error) if error.is_of_the_answer() => Found::Failed { reason: error.to_string() },
            Err(error) => return Ok(Labeled::Unanswered { reason: error.to_string() }),
        };
        let mut answer = self.answer(found, asked.usage, asked.elapsed);
        answer.cost_nano_usd = remote.purse.cost(&answer.day, &asked.usage);
        if let Some(failed) = failed {
            // It was paid for the same label.
            answer.usage += failed.usage;
            answer.cost_nano_usd =
                answer.cost_nano_usd.zip(failed.cost_nano_usd).map(|(one, other)| one.saturating_add(other));
            answer.seconds += failed.seconds;
        }
        self.store.keep(key, &answer)?;
        Ok(Labeled::Answered { answer, tasks: question.tasks.clone(), was_kept: false })
    }

    /// An answer of today that cost nothing.
    fn answer(&self, found: Found, usage: Usage, elapsed: Duration) -> Answer {
        let (prices, seconds) = (self.prices.clone(), elapsed.as_secs_f64());
        Answer { found, usage, cost_nano_usd: Some(0), prices, seconds, day: today() }
    }
}

fn lock_of(key: &AnswerKey) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish() as usize % LOCKS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Prices, Waits};
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use stillroom_schemas::Task;

    /// Answers each request with the next of `statuses`, then with an empty finding; its address.
    fn server(statuses: &'static [u16]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let body = r#"{"choices":[{"message":{"content":"{\"findings\":[]}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
            let mut statuses = statuses.iter();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                // The whole request is there when its last brace is, as this one has a body of JSON.
                while !request.ends_with(b"}") {
                    let mut bytes = [0; 4096];
                    let read = stream.read(&mut bytes).unwrap();
                    request.extend_from_slice(&bytes[..read]);
                }
                let status = statuses.next().unwrap_or(&200);
                let head =
                    format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        base
    }

    /// What a teacher comes to whose breaker opens for a moment at the first failure, if its server begins with these.
    async fn label(statuses: &'static [u16]) -> (Labeled, Option<String>) {
        let text = format!("api = 'openai'\nmodel = 'm'\nattempts_max = 2\nbase = '{}'", server(statuses));
        let profile: Profile = toml::from_str(&text).unwrap();
        let store = Arc::new(Store::in_memory().unwrap());
        let budget = Arc::new(Budget::new(Limits::default(), Prices::load(None).unwrap(), Arc::clone(&store)));
        let moment = Duration::from_millis(5);
        let waits = Waits {
            backoff_min: moment / 5,
            backoff_max: moment / 5,
            failures_max: 1,
            open: moment,
            ..Waits::default()
        };
        let mut teacher = Teacher::remote("mine", profile.clone(), &budget).unwrap();
        if let Kind::Remote(remote) = &mut teacher.kind {
            remote.client = Client::new("mine", profile).unwrap().with_waits(waits);
        }
        let labeler = Labeler::new(vec![teacher], store, &budget, false);
        let teacher = &labeler.teachers()[0];
        let labeled = labeler.label(teacher, "fever", &Task::ALL.into()).await.unwrap().unwrap();
        (labeled, teacher.stop.reason())
    }

    #[tokio::test]
    async fn who_waits_for_a_teacher_that_stops_does_not_ask() {
        let base = server(&[401]);
        let text = format!("api = 'openai'\nmodel = 'm'\nrequests_open_max = 1\nbase = '{base}'");
        let store = Arc::new(Store::in_memory().unwrap());
        let budget = Arc::new(Budget::new(Limits::default(), Prices::load(None).unwrap(), Arc::clone(&store)));
        let teacher = Teacher::remote("mine", toml::from_str(&text).unwrap(), &budget).unwrap();
        let labeler = Labeler::new(vec![teacher], store, &budget, false);
        let (teacher, tasks) = (&labeler.teachers()[0], Task::ALL.into());
        let ask = |text: &'static str| labeler.label(teacher, text, &tasks);
        let asked = tokio::join!(ask("fever"), ask("gout"), ask("cough"));
        for labeled in [asked.0, asked.1, asked.2] {
            let Labeled::Unanswered { reason } = labeled.unwrap().unwrap() else { panic!("it was answered") };
            assert!(reason.contains("mine does not take the key"), "{reason}");
        }
        // The server answers every later request well: that nobody asked shows in that nobody was answered.
        teacher.stop.elapse();
        assert!(matches!(ask("fever").await.unwrap().unwrap(), Labeled::Answered { .. }));
        labeler.end();
        assert!(matches!(ask("rash").await.unwrap().unwrap(), Labeled::Ended));
    }

    #[tokio::test]
    async fn a_short_outage_is_waited_out_and_a_long_one_stops_the_teacher() {
        let (labeled, stopped) = label(&[503, 503]).await;
        let Labeled::Answered { answer, was_kept: false, .. } = labeled else { panic!("{labeled:?}") };
        assert_eq!((answer.usage.requests, stopped), (3, None), "all requests are counted");
        let (labeled, stopped) = label(&[503; 100]).await;
        let Labeled::Unanswered { reason } = labeled else { panic!("{labeled:?}") };
        assert!(reason.contains("mine is left alone"), "{reason}");
        assert_eq!(stopped, Some(reason));
    }
}
