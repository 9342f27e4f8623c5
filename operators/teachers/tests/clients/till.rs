//! A purse that keeps books, and questions to pay out of it.

use crate::server::Server;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;
use stillroom_schemas::{Span, Task, TaskSet};
use stillroom_teachers::{Asked, Client, Profile, Purse, Question, Reservation, TeacherError, Usage, Waits};

/// What no error, log or debug output may show.
pub(crate) const KEY: &str = "sk-very-secret";
pub(crate) const NOTE: &str = "Jane Doe has gout.";

/// Counts what goes in and out, and refuses after so many attempts.
#[derive(Debug, Default)]
pub(crate) struct Till {
    books: Mutex<Books>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Books {
    pub(crate) attempts_max: Option<u64>,
    pub(crate) reserved: u64,
    pub(crate) settled: u64,
    pub(crate) spent: Usage,
    /// The largest that was set aside.
    pub(crate) worst: Usage,
}

impl Till {
    pub(crate) fn of(attempts_max: u64) -> Till {
        Till { books: Mutex::new(Books { attempts_max: Some(attempts_max), ..Books::default() }) }
    }

    pub(crate) fn books(&self) -> Books {
        *self.books.lock().unwrap()
    }
}

impl Purse for Till {
    fn reserve(&self, worst: &Usage) -> Result<Reservation, TeacherError> {
        let mut books = self.books.lock().unwrap();
        if books.attempts_max == Some(books.reserved) {
            let teacher = "mine".to_owned();
            return Err(TeacherError::Budget {
                teacher,
                budget_usd: 1.0,
                period: "for a run",
                left_usd: 0.0,
                is_spent: true,
            });
        }
        books.reserved += 1;
        if worst.tokens_in > books.worst.tokens_in {
            books.worst = *worst;
        }
        Ok(Reservation { worst: *worst, nano_usd: 0, day: String::new() })
    }

    fn settle(&self, _reserved: &Reservation, real: &Usage) {
        let mut books = self.books.lock().unwrap();
        books.settled += 1;
        books.spent += *real;
    }
}

/// A client of `server`, with `lines` of a profile; with a key and without long waits.
pub(crate) fn client(server: &Server, lines: &str) -> Client {
    client_at(&server.base, lines)
}

pub(crate) fn client_at(base: &str, lines: &str) -> Client {
    let mut key = tempfile::NamedTempFile::new().unwrap();
    writeln!(key, "{KEY}").unwrap();
    let head = if lines.contains("api =") { "" } else { "api = 'openai'\nmodel = 'm'\n" };
    let path = key.path().display();
    let profile: Profile = toml::from_str(&format!("{head}base = '{base}'\nkey_file = '{path}'\n{lines}")).unwrap();
    Client::new("mine", profile).unwrap().with_waits(quick())
}

/// Waits in which a test does not grow old.
pub(crate) fn quick() -> Waits {
    Waits {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(4),
        failures_max: 1000,
        ..Waits::default()
    }
}

/// Waits that no test survives unless the server asks for others.
pub(crate) fn endless() -> Waits {
    Waits { backoff_min: Duration::from_secs(86_400), backoff_max: Duration::from_secs(86_400), ..quick() }
}

/// Asks about [`NOTE`]; checks that nothing secret shows, and that the books are closed and agree with what the client counted.
pub(crate) async fn ask(client: &Client, till: &Till) -> Asked {
    ask_about(client, till, NOTE).await
}

pub(crate) async fn ask_about(client: &Client, till: &Till, text: &str) -> Asked {
    let tasks: TaskSet = Task::ALL.into();
    let question = Question { text, tasks: &tasks, instructions: "Find them." };
    let before = till.books();
    let asked = client.ask(&question, till).await;
    let books = till.books();
    assert_eq!(books.reserved, books.settled, "what is set aside is settled");
    let mut spent = before.spent;
    spent += asked.usage;
    assert_eq!(books.spent, spent, "what is paid is what is told");
    if let Err(error) = &asked.outcome {
        let shown = format!("{error} {error:?} {client:?}");
        assert!(!shown.contains(KEY) && !shown.contains("Jane"), "{shown}");
    }
    asked
}

/// Asks `many` at once.
pub(crate) async fn ask_many(client: &std::sync::Arc<Client>, many: usize) -> Vec<Result<(), String>> {
    let till = std::sync::Arc::new(Till::default());
    let asked: Vec<_> = (0..many)
        .map(|_| {
            let (client, till) = (client.clone(), till.clone());
            tokio::spawn(async move {
                let tasks: TaskSet = Task::ALL.into();
                let question = Question { text: NOTE, tasks: &tasks, instructions: "Find them." };
                client.ask(&question, &*till).await.outcome.map(drop).map_err(|error| error.to_string())
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for asked in asked {
        outcomes.push(asked.await.unwrap());
    }
    outcomes
}

/// Where `gout` stands in [`NOTE`].
pub(crate) fn gout() -> Vec<Span> {
    vec![Span { task: Task::Disease, start: 13, end: 17 }]
}
