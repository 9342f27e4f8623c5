//! `stillroom dlq` on the broker.

use crate::site::{Broker, Site};
use crate::support::{json_lines, stderr, stdout};

#[test]
fn letters_are_listed_shown_and_replayed() {
    let Some(broker) = Broker::shared() else { return };
    let mut site = Site::new(&broker, 1);
    site.extra = "note_bytes_max = 100".to_owned();
    let long = "fever ".repeat(40);
    site.put("long", &long);
    site.put_bytes(Some(b"broken"), Some(b"{\"note_id\": \xff"));
    site.finish(1);

    let listed = site.command(&["dlq", "list"]).output().unwrap();
    assert!(!stdout(&listed).contains("fever"), "a list has no text");
    let lines = json_lines(stdout(&listed));
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["letter"], &lines[0]["stage"], &lines[0]["replays"]),
        (&"0/0".into(), &"decode".into(), &0.into())
    );

    let shown = site.command(&["dlq", "show", "0/1", "--value"]).output().unwrap();
    assert_eq!(shown.stdout, b"{\"note_id\": \xff", "byte for byte");
    let missing = site.command(&["dlq", "show", "0/7"]).output().unwrap();
    assert!(stderr(&missing).contains("there is no dead letter 0/7"));

    // The bound is raised, and the letter sent once more.
    site.extra = String::new();
    let replayed = site.command(&["dlq", "replay", "0/0"]).output().unwrap();
    assert_eq!(stdout(&replayed), "{\"replayed\":1}\n");
    let totals = site.finish(1).totals;
    assert_eq!((totals.extracted, totals.dead_lettered), (1, 2));

    // What is still broken comes back, and says that it was replayed.
    for replays in 1..=2 {
        let all =
            site.command(&["dlq", "replay", "--all", "--stage", "decode", "--replays-max", &(replays - 1).to_string()]);
        let replayed = { all }.output().unwrap();
        assert!(replayed.status.success(), "{}", stderr(&replayed));
        site.finish(1);
        let listed = site.command(&["dlq", "list"]).output().unwrap();
        let most = json_lines(stdout(&listed)).iter().map(|letter| letter["replays"].as_u64().unwrap()).max();
        assert_eq!(most, Some(replays));
    }
}
