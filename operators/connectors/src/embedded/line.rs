//! A record as a line of JSON, the same bytes back.
//!
//! `{"offset":7,"key":"n-001","value":{…}}`: the value stands as it is if it is one JSON text on one line, so that a person can
//! read a topic with `jq`. Any other UTF-8 value stands as a string in `value_text`, any other bytes in `value_base64`.
//! `"headers":[["name","text"],…]` stands before the value when there are any, with `["name",null,"Base64"]` for one that is not text.
//! `"value":null` is a tombstone; a value that is the JSON text `null` stands in `value_text`. A key is a string, or stands in
//! `key_base64`, or is null when the record has none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::io::Write;
use stillroom_schemas::Header;

/// A line, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) offset: u64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<Header>,
}

#[derive(Deserialize)]
struct RawLine<'a> {
    offset: u64,
    key: Option<String>,
    key_base64: Option<String>,
    #[serde(default)]
    headers: Vec<Vec<Option<String>>>,
    #[serde(borrow, default, deserialize_with = "some_raw")]
    value: Option<&'a RawValue>,
    value_text: Option<String>,
    value_base64: Option<String>,
}

/// Keeps `"value":null` apart from a line without `value`, which would otherwise pass for a tombstone.
fn some_raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What a line is made from, beside its offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [Header],
}

/// Appends the line of a record to `buffer`, newline included.
pub(super) fn encode(buffer: &mut Vec<u8>, offset: u64, content: Content<'_>) {
    let Content { key, value, headers } = content;
    buffer.extend_from_slice(b"{\"offset\":");
    write!(buffer, "{offset}").expect("a vector takes every byte");
    match key.map(|key| str::from_utf8(key).map_err(|_| key)) {
        None => buffer.extend_from_slice(b",\"key\":null"),
        Some(Ok(key)) => put_string(buffer, b",\"key\":", key),
        Some(Err(key)) => put_string(buffer, b",\"key_base64\":", &STANDARD.encode(key)),
    }
    if !headers.is_empty() {
        let pairs = headers.iter().map(|(name, value)| match str::from_utf8(value) {
            Ok(text) => vec![Some(name.clone()), Some(text.to_owned())],
            Err(_) => vec![Some(name.clone()), None, Some(STANDARD.encode(value))],
        });
        buffer.extend_from_slice(b",\"headers\":");
        serde_json::to_writer(&mut *buffer, &pairs.collect::<Vec<_>>()).expect("strings are JSON");
    }
    match value {
        None => buffer.extend_from_slice(b",\"value\":null"),
        Some(value) if stands_alone(value) => {
            buffer.extend_from_slice(b",\"value\":");
            buffer.extend_from_slice(value);
        }
        Some(value) => match str::from_utf8(value) {
            Ok(text) => put_string(buffer, b",\"value_text\":", text),
            Err(_) => put_string(buffer, b",\"value_base64\":", &STANDARD.encode(value)),
        },
    }
    buffer.extend_from_slice(b"}\n");
}

fn put_string(buffer: &mut Vec<u8>, name: &[u8], text: &str) {
    buffer.extend_from_slice(name);
    serde_json::to_writer(buffer, text).expect("a string is JSON");
}

/// Whether `value` can stand in a line verbatim and be cut out of it again.
fn stands_alone(value: &[u8]) -> bool {
    value != b"null"
        && !value.contains(&b'\n')
        && serde_json::from_slice::<&RawValue>(value).is_ok_and(|raw| raw.get().len() == value.len())
}

/// Reads a line, given without its newline.
///
/// # Errors
/// What is wrong. The parser's own message may quote the line, so it is not passed on.
pub(super) fn decode(line: &[u8]) -> Result<Line, String> {
    let raw: RawLine = serde_json::from_slice(line).map_err(|error| match error.classify() {
        Category::Data => format!("column {} is not what a record has there", error.column()),
        _ => format!("not JSON from column {} on", error.column()),
    })?;
    let key = match (raw.key, raw.key_base64) {
        (Some(_), Some(_)) => return Err("two keys".to_owned()),
        (Some(key), None) => Some(key.into_bytes()),
        (None, Some(key)) => Some(from_base64(&key)?),
        (None, None) => None,
    };
    let value = match (raw.value.map(RawValue::get), raw.value_text, raw.value_base64) {
        (Some("null"), None, None) => None,
        (Some(json), None, None) => Some(json.as_bytes().to_vec()),
        (None, Some(text), None) => Some(text.into_bytes()),
        (None, None, Some(bytes)) => Some(from_base64(&bytes)?),
        _ => return Err("not exactly one of value, value_text and value_base64".to_owned()),
    };
    let headers = raw.headers.into_iter().map(header).collect::<Result<_, String>>()?;
    Ok(Line { offset: raw.offset, key, value, headers })
}

fn header(parts: Vec<Option<String>>) -> Result<Header, String> {
    match <[Option<String>; 2]>::try_from(parts) {
        Ok([Some(name), Some(text)]) => Ok((name, text.into_bytes())),
        Err(parts) => match <[Option<String>; 3]>::try_from(parts) {
            Ok([Some(name), None, Some(bytes)]) => Ok((name, from_base64(&bytes)?)),
            _ => Err("a header that is no name and value".to_owned()),
        },
        Ok(_) => Err("a header that is no name and value".to_owned()),
    }
}

fn from_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|_| "not Base64".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(key: Option<&[u8]>, value: Option<&[u8]>) -> String {
        written_with(key, value, &[])
    }

    fn written_with(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> String {
        let mut line = Vec::new();
        encode(&mut line, 7, Content { key, value, headers });
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(!line.contains(&b'\n'));
        let read = decode(&line).expect("what was written can be read");
        let (key, value, headers) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec), headers.to_vec());
        assert_eq!(read, Line { offset: 7, key, value, headers });
        String::from_utf8(line).expect("a line is UTF-8")
    }

    #[test]
    fn forms() {
        let check = |key: Option<&[u8]>, value: Option<&[u8]>, expected: &str| {
            assert_eq!(written(key, value), format!("{{\"offset\":7,{expected}}}"));
        };
        check(Some(b"n-1"), Some(br#"{"b" : 1.50, "a":[] }"#), r#""key":"n-1","value":{"b" : 1.50, "a":[] }"#);
        check(Some(b"n-1"), None, r#""key":"n-1","value":null"#);
        check(Some(b"n-1"), Some(b"null"), r#""key":"n-1","value_text":"null""#);
        check(Some(b"n-1"), Some(b""), r#""key":"n-1","value_text":"""#);
        check(Some(b""), Some(b"12"), r#""key":"","value":12"#);
        check(None, Some(br#""text""#), r#""key":null,"value":"text""#);
        check(None, Some(br#" {"a":1}"#), r#""key":null,"value_text":" {\"a\":1}""#);
        check(None, Some(b"{\"a\":\n1}"), r#""key":null,"value_text":"{\"a\":\n1}""#);
        check(None, Some(b"{\"a\":1"), r#""key":null,"value_text":"{\"a\":1""#);
        check(Some(b"\xff"), Some(b"\xfe{}"), r#""key_base64":"/w==","value_base64":"/nt9""#);
        check(None, Some(b"{\"a\":\"\xff\"}"), r#""key":null,"value_base64":"eyJhIjoi/yJ9""#);
        check(None, Some("{\"a\":\"é\"}".as_bytes()), "\"key\":null,\"value\":{\"a\":\"é\"}");
    }

    #[test]
    fn headers() {
        let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let line = written_with(Some(b"n"), Some(b"{}"), &[header("a", b"1"), header("a", b"\xff"), header("", b"")]);
        assert_eq!(line, r#"{"offset":7,"key":"n","headers":[["a","1"],["a",null,"/w=="],["",""]],"value":{}}"#);
    }

    #[test]
    fn what_is_no_record_is_refused_without_being_quoted() {
        let check =
            |line: &str, expected: &str| assert_eq!(decode(line.as_bytes()), Err(expected.to_owned()), "{line}");
        check(r#"{"offset":1,"key":"secret""#, "not JSON from column 26 on");
        check(r#"{"offset":"secret","value":1}"#, "column 18 is not what a record has there");
        check(r#"{"offset":1,"key":"a"}"#, "not exactly one of value, value_text and value_base64");
        check(r#"{"offset":1,"value":1,"value_text":"1"}"#, "not exactly one of value, value_text and value_base64");
        check(r#"{"offset":1,"key":"a","key_base64":"","value":1}"#, "two keys");
        check(r#"{"offset":1,"value_base64":"secret!"}"#, "not Base64");
        check(r#"{"offset":1,"headers":[["secret"]],"value":1}"#, "a header that is no name and value");
        check(r#"{"key":"a","value":1}"#, "column 21 is not what a record has there");
    }

    /// Bytes near what JSON is made of, so that the forms' borders are met often.
    fn json_like() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            "\"",
            "\\",
            "\\u00e9",
            "\\ud800",
            ":",
            ",",
            "null",
            "true",
            "1",
            "-0.0",
            "1e999",
            " ",
            "\n",
            "\r",
            "\t",
            "é",
            "\u{2028}",
            "\0",
            "\"a\"",
            "{\"a\":1}",
            "\"value\":",
            "}\n{",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(
            key in proptest::option::of(prop_oneof![any::<Vec<u8>>(), json_like()]),
            value in proptest::option::of(prop_oneof![any::<Vec<u8>>(), json_like(), ".*".prop_map(String::into_bytes)]),
            headers in prop::collection::vec((".*", any::<Vec<u8>>()), 0..3),
        ) {
            written_with(key.as_deref(), value.as_deref(), &headers);
        }
    }
}
