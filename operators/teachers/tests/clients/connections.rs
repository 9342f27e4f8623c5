//! Connections that hang, break and never are, and questions that nobody waits for any more.

use crate::server::{Breaking, GOUT, Say, Server, complete};
use crate::till::{NOTE, Till, ask, client, client_at};
use serde_json::json;
use std::time::Duration;
use stillroom_schemas::{Task, TaskSet};
use stillroom_teachers::{Question, Usage};

fn completion() -> String {
    let body = json!({ "choices": [{ "message": { "content": GOUT }, "finish_reason": "stop" }],
                       "usage": { "prompt_tokens": 11, "completion_tokens": 22 } });
    let body = body.to_string();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// What is billed for one answer, and at worst for the attempts that were lost.
fn with_lost(till: &Till, lost: u64) -> Usage {
    let worst = till.books().worst;
    Usage {
        requests: lost + 1,
        tokens_in: 11 + lost * worst.tokens_in,
        tokens_cached: 0,
        tokens_out: 22 + lost * worst.tokens_out,
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_again_and_may_be_billed() {
    let whole = completion();
    let cut_in_body = whole[..whole.len() - 30].to_owned();
    let cut_in_head = whole[..20].to_owned();
    let no_http = "Jane Doe has gout.\r\n\r\n".to_owned();
    let server = Breaking::start(vec![String::new(), cut_in_body, cut_in_head, no_http, whole]);
    let till = Till::default();
    let asked = ask(&client_at(&server.base, ""), &till).await;
    assert!(asked.outcome.is_ok(), "{:?}", asked.outcome);
    assert_eq!((server.requests(), asked.usage), (5, with_lost(&till, 4)));
}

#[tokio::test]
async fn a_hanging_server_is_given_its_time_and_may_bill() {
    let server = Server::start(|_, _| Say::Hang).await;
    let till = Till::default();
    let asked = ask(&client(&server, "timeout_ms = 700\nattempts_max = 2"), &till).await;
    assert_eq!(asked.outcome.unwrap_err().to_string(), "mine gave no answer after 2 attempts (no answer in time)");
    let worst = till.books().worst;
    let lost =
        Usage { requests: 2, tokens_in: 2 * worst.tokens_in, tokens_cached: 0, tokens_out: 2 * worst.tokens_out };
    assert_eq!((server.requests(), asked.usage), (2, lost));
    assert!(asked.elapsed >= Duration::from_millis(1400));
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let late = Duration::from_millis(100);
    let server = Server::start(move |seen, spent| Say::Late(late, Box::new(complete(seen, GOUT, spent)))).await;
    let asked = ask(&client(&server, "timeout_ms = 20000"), &Till::default()).await;
    assert!(asked.outcome.is_ok());
    assert_eq!((server.requests(), asked.usage), (1, server.spent()));
    assert!(asked.elapsed >= late);
}

#[tokio::test]
async fn where_nobody_listens_nothing_is_sent_or_paid() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let till = Till::default();
    let asked = ask(&client_at(&format!("http://{free}"), "attempts_max = 3"), &till).await;
    assert_eq!(asked.outcome.unwrap_err().to_string(), "mine gave no answer after 3 attempts (no connection)");
    assert_eq!((asked.usage, till.books().reserved), (Usage::default(), 3));
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_counts_as_paid() {
    let arrived = std::sync::Arc::new(tokio::sync::Notify::new());
    let server = Server::start({
        let arrived = arrived.clone();
        move |seen, spent| {
            arrived.notify_one();
            match seen.index {
                0 => Say::Hang,
                _ => complete(seen, GOUT, spent),
            }
        }
    })
    .await;
    let client = client(&server, "requests_open_max = 1");
    let till = Till::default();
    let tasks: TaskSet = Task::ALL.into();
    let question = Question { text: NOTE, tasks: &tasks, instructions: "Find them." };
    tokio::select! {
        _ = client.ask(&question, &till) => panic!("it hangs"),
        _ = arrived.notified() => {}
    }
    let books = till.books();
    assert_eq!((books.settled, books.spent), (1, books.worst));
    assert!(ask(&client, &till).await.outcome.is_ok(), "its place is free again");
}
