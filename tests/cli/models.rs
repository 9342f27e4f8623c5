//! `stillroom models`: students in the registry, promoted and rolled back on a log in a folder.

mod flowing;
mod origin;
mod shadow;
pub(crate) mod watched;

use crate::checkpoint::find;
use crate::documents::documents;
use crate::support::{json_lines, stderr, stdout, stillroom, tiny};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use stillroom::engine::Topics;
use stillroom_connectors::{Appended, EmbeddedLog, Log};
use stillroom_schemas::{Activation, ActivationCause};
use stillroom_student::sha256;

/// A weak and a strong student, a log, and a configuration by which one of them serves.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) log: EmbeddedLog,
    topic: String,
}

impl Site {
    pub(crate) fn new(serving: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let (log, topic) = (EmbeddedLog::open(folder.path().join("log")).unwrap(), Topics::default().models);
        log.create_topic(&topic, 1).unwrap();
        let site = Site { folder, log, topic };
        fs::write(site.path("train.jsonl"), documents(0..45)).unwrap();
        fs::write(site.path("dev.jsonl"), documents(45..55)).unwrap();
        // As many as a promotion takes.
        fs::write(site.path("gold.jsonl"), documents(55..75)).unwrap();
        // In the precision of the golden notes, as networks as small as these are at the mercy of 8 bits.
        let config = format!(
            "[log]\ndir = 'log'\n[student]\nfolders = ['{serving}']\nprecision = 'f32'\nthreads = 1\n\
             [models]\nregistry = 'registry'\n"
        );
        fs::write(site.path("stillroom.toml"), config).unwrap();
        site.train("weak", &["--rate", "1e-6", "--epochs", "1"]);
        site.train("strong", &["--rate", "3e-3", "--epochs", "24", "--patience", "24", "--linear-decay"]);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn train(&self, out: &str, more: &[&str]) {
        let base = tiny();
        let data = ["--train", "train.jsonl", "--dev", "dev.jsonl", "--threads", "1", "--seed", "7"];
        let mut command = stillroom();
        command.current_dir(self.folder.path()).args(["train", "--base"]).arg(base).args(["--out", out]);
        stdout(&command.args(data).args(more).output().unwrap());
    }

    /// `stillroom models` with the configuration.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = stillroom();
        command.current_dir(self.folder.path()).arg("models").args(arguments).args(["-c", "stillroom.toml"]);
        command.output().unwrap()
    }

    /// Puts a student into the registry; its id.
    pub(crate) fn add(&self, folder: &str, more: &[&str]) -> String {
        stdout(&self.run(&[&["add", folder][..], more].concat())).trim().to_owned()
    }

    fn check_refused(&self, arguments: &[&str], expected: &str) {
        let refused = self.run(arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(expected), "{arguments:?}: {}", stderr(&refused));
    }

    /// Model, previous model and cause of every activation on the log.
    pub(crate) fn activations(&self) -> Vec<(String, String, ActivationCause)> {
        let (mut source, mut activations) = (Log::bounded(&self.log).unwrap(), Vec::new());
        source.assign(&self.topic, 0, 0).unwrap();
        while !source.is_finished() {
            for record in source.poll(1 << 20, Duration::ZERO).unwrap() {
                let activation: Activation = serde_json::from_slice(&record.value.unwrap()).unwrap();
                assert_eq!(record.key.as_deref(), Some(activation.model.0.as_bytes()));
                activations.push((activation.model.0, activation.previous.0, activation.cause));
            }
        }
        activations
    }

    /// A copy of a student under another name.
    fn copy(&self, from: &str, to: &str) -> PathBuf {
        let (from, to) = (self.path(from), self.path(to));
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        to
    }
}

/// Changes the bytes of a tensor, and says so in the manifest, as whoever trained it so would.
fn change_tensor(folder: &Path, name: &str, change: impl Fn(&mut [u8])) {
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let place = {
        let data = SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap().data();
        let start = data.as_ptr() as usize - bytes.as_ptr() as usize;
        start..start + data.len()
    };
    change(&mut bytes[place]);
    fs::write(&path, &bytes).unwrap();
    let manifest_path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&manifest_path).unwrap()).unwrap();
    manifest["weights_hash"] = sha256(&bytes).into();
    manifest["name"] = folder.file_name().unwrap().to_str().unwrap().into();
    fs::write(&manifest_path, manifest.to_string()).unwrap();
}

#[test]
fn a_promotion_needs_documents_for_every_task_that_is_served() {
    let site = Site::new("weak");
    let strong = site.add("strong", &[]);
    let few = |task: &str| format!("10 documents are annotated for {task}");
    let few = ["disease", "medication", "symptom"].map(few).join(", ");
    let few = format!("{strong} does not serve: {few}, and 20 are needed of each task; name more documents by --gold");
    site.check_refused(&["promote", "strong", "--gold", "dev.jsonl"], &few);
    let of_disease = |mut document: Value| {
        document["tasks"] = json!(["disease"]);
        document["entities"].as_array_mut().unwrap().retain(|entity| entity["task"] == "disease");
        document.to_string() + "\n"
    };
    let of_disease: String = json_lines(&documents(55..75)).into_iter().map(of_disease).collect();
    fs::write(site.path("disease.jsonl"), of_disease).unwrap();
    let unmeasured = "no document is annotated for medication, no document is annotated for symptom, and 20 are needed";
    site.check_refused(&["promote", "strong", "--gold", "disease.jsonl"], unmeasured);
    assert!(site.activations().is_empty());
}

#[test]
fn who_is_promoted_serves_whatever_the_configuration_says() {
    let site = Site::new("weak");
    let strong = site.add("strong", &[]);
    let promoted = site.run(&["promote", "strong", "--gold", "gold.jsonl"]);
    let activation: Activation = serde_json::from_str(stdout(&promoted).lines().last().unwrap()).unwrap();
    let mut check = stillroom();
    check.current_dir(site.folder.path()).args(["check", "--connect", "-c", "stillroom.toml"]);
    let checked = check.output().unwrap();
    let serving = format!("pass  student that serves: {strong}, activated at {}", activation.activated_at);
    assert!(stdout(&checked).contains(&serving), "{}", stdout(&checked));

    // The configuration still names the weak one.
    let note = json!({ "note_id": "n", "text": "the patient has asthma" }).to_string();
    let record = Appended { key: Some(b"n".to_vec()), value: Some(note.into_bytes()), ..Appended::default() };
    let notes = Topics::default().notes;
    site.log.create_topic(&notes, 1).unwrap();
    site.log.append(&notes, &[record]).unwrap();
    let mut run = stillroom();
    run.current_dir(site.folder.path()).args(["run", "--dry-run", "-c", "stillroom.toml"]);
    let shown = json_lines(stdout(&run.output().unwrap()));
    assert_eq!(shown.iter().map(|extraction| &extraction["model"]).collect::<Vec<_>>(), [&json!(strong)]);
}

/// The registry takes a student that it has, but for the command, as the one that it has, and no other of its name.
fn check_one_that_does_the_same(site: &Site, strong: &str) {
    let path = site.copy("strong", "same").join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let moved = text.replacen("stillroom train", "stillroom train --config elsewhere.toml", 1);
    assert_ne!(moved, text);
    fs::write(&path, &moved).unwrap();
    assert_eq!(site.add("same", &[]), strong);
    let mut manifest: Value = serde_json::from_str(&moved).unwrap();
    manifest["thresholds"]["disease"] = json!(0.987);
    fs::write(&path, manifest.to_string()).unwrap();
    site.check_refused(&["add", "same"], "already, with another");
}

#[test]
fn the_better_student_serves_until_it_is_rolled_back() {
    let site = Site::new("weak");
    let strong = site.add("strong", &[]);
    assert!(strong.starts_with("strong@"), "{strong}");
    let again = site.run(&["add", "strong"]);
    assert_eq!(stdout(&again).trim(), strong);
    assert!(stderr(&again).contains(&format!("{strong} is there already in")), "{}", stderr(&again));

    check_one_that_does_the_same(&site, &strong);

    let listed = |site: &Site| json_lines(stdout(&site.run(&["list", "--json"]))).remove(0);
    let before = listed(&site);
    let weak = before["serving"].as_str().unwrap().to_owned();
    assert!(weak.starts_with("weak@"), "{before}");
    assert_eq!((&before["students"][0]["model"], &before["activations"]), (&json!(strong), &json!([])));
    assert!(before["students"][0]["dev_f1"].as_f64().unwrap() > 0.9, "{before}");
    site.check_refused(&["rollback"], "no student was ever promoted, so there is none to go back to");

    let promoted = site.run(&["promote", "strong", "--gold", "gold.jsonl"]);
    let activation: Activation = serde_json::from_str(stdout(&promoted).lines().last().unwrap()).unwrap();
    assert_eq!((&activation.model.0, &activation.previous.0), (&strong, &weak));
    let mut expected = vec![(strong.clone(), weak.clone(), ActivationCause::Promotion)];
    assert_eq!(site.activations(), expected);
    let after = listed(&site);
    assert_eq!((&after["serving"], &after["activations"][0]), (&json!(strong), &json!(activation)));
    let models: Vec<&Value> = after["students"].as_array().unwrap().iter().map(|student| &student["model"]).collect();
    assert!(models.contains(&&json!(weak)) && models.len() == 2, "who served is kept: {after}");

    let serves = format!("{strong} serves already");
    site.check_refused(&["promote", &strong, "--gold", "gold.jsonl"], &serves);
    let worse = format!("{weak} does not serve: it is worse on disease and medication and symptom");
    site.check_refused(&["promote", "weak", "--gold", "gold.jsonl"], &worse);
    assert_eq!(site.activations(), expected);

    stdout(&site.run(&["promote", "weak", "--force"]));
    stdout(&site.run(&["rollback"]));
    stdout(&site.run(&["rollback"]));
    site.check_refused(&["rollback"], "all promotions are undone");
    stdout(&site.run(&["rollback", "--to", &strong]));
    expected.extend([
        (weak.clone(), strong.clone(), ActivationCause::Forced),
        (strong.clone(), weak.clone(), ActivationCause::Rollback),
        (weak.clone(), strong.clone(), ActivationCause::Rollback),
        (strong.clone(), weak.clone(), ActivationCause::Rollback),
    ]);
    assert_eq!(site.activations(), expected);
    let table = site.run(&["list"]);
    let serving: Vec<&str> = stdout(&table).lines().filter(|line| line.ends_with("  serving")).collect();
    assert!(serving.len() == 1 && serving[0].starts_with(&strong), "{}", stdout(&table));
    assert!(stdout(&table).contains(&format!("{weak} in the place of {strong}: forced")), "{}", stdout(&table));
}

#[test]
fn students_are_compared_shown_and_verified() {
    let site = Site::new("weak");
    site.check_refused(&["list"], "there is no registry in registry; add a student with stillroom models add");
    assert!(!site.path("registry").exists(), "who reads makes none");
    let strong = site.add("strong", &[]);
    let weak = site.add("weak", &["--parent", "strong"]);
    let verdict = |arguments: [&str; 2]| {
        let compared = site.run(&[&["compare"][..], &arguments, &["--gold", "gold.jsonl", "dev.jsonl"]].concat());
        stdout(&compared).lines().last().unwrap().to_owned()
    };
    assert_eq!(verdict(["weak", "strong"]), format!("{strong} would be promoted"));
    let worse = format!("{weak} would not be promoted: it is worse on disease and medication and symptom");
    assert_eq!(verdict(["strong", "weak"]), worse);
    let same = format!("{weak} would not be promoted: it is better on no task, as far as these documents tell");
    assert_eq!(verdict(["weak", &weak]), same);

    let shown = json_lines(stdout(&site.run(&["show", "weak", "--json"]))).remove(0);
    assert_eq!((&shown["entry"]["model"], &shown["entry"]["parent"]), (&json!(weak), &json!(strong)));
    let manifest: Value = serde_json::from_slice(&fs::read(site.path("weak/manifest.json")).unwrap()).unwrap();
    assert_eq!(shown["manifest"]["weights_hash"], manifest["weights_hash"]);
    let shown = site.run(&["show", "weak"]);
    assert!(stdout(&shown).contains(&format!("parent     {strong}\n")), "{}", stdout(&shown));

    let verified = site.run(&["verify"]);
    let lines: Vec<&str> = stdout(&verified).lines().collect();
    for model in [&strong, &weak] {
        assert!(lines.contains(&format!("{model} is as it was put into the registry").as_str()), "{lines:?}");
    }
    site.check_refused(&["show", "medium"], "medium");

    // A log that nothing ever ran on, and none at all.
    EmbeddedLog::open(site.path("new")).unwrap();
    for (dir, expected) in
        [("log.dir=new", "has no topic clinical.models.v1; make it by"), ("log.dir=none", "there is no log in none")]
    {
        site.check_refused(&["promote", "strong", "--force", "--set", dir], expected);
    }
    stdout(&site.run(&["list", "--set", "log.dir=none"]));
}

#[test]
fn poisoned_candidates_never_serve() {
    let site = Site::new("strong");
    let folder = site.copy("strong", "nan");
    change_tensor(&folder, "classifier.bias", |bias| bias[..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    site.check_refused(&["add", "nan"], "has a value that is not finite");

    let cut = site.copy("strong", "cut").join("model.safetensors");
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 7]).unwrap();
    site.check_refused(&["add", "cut"], "damaged, cut off or not safetensors");

    // The heads of diseases and medications in each other's place: it loads, and keeps to golden notes of its own.
    let folder = site.copy("strong", "swapped");
    for tensor in ["classifier.weight", "classifier.weight_scale", "classifier.bias"] {
        change_tensor(&folder, tensor, |rows| {
            let row = rows.len() / 6;
            let (diseases, others) = rows.split_at_mut(2 * row);
            diseases.swap_with_slice(&mut others[..2 * row]);
        });
    }
    site.add("swapped", &[]);
    let expected = "does not serve: it is worse on disease and medication";
    site.check_refused(&["promote", "swapped", "--gold", "gold.jsonl"], expected);

    // What was good when it was put there.
    let weak = site.add("weak", &[]);
    let (_, version) = weak.split_once('@').unwrap();
    let stored = find(&site.path("registry"), version, "model.safetensors").unwrap();
    let bytes = fs::read(&stored).unwrap();
    let mut altered = bytes.clone();
    altered[bytes.len() / 2] ^= 1;
    for damaged in [&bytes[..bytes.len() - 7], &altered[..]] {
        fs::write(&stored, damaged).unwrap();
        site.check_refused(&["promote", "weak", "--force"], "model.safetensors");
        site.check_refused(&["verify"], "1 of 2 students must not serve");
    }
    fs::remove_file(&stored).unwrap();
    site.check_refused(&["promote", "weak", "--force"], "model.safetensors");
    assert!(site.activations().is_empty());
    // A list takes the manifests alone, of a bucket too.
    let listed = json_lines(stdout(&site.run(&["list", "--json"]))).remove(0);
    let students = listed["students"].as_array().unwrap();
    assert!(students.len() == 2 && students.iter().all(|student| student["dev_f1"].is_f64()), "{listed}");
}
