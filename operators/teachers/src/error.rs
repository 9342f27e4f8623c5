//! Why a teacher gave no label. No message carries text of a note.

use std::path::PathBuf;
use std::time::Duration;
use stillroom_concepts::ConceptError;

impl TeacherError {
    /// Whether it answered, and would answer the same to the same question: asked again, that is paid again.
    pub(crate) fn is_of_the_answer(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Truncated { .. } | Self::Malformed { .. })
    }

    /// Whether the next question will fare no better.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Config { .. }
                | Self::File { .. }
                | Self::Denied { .. }
                | Self::Quota { .. }
                | Self::Open { .. }
                | Self::Budget { .. }
                | Self::Store { .. }
        )
    }
}

impl From<ConceptError> for TeacherError {
    /// What is wrong with a vocabulary's file, in the same words.
    fn from(error: ConceptError) -> TeacherError {
        match error {
            ConceptError::File { path, source } => TeacherError::File { path, source },
            ConceptError::Config { object, reason } => TeacherError::Config { object, reason },
            ConceptError::Format { what, path, reason, line, remedy } => TeacherError::Config {
                object: format!("{what} {}", path.display()),
                reason: format!("{reason} (line {line}); {remedy}"),
            },
            // Of an index of concepts, which no teacher builds.
            other => {
                TeacherError::Config { object: "the vocabulary".to_owned(), reason: format!("cannot be used: {other}") }
            }
        }
    }
}

/// Why a teacher gave no label.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// A profile, a price or a prompt cannot be used.
    #[error("{object} {reason}")]
    Config {
        /// Which.
        object: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The teacher does not take the key.
    #[error("{teacher} does not take the key ({status}); check the file that key_file names, and what the key may do")]
    Denied {
        /// The profile.
        teacher: String,
        /// The status of HTTP.
        status: u16,
    },
    /// The account has nothing left.
    #[error("{teacher} says that its quota is used up; add credit at the vendor, or leave the teacher out")]
    Quota {
        /// The profile.
        teacher: String,
    },
    /// The budget has nothing left for another request.
    #[error(
        "the budget of {budget_usd} USD {period} has {left_usd:.4} USD left, less than a request to {teacher} may cost"
    )]
    Budget {
        /// The profile.
        teacher: String,
        /// The budget.
        budget_usd: f64,
        /// For how long: `a run` or `a day`.
        period: &'static str,
        /// What is left.
        left_usd: f64,
        /// Whether that is final; else some of it is set aside for requests under way.
        is_spent: bool,
    },
    /// The request is wrong, and would be again.
    #[error("{teacher} refuses the request ({status}, {code}); correct model and parameters in its profile")]
    BadRequest {
        /// The profile.
        teacher: String,
        /// The status of HTTP.
        status: u16,
        /// The vendor's code for it, never its message, which may quote the text.
        code: String,
    },
    /// The teacher will not answer for this text.
    #[error("{teacher} declines to answer for this note ({reason})")]
    Refused {
        /// The profile.
        teacher: String,
        /// The vendor's word for it.
        reason: String,
    },
    /// The answer was cut off, so it is none.
    #[error("the answer of {teacher} was cut off; raise tokens_out_max in its profile")]
    Truncated {
        /// The profile.
        teacher: String,
    },
    /// The answer is not what was asked for.
    #[error("the answer of {teacher} is not of the form that was asked for: {reason}")]
    Malformed {
        /// The profile.
        teacher: String,
        /// Where it deviates, without its words.
        reason: String,
    },
    /// The teacher did not answer in time, or not well, as often as it was tried.
    #[error("{teacher} gave no answer after {attempts} attempts ({reason})")]
    Unavailable {
        /// The profile.
        teacher: String,
        /// How often.
        attempts: u32,
        /// The last status or trouble.
        reason: String,
    },
    /// It was unwell a moment ago, and is left alone for a while.
    #[error("{teacher} is left alone for {} s more, as it was unwell", .left.as_secs())]
    Open {
        /// The profile.
        teacher: String,
        /// For how long.
        left: Duration,
    },
    /// The store of answers is damaged or in use.
    #[error("the store of labels {path} cannot be used: {reason}")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
}
