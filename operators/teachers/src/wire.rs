//! What is sent to a teacher and what comes back, as pure functions: a profile and a question give a [`Call`], bytes give an
//! [`Answer`]. One file a family of vendors; who sends, waits and pays is `client`.

pub(crate) mod bioportal;
pub(crate) mod gemini;
pub(crate) mod openai;
pub(crate) mod schema;

use crate::{Api, Mention, Profile, Question, Usage};
use schema::Findings;
use serde_json::Value;
use stillroom_schemas::Span;

/// How many objects are tried at most where the form of an answer could not be prescribed, so that an answer of braces costs little.
const OBJECTS_TRIED_MAX: usize = 64;

/// Characters of a vendor's code that are kept at most.
const CODE_CHARS_MAX: usize = 64;

/// A request without its credentials.
pub(crate) struct Call {
    pub(crate) url: String,
    pub(crate) body: Body,
}

/// The body of a request.
pub(crate) enum Body {
    Json(Vec<u8>),
    Form(Vec<(&'static str, String)>),
}

impl Body {
    fn json(value: &Value) -> Body {
        Body::Json(serde_json::to_vec(value).expect("a JSON value can be written"))
    }
}

/// What a teacher answered, and what it says that this cost.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) found: Result<Found, Fault>,
    /// None where the vendor does not say.
    pub(crate) usage: Option<Usage>,
}

/// What a teacher found.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// By its words.
    Mentions(Vec<Mention>),
    /// By its place.
    Spans { spans: Vec<Span>, ungrounded: u32 },
}

/// Why an answer is none.
#[derive(Debug, PartialEq)]
pub(crate) enum Fault {
    Truncated,
    /// The vendor's word for it.
    Refused(String),
    Malformed {
        /// Where it deviates, without its words.
        reason: String,
        /// What the model said, to be shown to it once more.
        said: Option<String>,
    },
}

impl Fault {
    fn malformed(reason: impl Into<String>) -> Fault {
        Fault::Malformed { reason: reason.into(), said: None }
    }
}

/// An answer of a model that is to be corrected by it.
pub(crate) struct Repair {
    pub(crate) said: String,
    pub(crate) reason: String,
}

impl Repair {
    /// What the model is told.
    fn request(&self) -> String {
        format!(
            "Your answer is not of the form that was asked for: {}. Answer with the JSON object alone.",
            self.reason
        )
    }
}

/// What a vendor says of an error, without its message, which may quote the note.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Its code, in letters, digits and `_ - .` only.
    pub(crate) code: String,
    /// What it asks to wait for, as Gemini says it in the body.
    pub(crate) wait: Option<std::time::Duration>,
}

/// The request for `question`.
pub(crate) fn call(profile: &Profile, question: &Question, repair: Option<&Repair>) -> Call {
    let body = match profile.api {
        Api::Openai | Api::Azure => Body::json(&openai::body(profile, question, repair)),
        Api::Gemini | Api::Vertex => Body::json(&gemini::body(profile, question, repair)),
        Api::Bioportal => Body::Form(bioportal::form(profile, question.text)),
    };
    Call { url: url(profile), body }
}

/// Where requests go.
pub(crate) fn url(profile: &Profile) -> String {
    match profile.api {
        Api::Openai | Api::Azure => openai::url(profile),
        Api::Gemini | Api::Vertex => gemini::url(profile),
        Api::Bioportal => bioportal::url(profile),
    }
}

/// What is sent beside the text and the instructions; stored with every label.
pub(crate) fn parameters(profile: &Profile) -> Value {
    match profile.api {
        Api::Openai | Api::Azure => Value::Object(openai::parameters(profile)),
        Api::Gemini | Api::Vertex => gemini::parameters(profile),
        Api::Bioportal => bioportal::parameters(profile),
    }
}

/// The answer that `bytes` are.
pub(crate) fn answer(profile: &Profile, question: &Question, bytes: &[u8]) -> Answer {
    match profile.api {
        Api::Openai | Api::Azure => openai::answer(profile, question, bytes),
        Api::Gemini | Api::Vertex => gemini::answer(profile, question, bytes),
        Api::Bioportal => bioportal::answer(profile, question.text, bytes),
    }
}

/// What the body of an error says.
pub(crate) fn complaint(api: Api, bytes: &[u8]) -> Complaint {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    match api {
        Api::Openai | Api::Azure => openai::complaint(&body),
        Api::Gemini | Api::Vertex => gemini::complaint(&body),
        Api::Bioportal => Complaint::default(),
    }
}

/// The base URL, without what everyone forgets to leave out.
fn base<'a>(profile: &'a Profile, default: &'a str) -> &'a str {
    let base = if profile.base.is_empty() { default } else { &profile.base };
    let base = base.trim_end_matches('/');
    base.strip_suffix("/v1").unwrap_or(base)
}

/// The instructions as they are sent: with the form of the answer where the API cannot prescribe it.
fn instructions(profile: &Profile, question: &Question) -> String {
    if profile.has_json_schema {
        return question.instructions.to_owned();
    }
    let form = schema::strict(question.tasks);
    format!(
        "{}\n\nAnswer with one JSON object of this JSON schema, and with nothing else:\n{form}",
        question.instructions
    )
}

/// What a model says it found.
fn mentions(profile: &Profile, question: &Question, said: &str) -> Result<Found, Fault> {
    let read = if profile.has_json_schema { read_whole(said) } else { read_first_object(said) };
    let findings = read.map_err(|reason| Fault::Malformed { reason, said: Some(said.to_owned()) })?;
    // A model whose answer cannot be prescribed may say more than it was asked for; that is no reason to pay again.
    let asked = findings.findings.into_iter().filter(|finding| question.tasks.contains(&finding.task));
    Ok(Found::Mentions(asked.map(Mention::from).collect()))
}

fn read_whole(said: &str) -> Result<Findings, String> {
    serde_json::from_str(said).map_err(|error| deviation(&error))
}

/// Reads the first balanced JSON object among whatever stands around it.
fn read_first_object(said: &str) -> Result<Findings, String> {
    for (start, _) in said.match_indices('{').take(OBJECTS_TRIED_MAX) {
        if let Some(Ok(object)) = serde_json::Deserializer::from_str(&said[start..]).into_iter::<Value>().next() {
            return serde_json::from_value(object).map_err(|error| deviation(&error));
        }
    }
    Err("it holds no complete JSON object".to_owned())
}

/// Where JSON deviates. The words of serde's message are left out, as they quote what it read.
fn deviation(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "it ends too early",
        Category::Syntax => "it is no JSON",
        Category::Data => "a field is missing, unknown or of the wrong type",
        Category::Io => "it cannot be read",
    };
    match (error.line(), error.column()) {
        (0, _) => what.to_owned(),
        (line, column) => format!("{what} (line {line}, column {column})"),
    }
}

/// A vendor's code if it looks like one; a server could echo the note in its place.
fn code(value: &Value) -> Option<String> {
    let code = match value {
        Value::String(code) => code.clone(),
        Value::Number(code) => code.to_string(),
        _ => return None,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!code.is_empty() && code.len() <= CODE_CHARS_MAX && code.chars().all(plain)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_complete_object_is_taken() {
        let check = |said: &str, expected: Result<usize, &str>| {
            let read = read_first_object(said).map(|findings| findings.findings.len());
            assert_eq!(read, expected.map_err(str::to_owned), "{said}");
        };
        let one = r#"{"findings":[{"task":"symptom","text":"a } brace","before":""}]}"#;
        check(one, Ok(1));
        check(&format!("Sure {{here}} it is:\n```json\n{one}\n``` and {{\"findings\":[]}}"), Ok(1));
        check("no object at all", Err("it holds no complete JSON object"));
        check(&one[..one.len() - 1], Err("a field is missing, unknown or of the wrong type"));
        check(
            r#"{"findings":[{"task":"smell","text":"a","before":""}]}"#,
            Err("a field is missing, unknown or of the wrong type"),
        );
        check(&"{".repeat(1 << 20), Err("it holds no complete JSON object"));
    }

    #[test]
    fn a_deviation_never_quotes() {
        let said = r#"{"findings":[{"task":"secret name","text":"a","before":""}]}"#;
        let reason = read_whole(said).unwrap_err();
        assert!(reason.starts_with("a field is missing, unknown or of the wrong type (line 1"), "{reason}");
        assert!(!reason.contains("secret"), "{reason}");
    }

    #[test]
    fn a_code_that_is_prose_is_none() {
        assert_eq!(code(&json!("model_not_found")), Some("model_not_found".to_owned()));
        assert_eq!(code(&json!(404)), Some("404".to_owned()));
        assert_eq!(code(&json!("the note says: Jane Doe")), None);
        assert_eq!(code(&json!(null)), None);
    }
}
