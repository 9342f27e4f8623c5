//! OpenAI's Chat Completions, on OpenAI, on Azure and on servers that speak the same.
//!
//! Formats: <https://platform.openai.com/docs/api-reference/chat>, and for Azure
//! <https://learn.microsoft.com/azure/ai-services/openai/reference>.

use super::{Answer, Complaint, Fault, Found, Repair, base, code, instructions, mentions, schema};
use crate::{Api, Profile, Question, Usage};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// OpenAI's own base URL.
const BASE: &str = "https://api.openai.com";

pub(crate) fn url(profile: &Profile) -> String {
    let base = base(profile, BASE);
    match profile.api {
        Api::Azure => {
            format!("{base}/openai/deployments/{}/chat/completions?api-version={}", profile.model, profile.api_version)
        }
        _ => format!("{base}/v1/chat/completions"),
    }
}

/// What is sent beside the messages. A parameter that the profile lacks is left out, as o1-mini refuses even its default.
pub(crate) fn parameters(profile: &Profile) -> Map<String, Value> {
    let mut sent = Map::new();
    sent.insert("model".to_owned(), json!(profile.model));
    sent.insert("max_completion_tokens".to_owned(), json!(profile.tokens_out_max));
    if let Some(temperature) = profile.temperature {
        sent.insert("temperature".to_owned(), json!(temperature));
    }
    if let Some(top_p) = profile.top_p {
        sent.insert("top_p".to_owned(), json!(top_p));
    }
    if let Some(seed) = profile.seed {
        sent.insert("seed".to_owned(), json!(seed));
    }
    if profile.has_json_schema {
        sent.insert("response_format".to_owned(), json!({ "type": "json_schema" }));
    }
    sent
}

pub(crate) fn body(profile: &Profile, question: &Question, repair: Option<&Repair>) -> Value {
    let mut body = parameters(profile);
    if profile.has_json_schema {
        let form = json!({ "name": schema::NAME, "strict": true, "schema": schema::strict(question.tasks) });
        body.insert("response_format".to_owned(), json!({ "type": "json_schema", "json_schema": form }));
    }
    let instructions = instructions(profile, question);
    let mut messages = match profile.has_system_role {
        true => vec![message("system", &instructions), message("user", question.text)],
        false => vec![message("user", &format!("{instructions}\n\n{}", question.text))],
    };
    if let Some(repair) = repair {
        messages.push(message("assistant", &repair.said));
        messages.push(message("user", &repair.request()));
    }
    body.insert("messages".to_owned(), Value::Array(messages));
    Value::Object(body)
}

fn message(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<CachedTokens>,
}

#[derive(Deserialize)]
struct CachedTokens {
    cached_tokens: Option<u64>,
}

impl Tokens {
    /// Tokens of reasoning are inside `completion_tokens` already, and cached ones inside `prompt_tokens`.
    fn usage(&self) -> Usage {
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        Usage {
            requests: 1,
            tokens_in: self.prompt_tokens,
            tokens_cached: cached.unwrap_or(0),
            tokens_out: self.completion_tokens,
        }
    }
}

pub(crate) fn answer(profile: &Profile, question: &Question, bytes: &[u8]) -> Answer {
    let completion: Completion = match serde_json::from_slice(bytes) {
        Ok(completion) => completion,
        Err(error) => return Answer { found: Err(Fault::malformed(super::deviation(&error))), usage: None },
    };
    let usage = completion.usage.as_ref().map(Tokens::usage);
    let found = match completion.choices.into_iter().next() {
        Some(choice) => choose(profile, question, choice),
        None => Err(Fault::malformed("it has no choice")),
    };
    Answer { found, usage }
}

fn choose(profile: &Profile, question: &Question, choice: Choice) -> Result<Found, Fault> {
    match choice.finish_reason.as_deref() {
        Some("length") => return Err(Fault::Truncated),
        Some("content_filter") => return Err(Fault::Refused("content_filter".to_owned())),
        // Some local servers say nothing.
        Some("stop") | None => {}
        Some(_) => return Err(Fault::malformed("it ends for a reason that is neither stop nor length")),
    }
    // The words of a refusal may quote the note.
    if choice.message.refusal.is_some_and(|refusal| !refusal.is_empty()) {
        return Err(Fault::Refused("refusal".to_owned()));
    }
    match choice.message.content {
        Some(said) => mentions(profile, question, &said),
        None => Err(Fault::malformed("it has no content")),
    }
}

/// Of an error, the code, or where there is none the type. Some local servers do not wrap it in `error`.
pub(crate) fn complaint(body: &Value) -> Complaint {
    let error = body.get("error").unwrap_or(body);
    let code = code(&error["code"]).or_else(|| code(&error["type"]));
    Complaint { code: code.unwrap_or_default(), wait: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::{Task, TaskSet};

    fn profile(text: &str) -> Profile {
        toml::from_str(text).unwrap()
    }

    fn ask<R>(then: impl FnOnce(&Question) -> R) -> R {
        let tasks: TaskSet = [Task::Disease].into();
        then(&Question { text: "Has gout.", tasks: &tasks, instructions: "Find diseases." })
    }

    #[test]
    fn the_published_parameters_are_sent() {
        let body = ask(|question| body(&Profile::built_in("gpt-4o").unwrap(), question, None));
        assert_eq!(body["model"], "gpt-4o-2024-08-06");
        assert_eq!((&body["temperature"], &body["top_p"]), (&json!(0.01), &json!(0.9)));
        assert_eq!(body["max_completion_tokens"], 4096);
        assert_eq!(body["response_format"]["json_schema"]["strict"], true);
        assert_eq!(body["messages"][0], json!({ "role": "system", "content": "Find diseases." }));
        assert_eq!(body["messages"][1], json!({ "role": "user", "content": "Has gout." }));
    }

    #[test]
    fn a_model_that_takes_little_is_sent_little() {
        let repair = Repair { said: "gout".to_owned(), reason: "it is no JSON".to_owned() };
        let body = ask(|question| body(&Profile::built_in("o1-mini").unwrap(), question, Some(&repair)));
        let keys: std::collections::BTreeSet<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["max_completion_tokens", "messages", "model"].into());
        let messages = body["messages"].as_array().unwrap();
        let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "user"]);
        let first = messages[0]["content"].as_str().unwrap();
        assert!(first.starts_with("Find diseases.\n\n") && first.ends_with("\n\nHas gout."), "{first}");
        assert!(first.contains(r#""additionalProperties":false"#), "the form is told in words: {first}");
        assert_eq!(messages[1]["content"], "gout");
    }

    #[test]
    fn urls() {
        let check = |text: &str, expected: &str| assert_eq!(url(&profile(text)), expected);
        check("api = 'openai'\nmodel = 'm'", "https://api.openai.com/v1/chat/completions");
        check("api = 'openai'\nmodel = 'm'\nbase = 'http://h:1/v1/'", "http://h:1/v1/chat/completions");
        check(
            "api = 'azure'\nmodel = 'd'\nbase = 'https://r.openai.azure.com/'",
            "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
        );
    }

    #[test]
    fn tokens_are_counted_once() {
        let bytes = br#"{"choices":[{"message":{"content":"{\"findings\":[]}","refusal":null},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
            "prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":30}}}"#;
        let answer = ask(|question| answer(&Profile::built_in("gpt-4o").unwrap(), question, bytes));
        assert_eq!(answer.found, Ok(Found::Mentions(Vec::new())));
        assert_eq!(answer.usage, Some(Usage { requests: 1, tokens_in: 100, tokens_cached: 40, tokens_out: 50 }));
    }

    #[test]
    fn ends() {
        let check = |choice: &str, expected: Result<usize, Fault>| {
            let bytes = format!(r#"{{"choices":[{choice}],"usage":{{"prompt_tokens":1,"completion_tokens":2}}}}"#);
            let answer = ask(|question| answer(&Profile::built_in("gpt-4o").unwrap(), question, bytes.as_bytes()));
            let found = answer.found.map(|found| match found {
                Found::Mentions(mentions) => mentions.len(),
                Found::Spans { .. } => unreachable!("a language model is never asked for places"),
            });
            assert_eq!(found, expected, "{choice}");
            assert_eq!(answer.usage.unwrap().tokens_out, 2, "a failed answer costs too");
        };
        let gout = r#"{\"findings\":[{\"task\":\"disease\",\"text\":\"gout\",\"before\":\"Has \"}]}"#;
        check(&format!(r#"{{"message":{{"content":"{gout}"}},"finish_reason":"stop"}}"#), Ok(1));
        check(&format!(r#"{{"message":{{"content":"{gout}"}}}}"#), Ok(1));
        check(&format!(r#"{{"message":{{"content":"{gout}"}},"finish_reason":"length"}}"#), Err(Fault::Truncated));
        let refused = |word: &str| Err(Fault::Refused(word.to_owned()));
        check(r#"{"message":{"refusal":"I will not"},"finish_reason":"stop"}"#, refused("refusal"));
        check(r#"{"message":{},"finish_reason":"content_filter"}"#, refused("content_filter"));
        check(r#"{"message":{},"finish_reason":"stop"}"#, Err(Fault::malformed("it has no content")));
        check("", Err(Fault::malformed("it has no choice")));
    }

    #[test]
    fn complaints_have_a_code_and_no_words() {
        let check = |body: Value, expected: &str| assert_eq!(complaint(&body).code, expected);
        check(json!({ "error": { "code": "model_not_found", "message": "secret" } }), "model_not_found");
        check(json!({ "error": { "code": null, "type": "server_error" } }), "server_error");
        check(json!({ "object": "error", "type": "BadRequestError", "code": 400, "message": "secret" }), "400");
        check(json!({ "error": "secret words" }), "");
        check(json!([]), "");
    }
}
