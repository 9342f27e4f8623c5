//! What became of the questions to teachers, and what they cost.

use crate::teaching::labels::usd;
use anyhow::Result;
use std::collections::BTreeMap;
use stillroom_teachers::{Budget, Found, Labeled, Labeler, Teacher};

/// What became of the questions to one teacher.
#[derive(Default)]
struct Tally {
    answered: u64,
    kept: u64,
    failed: u64,
    unanswered: u64,
    mentions: u64,
    ungrounded: u64,
    tokens_in: u64,
    tokens_out: u64,
    seconds: f64,
    /// Of the first question that came to nothing.
    trouble: Option<String>,
}

/// The same by teacher.
#[derive(Default)]
pub(crate) struct Tallies(BTreeMap<String, Tally>);

impl Tallies {
    pub(crate) fn add(&mut self, teacher: &Teacher, label: &Labeled) {
        let tally = self.0.entry(teacher.name().to_owned()).or_default();
        match label {
            Labeled::Ended => {}
            Labeled::Unanswered { reason } => {
                tally.unanswered += 1;
                tally.trouble.get_or_insert_with(|| reason.clone());
            }
            Labeled::Answered { answer, was_kept, .. } => {
                tally.kept += u64::from(*was_kept);
                tally.seconds += answer.seconds;
                tally.tokens_in += answer.usage.tokens_in;
                tally.tokens_out += answer.usage.tokens_out;
                match &answer.found {
                    Found::Spans { spans, ungrounded, .. } => {
                        tally.answered += 1;
                        tally.mentions += spans.len() as u64;
                        tally.ungrounded += u64::from(*ungrounded);
                    }
                    Found::Failed { reason } => {
                        tally.failed += 1;
                        tally.trouble.get_or_insert_with(|| reason.clone());
                    }
                }
            }
        }
    }

    /// Whether every question has a useful answer.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.values().all(|tally| tally.failed + tally.unanswered == 0)
    }

    /// Tokens and seconds are those of all notes, also of those that had been asked before; dollars are those of this run.
    pub(crate) fn table(&self, labeler: &Labeler, budget: &Budget) -> Result<String> {
        let mut lines = vec![format!(
            "{:<18} {:>7} {:>7} {:>7} {:>8} {:>11} {:>10} {:>10} {:>10} {:>8}",
            "teacher", "labels", "kept", "failed", "no reply", "ungrounded", "tokens in", "out", "USD now", "s/note"
        )];
        for teacher in labeler.teachers() {
            let Some(tally) = self.0.get(teacher.name()) else { continue };
            let answers = tally.answered + tally.failed;
            let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
            lines.push(format!(
                "{:<18} {:>7} {:>7} {:>7} {:>8} {:>9.2} % {:>10} {:>10} {:>10.4} {:>8.4}",
                teacher.name(),
                tally.answered,
                tally.kept,
                tally.failed,
                tally.unanswered,
                share(tally.ungrounded, tally.mentions + tally.ungrounded),
                tally.tokens_in,
                tally.tokens_out,
                usd(budget.spent(teacher.name())),
                if answers == 0 { 0.0 } else { tally.seconds / answers as f64 },
            ));
        }
        for (teacher, trouble) in self.0.iter().filter_map(|(teacher, tally)| Some((teacher, tally.trouble.as_ref()?)))
        {
            lines.push(format!("{teacher}: {trouble}"));
        }
        lines.push(format!("spent today, by all that use this store: {:.6} USD", usd(budget.spent_today()?)));
        Ok(lines.join("\n"))
    }
}
