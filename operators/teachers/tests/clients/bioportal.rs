//! BioPortal's annotator, by a server that upper-cases, matches and counts as it does.

use crate::server::{Say, Seen, Server};
use crate::till::{KEY, Till, ask_about, client, endless};
use serde_json::json;
use stillroom_schemas::{Span, Task, TaskSet};
use stillroom_teachers::{Client, Question, Usage};

const RXNORM: &str = "api = 'bioportal'\nmodel = 'RXNORM'\ntasks = ['medication']\n";

/// Finds aspirin as the annotator does: in the text in upper case with line ends as spaces, by code points from 1, `shift` beside
/// the truth.
fn annotate(seen: &Seen, shift: i64) -> Say {
    let text: Vec<char> = seen.form()["text"].to_uppercase().replace('\n', " ").chars().collect();
    let is_aspirin = |at: &usize| text[*at..].iter().take(7).collect::<String>() == "ASPIRIN";
    let annotations: Vec<_> = (0..text.len())
        .filter(is_aspirin)
        .map(|at| at as i64 + 1 + shift)
        .map(|from| json!({ "from": from, "to": from + 6, "matchType": "PREF", "text": "ASPIRIN" }))
        .collect();
    let class = json!({ "@id": "http://purl.bioontology.org/ontology/RXNORM/1191", "prefLabel": "aspirin" });
    // Twice, as by two classes of the same name.
    let annotated = json!({ "annotatedClass": class, "hierarchy": [], "annotations": annotations, "mappings": [] });
    Say::This(200, String::new(), json!([annotated, annotated]).to_string())
}

async fn check(text: &str, shift: i64, expected: &[&str], lost: u32) {
    let server = Server::start(move |seen, _| annotate(seen, shift)).await;
    let asked = ask_about(&client(&server, RXNORM), &Till::default(), text).await;
    let reply = asked.outcome.unwrap();
    let chars: Vec<char> = text.chars().collect();
    let words = reply.spans.iter().map(|span| chars[span.start as usize..span.end as usize].iter().collect::<String>());
    assert_eq!(
        (words.collect::<Vec<_>>(), reply.ungrounded),
        (expected.iter().map(|word| word.to_string()).collect(), lost)
    );
    assert_eq!(asked.usage, Usage { requests: 1, ..Usage::default() });
}

#[tokio::test]
async fn a_form_is_posted() {
    let server = Server::start(|seen, _| annotate(seen, 0)).await;
    let client = client(&server, &format!("{RXNORM}semantic_types = ['T109', 'T121']"));
    let reply = ask_about(&client, &Till::default(), "aspirin & more").await.outcome.unwrap();
    assert_eq!(reply.spans, [Span { task: Task::Medication, start: 0, end: 7 }]);
    assert_eq!(reply.parameters["ontologies"], "RXNORM");
    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/annotator");
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen.header("authorization"), Some(format!("apikey token={KEY}").as_str()));
    let form = seen.form();
    assert_eq!((form["text"].as_str(), form["ontologies"].as_str()), ("aspirin & more", "RXNORM"));
    assert_eq!((form["semantic_types"].as_str(), form["display_links"].as_str()), ("T109,T121", "false"));
}

#[tokio::test]
async fn characters_that_grow_in_upper_case_shift_nothing() {
    check("Straße, ﬁne, ŉ: Aspirin 😀\r\naspirin", 0, &["Aspirin", "aspirin"], 0).await;
    // Too many to be made good by a look around.
    check(&format!("{} Aspirin", "ßﬁ ".repeat(50)), 0, &["Aspirin"], 0).await;
}

#[tokio::test]
async fn wrong_places_are_corrected_when_near_and_dropped_when_far() {
    check("take some aspirin", -3, &["aspirin"], 0).await;
    check("take some aspirin", 3, &["aspirin"], 0).await;
    check(&format!("{}aspirin", "a ".repeat(100)), -100, &[], 2).await;
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let server = Server::start(|seen, _| match seen.index {
        0 => Say::This(429, "RateLimit-Reset: 0".to_owned(), String::new()),
        _ => annotate(seen, 0),
    })
    .await;
    let client = client(&server, RXNORM).with_waits(endless());
    let asked = ask_about(&client, &Till::default(), "aspirin").await;
    assert!(asked.outcome.is_ok());
    assert_eq!((server.requests(), asked.usage.requests), (2, 2));
}

#[tokio::test]
async fn what_is_no_list_is_malformed() {
    let server = Server::saying(200, "", "{}").await;
    let said = ask_about(&client(&server, RXNORM), &Till::default(), "aspirin").await.outcome.unwrap_err().to_string();
    assert!(said.starts_with("the answer of mine is not of the form that was asked for"), "{said}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_vocabulary_is_not_asked_for_what_it_does_not_know() {
    let server = Server::start(|seen, _| annotate(seen, 0)).await;
    let tasks: TaskSet = [Task::Symptom].into();
    let question = Question { text: "aspirin", tasks: &tasks, instructions: "" };
    let asked = client(&server, RXNORM).ask(&question, &Till::of(0)).await;
    assert_eq!((asked.outcome.unwrap().spans.len(), server.requests()), (0, 0));

    let two = toml::from_str("api = 'bioportal'\nmodel = 'RXNORM'\ntasks = ['medication', 'disease']").unwrap();
    let said = Client::new("mine", two).unwrap_err().to_string();
    assert!(said.starts_with("the teacher mine has not one task"), "{said}");
}
