//! What teachers answered, and what it cost, in a file that survives a kill.
//!
//! An answer is kept under what determines it: the text, the tasks, the instructions, and what of the profile reaches the teacher. Asked
//! again, it costs nothing. Spend is kept by day and teacher, with what requests under way may cost at worst, so that a kill in
//! between leaves a budget that is spent rather than one that is exceeded.

use crate::prices::NanoUsd;
use crate::{Question, TeacherError, Usage};
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use stillroom_schemas::Span;

/// JSON of an [`Answer`] by [`AnswerKey`].
const ANSWERS: TableDefinition<&str, &[u8]> = TableDefinition::new("answers");

/// What was spent and what is open, by day and teacher.
const SPEND: TableDefinition<(&str, &str), (u64, u64)> = TableDefinition::new("spend");

/// The file of answers and spend. One process has it at a time.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    database: Database,
}

/// What an answer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AnswerKey(String);

impl AnswerKey {
    /// The key of a question to a teacher that `fingerprint` tells from every other.
    pub fn new(question: &Question<'_>, fingerprint: &str) -> AnswerKey {
        let mut hash = Sha256::new();
        let tasks = question.tasks.iter().map(|task| task.name()).collect::<Vec<_>>().join(",");
        for part in [question.text, &tasks, question.instructions, fingerprint] {
            // With its length before it no part can run into the next.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        AnswerKey(format!("{:x}", hash.finalize()))
    }
}

/// What came of a question, without any text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What was found, or why nothing is known.
    pub found: Found,
    /// What was paid for, failed attempts included.
    pub usage: Usage,
    /// What that cost; absent where the model has no price.
    pub cost_nano_usd: Option<NanoUsd>,
    /// The table of prices.
    pub prices: String,
    /// Seconds from the first request to the last answer.
    pub seconds: f64,
    /// The day, UTC, `YYYY-MM-DD`.
    pub day: String,
}

/// What a teacher found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Mentions.
    Spans {
        /// In code points.
        spans: Vec<Span>,
        /// Answers that are nowhere in the text.
        ungrounded: u32,
        /// The parameters that were really sent.
        parameters: serde_json::Value,
    },
    /// It answered, and that is of no use: to ask the same again would cost the same again.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Store {
    /// Opens the file, or makes one. What was under way when it was last left counts as spent.
    ///
    /// # Errors
    /// When another process has it, or it is no such file.
    pub fn open(path: &Path) -> Result<Store, TeacherError> {
        Store::of(path, Database::create(path).map_err(|error| failed(path, error))?)
    }

    /// A store that is gone when it is dropped.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory() -> Result<Store, TeacherError> {
        let path = Path::new("in memory");
        let created = Database::builder().create_with_backend(InMemoryBackend::new());
        Store::of(path, created.map_err(|error| failed(path, error))?)
    }

    fn of(path: &Path, database: Database) -> Result<Store, TeacherError> {
        let store = Store { path: path.to_owned(), database };
        store.write(|transaction| {
            transaction.open_table(ANSWERS)?;
            let mut table = transaction.open_table(SPEND)?;
            let rows = table.iter()?.map(|row| row.map(|(key, value)| (owned(key.value()), value.value())));
            for ((day, teacher), (spent, open)) in rows.collect::<Result<Vec<_>, _>>()? {
                table.insert((day.as_str(), teacher.as_str()), (spent.saturating_add(open), 0))?;
            }
            Ok(())
        })?;
        Ok(store)
    }

    /// The answer under `key`, if there is one.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn answer(&self, key: &AnswerKey) -> Result<Option<Answer>, TeacherError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(ANSWERS)?;
            Ok(table.get(key.0.as_str())?.map(|value| serde_json::from_slice(value.value())))
        };
        read().map_err(|error| failed(&self.path, error))?.transpose().map_err(|error| failed(&self.path, error))
    }

    /// Keeps an answer; when this returns it is on the disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, key: &AnswerKey, answer: &Answer) -> Result<(), TeacherError> {
        let value = serde_json::to_vec(answer).map_err(|error| failed(&self.path, error))?;
        self.write(|transaction| {
            transaction.open_table(ANSWERS)?.insert(key.0.as_str(), value.as_slice())?;
            Ok(())
        })
    }

    /// What was spent and what is open on a day, over all teachers.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn spent_on(&self, day: &str) -> Result<(NanoUsd, NanoUsd), TeacherError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(SPEND)?;
            let rows = table.range((day, "")..)?;
            let mut of_day = rows.map_while(|row| match row {
                Ok((key, value)) => (key.value().0 == day).then(|| Ok(value.value())),
                Err(error) => Some(Err(error)),
            });
            of_day.try_fold((0u64, 0u64), |sum, row| {
                let (spent, open) = row?;
                Ok((sum.0.saturating_add(spent), sum.1.saturating_add(open)))
            })
        };
        read().map_err(|error| failed(&self.path, error))
    }

    /// Notes that a request may cost so much, before it is sent.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open_spend(&self, day: &str, teacher: &str, worst: NanoUsd) -> Result<(), TeacherError> {
        self.change_spend(day, teacher, |(spent, open)| (spent, open.saturating_add(worst)))
    }

    /// Notes what a request did cost.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn close_spend(&self, day: &str, teacher: &str, (worst, real): (NanoUsd, NanoUsd)) -> Result<(), TeacherError> {
        self.change_spend(day, teacher, |(spent, open)| (spent.saturating_add(real), open.saturating_sub(worst)))
    }

    fn change_spend(
        &self,
        day: &str,
        teacher: &str,
        change: impl Fn((u64, u64)) -> (u64, u64),
    ) -> Result<(), TeacherError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(SPEND)?;
            let now = table.get((day, teacher))?.map_or((0, 0), |value| value.value());
            table.insert((day, teacher), change(now))?;
            Ok(())
        })
    }

    fn write(&self, change: impl Fn(&redb::WriteTransaction) -> Result<(), redb::Error>) -> Result<(), TeacherError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            change(&transaction)?;
            Ok(transaction.commit()?)
        };
        write().map_err(|error| failed(&self.path, error))
    }
}

fn owned((day, teacher): (&str, &str)) -> (String, String) {
    (day.to_owned(), teacher.to_owned())
}

fn failed(path: &Path, error: impl Display) -> TeacherError {
    let reason = format!("{error}; give another file, or end the process that has it");
    TeacherError::Store { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::{Task, TaskSet};

    fn answer(seconds: f64) -> Answer {
        let spans = vec![Span { task: Task::Disease, start: 1, end: 5 }];
        let parameters = serde_json::json!({ "temperature": 0.01 });
        Answer {
            found: Found::Spans { spans, ungrounded: 1, parameters },
            usage: Usage { requests: 2, tokens_in: 10, tokens_cached: 0, tokens_out: 3 },
            cost_nano_usd: Some(55_000),
            prices: "abc".to_owned(),
            seconds,
            day: "2026-11-24".to_owned(),
        }
    }

    #[test]
    fn a_key_is_of_all_that_an_answer_depends_on() {
        let (all, one) = (TaskSet::from(Task::ALL), TaskSet::from([Task::Disease]));
        let key = |text, tasks, instructions, teacher| AnswerKey::new(&Question { text, tasks, instructions }, teacher);
        let first = key("text", &all, "find", "gpt");
        assert_eq!(first, key("text", &all, "find", "gpt"));
        for other in [
            key("texts", &all, "find", "gpt"),
            key("text", &one, "find", "gpt"),
            key("text", &all, "find all", "gpt"),
            key("text", &all, "find", "gemini"),
            key("tex", &all, "tfind", "gpt"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn answers_and_spend_are_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.redb");
        let key = AnswerKey("key".to_owned());
        let store = Store::open(&path).unwrap();
        let other = Store::open(&path).unwrap_err().to_string();
        assert!(other.contains("labels.redb") && other.contains("end the process that has it"), "{other}");
        assert_eq!(store.answer(&key).unwrap(), None);
        store.keep(&key, &answer(1.0)).unwrap();
        store.open_spend("2026-11-24", "gpt", 100).unwrap();
        store.open_spend("2026-11-24", "gemini", 10).unwrap();
        store.open_spend("2026-11-25", "gpt", 1000).unwrap();
        store.close_spend("2026-11-24", "gpt", (100, 40)).unwrap();
        assert_eq!(store.spent_on("2026-11-24").unwrap(), (40, 10));
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.answer(&key).unwrap(), Some(answer(1.0)));
        // What was open is spent: nobody can say that it was not.
        store.close_spend("2026-11-24", "gemini", (10, 0)).unwrap();
        assert_eq!(store.spent_on("2026-11-24").unwrap(), (50, 0));
        assert_eq!(store.spent_on("2026-11-25").unwrap(), (1000, 0));
        assert_eq!(store.spent_on("2026-11-26").unwrap(), (0, 0));
    }

    #[test]
    fn numbers_that_a_server_makes_up_break_nothing() {
        let store = Store::in_memory().unwrap();
        let huge = Usage { requests: u64::MAX, tokens_in: u64::MAX, tokens_cached: u64::MAX, tokens_out: u64::MAX };
        let key = AnswerKey("key".to_owned());
        let kept = Answer { usage: huge, cost_nano_usd: Some(NanoUsd::MAX), ..answer(f64::MAX) };
        store.keep(&key, &kept).unwrap();
        assert_eq!(store.answer(&key).unwrap(), Some(kept));
        for _ in 0..2 {
            store.open_spend("2026-11-24", "gpt", NanoUsd::MAX).unwrap();
        }
        store.close_spend("2026-11-24", "gpt", (NanoUsd::MAX, NanoUsd::MAX)).unwrap();
        store.close_spend("2026-11-24", "gpt", (NanoUsd::MAX, NanoUsd::MAX)).unwrap();
        assert_eq!(store.spent_on("2026-11-24").unwrap(), (NanoUsd::MAX, 0));
    }

    #[test]
    fn another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "not a store of labels, but quite some text that stands there").unwrap();
        let said = Store::open(&path).unwrap_err().to_string();
        assert!(said.contains("notes.txt cannot be used"), "{said}");
    }
}
