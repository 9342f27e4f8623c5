//! What is fetched, in which order, and what is kept.

use crate::server::{COMMIT, Fault, Server, sha256};
use crate::support::{Site, WEIGHTS};
use std::fs;

#[test]
fn a_model_is_fetched_once_and_found_again_without_a_request() {
    let mut site = Site::new();
    let mut seen = Vec::new();
    let folder = site.fetch_observed("made/up", &mut |download| {
        if download.bytes == download.size {
            seen.push((download.file.to_owned(), download.size));
        }
    });
    let folder = folder.unwrap();
    site.assert_whole(&folder);
    assert!(seen.contains(&("model.safetensors".to_owned(), WEIGHTS as u64)), "{seen:?}");
    assert!(!site.requests().is_empty());

    assert_eq!(site.fetch("made/up").unwrap(), folder);
    site.config.offline = true;
    assert_eq!(site.fetch("made/up").unwrap(), folder);
    assert_eq!(site.fetch(&format!("made/up@{COMMIT}")).unwrap(), folder, "the commit itself");
    assert_eq!(site.requests(), [] as [&str; 0]);

    let other = site.fetch("made/up@v2").unwrap_err().to_string();
    assert!(other.contains("has not all of made/up@v2, and hub.offline is set"), "{other}");
    assert_eq!(site.requests(), [] as [&str; 0]);
}

/// As `huggingface_hub` documents it: <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>.
#[test]
fn the_cache_is_laid_out_as_pythons_is() {
    let site = Site::new();
    site.fetch("made/up").unwrap();
    let model = site.path("hub/models--made--up");
    assert_eq!(fs::read_to_string(model.join("refs/main")).unwrap(), COMMIT);
    let weights = sha256(&site.server.state().files["model.safetensors"]);
    let link = fs::read_link(model.join(format!("snapshots/{COMMIT}/model.safetensors"))).unwrap();
    assert_eq!(link.to_str().unwrap(), format!("../../blobs/{weights}"));
    assert_eq!(fs::metadata(model.join("blobs").join(weights)).unwrap().len(), WEIGHTS as u64);
    assert!(fs::read_dir(model.join("blobs")).unwrap().all(|blob| blob.unwrap().path().extension().is_none()));
}

#[test]
fn what_a_model_lacks_is_replaced_or_done_without() {
    let mut site = Site::with(&["config.json", "vocab.txt", "pytorch_model.bin"]);
    let folder = site.fetch("made/up").unwrap();
    site.assert_whole(&folder);
    site.config.offline = true;
    assert_eq!(site.fetch("made/up").unwrap(), folder, "what is not there is remembered");

    for (files, expected) in [
        (
            &["config.json", "vocab.txt"][..],
            "has no model.safetensors and no pytorch_model.bin; choose a model that has",
        ),
        (&["config.json", "model.safetensors"], "has no tokenizer.json and no vocab.txt; choose a model that has"),
    ] {
        let error = Site::with(files).fetch("made/up").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_download_that_was_stopped_goes_on_where_it_ended() {
    let site = Site::new();
    let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        site.fetch_observed("made/up", &mut |download| assert!(download.bytes < 100_000, "stopped"))
    }));
    assert!(stopped.is_err());
    let part =
        format!("hub/models--made--up/blobs/{}.incomplete", sha256(&site.server.state().files["model.safetensors"]));
    let bytes = fs::metadata(site.path(&part)).unwrap().len();
    assert!((100_000..WEIGHTS as u64).contains(&bytes));
    site.server.state().requests.clear();
    let folder = site.fetch("made/up").unwrap();
    site.assert_whole(&folder);
    let ranges: Vec<String> = site.server.state().requests.iter().filter_map(|request| request.range.clone()).collect();
    assert!(!ranges.is_empty() && ranges.iter().all(|range| *range == format!("bytes={bytes}-")), "{ranges:?}");
}

#[test]
fn a_broken_body_is_completed() {
    let site = Site::with(&["config.json", "tokenizer.json", "model.safetensors"]);
    // The first two requests for bytes are those of the configuration and the tokenizer.
    let faults = [Fault::Cut(7), Fault::Status(500, None), Fault::Cut(4)];
    site.server.state().faults.extend(faults);
    site.assert_whole(&site.fetch("made/up").unwrap());
    let requests = site.server.state().requests.clone();
    let of_ranges: Vec<_> = requests.iter().filter_map(|request| request.range.as_deref()).collect();
    assert!(of_ranges.contains(&"bytes=7-") && of_ranges.contains(&"bytes=11-"), "{of_ranges:?}");

    let without_ranges = Site::new();
    without_ranges.server.state().faults.extend([Fault::Cut(7), Fault::Whole]);
    without_ranges.assert_whole(&without_ranges.fetch("made/up").unwrap());
}

#[test]
fn a_token_is_shown_to_the_endpoint_and_to_no_other_host() {
    let mut site = Site::new();
    site.demand("hf_secret");
    let files = site.server.state().files.clone();
    let storage = Server::start("", files);
    site.server.state().storage = Some(storage.url());
    site.assert_whole(&site.fetch("made/up").unwrap());
    let shown =
        site.server.state().requests.iter().all(|request| request.authorization.as_deref() == Some("Bearer hf_secret"));
    assert!(shown);
    let requests = &storage.state().requests;
    assert!(!requests.is_empty() && requests.iter().all(|request| request.authorization.is_none()), "{requests:?}");
}

#[test]
fn a_mirror_may_lie_below_a_path() {
    for slash in ["", "/"] {
        let mut site = Site::new();
        site.server.state().below = "/mirrors/huggingface".to_owned();
        site.config.endpoint = format!("{}/mirrors/huggingface{slash}", site.server.url());
        site.assert_whole(&site.fetch("made/up").unwrap());
        let requests = site.requests();
        let is_below = |request: &String| request.split(' ').nth(1).unwrap().starts_with("/mirrors/huggingface/");
        assert!(!requests.is_empty() && requests.iter().all(is_below), "{requests:?}");

        // A host that has another thing at its root.
        site.config.endpoint = site.server.url();
        site.config.cache = Some(site.path("other"));
        site.fetch("made/up").unwrap_err();
    }
}
