//! What goes wrong, and what is said of it.

use crate::server::{COMMIT, Fault};
use crate::support::{Site, WEIGHTS};
use std::fs;

/// That a model is not fetched from a site, that this is said, and nothing that is secret.
fn check(site: &Site, name: &str, expected: &str) {
    let error = site.fetch(name).unwrap_err();
    let said = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(said.contains(expected) && !said.contains("hf_") && !said.contains("signature"), "{said}");
}

#[test]
fn who_may_not_see_a_model_is_told_what_to_do() {
    let mut site = Site::new();
    check(&site, "not/there", "answers 401; the hub has no such model, or shows it only with a token");
    check(
        &site,
        "made/up@v2",
        "has no model made/up@v2, nor is there a folder of this name; correct the name or the revision",
    );
    site.demand("hf_wrong");
    check(&site, "made/up", "answers 401; the token in hub.token_file is not taken");
    site.demand("hf_secret");
    check(&site, "not/there", "has no model not/there@main");
    site.server.state().is_gated = true;
    check(&site, "made/up", "answers 403; access must be granted: accept the model's terms");
}

#[test]
fn trouble_that_passes_is_waited_for() {
    let site = Site::new();
    site.server.state().faults.extend([
        Fault::Status(429, Some(0)),
        Fault::Status(500, None),
        Fault::Status(503, None),
    ]);
    site.assert_whole(&site.fetch("made/up").unwrap());
}

#[test]
fn trouble_that_stays_is_named() {
    for status in [429, 503] {
        let site = Site::new();
        site.server.state().faults.extend([Fault::Status(status, Some(100_000))]);
        let said = format!("answers {status}; it is not well, or has too much to do: try again later");
        check(&site, "made/up", &said);
    }
    let site = Site::new();
    site.server.state().faults.extend([Fault::Cut(0); 5]);
    check(&site, "made/up", "try again: what has arrived is kept");
    let mut site = Site::new();
    site.config.endpoint = "http://127.0.0.1:1".to_owned();
    check(&site, "made/up", "cannot reach http://127.0.0.1:1/made/up/resolve/main/config.json");
    let mut site = Site::new();
    site.config.endpoint += "/storage";
    check(&site, "made/up", "has no model made/up@main");
}

#[test]
fn files_of_another_commit_are_refused() {
    let site = Site::new();
    site.server.state().said = Some("f".repeat(40));
    let said = "is no hub: it describes another commit than was asked for";
    check(&site, &format!("made/up@{COMMIT}"), said);
    assert!(!site.path("hub").exists());
}

#[test]
fn a_file_without_its_checksum_is_removed_and_named() {
    let mut site = Site::new();
    site.server.state().faults.extend([Fault::Wrong]);
    check(&site, "made/up", "config.json of made/up@0123456789abcdef0123456789abcdef01234567 has the checksum");
    let blobs = site.path("hub/models--made--up/blobs");
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), 0);
    site.assert_whole(&site.fetch("made/up").unwrap());

    // What lies in the cache is verified, too.
    let weights = |path: &fs::DirEntry| path.metadata().unwrap().len() == WEIGHTS as u64;
    let blob = fs::read_dir(&blobs).unwrap().map(Result::unwrap).find(weights).unwrap().path();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[WEIGHTS / 2] ^= 1;
    fs::write(&blob, &bytes).unwrap();
    site.config.offline = true;
    check(&site, "made/up", "which is model.safetensors of made/up@main, has the checksum");
    check(&site, "made/up", "fetch it once without hub.offline");
    assert!(fs::read(&blob).unwrap() == bytes, "other tools share the cache");
    site.config.offline = false;
    site.assert_whole(&site.fetch("made/up").unwrap());
    site.requests();
    site.assert_whole(&site.fetch("made/up").unwrap());
    assert_eq!(site.requests(), [] as [&str; 0], "it was mended");

    // So is what an earlier run left, which is fetched anew.
    fs::remove_file(&blob).unwrap();
    fs::write(blob.with_extension("incomplete"), &bytes[..WEIGHTS / 2 + 1]).unwrap();
    site.assert_whole(&site.fetch("made/up").unwrap());
    fs::remove_file(&blob).unwrap();
    fs::write(blob.with_extension("incomplete"), vec![0; WEIGHTS + 1]).unwrap();
    site.assert_whole(&site.fetch("made/up").unwrap());
}
