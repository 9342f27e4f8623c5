//! The time, as records say it.

use time::OffsetDateTime;
use time::macros::format_description;

/// Now, UTC, as in RFC 3339 with milliseconds: such times are in order as texts, too.
pub(crate) fn utc_now() -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::now_utc().format(&format).expect("every field is there")
}
