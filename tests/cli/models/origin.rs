//! Where students come from that are added by hand.

use super::Site;
use crate::support::{json_lines, stdout, stillroom};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `show --json` prints.
fn shown(site: &Site, student: &str) -> Value {
    json_lines(stdout(&site.run(&["show", student, "--json"]))).remove(0)
}

/// The entry of a student, and where it is.
fn entry(site: &Site, student: &str) -> (PathBuf, Value) {
    let path = site.path("registry").join(student).join("entry.json");
    let entry = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    (path, entry)
}

/// The version of the program, with the commit where that can be known.
fn check_version(version: &str) {
    let printed = stillroom().arg("--version").output().unwrap();
    assert_eq!(stdout(&printed), format!("stillroom {version}\n"));
    let (number, commit) = version.split_once('+').map_or((version, None), |(number, commit)| (number, Some(commit)));
    assert_eq!(number, env!("CARGO_PKG_VERSION"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let asked = Command::new("git").current_dir(folder).args(["rev-parse", "HEAD"]).output();
    if folder.join(".git").exists() && asked.is_ok_and(|output| output.status.success()) {
        let digits = commit.expect("a checkout has a commit").trim_end_matches("-dirty");
        assert!(digits.len() >= 12 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{version}");
    }
}

#[test]
fn who_is_added_by_hand_comes_from_what_its_manifest_says() {
    let site = Site::new("weak");
    let strong = site.add("strong", &[]);
    let told = shown(&site, &strong);
    let (training, manifest) = (&told["entry"]["training"], &told["manifest"]);
    assert_eq!(training["data"], manifest["train"]);
    assert_eq!(training["data"][0]["documents"], 45);
    assert!(training["seconds"].as_f64().unwrap() > 0.0, "{training}");
    assert_eq!(training["seconds"], manifest["took"]["seconds"]);
    for unknown in ["snapshot", "tasks", "labels_usd", "machine_usd", "serving", "figures"] {
        assert_eq!(training.get(unknown), None, "{training}");
    }
    check_version(told["entry"]["stillroom"].as_str().unwrap());
    let hash = training["data"][0]["hash"].as_str().unwrap();
    let text = stdout(&site.run(&["show", &strong])).to_owned();
    assert!(text.contains(&format!("train.jsonl: 45 documents, SHA-256 {hash}\n")), "{text}");
    let seconds = training["seconds"].as_f64().unwrap();
    assert!(text.contains(&format!("took       {seconds:.1} s, ")), "{text}");

    // Who is kept for a rollback comes from somewhere, too.
    stdout(&site.run(&["promote", "strong", "--gold", "gold.jsonl"]));
    assert_eq!(shown(&site, "weak")["entry"]["training"]["data"], manifest["train"]);
}

#[test]
fn an_entry_that_does_not_say_so_is_shown_and_one_that_is_damaged_is_named() {
    let site = Site::new("weak");
    let strong = site.add("strong", &[]);
    let (path, mut before) = entry(&site, &strong);
    before.as_object_mut().unwrap().remove("training").unwrap();
    fs::write(&path, before.to_string()).unwrap();
    let text = stdout(&site.run(&["show", &strong])).to_owned();
    assert!(text.contains("train.jsonl: 45 documents\n") && !text.contains("took "), "{text}");
    assert!(stdout(&site.run(&["verify", &strong])).contains("is as it was put into the registry"));
    let listed = json_lines(stdout(&site.run(&["list", "--json"]))).remove(0);
    assert_eq!(listed["students"][0]["training"], Value::Null);
    // It is the same student, and an entry stays as it is.
    assert_eq!(site.add("strong", &[]), strong);
    assert_eq!(shown(&site, &strong)["entry"], before);

    let mut damaged = before;
    damaged["training"] = serde_json::json!({ "seconds": "long" });
    fs::write(&path, damaged.to_string()).unwrap();
    let expected = format!("{strong}/entry.json is not an entry: its block `training` cannot be read: invalid type");
    for arguments in [&["show", &strong][..], &["verify", &strong], &["add", "strong"]] {
        site.check_refused(arguments, &expected);
    }
}
