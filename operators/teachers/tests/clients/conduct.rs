//! What a client does when a server is busy, unwell, or tells it to stay away; counted by the server.

use crate::server::{GOUT, Say, Seen, Server, complete, refuse};
use crate::till::{Till, ask, ask_many, client, endless, quick};
use std::sync::Arc;
use std::time::Duration;
use stillroom_teachers::{TeacherError, Usage, Waits};
use tokio::sync::Barrier;
use tokio::time::Instant;

#[tokio::test]
async fn what_may_pass_is_tried_again_and_all_attempts_are_paid() {
    for status in [409, 429, 500, 502, 503, 529] {
        let server = Server::start(move |seen, spent| match seen.index {
            0..3 => refuse(status, "", spent),
            _ => complete(seen, GOUT, spent),
        })
        .await;
        let till = Till::default();
        let asked = ask(&client(&server, ""), &till).await;
        assert!(asked.outcome.is_ok(), "{status}");
        assert_eq!((server.requests(), asked.usage), (4, server.spent()), "{status}");
        assert_eq!(till.books().reserved, 4);
    }
}

#[tokio::test]
async fn a_server_that_ran_out_of_time_may_bill() {
    for status in [408, 504] {
        let server = Server::start(move |seen, spent| match seen.index {
            0 => refuse(status, "", &mut Usage::default()),
            _ => complete(seen, GOUT, spent),
        })
        .await;
        let till = Till::default();
        let mut expected = ask(&client(&server, ""), &till).await.usage;
        assert_eq!(server.requests(), 2);
        let worst = till.books().worst;
        expected.tokens_out -= worst.tokens_out;
        expected.tokens_in -= worst.tokens_in;
        expected.requests -= 1;
        assert_eq!(expected, server.spent());
    }
}

#[tokio::test]
async fn a_storm_without_an_end_ends_after_the_last_attempt() {
    let server = Server::start(|_, spent| refuse(429, "", spent)).await;
    let asked = ask(&client(&server, "attempts_max = 4"), &Till::default()).await;
    assert_eq!(asked.outcome.unwrap_err().to_string(), "mine gave no answer after 4 attempts (status 429)");
    assert_eq!((server.requests(), asked.usage), (4, server.spent()));
}

#[tokio::test]
async fn a_storm_with_headers_is_waited_out_as_asked() {
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    for header in [
        "retry-after-ms: 3",
        "retry-after: 0",
        "retry-after: 86400\nretry-after-ms: 1",
        &format!("retry-after: {past}"),
    ] {
        let header = header.to_owned();
        let server = Server::start(move |seen, spent| match seen.index {
            0..2 => refuse(429, &header, spent),
            _ => complete(seen, GOUT, spent),
        })
        .await;
        let client = client(&server, "").with_waits(endless());
        assert!(ask(&client, &Till::default()).await.outcome.is_ok());
        assert_eq!(server.requests(), 3);
    }
}

#[tokio::test]
async fn whoever_asks_for_a_day_is_left_alone_for_a_day() {
    let server = Server::start(|_, spent| refuse(429, "retry-after: 86400", spent)).await;
    let client = client(&server, "");
    let till = Till::default();
    let TeacherError::Open { left, .. } = ask(&client, &till).await.outcome.unwrap_err() else { panic!() };
    assert_eq!(left, Duration::from_secs(86_400));
    for _ in 0..5 {
        let asked = ask(&client, &till).await;
        assert!(matches!(asked.outcome, Err(TeacherError::Open { left, .. }) if left > Duration::from_secs(86_000)));
        assert_eq!(asked.usage, Usage::default());
    }
    assert_eq!((server.requests(), till.books().reserved), (1, 1));
}

#[tokio::test]
async fn a_time_in_place_of_a_duration_is_not_believed() {
    let day = Some(Duration::from_secs(86_400));
    let cases = [
        ("retry-after: 1795514400", day),
        ("retry-after: Sun, 24 Nov 2999 10:00:00 GMT", day),
        ("retry-after: 1e300", None),
        ("retry-after: -5", None),
    ];
    for (asked_for, expected) in cases {
        let server = Server::start(move |_, spent| refuse(503, asked_for, spent)).await;
        let client = client(&server, "attempts_max = 1");
        let left = match ask(&client, &Till::default()).await.outcome {
            Err(TeacherError::Open { left, .. }) => Some(left),
            Err(TeacherError::Unavailable { .. }) => None,
            other => panic!("{asked_for}: {other:?}"),
        };
        assert_eq!((left, server.requests()), (expected, 1), "{asked_for}");
    }
}

#[tokio::test]
async fn failures_in_a_row_open_the_breaker_and_one_probe_closes_it() {
    let server = Server::start(|seen, spent| match seen.index {
        0..3 => refuse(500, "", spent),
        _ => complete(seen, GOUT, spent),
    })
    .await;
    let client = client(&server, "").with_waits(Waits { failures_max: 3, ..quick() });
    let till = Till::default();
    assert!(matches!(ask(&client, &till).await.outcome, Err(TeacherError::Open { .. })), "it opens within a question");
    assert_eq!(server.requests(), 3);
    let TeacherError::Open { left, .. } = ask(&client, &till).await.outcome.unwrap_err() else { panic!() };
    assert_eq!(server.requests(), 3);
    tokio::time::pause();
    tokio::time::advance(left).await;
    tokio::time::resume();
    assert!(ask(&client, &till).await.outcome.is_ok());
    assert!(ask(&client, &till).await.outcome.is_ok());
    assert_eq!((server.requests(), till.books().spent), (5, server.spent()));
}

#[tokio::test]
async fn refusals_of_too_many_do_not_open_the_breaker() {
    let server = Server::start(|seen, spent| match seen.index {
        0..5 => refuse(429, "", spent),
        _ => complete(seen, GOUT, spent),
    })
    .await;
    let client = client(&server, "").with_waits(Waits { failures_max: 1, ..quick() });
    assert!(ask(&client, &Till::default()).await.outcome.is_ok());
    assert_eq!(server.requests(), 6);
}

#[tokio::test]
async fn a_budget_that_ends_between_attempts_ends_the_attempts() {
    for attempts_max in [0, 1, 3] {
        let server = Server::start(|_, spent| refuse(503, "", spent)).await;
        let till = Till::of(attempts_max);
        let asked = ask(&client(&server, ""), &till).await;
        assert!(matches!(asked.outcome, Err(TeacherError::Budget { .. })));
        assert_eq!((server.requests() as u64, asked.usage), (attempts_max, server.spent()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_are_open_under_refusals_and_more_again_after() {
    // Eight arrive together and are all refused; those that follow are answered when four are open, and would wait forever with fewer.
    let (eight, four) = (Arc::new(Barrier::new(8)), Arc::new(Barrier::new(4)));
    let server = Server::start(move |seen, spent| match seen.index {
        0..8 => Say::Together(eight.clone(), Box::new(refuse(429, "", spent))),
        8..16 => Say::Together(four.clone(), Box::new(complete(seen, GOUT, spent))),
        _ => complete(seen, GOUT, spent),
    })
    .await;
    let client = Arc::new(client(&server, "requests_open_max = 8"));
    assert_eq!(client.requests_allowed(), 8);
    assert_eq!(ask_many(&client, 8).await, vec![Ok(()); 8]);
    let seen = server.seen();
    let open_max = |seen: &[Seen]| seen.iter().map(|seen| seen.open).max();
    assert_eq!((seen.len(), open_max(&seen[..8]), open_max(&seen[8..12])), (16, Some(8), Some(4)));
    assert_eq!(client.requests_allowed(), 5, "one more after four successes");
    assert_eq!(ask_many(&client, 40).await, vec![Ok(()); 40]);
    assert_eq!(client.requests_allowed(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_open_than_the_profile_says() {
    let three = Arc::new(Barrier::new(3));
    let server =
        Server::start(move |seen, spent| Say::Together(three.clone(), Box::new(complete(seen, GOUT, spent)))).await;
    let client = Arc::new(client(&server, "requests_open_max = 3"));
    // Each is answered when three are open: with fewer at once this would never end.
    assert_eq!(ask_many(&client, 30).await, vec![Ok(()); 30]);
    assert_eq!(server.requests(), 30);
}

#[tokio::test]
async fn one_refusal_after_the_other_leaves_one() {
    let server = Server::start(|seen, spent| match seen.index {
        0..5 => refuse(429, "", spent),
        _ => complete(seen, GOUT, spent),
    })
    .await;
    let client = client(&server, "requests_open_max = 8\nattempts_max = 5");
    assert!(ask(&client, &Till::default()).await.outcome.is_err());
    assert_eq!(client.requests_allowed(), 1);
    assert!(ask(&client, &Till::default()).await.outcome.is_ok());
    assert_eq!(client.requests_allowed(), 2);
}

#[tokio::test]
async fn the_next_waits_when_the_server_says_that_nothing_is_left() {
    let server = Server::start(|seen, spent| {
        let headers = "x-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 60ms";
        match complete(seen, GOUT, spent) {
            Say::This(status, _, body) if seen.index == 0 => Say::This(status, headers.to_owned(), body),
            other => other,
        }
    })
    .await;
    let client = client(&server, "");
    for _ in 0..2 {
        assert!(ask(&client, &Till::default()).await.outcome.is_ok());
    }
    let seen = server.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(60));
}

#[tokio::test]
async fn requests_keep_the_pace_of_the_profile() {
    let server = Server::completing(GOUT).await;
    let client = Arc::new(client(&server, "requests_a_minute_max = 3000"));
    let before = Instant::now();
    assert_eq!(ask_many(&client, 6).await, vec![Ok(()); 6]);
    let last = server.seen().iter().map(|seen| seen.at).max().unwrap();
    // Five gaps of 20 ms after the first at the earliest.
    assert!(last - before >= Duration::from_millis(100));
}
