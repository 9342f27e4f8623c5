//! What a teacher is asked, and what comes back.

use crate::TeacherError;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use stillroom_schemas::{Span, TaskSet};

/// A text to label.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The note's text.
    pub text: &'a str,
    /// What to look for.
    pub tasks: &'a TaskSet,
    /// What a language model is told to do; others do not read it.
    pub instructions: &'a str,
}

/// What a teacher found.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// In code points, by task and position, each once.
    pub spans: Vec<Span>,
    /// Answers that are nowhere in the text, and were dropped.
    pub ungrounded: u32,
    /// What was really sent beside the text: the model and its decoding parameters.
    pub parameters: serde_json::Value,
}

/// A question that was asked, whatever came of it.
#[derive(Debug)]
pub struct Asked {
    /// The reply of the last attempt.
    pub outcome: Result<Reply, TeacherError>,
    /// Tokens and requests of all attempts.
    pub usage: Usage,
    /// From the first request to the last answer, with the waits between.
    pub elapsed: Duration,
}

impl Asked {
    /// Whether the teacher was left alone, so that nothing was sent.
    pub(crate) fn was_left_alone(&self) -> bool {
        matches!(self.outcome, Err(TeacherError::Open { .. })) && self.usage.requests == 0
    }
}

/// What is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Requests that were sent.
    pub requests: u64,
    /// Tokens that were read, cached ones included.
    pub tokens_in: u64,
    /// Of these, tokens that the vendor had cached.
    pub tokens_cached: u64,
    /// Tokens that were written, those of reasoning included.
    pub tokens_out: u64,
}

impl std::ops::AddAssign for Usage {
    // Saturating, as the numbers are a server's.
    fn add_assign(&mut self, other: Usage) {
        self.requests = self.requests.saturating_add(other.requests);
        self.tokens_in = self.tokens_in.saturating_add(other.tokens_in);
        self.tokens_cached = self.tokens_cached.saturating_add(other.tokens_cached);
        self.tokens_out = self.tokens_out.saturating_add(other.tokens_out);
    }
}
