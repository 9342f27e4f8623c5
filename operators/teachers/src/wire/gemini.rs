//! Gemini's `generateContent`, with an API key and on Vertex AI.
//!
//! Formats: <https://ai.google.dev/api/generate-content> and
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference>.

use super::{Answer, Complaint, Fault, Found, Repair, base, code, instructions, mentions, schema};
use crate::{Api, Profile, Question, Usage};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The base URL of the API with keys.
const BASE: &str = "https://generativelanguage.googleapis.com";

pub(crate) fn url(profile: &Profile) -> String {
    let Profile { model, project, location, .. } = profile;
    if profile.api == Api::Gemini {
        return format!("{}/v1beta/models/{model}:generateContent", base(profile, BASE));
    }
    let regional = match location.as_str() {
        // The global location has no prefix.
        "global" => "https://aiplatform.googleapis.com".to_owned(),
        _ => format!("https://{location}-aiplatform.googleapis.com"),
    };
    let base = base(profile, &regional);
    format!("{base}/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent")
}

/// What is sent beside the contents.
pub(crate) fn parameters(profile: &Profile) -> Value {
    json!({ "model": profile.model, "generationConfig": generation(profile) })
}

fn generation(profile: &Profile) -> Value {
    let mut sent = json!({ "maxOutputTokens": profile.tokens_out_max });
    if let Some(temperature) = profile.temperature {
        sent["temperature"] = json!(temperature);
    }
    if let Some(top_p) = profile.top_p {
        sent["topP"] = json!(top_p);
    }
    if let Some(seed) = profile.seed {
        sent["seed"] = json!(seed);
    }
    if profile.has_json_schema {
        sent["responseMimeType"] = json!("application/json");
    }
    sent
}

pub(crate) fn body(profile: &Profile, question: &Question, repair: Option<&Repair>) -> Value {
    let mut generation = generation(profile);
    if profile.has_json_schema {
        generation["responseSchema"] = schema::openapi(question.tasks);
    }
    let instructions = instructions(profile, question);
    let mut body = json!({ "generationConfig": generation });
    let first = match profile.has_system_role {
        true => {
            body["systemInstruction"] = json!({ "parts": [{ "text": instructions }] });
            content("user", question.text)
        }
        false => content("user", &format!("{instructions}\n\n{}", question.text)),
    };
    let mut contents = vec![first];
    if let Some(repair) = repair {
        contents.push(content("model", &repair.said));
        contents.push(content("user", &repair.request()));
    }
    body["contents"] = Value::Array(contents);
    body
}

fn content(role: &str, text: &str) -> Value {
    json!({ "role": role, "parts": [{ "text": text }] })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generated {
    #[serde(default)]
    candidates: Vec<Candidate>,
    #[serde(default)]
    prompt_feedback: Feedback,
    usage_metadata: Option<Tokens>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Content,
    finish_reason: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
    /// Whether this is the model's reasoning, not its answer.
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Tokens {
    prompt_token_count: u64,
    candidates_token_count: u64,
    cached_content_token_count: u64,
    thoughts_token_count: u64,
}

impl Tokens {
    /// Unlike OpenAI's, tokens of reasoning are not inside `candidatesTokenCount`; cached ones are inside `promptTokenCount`.
    fn usage(&self) -> Usage {
        Usage {
            requests: 1,
            tokens_in: self.prompt_token_count,
            tokens_cached: self.cached_content_token_count,
            tokens_out: self.candidates_token_count.saturating_add(self.thoughts_token_count),
        }
    }
}

pub(crate) fn answer(profile: &Profile, question: &Question, bytes: &[u8]) -> Answer {
    let generated: Generated = match serde_json::from_slice(bytes) {
        Ok(generated) => generated,
        Err(error) => return Answer { found: Err(Fault::malformed(super::deviation(&error))), usage: None },
    };
    let usage = generated.usage_metadata.as_ref().map(Tokens::usage);
    let found = match (&generated.prompt_feedback.block_reason, generated.candidates.into_iter().next()) {
        (Some(reason), _) => Err(Fault::Refused(code(reason).unwrap_or_else(|| "blocked".to_owned()))),
        (None, Some(candidate)) => choose(profile, question, candidate),
        (None, None) => Err(Fault::malformed("it has no candidate")),
    };
    Answer { found, usage }
}

fn choose(profile: &Profile, question: &Question, candidate: Candidate) -> Result<Found, Fault> {
    let reason = candidate.finish_reason.as_ref().and_then(code);
    match reason.as_deref() {
        Some("MAX_TOKENS") => return Err(Fault::Truncated),
        Some("SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII") => {
            return Err(Fault::Refused(reason.expect("the arm matches a reason")));
        }
        Some("STOP") | None => {}
        Some(other) => return Err(Fault::malformed(format!("it ends with {other}"))),
    }
    let answered = candidate.content.parts.into_iter().filter(|part| !part.thought);
    let said: String = answered.map(|part| part.text).collect();
    mentions(profile, question, &said)
}

/// Of an error, the status in words, or what Google's `ErrorInfo` says, which is more exact; and `RetryInfo`.
pub(crate) fn complaint(body: &Value) -> Complaint {
    let error = &body["error"];
    let details = error["details"].as_array().map_or(&[][..], Vec::as_slice);
    let reason = details.iter().find_map(|detail| code(&detail["reason"]));
    let code = reason.or_else(|| code(&error["status"])).or_else(|| code(&error["code"]));
    let wait = details.iter().find_map(|detail| seconds(detail["retryDelay"].as_str()?));
    Complaint { code: code.unwrap_or_default(), wait }
}

/// A duration of protobuf in JSON: `26s`, `1.5s`.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::{Task, TaskSet};

    fn ask<R>(then: impl FnOnce(&Question) -> R) -> R {
        let tasks: TaskSet = [Task::Symptom].into();
        then(&Question { text: "Coughs.", tasks: &tasks, instructions: "Find symptoms." })
    }

    fn flash() -> Profile {
        Profile::built_in("gemini-1.5-flash").unwrap()
    }

    #[test]
    fn the_form_is_prescribed_in_its_dialect() {
        let body = ask(|question| body(&flash(), question, None));
        assert_eq!(body["systemInstruction"], json!({ "parts": [{ "text": "Find symptoms." }] }));
        assert_eq!(body["contents"], json!([{ "role": "user", "parts": [{ "text": "Coughs." }] }]));
        let generation = &body["generationConfig"];
        assert_eq!((&generation["temperature"], &generation["topP"]), (&json!(0.01), &json!(0.9)));
        assert_eq!(generation["maxOutputTokens"], 4096);
        assert_eq!(generation["responseMimeType"], "application/json");
        assert_eq!(generation["responseSchema"]["type"], "OBJECT");
    }

    #[test]
    fn urls() {
        let check = |text: &str, expected: &str| assert_eq!(url(&toml::from_str(text).unwrap()), expected);
        check(
            "api = 'gemini'\nmodel = 'm'",
            "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
        );
        let models = "v1/projects/p/locations";
        check(
            "api = 'vertex'\nmodel = 'm'\nproject = 'p'",
            &format!(
                "https://us-central1-aiplatform.googleapis.com/{models}/us-central1/publishers/google/models/m:generateContent"
            ),
        );
        check(
            "api = 'vertex'\nmodel = 'm'\nproject = 'p'\nlocation = 'global'",
            &format!("https://aiplatform.googleapis.com/{models}/global/publishers/google/models/m:generateContent"),
        );
    }

    #[test]
    fn thoughts_are_paid_and_not_read() {
        let bytes = br#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"{\"findings\""},
            {"text":":[]}"}]},"finishReason":"STOP"}],
            "usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":20,"cachedContentTokenCount":40,
            "thoughtsTokenCount":30,"totalTokenCount":150}}"#;
        let answer = ask(|question| answer(&flash(), question, bytes));
        assert_eq!(answer.found, Ok(Found::Mentions(Vec::new())));
        assert_eq!(answer.usage, Some(Usage { requests: 1, tokens_in: 100, tokens_cached: 40, tokens_out: 50 }));
    }

    #[test]
    fn ends() {
        let check = |body: Value, expected: Fault| {
            let answer = ask(|question| answer(&flash(), question, body.to_string().as_bytes()));
            assert_eq!(answer.found, Err(expected), "{body}");
        };
        let refused = |word: &str| Fault::Refused(word.to_owned());
        check(json!({ "candidates": [{ "finishReason": "MAX_TOKENS" }] }), Fault::Truncated);
        check(json!({ "candidates": [{ "finishReason": "SAFETY" }] }), refused("SAFETY"));
        check(json!({ "candidates": [{ "finishReason": "OTHER" }] }), Fault::malformed("it ends with OTHER"));
        check(json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } }), refused("PROHIBITED_CONTENT"));
        check(json!({ "promptFeedback": { "blockReason": "the note says" } }), refused("blocked"));
        check(json!({}), Fault::malformed("it has no candidate"));
    }

    #[test]
    fn complaints_say_how_long_to_wait() {
        let retry = json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "26s" });
        let body = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{}, retry] } });
        let expected = Complaint { code: "RESOURCE_EXHAUSTED".to_owned(), wait: Some(Duration::from_secs(26)) };
        assert_eq!(complaint(&body), expected);
        let key = json!({ "error": { "status": "INVALID_ARGUMENT", "details": [{ "reason": "API_KEY_INVALID" }] } });
        assert_eq!(complaint(&key).code, "API_KEY_INVALID");
        assert_eq!(complaint(&Value::Null), Complaint::default());
        assert_eq!(seconds("-1s"), None);
        assert_eq!(seconds("0.25s"), Some(Duration::from_millis(250)));
    }
}
