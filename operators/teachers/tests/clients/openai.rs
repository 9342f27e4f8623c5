//! OpenAI, Azure and servers that speak the same.

use crate::server::{GOUT, Say, Server, complete};
use crate::till::{KEY, NOTE, Till, ask, client, gout};
use serde_json::{Value, json};
use stillroom_schemas::TaskSet;
use stillroom_teachers::{Client, Question, TeacherError, Usage};

#[tokio::test]
async fn a_question_is_asked_answered_and_paid() {
    let server = Server::completing(GOUT).await;
    let client = client(&server, "temperature = 0.01\ntop_p = 0.9");
    let till = Till::default();
    let asked = ask(&client, &till).await;
    let reply = asked.outcome.unwrap();
    assert_eq!((reply.spans, reply.ungrounded), (gout(), 0));
    assert_eq!(reply.parameters["temperature"], 0.01);
    assert_eq!(reply.parameters, client.parameters());
    assert_eq!(asked.usage, server.spent());
    assert!(till.books().worst.tokens_in >= server.spent().tokens_in);

    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    let body = seen.json();
    assert_eq!(body["messages"][1]["content"], NOTE);
    assert_eq!(body["response_format"]["json_schema"]["schema"]["additionalProperties"], false);
}

#[tokio::test]
async fn azure_has_its_own_path_and_header() {
    let server = Server::completing(GOUT).await;
    let azure = "api = 'azure'\nmodel = 'deployed'";
    assert!(ask(&client(&server, azure), &Till::default()).await.outcome.is_ok());
    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/openai/deployments/deployed/chat/completions?api-version=2024-10-21");
    assert_eq!((seen.header("api-key"), seen.header("authorization")), (Some(KEY), None));

    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "Bearer of-entra\n").unwrap();
    let mut profile = client(&server, azure).profile().clone();
    profile.key_file = Some(token.path().to_owned());
    assert!(ask(&Client::new("mine", profile).unwrap(), &Till::default()).await.outcome.is_ok());
    let seen = &server.seen()[1];
    assert_eq!((seen.header("api-key"), seen.header("authorization")), (None, Some("Bearer of-entra")));
}

#[tokio::test]
async fn a_token_that_was_replaced_in_its_file_is_taken_from_there() {
    let server = Server::start(|seen, spent| match seen.header("authorization") {
        Some("Bearer second") => complete(seen, GOUT, spent),
        _ => {
            spent.requests += 1;
            Say::This(401, String::new(), String::new())
        }
    })
    .await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "Bearer first\n").unwrap();
    let mut profile = client(&server, "api = 'azure'\nmodel = 'deployed'").profile().clone();
    profile.key_file = Some(token.path().to_owned());
    let (client, till) = (Client::new("mine", profile).unwrap(), Till::default());
    assert!(matches!(ask(&client, &till).await.outcome, Err(TeacherError::Denied { status: 401, .. })));
    assert_eq!(server.requests(), 1, "the same token is not tried twice");
    std::fs::write(token.path(), "Bearer second\n").unwrap();
    assert!(ask(&client, &till).await.outcome.is_ok());
    assert!(ask(&client, &till).await.outcome.is_ok());
    assert_eq!(server.requests(), 4, "the token is read anew once");
    assert_eq!(till.books().spent, server.spent());
}

#[tokio::test]
async fn a_local_server_is_shown_no_key() {
    let server = Server::completing(GOUT).await;
    let mut profile = client(&server, "").profile().clone();
    profile.key_file = None;
    assert!(ask(&Client::new("mine", profile).unwrap(), &Till::default()).await.outcome.is_ok());
    assert_eq!(server.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_refused_request_is_sent_once() {
    let error = |code: &str| json!({ "error": { "code": code, "message": NOTE, "type": "invalid_request_error" } });
    let cases = [
        (400, error("unsupported_value"), "mine refuses the request (400, unsupported_value); correct"),
        (400, error("Jane Doe has gout."), "mine refuses the request (400, invalid_request_error); correct"),
        (401, error("invalid_api_key"), "mine does not take the key (401); check"),
        (403, Value::Null, "mine does not take the key (403); check"),
        (404, error("model_not_found"), "mine refuses the request (404, model_not_found); correct"),
        (422, Value::Null, "mine refuses the request (422, no code); correct"),
        (429, error("insufficient_quota"), "mine says that its quota is used up"),
        (400, error("content_filter"), "mine declines to answer for this note (content_filter)"),
    ];
    for (status, body, expected) in cases {
        let server = Server::saying(status, "", body).await;
        let asked = ask(&client(&server, ""), &Till::default()).await;
        let said = asked.outcome.unwrap_err().to_string();
        assert!(said.starts_with(expected), "{said}");
        assert_eq!((server.requests(), asked.usage.requests), (1, 1), "{said}");
        assert_eq!(asked.usage.tokens_out, 0, "{said}");
    }
}

#[tokio::test]
async fn neither_note_nor_key_follows_a_redirect() {
    let other = Server::completing(GOUT).await;
    let server = Server::saying(307, &format!("location: {}/v1/chat/completions", other.base), "").await;
    let said = ask(&client(&server, ""), &Till::default()).await.outcome.unwrap_err().to_string();
    assert!(said.starts_with("mine refuses the request (307"), "{said}");
    assert_eq!((server.requests(), other.requests()), (1, 0));
}

#[tokio::test]
async fn an_answer_that_is_none_is_paid() {
    let choice = |content: Value, refusal: Value, reason: &str| {
        json!({ "choices": [{ "message": { "content": content, "refusal": refusal }, "finish_reason": reason }],
                "usage": { "prompt_tokens": 50, "completion_tokens": 20 } })
    };
    let paid = Usage { requests: 1, tokens_in: 50, tokens_cached: 0, tokens_out: 20 };
    let cases = [
        (choice(json!(GOUT), json!(null), "length"), "the answer of mine was cut off; raise"),
        (choice(json!(null), json!("No, Jane"), "stop"), "mine declines to answer for this note (refusal)"),
        (choice(json!(""), json!(null), "content_filter"), "mine declines to answer for this note (content_filter)"),
        (
            choice(json!("Jane has gout"), json!(null), "stop"),
            "the answer of mine is not of the form that was asked for: it is no JSON",
        ),
        (
            choice(json!(&GOUT[..20]), json!(null), "stop"),
            "the answer of mine is not of the form that was asked for: it ends too early",
        ),
    ];
    for (body, expected) in cases {
        let server = Server::saying(200, "", body).await;
        let asked = ask(&client(&server, ""), &Till::default()).await;
        let said = asked.outcome.unwrap_err().to_string();
        assert!(said.starts_with(expected), "{said}");
        assert_eq!((server.requests(), asked.usage), (1, paid), "{said}");
    }
}

#[tokio::test]
async fn an_answer_without_a_bill_costs_the_worst() {
    for body in
        ["<html>Jane Doe</html>".to_owned(), json!({ "choices": [{ "message": { "content": GOUT } }] }).to_string()]
    {
        let server = Server::saying(200, "", body).await;
        let till = Till::default();
        let asked = ask(&client(&server, "tokens_out_max = 99"), &till).await;
        assert_eq!((asked.usage, asked.usage.tokens_out), (till.books().worst, 99));
    }
}

#[tokio::test]
async fn a_model_without_forms_may_repair_its_answer_once() {
    let lines = "has_json_schema = false\nhas_system_role = false";
    let check = async |second: &'static str, expected: &str| {
        let server = Server::start(move |seen, spent| match seen.index {
            0 => complete(seen, "It is gout: {\"disease\": \"gout\"}", spent),
            _ => complete(seen, second, spent),
        })
        .await;
        let asked = ask(&client(&server, lines), &Till::default()).await;
        let said = match asked.outcome {
            Ok(reply) => format!("{:?}", reply.spans),
            Err(error) => error.to_string(),
        };
        assert!(said.contains(expected), "{said}");
        assert_eq!(asked.usage, server.spent(), "both attempts are paid");
        let seen = server.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].json()["messages"].as_array().unwrap().len(), 1);
        let messages = seen[1].json()["messages"].as_array().unwrap().clone();
        assert_eq!(messages[1]["content"], "It is gout: {\"disease\": \"gout\"}");
        assert!(messages[2]["content"].as_str().unwrap().contains("a field is missing, unknown or of the wrong type"));
    };
    check(
        "Sorry! ```json\n{\"findings\":[{\"task\":\"disease\",\"text\":\"gout\",\"before\":\"\"}]}```",
        "start: 13, end: 17",
    )
    .await;
    check("I cannot", "the answer of mine is not of the form that was asked for: it holds no complete JSON object")
        .await;
}

#[tokio::test]
async fn a_repair_that_cannot_be_paid_is_not_asked_for() {
    let server = Server::completing("gout").await;
    let till = Till::of(1);
    let asked = ask(&client(&server, "has_json_schema = false"), &till).await;
    assert!(matches!(asked.outcome, Err(TeacherError::Budget { .. })));
    assert_eq!((server.requests(), asked.usage), (1, server.spent()));
}

#[tokio::test]
async fn what_is_nowhere_in_the_note_is_counted() {
    let server = Server::completing(r#"{"findings":[{"task":"disease","text":"xylophone","before":""}]}"#).await;
    let reply = ask(&client(&server, ""), &Till::default()).await.outcome.unwrap();
    assert_eq!((reply.spans.len(), reply.ungrounded), (0, 1));
}

#[tokio::test]
async fn nothing_is_not_asked_for() {
    let server = Server::completing(GOUT).await;
    let question = Question { text: NOTE, tasks: &TaskSet::new(), instructions: "Find nothing." };
    let asked = client(&server, "").ask(&question, &Till::of(0)).await;
    assert_eq!((asked.outcome.unwrap().spans.len(), asked.usage, server.requests()), (0, Usage::default(), 0));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_at_the_start() {
    let server = Server::start(|_, _| Say::Hang).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut profile = client(&server, "").profile().clone();
    profile.key_file = Some(file.path().to_owned());
    let refused = |profile: &stillroom_teachers::Profile| Client::new("mine", profile.clone()).unwrap_err().to_string();
    assert_eq!(refused(&profile), "the key_file of the teacher mine is empty; write the key into it");
    std::fs::write(file.path(), "two\nlines").unwrap();
    assert_eq!(refused(&profile), "the key of the teacher mine holds what no key holds; copy it again");
    profile.key_file = Some("/nowhere/key".into());
    assert_eq!(refused(&profile), "cannot read /nowhere/key");
    profile.key_file = None;
    profile.base = "here".to_owned();
    assert!(refused(&profile).starts_with("the teacher mine has a base that is no URL"));
    assert_eq!(server.requests(), 0);
}
