//! `stillroom train` from a base that is named, on a server that behaves like the hub.

#[allow(dead_code, reason = "the hub's own tests make it fail as well")]
#[path = "../../operators/hub/tests/hub/server.rs"]
mod server;

use crate::support::{stderr, stdout, stillroom};
use serde_json::{Value, json};
use server::Server;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A user's folder with a document, and the hub.
struct Site {
    folder: tempfile::TempDir,
    server: Server,
}

impl Site {
    /// The hub has a small cased model under a made-up name.
    fn new() -> Site {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("operators/student/tests/bases/cased");
        let file = |name: &str| (name.to_owned(), std::fs::read(model.join(name)).unwrap());
        let files = ["config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"].map(file);
        let site = Site { folder: tempfile::tempdir().unwrap(), server: Server::start("made/up", files) };
        let entity = json!({ "task": "disease", "start": 8, "end": 12, "text": "Gout" });
        let document = json!({ "id": "d", "text": "Pt seen Gout today", "tasks": ["disease"], "entities": [entity] });
        std::fs::write(site.path("dev.jsonl"), document.to_string() + "\n").unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Training from `base` to `out`, with the cache where `HF_HOME` has it.
    fn train(&self, base: &str, out: &str, settings: &[&str]) -> Output {
        let data =
            ["--train", "dev.jsonl", "--dev", "dev.jsonl", "--task", "disease", "--epochs", "1", "--threads", "1"];
        stillroom()
            .current_dir(self.folder.path())
            .env("HF_HOME", self.path("huggingface"))
            .env_remove("HF_HUB_CACHE")
            .env("STILLROOM__HUB__ENDPOINT", self.server.url())
            .args(["train", "--base", base, "--out", out])
            .args(data)
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .output()
            .unwrap()
    }

    fn manifest(&self, out: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(out).join("manifest.json")).unwrap()).unwrap()
    }
}

#[test]
fn a_base_is_fetched_trained_from_and_used_again_offline() {
    let site = Site::new();
    assert!(stdout(&site.train("made/up", "first", &[])).contains("dev.jsonl disease: word-level F1"));
    let requests = std::mem::take(&mut site.server.state().requests);
    assert!(requests.iter().any(|request| request.line.starts_with("GET /storage/")), "{requests:?}");
    assert!(site.path("huggingface/hub/models--made--up/refs/main").exists());

    stdout(&site.train("made/up", "second", &["hub.offline=true"]));
    assert!(site.server.state().requests.is_empty());
    let [first, second] = ["first", "second"].map(|out| site.manifest(out)["weights_hash"].clone());
    assert_eq!(first, second);
    let weights = server::sha256(&site.server.state().files["model.safetensors"]);
    assert_eq!(site.manifest("first")["base_weights_hash"], weights.as_str());

    // The student has the vocabulary and how letters are folded, and works without its base.
    std::fs::write(site.path("n.txt"), "Pt seen Gout today").unwrap();
    for file in ["vocab.txt", "tokenizer_config.json"] {
        assert_eq!(std::fs::read(site.path("first").join(file)).unwrap(), site.server.state().files[file]);
    }
    let extract = ["extract", "n.txt", "--model", "first"];
    let extracted = stillroom().current_dir(site.folder.path()).args(extract).output().unwrap();
    assert!(stdout(&extracted).contains("\"word_pieces\":4"), "{}", stdout(&extracted));
}

/// The first BERTs for medicine were published so.
#[test]
fn a_cased_vocabulary_that_says_nothing_of_case_is_lowered_and_said_so() {
    let site = Site::new();
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("operators/student/tests/bases/legacy");
    let trained = site.train(base.to_str().unwrap(), "lowered", &[]);
    let remedy = "write {\"do_lower_case\": false} to tokenizer_config.json in a copy of";
    assert!(trained.status.success() && stderr(&trained).contains(remedy), "{}", stderr(&trained));
    let copy = site.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in ["config.json", "vocab.txt", "pytorch_model.bin"] {
        std::fs::copy(base.join(file), copy.join(file)).unwrap();
    }
    std::fs::write(copy.join("tokenizer_config.json"), "{\"do_lower_case\": false}").unwrap();
    let trained = site.train("copy", "kept", &[]);
    assert!(trained.status.success() && !stderr(&trained).contains("lower case"), "{}", stderr(&trained));
    assert_ne!(site.manifest("lowered")["weights_hash"], site.manifest("kept")["weights_hash"]);
}

#[test]
fn a_base_that_cannot_be_had_is_named() {
    let site = Site::new();
    let check = |base: &str, settings: &[&str], expected: &str| {
        let refused = site.train(base, "out", settings);
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains(expected), "{}", stderr(&refused));
        assert!(!site.path("out").exists());
    };
    check("nothing", &[], "\"nothing\" is neither a folder nor the name of a base; write biobert, bioclinbert");
    check("not/there", &[], "answers 401; the hub has no such model, or shows it only with a token");
    check("made/up", &["hub.offline=true"], "has not all of made/up@main, and hub.offline is set");
    check("made/up", &["hub.endpoint=hub"], "--set: hub.endpoint is \"hub\", which is no URL");
    check("made/up", &["hub.token_file=none"], "cannot read none");
    check("made/up", &["hub.token=hf_x"], "--set: hub.token is not a setting");
}
