//! Gemini with an API key.

use crate::server::{GOUT, Say, Seen, Server};
use crate::till::{KEY, NOTE, Till, ask, client, endless, gout};
use serde_json::{Value, json};
use stillroom_teachers::{Client, Usage};

pub(crate) const GEMINI: &str = "api = 'gemini'\nmodel = 'flash'\ntemperature = 0.01\ntop_p = 0.9";

/// A candidate, billed by the bytes, with thoughts beside it.
pub(crate) fn generate(seen: &Seen, spent: &mut Usage) -> Say {
    let (tokens_in, tokens_out, thoughts) = (seen.body.len() as u64 / 4, GOUT.len() as u64 / 4, 50);
    *spent += Usage { requests: 1, tokens_in, tokens_cached: 3, tokens_out: tokens_out + thoughts };
    let parts = json!([{ "text": "Let me see.", "thought": true }, { "text": &GOUT[..9] }, { "text": &GOUT[9..] }]);
    let body = json!({
        "candidates": [{ "content": { "role": "model", "parts": parts }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": tokens_in, "candidatesTokenCount": tokens_out,
                           "cachedContentTokenCount": 3, "thoughtsTokenCount": thoughts },
    });
    Say::This(200, String::new(), body.to_string())
}

#[tokio::test]
async fn a_question_is_asked_answered_and_paid() {
    let server = Server::start(generate).await;
    let asked = ask(&client(&server, GEMINI), &Till::default()).await;
    let reply = asked.outcome.unwrap();
    assert_eq!((reply.spans, reply.ungrounded), (gout(), 0));
    assert_eq!(reply.parameters["generationConfig"]["topP"], 0.9);
    assert_eq!(asked.usage, server.spent());

    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/v1beta/models/flash:generateContent");
    assert_eq!((seen.header("x-goog-api-key"), seen.header("authorization")), (Some(KEY), None));
    let body = seen.json();
    assert_eq!(body["contents"][0]["parts"][0]["text"], NOTE);
    assert_eq!(body["systemInstruction"]["parts"][0]["text"], "Find them.");
    assert_eq!(body["generationConfig"]["responseSchema"]["properties"]["findings"]["type"], "ARRAY");
}

#[tokio::test]
async fn an_answer_that_is_none_is_paid() {
    let usage = json!({ "promptTokenCount": 50, "candidatesTokenCount": 20, "thoughtsTokenCount": 5 });
    let paid = Usage { requests: 1, tokens_in: 50, tokens_cached: 0, tokens_out: 25 };
    let parts = json!({ "parts": [{ "text": GOUT }] });
    let candidate = |reason: &str| json!([{ "content": parts, "finishReason": reason }]);
    let cases = [
        (candidate("MAX_TOKENS"), Value::Null, "the answer of mine was cut off"),
        (candidate("SAFETY"), Value::Null, "mine declines to answer for this note (SAFETY)"),
        (candidate("RECITATION"), Value::Null, "mine declines to answer for this note (RECITATION)"),
        (json!([]), json!("PROHIBITED_CONTENT"), "mine declines to answer for this note (PROHIBITED_CONTENT)"),
        (
            candidate("OTHER"),
            Value::Null,
            "the answer of mine is not of the form that was asked for: it ends with OTHER",
        ),
        (json!([]), Value::Null, "the answer of mine is not of the form that was asked for: it has no candidate"),
    ];
    for (candidates, block, expected) in cases {
        let feedback = json!({ "blockReason": block });
        let body = json!({ "candidates": candidates, "promptFeedback": feedback, "usageMetadata": usage });
        let server = Server::saying(200, "", body).await;
        let asked = ask(&client(&server, GEMINI), &Till::default()).await;
        let said = asked.outcome.unwrap_err().to_string();
        assert!(said.starts_with(expected), "{said}");
        assert_eq!((server.requests(), asked.usage), (1, paid), "{said}");
    }
}

#[tokio::test]
async fn it_waits_as_long_as_the_body_asks_for() {
    let server = Server::start(|seen, spent| match seen.index {
        0 => {
            spent.requests += 1;
            let retry = json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.01s" });
            let error = json!({ "code": 429, "status": "RESOURCE_EXHAUSTED", "message": NOTE, "details": [retry] });
            Say::This(429, String::new(), json!({ "error": error }).to_string())
        }
        _ => generate(seen, spent),
    })
    .await;
    let client = client(&server, GEMINI).with_waits(endless());
    let asked = ask(&client, &Till::default()).await;
    assert!(asked.outcome.is_ok());
    assert_eq!((server.requests(), asked.usage), (2, server.spent()));
}

#[tokio::test]
async fn a_key_that_was_replaced_in_its_file_is_taken_from_there() {
    let server = Server::start(|seen, spent| match seen.header("x-goog-api-key") {
        Some("second") => generate(seen, spent),
        _ => {
            spent.requests += 1;
            let details = json!([{ "reason": "API_KEY_INVALID" }]);
            let error = json!({ "error": { "status": "INVALID_ARGUMENT", "details": details } });
            Say::This(400, String::new(), error.to_string())
        }
    })
    .await;
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "first").unwrap();
    let mut profile = client(&server, GEMINI).profile().clone();
    profile.key_file = Some(key.path().to_owned());
    let client = Client::new("mine", profile).unwrap();
    std::fs::write(key.path(), "second").unwrap();
    assert!(ask(&client, &Till::default()).await.outcome.is_ok());
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_refused_request_is_sent_once() {
    let error =
        |status: &str, reason: Value| json!({ "error": { "status": status, "message": NOTE, "details": reason } });
    let cases = [
        (400, error("INVALID_ARGUMENT", json!(null)), "mine refuses the request (400, INVALID_ARGUMENT); correct"),
        (400, error("INVALID_ARGUMENT", json!([{ "reason": "API_KEY_INVALID" }])), "mine does not take the key (400)"),
        (403, error("PERMISSION_DENIED", json!(null)), "mine does not take the key (403)"),
        (404, error("NOT_FOUND", json!(null)), "mine refuses the request (404, NOT_FOUND); correct"),
    ];
    for (status, body, expected) in cases {
        let server = Server::saying(status, "", body).await;
        let asked = ask(&client(&server, GEMINI), &Till::default()).await;
        let said = asked.outcome.unwrap_err().to_string();
        assert!(said.starts_with(expected), "{said}");
        assert_eq!((server.requests(), asked.usage), (1, Usage { requests: 1, ..Usage::default() }));
    }
}
