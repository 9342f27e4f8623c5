//! Asks a remote teacher: a question goes in, what it found comes out, with what every attempt cost.
//!
//! ```text
//! ask ─▶ breaker ─▶ gate ─▶ pace ─▶ purse ─▶ request ─▶ wire ─▶ ground
//!          ▲          ▲       ▲       ▲         │
//!          └──────────┴───────┴───────┴─ how it went; again after a wait, or a repair
//! ```
//!
//! The state kept is the teacher's, not the question's: how many requests may be open (`gate`), when the next may leave (`pace`),
//! and whether it is left alone (`breaker`). Neither keys nor texts are shown in errors, logs or `Debug`.

mod attempt;
mod breaker;
mod credentials;
mod gate;
mod pace;
mod purse;
mod vertex;
mod waits;

pub use purse::{Purse, Reservation};
pub use waits::Waits;

use crate::wire::{self, Found, Repair};
use crate::{Api, Asked, Profile, Question, Reply, TeacherError, Usage, ground};
use attempt::{Ended, Tally};
use credentials::Credentials;
use std::time::Duration;
use stillroom_schemas::{Task, TaskSet};

/// How long a connection may take to be made at most, out of the time of its request.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A made-up note, for a connection that is to be tried.
const CANARY: &str = "The patient takes aspirin for a fever and has gout.";

/// Asks for an answer that the form rules out: only a server that ignores the form obeys.
const CANARY_AGAINST_THE_FORM: &str = "Do not answer in JSON. Answer with the one word: unconstrained.";

/// For a model whose form cannot be prescribed.
const CANARY_BY_THE_FORM: &str = "List every disease, medication and symptom that the text mentions.";

/// A remote teacher. One is shared by all who ask it, as its limits are.
pub struct Client {
    name: String,
    profile: Profile,
    http: reqwest::Client,
    credentials: Credentials,
    gate: gate::Gate,
    pace: pace::Pace,
    breaker: breaker::Breaker,
    waits: Waits,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("name", &self.name).field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the teacher that `profile` describes; reads its key and sends nothing.
    ///
    /// # Errors
    /// The profile cannot be used, or the file of its key cannot be read or holds none.
    pub fn new(name: &str, profile: Profile) -> Result<Client, TeacherError> {
        profile.check(name)?;
        let refuse = |object: String, reason: &str| TeacherError::Config { object, reason: reason.to_owned() };
        let teacher = format!("the teacher {name}");
        if profile.api == Api::Bioportal && profile.tasks.len() != 1 {
            return Err(refuse(teacher, "has not one task; BioPortal does not say which, so give tasks = [\"…\"]"));
        }
        if !reqwest::Url::parse(&wire::url(&profile)).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(refuse(teacher, "has a base that is no URL; give one like http://localhost:8000"));
        }
        let credentials = Credentials::new(name, &profile)?;
        let timeout = Duration::from_millis(profile.timeout_ms);
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout.min(CONNECT_MAX))
            // Neither a note nor a key is to follow wherever a server points.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| refuse(teacher, "cannot be asked, as the certificates of the system cannot be read"))?;
        let waits = Waits::default();
        Ok(Client {
            name: name.to_owned(),
            http,
            credentials,
            gate: gate::Gate::new(profile.requests_open_max),
            pace: pace::Pace::new(profile.requests_a_minute_max, profile.tokens_a_minute_max),
            breaker: breaker::Breaker::new(waits.failures_max, waits.open),
            waits,
            profile,
        })
    }

    /// The same with other waits, for a server that is known.
    pub fn with_waits(mut self, waits: Waits) -> Client {
        self.breaker = breaker::Breaker::new(waits.failures_max, waits.open);
        self.waits = waits;
        self
    }

    /// The name of the teacher.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the teacher is.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What is really sent beside the text and the instructions: the same for every question.
    pub fn parameters(&self) -> serde_json::Value {
        wire::parameters(&self.profile)
    }

    /// What one attempt at a question takes at worst.
    pub fn worst(&self, question: &Question<'_>) -> Usage {
        attempt::worst(&wire::call(&self.profile, question, None), self.profile.tokens_out_max)
    }

    /// How many requests may be open now.
    pub fn requests_allowed(&self) -> usize {
        self.gate.allowed()
    }

    /// Asks, again where that may help, and pays each attempt out of `purse`. Who is asked for nothing that it could find, as a
    /// vocabulary of another task, finds nothing and is not bothered.
    pub async fn ask(&self, question: &Question<'_>, purse: &dyn Purse) -> Asked {
        let mut tally = Tally::default();
        let outcome = self.answer(question, purse, &mut tally).await;
        let elapsed = match (tally.first, tally.last) {
            (Some(first), Some(last)) => last - first,
            _ => Duration::ZERO,
        };
        Asked { outcome, usage: tally.usage, elapsed }
    }

    /// Sends a made-up note and sees whether the answer can be used, and whether its form is enforced.
    ///
    /// # Errors
    /// As those of a question; and [`TeacherError::Config`] if the server ignores the form of the answer.
    pub async fn canary(&self) -> Result<(), TeacherError> {
        let tasks: TaskSet = match self.profile.api {
            Api::Bioportal => self.profile.tasks.clone(),
            _ => Task::ALL.into(),
        };
        let instructions = if self.profile.has_json_schema { CANARY_AGAINST_THE_FORM } else { CANARY_BY_THE_FORM };
        let question = Question { text: CANARY, tasks: &tasks, instructions };
        match self.ask(&question, &purse::Bottomless).await.outcome {
            Ok(_) => Ok(()),
            Err(TeacherError::Malformed { .. })
                if self.profile.api != Api::Bioportal && self.profile.has_json_schema =>
            {
                Err(TeacherError::Config {
                    object: format!("the teacher {}", self.name),
                    reason: "ignores the form of the answer that it is given; set has_json_schema = false".to_owned(),
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn answer(
        &self,
        question: &Question<'_>,
        purse: &dyn Purse,
        tally: &mut Tally,
    ) -> Result<Reply, TeacherError> {
        let is_vocabulary = self.profile.api == Api::Bioportal;
        if question.tasks.is_empty() || is_vocabulary && self.profile.tasks.is_disjoint(question.tasks) {
            return Ok(self.reply(question, Found::Spans { spans: Vec::new(), ungrounded: 0 }));
        }
        let teacher = || self.name.clone();
        let mut repair: Option<Repair> = None;
        let mut call = wire::call(&self.profile, question, None);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let is_last = attempts >= self.profile.attempts_max;
            match self.attempt(question, &call, purse, tally).await? {
                Ended::Found(found) => return Ok(self.reply(question, found)),
                Ended::Malformed { reason, said: Some(said) }
                    if !is_last && !self.profile.has_json_schema && repair.is_none() =>
                {
                    tracing::debug!(teacher = self.name, reason, "asks for a repair");
                    call = wire::call(&self.profile, question, Some(repair.insert(Repair { said, reason })));
                }
                Ended::Malformed { reason, .. } => return Err(TeacherError::Malformed { teacher: teacher(), reason }),
                // It came to nothing for want of a key that there is now.
                Ended::Renewed => attempts -= 1,
                Ended::Again { reason, .. } if is_last => {
                    return Err(TeacherError::Unavailable { teacher: teacher(), attempts, reason });
                }
                Ended::Again { reason, wait } => {
                    let wait = wait.unwrap_or_else(|| self.waits.backoff(attempts));
                    tracing::debug!(teacher = self.name, attempts, reason, ?wait, "asks again");
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn reply(&self, question: &Question, found: Found) -> Reply {
        let (spans, ungrounded) = match found {
            Found::Spans { spans, ungrounded } => (spans, ungrounded),
            Found::Mentions(mentions) => {
                let grounded = ground(question.text, &mentions);
                (grounded.spans, grounded.ungrounded)
            }
        };
        Reply { spans, ungrounded, parameters: self.parameters() }
    }
}
