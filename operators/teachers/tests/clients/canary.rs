//! Whether a server can be used and keeps to the form, before it is asked about notes.

use crate::server::{GOUT, Say, Server};
use crate::till::client;

#[tokio::test]
async fn a_server_that_keeps_to_the_form_can_be_used() {
    let server = Server::completing(r#"{"findings":[]}"#).await;
    client(&server, "").canary().await.unwrap();
    let body = server.seen()[0].json();
    assert!(body["messages"][0]["content"].as_str().unwrap().contains("Do not answer in JSON"));
    assert!(body["response_format"]["json_schema"]["schema"].is_object());
}

#[tokio::test]
async fn a_server_that_ignores_the_form_is_found_out() {
    for content in ["unconstrained", r#"{"word":"unconstrained"}"#] {
        let server = Server::completing(content).await;
        let said = client(&server, "").canary().await.unwrap_err().to_string();
        assert_eq!(
            said,
            "the teacher mine ignores the form of the answer that it is given; set has_json_schema = false"
        );
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn a_model_without_forms_has_to_answer_in_one() {
    let server = Server::completing(GOUT).await;
    client(&server, "has_json_schema = false").canary().await.unwrap();
    let server = Server::completing("I see gout.").await;
    let said = client(&server, "has_json_schema = false").canary().await.unwrap_err().to_string();
    assert!(said.starts_with("the answer of mine is not of the form"), "{said}");
    assert_eq!(server.requests(), 2, "one repair is allowed here too");
}

#[tokio::test]
async fn a_vocabulary_has_to_answer() {
    let vocabulary = "api = 'bioportal'\nmodel = 'SNOMEDCT'\ntasks = ['disease']";
    let server = Server::saying(200, "", "[]").await;
    client(&server, vocabulary).canary().await.unwrap();
    let server = Server::start(|_, _| Say::This(401, String::new(), String::new())).await;
    let said = client(&server, vocabulary).canary().await.unwrap_err().to_string();
    assert!(said.starts_with("mine does not take the key (401)"), "{said}");
}
