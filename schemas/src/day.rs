//! A day, without a time of day.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// The Julian day of 1970-01-01.
const FIRST_JULIAN: i32 = 2_440_588;

/// 9999-12-31, in days from 1970-01-01.
const LAST: u32 = 2_932_896;

/// A day of UTC from 1970-01-01 to 9999-12-31, written as `2026-11-26`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

impl Day {
    /// The last day that there is, 9999-12-31.
    pub const LAST: Day = Day(LAST);

    /// The day that lies so many days after 1970-01-01; [`Day::LAST`] if that is later.
    pub fn from_number(number: u32) -> Day {
        Day(number.min(LAST))
    }

    /// Days from 1970-01-01 to this one.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The day on which a note was signed: of an RFC 3339 time the day that it was in UTC, of a date, or of a time that names no offset,
    /// the day that it names. Nothing if it is neither, or before 1970.
    pub fn of(signed_at: &str) -> Option<Day> {
        let text = signed_at.trim();
        let days = match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(at) => at.unix_timestamp().div_euclid(86_400),
            Err(_) => {
                let (date, time) = text.split_at_checked(10)?;
                let is_whole = time.is_empty() || time.starts_with(['T', 't', ' ']);
                i64::from(number_of(date).filter(|_| is_whole)?)
            }
        };
        u32::try_from(days).ok().filter(|days| *days <= LAST).map(Day)
    }
}

/// Days from 1970-01-01 to a date such as `2026-11-26`.
fn number_of(date: &str) -> Option<i32> {
    let date = Date::parse(date, &format_description!("[year]-[month]-[day]")).ok()?;
    Some(date.to_julian_day() - FIRST_JULIAN)
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Date::from_julian_day(FIRST_JULIAN + self.0 as i32).unwrap_or(Date::MAX);
        fmt::Display::fmt(&date, formatter)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = number_of(&text).and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= LAST);
        number.map(Day).ok_or_else(|| D::Error::custom("not a day from 1970-01-01 on, such as 2026-11-26"))
    }
}

impl JsonSchema for Day {
    fn schema_name() -> Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A day of UTC from 1970-01-01 to 9999-12-31.",
            "type": "string",
            "format": "date",
        })
    }
}
