//! What cannot be studied, and what would be.

use super::{Site, config, document};
use crate::support::{stderr, stdout, tiny};
use crate::vendor::{Reply, Vendor};
use serde_json::{Value, json};

#[test]
fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = Site::new();
    site.write("teachers/mine.toml", &vendor.profile());
    let with_vendor = config().replace("[\"wide\", \"other\"]", "[\"wide\", \"mine\"]\npublic = true\nusd_max = 0.01");
    site.write("study.toml", &with_vendor);
    let planned = site.run(&["study", "--dry-run", "study.toml"]);
    let lines: Vec<&str> = stdout(&planned).lines().collect();
    let has =
        |start: &str| lines.iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {lines:?}"));
    has("read  made-up train: 36 documents, ");
    // 8 for dev, 6 and 5 for test, 36 for training.
    assert!(has("ask   wide about symptom: 55 texts, ").ends_with(" 0.0000 USD at worst"));
    let worst = has("ask   mine about symptom: 55 texts, ").split_whitespace().nth_back(3).unwrap();
    // Of each text an answer of 50 tokens, and more than a token for each byte of the question.
    assert!(worst.parse::<f64>().unwrap() > 55.0 * 50.0 * 10e-6, "{worst}");
    has("train tiny from human for symptom");
    has("train tiny from teachers for symptom");
    assert!(has("at worst ").contains("and 0.01 USD by teachers.usd_max"));
    assert_eq!(vendor.answered(), 0);
    assert!(!site.path("study").exists());
}

#[test]
fn a_teacher_that_stops_is_asked_again_by_the_next_run() {
    let vendor = Vendor::start(|_| Reply::Fever("stop"));
    let site = Site::new();
    site.write("teachers/mine.toml", &vendor.profile());
    let limited = |usd: &str| {
        let teachers = format!("[\"mine\"]\npublic = true\n{usd}");
        config()
            .replace("[\"wide\", \"other\"]", &teachers)
            .replace("threads = 1", "threads = 1\nsources = [\"human\"]")
    };
    site.write("study.toml", &limited("usd_max = 0.01"));
    let stopped = site.run(&["study", "study.toml"]);
    assert_eq!(stopped.status.code(), Some(1));
    assert!(stderr(&stopped).contains("the budget of 0.01 USD for a run has"), "{}", stderr(&stopped));
    assert!(stderr(&stopped).contains("run the study again, and it asks these alone"), "{}", stderr(&stopped));
    site.study(&limited(""));
    assert!(
        vendor.answers().len() == 19 && vendor.answers().values().all(|times| *times == 1),
        "{:?}",
        vendor.answers()
    );
    let costs = site.report()["costs"].clone();
    let mine = costs.as_array().unwrap().iter().find(|cost| cost["system"] == "mine").unwrap();
    assert!((mine["usd"].as_f64().unwrap() - crate::vendor::ANSWER_USD).abs() < 1e-9, "{mine}");
}

/// Refuses the configuration with `from` replaced by `to`, before anybody is asked.
fn check(site: &Site, (from, to): (&str, &str), expected: &str) {
    assert!(config().contains(from), "{from}");
    site.write("study.toml", &config().replacen(from, to, 1));
    let refused = site.run(&["study", "study.toml"]);
    assert_eq!(refused.status.code(), Some(1), "{to}: {}", stderr(&refused));
    assert!(stderr(&refused).contains(expected), "{to}: {}", stderr(&refused));
    assert!(!site.path("study/steps/teachers-symptom.json").exists(), "nobody was asked");
}

#[test]
fn students_that_cannot_be_trained_are_refused_before_teachers_are_asked() {
    let site = Site::new();
    let recipe = |to: &str, expected: &str| check(&site, ("rate = 3e-3", to), &format!("students.recipe.{expected}"));
    recipe("rate = 0.0", "rate is 0; choose a number above 0");
    recipe("rate = inf", "rate is inf; choose a number above 0");
    recipe("head_rate_factor = 0.0", "head_rate_factor is 0; choose a number above 0");
    recipe("weight_decay = -1.0", "weight_decay is -1; choose a number of 0 or more");
    recipe("layer_decay = 1.5", "layer_decay is 1.5; choose a number above 0 and at most 1");
    recipe("average = 1.0", "average is 1; choose a number from 0 to below 1");
    recipe("dropout = nan", "dropout is NaN; choose a number that is 0, or from 1/256");
    recipe("freeze = 99", "freeze is 99, and the base");
    let dry = site.run(&["study", "--dry-run", "study.toml"]);
    assert!(dry.status.code() == Some(1) && stderr(&dry).contains("freeze is 99"), "{}", stderr(&dry));
    let students = |to: &str, expected: &str| check(&site, ("threads = 1", to), expected);
    students(
        "device = \"cuda:0,cuda:1\"",
        "students.device cannot train: the device is cuda:0,cuda:1; training takes one",
    );
    // In a build with CUDA as in one without.
    students("device = \"cuda:99\"", "device cuda");
    students(
        "precision = \"bf16\"",
        "students.precision is not one of students.device: device cpu cannot be used: bf16",
    );
    students(
        "device = \"cuda:0\"\nprecision = \"int8\"",
        "students.precision is not one of students.device: device cuda",
    );
}

#[test]
fn what_is_there_twice_is_refused() {
    let site = Site::new();
    let check = |from: &str, to: &str, expected: &str| check(&site, (from, to), expected);
    check("name = \"elsewhere\"", "name = \"all\"", "datasets.name of all is what the report calls all datasets");
    check("\"other\"]", "\"wide\"]", "teachers.symptom has wide twice; name each once");
    check("threads = 1", "sources = [\"human\", \"human\"]", "students.sources has human twice; name each once");
    check("threads = 1", "seeds = [3, 0, 3]", "students.seeds has 3 twice; name each once");
    check("tiny\"]", &format!("tiny\", {:?}]", tiny()), "tiny twice; name each once");
    let shared = "students would be measured on documents that they learn symptom from: made-up train and";
    let within = format!("{shared} made-up dev share 36; take each of these documents out of one part");
    check("[\"corpus:dev\"]", "[\"corpus:dev\", \"corpus:train\"]", &within);
    let across = format!("{shared} elsewhere test share 36; take");
    check("[\"elsewhere.jsonl\"]", "[\"elsewhere.jsonl\", \"corpus:train\"]", &across);
}

#[test]
fn notes_that_students_are_measured_on_are_refused_before_anybody_is_asked() {
    let site = Site::new();
    let note = |part: &str, number: usize| {
        let document: Value = serde_json::from_str(&document(part, number)).unwrap();
        // Formats differ in the blanks that they leave around a text.
        let text = format!(" {}\n", document["text"].as_str().unwrap());
        json!({ "note_id": format!("n-{number}"), "text": text }).to_string() + "\n"
    };
    let with_notes = ("threads = 1", "threads = 1\nnotes = [\"notes\"]");
    let refused = |place: &str| {
        let expected = format!("of 1 notes that they learn from; take these notes out:\n{place}\n");
        check(&site, with_notes, &expected);
        let dry = site.run(&["study", "--dry-run", "study.toml"]);
        assert!(dry.status.code() == Some(1) && stderr(&dry).contains(&expected), "{}", stderr(&dry));
        assert!(!stderr(&dry).contains("since Monday"), "{}", stderr(&dry));
    };
    let learned = note("train", 0) + &note("nowhere", 1);
    site.write("notes/a.jsonl", &(learned.clone() + &note("dev", 2)));
    refused("notes/a.jsonl, line 3: note n-2 is in made-up dev");
    site.write("notes/a.jsonl", &(learned.clone() + &note("elsewhere", 4)));
    refused("notes/a.jsonl, line 3: note n-4 is in elsewhere test");
    site.write("notes/a.jsonl", &learned);
    stdout(&site.run(&["study", "--dry-run", "study.toml"]));
}

#[test]
fn what_cannot_be_studied_is_said_with_the_remedy() {
    let site = Site::new();
    let check = |from: &str, to: &str, expected: &str| check(&site, (from, to), expected);
    check("samples = 100", "sample = 100", "study.toml, line 29: unknown field `sample`");
    check("epochs = 8", "epochs = 0", "students.recipe.epochs is 0; choose a value from 1 to 1000");
    check("name = \"Symptoms <in small>\"", "", "name is empty; say what the study is called");
    check("name = \"elsewhere\"", "name = \"made-up\"", "datasets.name of made-up is there twice");
    check("dev = [\"corpus:dev\"]", "", "datasets.dev of made-up is empty; name documents to choose by");
    check("corpus:dev", "nowhere:dev", "the dataset made-up: cannot read nowhere");
    check("corpus:dev\"]", "corpus:dev\"]\ntasks = [\"disease\"]", "no document in train is annotated for disease");
    check("symptom = [", "disease = [\"wide\"]\nsymptom = [", "no dev document of the study is annotated for it");
    check("\"other\"]", "\"nobody\"]", "there is no teacher nobody");
    check("threads = 1", "sources = [\"third\"]", "names third, who is no teacher of the study");
    check("train = [\"corpus:train\"]", "", "there is no document to train tiny from human on");
    check("tiny\"]", "nothing\"]", "is neither a folder nor the name of a base");
    check("threads = 1", "device = \"gpu\"", "students.device is gpu; write cpu, cuda, cuda:0");
    site.write(
        "teachers/drugs.toml",
        "api = 'vocabulary'\nsources = [{ task = 'medication', path = '../wide.tsv' }]\n",
    );
    check("\"other\"]", "\"drugs\"]", "the teacher drugs cannot find a symptom; take it out of [teachers] symptom");
    site.write("full/notes.txt", "Something else.");
    check("name = \"Sym", "out = \"full\"\nname = \"Sym", "full holds something else than a study");
    site.write("other/study.json", "{\"name\":\"Another\"}");
    check("name = \"Sym", "out = \"other\"\nname = \"Sym", "other is of the study \"Another\" and not of \"Symptoms");
    let missing = site.run(&["study", "missing.toml"]);
    assert!(stderr(&missing).contains("cannot read the study missing.toml; name a file in TOML"));
    assert_eq!(site.run(&["study"]).status.code(), Some(2));
}
