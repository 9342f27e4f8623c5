//! When a note was signed.

use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime, Time, UtcOffset};

/// A date, and as far as it is known the time of day and its distance from UTC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Signed {
    /// The date where it was signed.
    pub(crate) date: Date,
    /// The time of day there.
    pub(crate) time: Option<Time>,
    /// How far ahead of UTC that is.
    pub(crate) offset: Option<UtcOffset>,
}

impl Signed {
    /// Reads RFC 3339, and what sites send in its place: without the zone, and without the time. `None` for what is no date.
    pub(crate) fn of(text: &str) -> Option<Signed> {
        let parsed = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
        let (at, has_time, has_offset) = parsed(text)
            .map(|at| (at, true, true))
            .or_else(|| parsed(&format!("{text}Z")).map(|at| (at, true, false)))
            .or_else(|| parsed(&format!("{text}T00:00:00Z")).map(|at| (at, false, false)))?;
        let signed =
            Signed { date: at.date(), time: has_time.then(|| at.time()), offset: has_offset.then(|| at.offset()) };
        // The year 0 is one of RFC 3339, and none of databases.
        (at.year() > 0).then_some(signed)
    }

    /// The same moment, where it is one.
    pub(crate) fn moment(self) -> Option<OffsetDateTime> {
        Some(OffsetDateTime::new_in_offset(self.date, self.time?, self.offset?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let said = Signed::of(text).map(|signed| {
            let moment = signed.moment().map_or(String::new(), |at| at.unix_timestamp().to_string());
            format!("{} {} {moment}", signed.date, signed.time.map_or(String::new(), |time| time.to_string()))
        });
        assert_eq!(said.as_deref().unwrap_or("none"), expected, "{text:?}");
    }

    #[test]
    fn dates_as_sites_send_them() {
        check("1970-01-02T00:00:00Z", "1970-01-02 0:00:00.0 86400");
        check("1970-01-01T23:00:00-01:00", "1970-01-01 23:00:00.0 86400");
        check("2026-11-27 08:30:15.25", "2026-11-27 8:30:15.25 ");
        check("2026-11-27", "2026-11-27  ");
        for none in [
            "",
            "yesterday",
            "2026-02-30",
            "2026-13-01T00:00:00Z",
            "0000-01-01",
            "27.11.2026",
            "2026-11-27/../..",
            "\u{1f912}",
        ] {
            check(none, "none");
        }
    }
}
