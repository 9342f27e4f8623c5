//! Why a teacher is not asked, and until when.

use crate::{TeacherError, today};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a teacher is left alone that does not take its key, or has been away: by then somebody may have seen to it, and a request
/// that is refused costs nothing.
const STOP: Duration = Duration::from_secs(300);

/// Whether a teacher has stopped.
#[derive(Default)]
pub(crate) struct Stop(Mutex<Option<Stopped>>);

struct Stopped {
    reason: String,
    end: End,
}

#[derive(PartialEq)]
enum End {
    /// With the next day, UTC: budgets and quotas of a day begin anew.
    Day(String),
    At(Instant),
    Never,
}

impl Stopped {
    fn has_ended(&self) -> bool {
        match &self.end {
            End::Day(day) => *day != today(),
            End::At(instant) => *instant <= Instant::now(),
            End::Never => false,
        }
    }
}

impl Stop {
    /// Why it is not asked now.
    pub(crate) fn reason(&self) -> Option<String> {
        let mut stopped = self.lock();
        if stopped.as_ref().is_some_and(Stopped::has_ended) {
            *stopped = None;
        }
        stopped.as_ref().map(|stopped| stopped.reason.clone())
    }

    /// Stops for an error after which the next question would fare no better. The first one stays.
    pub(crate) fn stop(&self, teacher: &str, error: &TeacherError) {
        let (end, until) = match error {
            TeacherError::Budget { .. } | TeacherError::Quota { .. } => {
                (End::Day(today()), "until tomorrow, UTC".to_owned())
            }
            TeacherError::Open { left, .. } if *left > STOP => {
                (End::At(Instant::now() + *left), format!("for {} s", left.as_secs()))
            }
            _ => (End::At(Instant::now() + STOP), format!("for {} s", STOP.as_secs())),
        };
        let mut stopped = self.lock();
        if stopped.is_none() {
            // A run may go on for weeks without it.
            tracing::warn!("the teacher {teacher} is not asked {until}: {error}");
            *stopped = Some(Stopped { reason: error.to_string(), end });
        }
    }

    /// Whether it has stopped for good.
    pub(crate) fn is_for_good(&self) -> bool {
        self.lock().as_ref().is_some_and(|stopped| stopped.end == End::Never)
    }

    /// Stops for good.
    pub(crate) fn end(&self, reason: &str) {
        *self.lock() = Some(Stopped { reason: reason.to_owned(), end: End::Never });
    }

    /// As if the time had come to ask it again.
    #[cfg(test)]
    pub(crate) fn elapse(&self) {
        if let Some(stopped) = self.lock().as_mut().filter(|stopped| stopped.end != End::Never) {
            stopped.end = End::At(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Stopped>> {
        // What is there was put down whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_its_cause() {
        let teacher = "mine".to_owned();
        let ends = |error: &TeacherError| {
            let stop = Stop::default();
            stop.stop("mine", error);
            let stopped = stop.0.into_inner().unwrap().unwrap();
            match stopped.end {
                End::Day(day) => day,
                End::At(at) => format!("{}", (at - Instant::now()).as_secs_f64().round()),
                End::Never => "never".to_owned(),
            }
        };
        assert_eq!(ends(&TeacherError::Quota { teacher: teacher.clone() }), today());
        assert_eq!(ends(&TeacherError::Denied { teacher: teacher.clone(), status: 401 }), "300");
        let open = |seconds| TeacherError::Open { teacher: teacher.clone(), left: Duration::from_secs(seconds) };
        assert_eq!((ends(&open(30)), ends(&open(86_400))), ("300".to_owned(), "86400".to_owned()));

        let yesterday = Stopped { reason: String::new(), end: End::Day("2025-01-01".to_owned()) };
        let stop = Stop(Mutex::new(Some(yesterday)));
        assert_eq!(stop.reason(), None);
        stop.stop("mine", &open(1));
        stop.stop("mine", &TeacherError::Quota { teacher: teacher.clone() });
        assert!(stop.reason().unwrap().contains("left alone"), "the first reason stays");
        stop.elapse();
        assert_eq!(stop.reason(), None);
        stop.end("over");
        stop.elapse();
        assert_eq!(stop.reason().as_deref(), Some("over"));
    }
}
