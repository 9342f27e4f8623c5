//! What cannot be studied, and what would be.

use super::{Site, config};
use crate::support::{stderr, stdout};
use crate::vendor::{Reply, Vendor};

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

#[test]
fn what_cannot_be_studied_is_said_with_the_remedy() {
    let site = Site::new();
    let check = |from: &str, to: &str, expected: &str| {
        assert!(config().contains(from), "{from}");
        site.write("study.toml", &config().replacen(from, to, 1));
        let refused = site.run(&["study", "study.toml"]);
        assert_eq!(refused.status.code(), Some(1), "{to}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(expected), "{to}: {}", stderr(&refused));
        assert!(!site.path("study/steps/teachers-symptom.json").exists(), "nobody was asked");
    };
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
    check("threads = 1", "device = \"gpu\"", "students.device is gpu; write cpu or cuda:0");
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
