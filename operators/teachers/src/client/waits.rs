//! How long to wait: what a server asks for, and what is waited where it asks for nothing.

use reqwest::header::HeaderMap;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime};

/// Waits between attempts, as OpenAI's own clients wait, and when to leave a teacher alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Before the second attempt, where the server asks for nothing; twice as long before each that follows. Default 0.5 s.
    pub backoff_min: Duration,
    /// At most, where the server asks for nothing. Default 8 s.
    pub backoff_max: Duration,
    /// What a server may ask for; if it asks for more, the teacher is left alone for that time. Default 60 s.
    pub asked_max: Duration,
    /// Attempts in a row, of whichever questions, that fail until the teacher is left alone. Refusals because of too many requests do
    /// not count, as they come from a teacher that is well. Default 16.
    pub failures_max: u32,
    /// How long it is then left alone. Default 30 s.
    pub open: Duration,
}

impl Default for Waits {
    fn default() -> Waits {
        Waits {
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(8),
            asked_max: Duration::from_secs(60),
            failures_max: 16,
            open: Duration::from_secs(30),
        }
    }
}

/// The longest wait that a server is believed, so that a time in place of a duration does not silence a teacher for years.
pub(super) const ASKED_BELIEVED_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Waits {
    /// The wait after `attempts` that failed: exponential, the upper half of it by chance, so that clients that failed together do not
    /// come back together.
    pub(super) fn backoff(&self, attempts: u32) -> Duration {
        let doubled = self.backoff_min.saturating_mul(1 << attempts.saturating_sub(1).min(20));
        doubled.min(self.backoff_max).mul_f64(0.5 + 0.5 * chance())
    }
}

/// A number from 0 to 1. A hasher's keys are random, which is random enough for a wait.
fn chance() -> f64 {
    let bits = std::hash::RandomState::new().build_hasher().finish();
    bits as f64 / u64::MAX as f64
}

/// How long a refusal asks to wait. `RateLimit-Reset` is what BioPortal says in place of the others.
pub(super) fn asked(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let milliseconds = || number(headers, "retry-after-ms").map(|number| number / 1000.0);
    let seconds = || number(headers, "retry-after");
    let date = || {
        let date = httpdate::parse_http_date(text(headers, "retry-after")?).ok()?;
        Some(date.duration_since(now).unwrap_or_default().as_secs_f64())
    };
    let reset = || number(headers, "ratelimit-reset");
    let wait = milliseconds().or_else(seconds).or_else(date).or_else(reset)?;
    Duration::try_from_secs_f64(wait).ok()
}

/// How long until a request of so many tokens may follow, by what a server says is left; zero if it says nothing.
pub(super) fn until_left(headers: &HeaderMap, tokens: u64) -> Duration {
    until_left_of(headers, "requests", 1).max(until_left_of(headers, "tokens", tokens))
}

fn until_left_of(headers: &HeaderMap, what: &str, need: u64) -> Duration {
    let number = |which: &str| number(headers, &format!("x-ratelimit-{which}-{what}"));
    let Some(left) = number("remaining").filter(|left| *left >= 0.0 && *left < need as f64) else {
        return Duration::ZERO;
    };
    let reset = text(headers, &format!("x-ratelimit-reset-{what}")).and_then(duration).unwrap_or_default();
    // `reset` is when everything is back; what is missing flows back sooner, in proportion.
    match number("limit").map(|limit| (need as f64 - left) / (limit - left)) {
        Some(part) if part > 0.0 && part < 1.0 => reset.mul_f64(part),
        _ => reset,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    text(headers, name)?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A duration as Go writes it (`1s`, `6m0s`, `120ms`), or a number of seconds.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()?)?;
        rest = after;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderName;

    fn headers(lines: &str) -> HeaderMap {
        let line = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.trim().parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        lines.lines().map(line).collect()
    }

    #[test]
    fn what_a_refusal_asks_for() {
        let now = httpdate::parse_http_date("Tue, 24 Nov 2026 10:00:00 GMT").unwrap();
        let check = |lines: &str, expected: Option<f64>| {
            assert_eq!(asked(&headers(lines), now), expected.map(Duration::from_secs_f64), "{lines}");
        };
        check("", None);
        check("retry-after: 7", Some(7.0));
        check("retry-after: 7\nretry-after-ms: 20", Some(0.02));
        check("retry-after: Tue, 24 Nov 2026 10:00:05 GMT", Some(5.0));
        check("retry-after: Tue, 24 Nov 2026 09:00:05 GMT", Some(0.0));
        check("retry-after: soon", None);
        check("retry-after: -1", None);
        check("retry-after: 86400", Some(86400.0));
        check("ratelimit-reset: 3", Some(3.0));
        check("retry-after: inf", None);
    }

    #[test]
    fn what_is_left() {
        let check = |lines: &str, tokens: u64, expected: f64| {
            let found = until_left(&headers(lines), tokens).as_secs_f64();
            assert!((found - expected).abs() < 1e-6, "{lines}: {found}");
        };
        check("x-ratelimit-remaining-requests: 1\nx-ratelimit-reset-requests: 6m0s", 10, 0.0);
        check("x-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 6m0s", 10, 360.0);
        check("x-ratelimit-remaining-requests: -1\nx-ratelimit-reset-requests: 6m0s", 10, 0.0);
        check("x-ratelimit-remaining-requests: 0", 10, 0.0);
        let tokens = "x-ratelimit-limit-tokens: 1000\nx-ratelimit-remaining-tokens: 200\nx-ratelimit-reset-tokens: 40s";
        check(tokens, 100, 0.0);
        check(tokens, 300, 5.0);
        check(tokens, 5000, 40.0);
    }

    #[test]
    fn durations() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(duration(text), expected.map(Duration::from_secs_f64), "{text}");
        };
        check("1s", Some(1.0));
        check("6m0s", Some(360.0));
        check("120ms", Some(0.12));
        check("1h1m1.5s", Some(3661.5));
        check("17", Some(17.0));
        check("-1", None);
        check("1 fortnight", None);
        check("s", None);
    }

    #[test]
    fn backoff_doubles_within_its_bounds() {
        let waits = Waits::default();
        for (attempts, full) in [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (u32::MAX, 8.0)] {
            let wait = waits.backoff(attempts).as_secs_f64();
            assert!((full / 2.0..=full).contains(&wait), "{attempts}: {wait}");
        }
    }
}
