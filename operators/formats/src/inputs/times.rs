//! Times as sites write them, as RFC 3339.

use super::DatesConfig;
use crate::FormatError;
use crate::dates::Signed;
use time::format_description::well_known::Rfc3339;
use time::format_description::{OwnedFormatItem, parse_strftime_owned};
use time::parsing::Parsed;
use time::{Date, OffsetDateTime, PlainDateTime, Time, UtcOffset};

/// Reads times.
#[derive(Clone, Debug)]
pub(super) struct Times {
    formats: Vec<OwnedFormatItem>,
    offset: Option<UtcOffset>,
}

impl Times {
    /// # Errors
    /// Names a setting that cannot be used.
    pub(super) fn new(config: &DatesConfig) -> Result<Times, FormatError> {
        let formats = config.formats.iter().map(|format| {
            parse_strftime_owned(format).map_err(|_| FormatError::Setting {
                field: "dates.formats",
                reason: format!("has {format:?}, which is no format of strftime; write such as \"%d.%m.%Y %H:%M\""),
            })
        });
        let offset = config.utc_offset.as_deref().map(|text| {
            offset(text).ok_or_else(|| FormatError::Setting {
                field: "dates.utc_offset",
                reason: format!("is {text:?}; write it as +01:00 or -05:00"),
            })
        });
        Ok(Times { formats: formats.collect::<Result<_, _>>()?, offset: offset.transpose()? })
    }

    /// The time that `text` is, by the formats of the site, or else as RFC 3339, also without the zone or the time.
    pub(super) fn read(&self, text: &str) -> Option<Signed> {
        let by_site = self.formats.iter().find_map(|format| by_format(text, format));
        Some(self.complete(by_site.or_else(|| Signed::of(text))?, None))
    }

    /// A time that does not tell its distance from UTC has that which its message tells, or else the site's.
    pub(super) fn complete(&self, signed: Signed, of_message: Option<UtcOffset>) -> Signed {
        Signed { offset: signed.offset.or(of_message).or(self.offset).filter(|_| signed.time.is_some()), ..signed }
    }
}

/// As `signed_at` has it: RFC 3339, without the zone or the time where they are not known.
pub(super) fn written(signed: Signed) -> String {
    if let Some(text) = signed.moment().and_then(|moment| moment.format(&Rfc3339).ok()) {
        return text;
    }
    let Some(time) = signed.time else { return signed.date.to_string() };
    let (hour, minute, second, nanosecond) = time.as_hms_nano();
    let fraction = if nanosecond == 0 { String::new() } else { format!(".{nanosecond:09}") };
    format!("{}T{hour:02}:{minute:02}:{second:02}{}", signed.date, fraction.trim_end_matches('0'))
}

/// Seconds since 1970, by which later revisions are known; of a time without a zone, as if it were UTC. Notes were not signed before.
pub(super) fn unix_seconds(signed: Signed) -> u64 {
    let at = PlainDateTime::new(signed.date, signed.time.unwrap_or(Time::MIDNIGHT));
    let moment: OffsetDateTime = at.assume_offset(signed.offset.unwrap_or(UtcOffset::UTC));
    moment.unix_timestamp().try_into().unwrap_or(0)
}

fn by_format(text: &str, format: &OwnedFormatItem) -> Option<Signed> {
    let mut parsed = Parsed::new();
    let rest = parsed.parse_item(text.as_bytes(), format).ok()?;
    if !rest.is_empty() {
        return None;
    }
    if let (None, None, Some(of_century)) = (parsed.year(), parsed.year_century(), parsed.year_last_two()) {
        // As POSIX reads %y.
        parsed.set_year_century(if of_century < 69 { 20 } else { 19 }, false)?;
    }
    if let (Some(_), Ok(at)) = (parsed.unix_timestamp_nanos(), OffsetDateTime::try_from(parsed)) {
        return Some(Signed { date: at.date(), time: Some(at.time()), offset: Some(at.offset()) });
    }
    let date = Date::try_from(parsed).ok().filter(|date| date.year() > 0)?;
    Some(Signed { date, time: Time::try_from(parsed).ok(), offset: UtcOffset::try_from(parsed).ok() })
}

/// `+01:00`, `-0500` or `Z`.
pub(super) fn offset(text: &str) -> Option<UtcOffset> {
    if text == "Z" {
        return Some(UtcOffset::UTC);
    }
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let digits = digits.replacen(':', "", 1);
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let [hours, minutes]: [i8; 2] = [digits[..2].parse().ok()?, digits[2..].parse().ok()?];
    // No place is further ahead or behind.
    let is_somewhere = hours <= 14;
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok().filter(|_| is_somewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(formats: &[&str], utc_offset: Option<&str>) -> Times {
        let formats = formats.iter().map(|&format| format.to_owned()).collect();
        Times::new(&DatesConfig { formats, utc_offset: utc_offset.map(str::to_owned) }).unwrap()
    }

    #[test]
    fn times_are_read_as_the_site_writes_them() {
        let check = |formats: &[&str], utc_offset: Option<&str>, text: &str, expected: &str| {
            let read = times(formats, utc_offset).read(text).map(written);
            assert_eq!(read.as_deref().unwrap_or("none"), expected, "{text:?} by {formats:?}");
        };
        check(&[], None, "2026-11-27T08:00:00+01:00", "2026-11-27T08:00:00+01:00");
        check(&[], None, "2026-11-27 08:00:00", "2026-11-27T08:00:00");
        check(&[], None, "2026-11-27T08:00:00.250", "2026-11-27T08:00:00.25");
        check(&[], None, "2026-11-27", "2026-11-27");
        check(&[], Some("-05:00"), "2026-11-27 08:00:00", "2026-11-27T08:00:00-05:00");
        check(&[], Some("-05:00"), "2026-11-27T08:00:00Z", "2026-11-27T08:00:00Z");
        check(&[], Some("-05:00"), "2026-11-27", "2026-11-27");
        check(&[], None, "27.11.2026 08:30", "none");
        check(&["%d.%m.%Y %H:%M", "%d.%m.%Y"], Some("+01:00"), "27.11.2026 08:30", "2026-11-27T08:30:00+01:00");
        check(&["%d.%m.%Y %H:%M", "%d.%m.%Y"], Some("+01:00"), "27.11.2026", "2026-11-27");
        check(&["%m/%d/%Y %I:%M %p"], None, "11/27/2026 08:30 PM", "2026-11-27T20:30:00");
        check(&["%m/%d/%y %H:%M"], None, "11/27/26 08:30", "2026-11-27T08:30:00");
        check(&["%m/%d/%y"], None, "11/27/69", "1969-11-27");
        check(&["%d.%m.%Y"], None, "27.11.2026 and more", "none");
        check(&["%d.%m.%Y"], None, "2026-11-27", "2026-11-27");
        check(&["%d.%m.%Y"], None, "31.02.2026", "none");
    }

    #[test]
    fn settings_that_are_none_are_refused() {
        let check = |formats: &[&str], utc_offset: Option<&str>, expected: &str| {
            let formats = formats.iter().map(|&format| format.to_owned()).collect();
            let error = Times::new(&DatesConfig { formats, utc_offset: utc_offset.map(str::to_owned) }).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        };
        check(&["%d.%m.%"], None, "dates.formats has \"%d.%m.%\"");
        for wrong in ["1", "+1:00", "+25:00", "CET", "", "+0100x", "+\u{e9}1:00"] {
            check(&[], Some(wrong), "dates.utc_offset is ");
        }
    }

    #[test]
    fn revisions_are_seconds() {
        let seconds = |text: &str| unix_seconds(Signed::of(text).unwrap());
        assert_eq!(seconds("1970-01-02T00:00:01Z"), 86401);
        assert_eq!(seconds("1970-01-02T01:00:01+01:00"), 86401);
        assert_eq!(seconds("1970-01-02T00:00:01"), 86401);
        assert_eq!(seconds("1970-01-02"), 86400);
        assert_eq!(seconds("1969-01-02"), 0);
    }
}
