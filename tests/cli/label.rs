//! `stillroom label` and `stillroom teachers`, with a vendor that keeps books of its own.

use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use crate::vendor::{ANSWER_USD, OPEN_MAX, Reply, Vendor, spent_today, vocabulary_teacher};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A folder with notes, a teacher and a store.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new(vendor: &Vendor, notes: usize) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = String::new();
        for number in 0..notes {
            let note = json!({ "note_id": format!("n{number}"), "text": format!("Note {number}: fever and chills.") });
            writeln!(lines, "{note}").unwrap();
        }
        std::fs::write(folder.path().join("notes.jsonl"), lines).unwrap();
        std::fs::create_dir(folder.path().join("teachers")).unwrap();
        std::fs::write(folder.path().join("teachers/mine.toml"), vendor.profile()).unwrap();
        Site { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = stillroom();
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    fn label(&self, more: &[&str]) -> Output {
        self.command(&["label", "notes.jsonl", "--teachers", "mine"]).args(more).output().unwrap()
    }
}

#[test]
fn a_budget_is_hard_and_the_next_run_pays_for_the_rest_alone() {
    const NOTES: usize = 30;
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = Site::new(&vendor, NOTES);
    let stopped = site.label(&["--public", "--budget", "0.01usd"]);
    assert_eq!(stopped.status.code(), Some(3), "{}", stderr(&stopped));
    assert!(stderr(&stopped).contains("the budget of 0.01 USD for a run has"), "{}", stderr(&stopped));
    let first = vendor.answered();
    assert!(0 < first && first < NOTES as u64, "{first} answers");
    assert!(first as f64 * ANSWER_USD <= 0.01);
    let labels = json_lines(std::str::from_utf8(&stopped.stdout).unwrap());
    assert_eq!(labels.len() as u64, first, "what was paid for is written");

    let whole = site.label(&["--public"]);
    let labels = json_lines(stdout(&whole));
    let ids: Vec<String> = labels.iter().map(|label| label["note_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, (0..NOTES).map(|number| format!("n{number}")).collect::<Vec<_>>(), "in input order");
    assert!(vendor.answers().values().all(|times| *times == 1), "{:?}", vendor.answers());
    assert!((spent_today(&stderr(&whole)) - NOTES as f64 * ANSWER_USD).abs() < 1e-6, "{}", stderr(&whole));
    let label = &labels[7];
    assert_eq!(label["spans"], json!([{ "task": "symptom", "start": 8, "end": 13 }]));
    assert_eq!((&label["ungrounded"], &label["tokens_in"], &label["tokens_out"]), (&json!(1), &json!(100), &json!(10)));
    assert_eq!((&label["annotator"], &label["usd"]), (&json!("mine"), &json!(ANSWER_USD)));
    assert!(!stderr(&whole).contains("fever"), "no text of a note");
}

#[test]
fn kills_cost_no_more_than_what_was_under_way() {
    const NOTES: usize = 80;
    const KILLS: u64 = 5;
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = Site::new(&vendor, NOTES);
    let mut random = SmallRng::seed_from_u64(4);
    let arguments = ["label", "notes.jsonl", "--teachers", "mine", "--public", "-o", "labels.jsonl"];
    for kill in 1..=KILLS {
        let mut running = site.command(&arguments).spawn().unwrap();
        let began = Instant::now();
        while vendor.answered() < kill * 10 {
            assert!(began.elapsed() < Duration::from_secs(60), "no answer any more");
            std::thread::yield_now();
        }
        // At some moment of asking, answering and keeping.
        std::thread::sleep(Duration::from_micros(random.random_range(0..3000)));
        running.kill().unwrap();
        running.wait().unwrap();
    }
    let whole = site.command(&arguments).output().unwrap();
    assert!(whole.status.success(), "{}", stderr(&whole));
    let labels = std::fs::read_to_string(site.path("labels.jsonl")).unwrap();
    assert_eq!(json_lines(&labels).len(), NOTES);
    let answered = vendor.answered();
    assert_eq!(vendor.answers().len(), NOTES);
    assert!(answered <= NOTES as u64 + KILLS * OPEN_MAX as u64, "{answered} answers");
    // What was under way counts at its worst.
    assert!(spent_today(&stderr(&whole)) >= answered as f64 * ANSWER_USD - 1e-6, "{}", stderr(&whole));
    assert!(site.label(&["--public"]).status.success());
    assert_eq!(vendor.answered(), answered, "what is kept is not asked again");
}

#[test]
fn an_answer_of_no_use_is_paid_once_until_it_is_asked_for_again() {
    let is_well = Arc::new(Mutex::new(false));
    let vendor = Vendor::start({
        let is_well = Arc::clone(&is_well);
        move |text| {
            let is_cut = text.starts_with("Note 1:") && !*is_well.lock().unwrap();
            Reply::Fever(if is_cut { "length" } else { "stop" })
        }
    });
    let site = Site::new(&vendor, 3);
    for _ in 0..2 {
        let partly = site.label(&["--public"]);
        assert_eq!(partly.status.code(), Some(3));
        assert!(stderr(&partly).contains("the answer of mine was cut off"), "{}", stderr(&partly));
        assert_eq!(vendor.answered(), 3);
    }
    *is_well.lock().unwrap() = true;
    assert_eq!(json_lines(stdout(&site.label(&["--public", "--retry-failed"]))).len(), 3);
    assert_eq!(vendor.answered(), 4);
}

#[test]
fn notes_of_one_text_are_asked_about_once_a_run() {
    let is_well = Arc::new(Mutex::new(false));
    let vendor = Vendor::start({
        let is_well = Arc::clone(&is_well);
        move |_| Reply::Fever(if *is_well.lock().unwrap() { "stop" } else { "length" })
    });
    let site = Site::new(&vendor, 0);
    let note = |id: &str| json!({ "note_id": id, "text": "Note 1: fever." }).to_string();
    std::fs::write(site.path("notes.jsonl"), ["a", "b", "c"].map(note).join("\n")).unwrap();
    for paid in [1, 2] {
        let failed = site.label(&["--public", "--retry-failed"]);
        assert!(stderr(&failed).contains("was cut off"), "{}", stderr(&failed));
        assert_eq!(vendor.answered(), paid);
    }
    *is_well.lock().unwrap() = true;
    let labels = json_lines(stdout(&site.label(&["--public", "--retry-failed"])));
    assert_eq!((labels.len(), vendor.answered()), (3, 3));
    // What came to nothing was paid for these labels too.
    assert!(labels.iter().all(|label| label["requests"] == 3 && label["usd"] == 3.0 * ANSWER_USD), "{labels:?}");
}

#[test]
fn a_label_comes_while_the_next_note_is_awaited() {
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = Site::new(&vendor, 0);
    let mut command = site.command(&["label", "-", "--teachers", "mine", "--public"]);
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut notes = running.stdin.take().unwrap();
    let mut labels = BufReader::new(running.stdout.take().unwrap()).lines();
    for number in 0..3 {
        writeln!(notes, "{}", json!({ "note_id": format!("n{number}"), "text": format!("Note {number}: fever.") }))
            .unwrap();
        let label: Value = serde_json::from_str(&labels.next().unwrap().unwrap()).unwrap();
        assert_eq!(label["note_id"], format!("n{number}"));
    }
    drop(notes);
    assert!(running.wait().unwrap().success());
}

#[test]
fn notes_are_not_written_over_and_other_tasks_not_asked_for() {
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = Site::new(&vendor, 1);
    let labels = json_lines(stdout(&site.label(&["--public", "--task", "symptom"])));
    assert_eq!(labels[0]["tasks"], json!(["symptom"]));
    let over = site.label(&["--public", "-o", "notes.jsonl"]);
    assert!(stderr(&over).contains("would be read with the notes"), "{}", stderr(&over));
    assert!(std::fs::read_to_string(site.path("notes.jsonl")).unwrap().contains("fever"), "the notes are still there");
}

#[test]
fn a_teacher_that_may_not_see_patients_is_sent_nothing() {
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = Site::new(&vendor, 1);
    let refused = site.label(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("the teacher mine may not see notes of real patients"), "{}", stderr(&refused));
    assert_eq!(vendor.answered(), 0);
    assert!(site.label(&["--set", "teachers.phi_allowed=['mine']"]).status.success());
    assert_eq!(vendor.answered(), 1);
    let unknown = site.command(&["label", "notes.jsonl", "--teachers", "nobody"]).output().unwrap();
    assert!(stderr(&unknown).contains("there is no teacher nobody; name one of gpt-4o"), "{}", stderr(&unknown));
}

#[test]
fn a_check_asks_every_teacher_that_has_a_file() {
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = Site::new(&vendor, 1);
    let model = format!("student.folders=[{:?}]", tiny());
    let check = |more: &[&str]| site.command(&["check", "--set", &model]).args(more).output().unwrap();
    assert!(stdout(&check(&[])).contains("pass  teacher mine\n"));
    assert_eq!(vendor.answered(), 0);
    std::fs::write(
        site.path("teachers/wrong.toml"),
        "api = 'openai'\nbase = 'http://127.0.0.1:9'\nmodel = 'm'\nattempts_max = 1\n",
    )
    .unwrap();
    let said = String::from_utf8(check(&["--connect"]).stdout).unwrap();
    assert!(said.contains("FAIL  teacher wrong: wrong gave no answer after 1 attempts"), "{said}");
    assert!(said.contains("pass  teacher mine: answers as it should"), "{said}");
    let asked: Vec<String> = vendor.asked().into_keys().collect();
    assert!(asked.len() == 1 && !asked[0].starts_with("Note"), "a made-up text and no note: {asked:?}");
    assert!(!site.path("labels.redb").exists(), "a check keeps nothing");
}

#[test]
fn the_best_subset_is_chosen() {
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = Site::new(&vendor, 2);
    let names = [("wide", "fever\nchills\nnote\n"), ("narrow", "fever\n"), ("other", "chills\nfever\nand\n")];
    names.iter().for_each(|(teacher, names)| vocabulary_teacher(site.folder.path(), teacher, names));
    let text = "Note 0: fever and chills.";
    let entity = |start: usize, text: &str| json!({ "task": "symptom", "start": start, "end": start + text.len(), "text": text });
    let entities = [entity(8, "fever"), entity(18, "chills")];
    let gold = json!({ "id": "n0", "text": text, "tasks": ["symptom"], "entities": entities });
    std::fs::write(site.path("dev.jsonl"), format!("{gold}\n")).unwrap();
    let model = tiny();
    let model = model.to_str().unwrap();
    let select = ["teachers", "select", "--dev", "dev.jsonl", "--teachers", "wide,narrow,other", "--model", model];
    let table = site.command(&select).args(["-o", "ensemble.toml"]).output().unwrap();
    let rows: Vec<&str> = stdout(&table).lines().filter(|line| line.contains(" to ")).collect();
    assert_eq!(rows.len(), 7, "every subset: {}", stdout(&table));
    // Both are right together, where each alone has a word too many.
    assert!(rows[0].contains("1.0000") && rows[0].contains("intersection   wide + other"), "{}", rows[0]);
    let all = json_lines(stdout(&site.command(&select).arg("--json").output().unwrap())).len();
    assert_eq!(all, 3 + 3 * 3 + 5, "every rule");
    let chosen: toml::Table = std::fs::read_to_string(site.path("ensemble.toml")).unwrap().parse().unwrap();
    let symptom = &chosen["symptom"];
    assert_eq!((symptom["rule"].as_str(), symptom["documents"].as_integer()), (Some("intersection"), Some(1)));
    assert_eq!(symptom["teachers"], toml::Value::from(vec!["wide", "other"]));
}
