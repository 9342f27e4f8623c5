//! A setting whose value cannot be used, by its full path; where the value came from is added by whoever loaded it.

use std::fmt;
use std::ops::RangeInclusive;

/// A setting whose value cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The settings' full paths, such as `engine.workers`: the one that is refused, then those that it clashes with.
    pub(crate) keys: Vec<String>,
    /// What is wrong and what to do, continuing a sentence that starts with the path.
    reason: String,
}

impl Refused {
    /// A setting that cannot be used for a reason, such as `is empty; name a folder`.
    pub(crate) fn new(key: impl Into<String>, reason: impl Into<String>) -> Refused {
        Refused { keys: vec![key.into()], reason: reason.into() }
    }

    /// Another setting that the refused one clashes with.
    pub(crate) fn with(mut self, key: impl Into<String>) -> Refused {
        self.keys.push(key.into());
        self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.keys[0], self.reason)
    }
}

impl std::error::Error for Refused {}

/// Refuses a number outside its range.
///
/// # Errors
/// Names the setting, its value and its range.
pub(crate) fn in_range(key: impl Into<String>, value: u64, range: RangeInclusive<u64>) -> Result<(), Refused> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Refused::new(key, format!("is {value}; choose a value from {} to {}", range.start(), range.end())))
}

/// Refuses an empty text; `remedy` says what to write.
///
/// # Errors
/// Names the setting.
pub(crate) fn not_empty(key: impl Into<String>, is_empty: bool, remedy: &str) -> Result<(), Refused> {
    if is_empty { Err(Refused::new(key, format!("is empty; {remedy}"))) } else { Ok(()) }
}

/// Refuses an amount of US dollars above `max`, or below 0.
///
/// # Errors
/// Names the setting, its value and its range.
pub(crate) fn dollars(key: impl Into<String>, usd: f64, max: f64) -> Result<(), Refused> {
    match (0.0..=max).contains(&usd) {
        true => Ok(()),
        false => Err(Refused::new(key, format!("is {usd}; choose a value from 0 to {max}"))),
    }
}
