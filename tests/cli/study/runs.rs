//! Whole runs, killed ones, and those of a changed configuration.

use super::{Site, config};
use crate::support::{json_lines, stdout, tiny};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The figure of a system on a part of a dataset.
fn figure<'a>(report: &'a Value, (dataset, part): (&str, &str), system: &str) -> &'a Value {
    let is_it = |figure: &&Value| figure["dataset"] == dataset && figure["part"] == part && figure["system"] == system;
    report["figures"].as_array().unwrap().iter().find(is_it).unwrap()
}

#[test]
fn a_study_measures_what_the_single_commands_measure() {
    let site = Site::new();
    site.study(&config());
    let report = site.report();
    let systems: BTreeSet<&str> =
        report["figures"].as_array().unwrap().iter().map(|figure| figure["system"].as_str().unwrap()).collect();
    let expected = ["ensemble", "other", "tiny from human", "tiny from teachers", "wide"];
    assert_eq!(systems, BTreeSet::from(expected));
    assert_eq!(report["figures"].as_array().unwrap().len(), 5 * 3, "everybody on dev, test and elsewhere");

    let precision = report["machine"]["precision"].as_str().unwrap();
    assert!(["int8", "f32"].contains(&precision), "{precision}: what auto is on this processor");

    let select = ["teachers", "select", "--json", "--dev", "corpus:dev", "--teachers", "wide,other", "--model"];
    let selected = json_lines(stdout(&site.run(&[&select[..], &[tiny().to_str().unwrap()]].concat())));
    let candidates = report["selections"][0]["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), selected.len());
    for (candidate, row) in candidates.iter().zip(&selected) {
        assert_eq!([&candidate["ensemble"], &candidate["counts"]], [&row["ensemble"], &row["counts"]]);
    }
    let ensemble = figure(&report, ("made-up", "dev"), "ensemble");
    assert_eq!(ensemble["levels"]["word"]["counts"], candidates[0]["counts"], "the best subset is the ensemble");

    for student in report["students"].as_array().unwrap() {
        let model = site.path("study").join(student["folder"].as_str().unwrap());
        for (gold, dataset, part) in [
            ("corpus:dev", "made-up", "dev"),
            ("corpus:test", "made-up", "test"),
            ("elsewhere.jsonl", "elsewhere", "test"),
        ] {
            let eval = ["eval", "--json", "--gold", gold, "--model", model.to_str().unwrap()];
            let totals: Value = serde_json::from_str(stdout(&site.run(&eval))).unwrap();
            let figure = figure(&report, (dataset, part), student["name"].as_str().unwrap());
            for (level, of_level) in figure["levels"].as_object().unwrap() {
                for count in ["tp", "fp", "fn"] {
                    assert_eq!(of_level["counts"][count], totals[level]["symptom"][count], "{gold} {level} {count}");
                }
            }
        }
        assert_eq!(student["documents"], 36);
    }
    let differences = report["differences"].as_array().unwrap();
    assert!(differences.len() == 3 && differences.iter().all(|difference| difference["teacher"] == "ensemble"));
    for difference in differences {
        let of = |system: &str| {
            let place = (difference["dataset"].as_str().unwrap(), difference["part"].as_str().unwrap());
            figure(&report, place, system)["levels"]["word"]["f1"]["value"].as_f64().unwrap()
        };
        let expected = of("tiny from teachers") - of("ensemble");
        assert!((difference["f1"]["value"].as_f64().unwrap() - expected).abs() < 1e-12, "{difference}");
    }
}

#[test]
fn the_second_run_does_nothing_and_says_the_same() {
    let site = Site::new();
    site.study(&config());
    let files = ["study/report.json", "study/report.md", "study/report.html", "study/plots/01.svg"];
    let first = files.map(|file| site.read(file));
    let said = site.study(&config());
    assert!(said.lines().all(|line| line.ends_with(": done before")), "{said}");
    for (file, first) in files.iter().zip(&first) {
        assert!(site.read(file) == *first, "{file} is another");
    }

    let [_, markdown, page, _] = &first;
    for section in
        ["Datasets", "Teachers: symptom", "Students", "Results", "External validation", "Seconds and dollars a note"]
    {
        assert!(
            markdown.contains(&format!("\n## {section}\n")) && page.contains(&format!("<h2>{section}</h2>")),
            "{section}"
        );
    }
    let plots = page.matches("<svg ").count();
    assert_eq!(plots, 1 + 2 + 1 + 1, "subsets, dev and test, elsewhere, dollars");
    assert_eq!(std::fs::read_dir(site.path("study/plots")).unwrap().count(), plots);
    assert!(page.contains("Symptoms &lt;in small&gt;") && !page.contains("Symptoms <in"), "names are escaped");
    assert!(
        !page.contains("http-equiv") && !page.contains("src=") && !page.contains("href="),
        "it needs no other file"
    );
    for text in [&first[0], markdown, page] {
        assert!(!text.contains("since Monday"), "no text of a document");
    }
}

/// Kills a run as soon as a file is there whose path below the study's folder has all of these in it.
fn kill_when_there_is(site: &Site, wanted: &[&str]) {
    let mut running = site.command(&["study", "study.toml"]).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while !has_file(&site.path("study"), &|path| wanted.iter().all(|part| path.contains(part))) {
        assert!(began.elapsed() < Duration::from_secs(60), "{wanted:?} does not come");
        std::thread::yield_now();
    }
    running.kill().unwrap();
    running.wait().unwrap();
}

fn has_file(folder: &Path, is_it: &dyn Fn(&str) -> bool) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| is_it(path.to_str().unwrap()) || has_file(&path, is_it))
}

#[test]
fn a_killed_run_ends_as_one_that_was_left_alone() {
    let alone = Site::new();
    alone.study(&config());
    let killed = Site::new();
    killed.write("study.toml", &config());
    for wanted in [
        &["steps/teachers-symptom.json"][..],
        &["students/tiny.human", "checkpoint/run.json"],
        &["students/tiny.human", "checkpoint/state.json"],
        &["steps/read-tiny.human"],
        &["students/tiny.teachers", "checkpoint/state.json"],
    ] {
        kill_when_there_is(&killed, wanted);
    }
    killed.study(&config());
    assert_eq!(killed.report_but_for_seconds(), alone.report_but_for_seconds());
}

#[test]
fn a_changed_configuration_does_anew_what_depends_on_it() {
    let site = Site::new();
    site.study(&config());
    // What was done anew.
    let done = |config: &str| -> Vec<String> {
        let said = site.study(config);
        let is_step =
            |line: &&str| line.starts_with("teachers ") || line.starts_with("training ") || line.starts_with("read ");
        let steps = said.lines().filter(|line| is_step(line) || line.starts_with("students/"));
        let anew = steps.filter(|line| !line.ends_with(": done before"));
        anew.map(|line| line.split(['.', '\n']).take(2).collect::<Vec<_>>().join(".")).collect()
    };
    let report = site.report();
    assert_eq!(done(&config().replace("samples = 100", "samples = 200")), [""; 0]);
    assert!(site.report()["figures"] != report["figures"], "other intervals");
    assert_eq!(site.report()["students"], report["students"]);
    assert_eq!(done(&config().replace("usd_an_hour = 0.1", "usd_an_hour = 0.2")), [""; 0]);
    let double = |cost: &Value| cost["usd"].as_f64().unwrap();
    let (before, after) = (double(&report["costs"][0]), double(&site.report()["costs"][0]));
    assert!((after / before - 2.0).abs() < 1e-9);

    let without = config().replace("test = [\"corpus:test\"]\n", "");
    assert_eq!(done(&without), ["teachers symptom", "read tiny.human", "read tiny.teachers"]);
    let more = config().replace("threads = 1", "threads = 1\nsources = [\"human\", \"teachers\", \"wide\"]");
    let of_more = ["teachers symptom", "read tiny.human", "read tiny.teachers", "students/tiny.wide", "read tiny.wide"];
    assert_eq!(BTreeSet::from_iter(done(&more)), of_more.map(str::to_owned).into());
    let again = config().replace("epochs = 8", "epochs = 7");
    let all = ["students/tiny.human", "read tiny.human", "students/tiny.teachers", "read tiny.teachers"];
    assert_eq!(BTreeSet::from_iter(done(&again)), all.map(str::to_owned).into());
    assert_eq!(json!(done(&again)), json!([]));
}

#[test]
fn students_learn_tasks_together_from_notes_and_single_teachers_with_several_seeds() {
    let site = Site::new();
    let of_diseases = |part: &str| {
        let document = |number: usize| {
            let entity = json!({ "task": "disease", "start": 4, "end": 8, "text": "gout" });
            let (id, text) = (format!("{part}-{number}"), format!("Has gout, case {number} of {part}."));
            json!({ "id": id, "text": text, "tasks": ["disease"], "entities": [entity] }).to_string() + "\n"
        };
        site.write(&format!("diseases/{part}.jsonl"), &(0..5).map(document).collect::<String>());
    };
    ["train", "dev"].into_iter().for_each(of_diseases);
    let notes =
        (0..3).map(|n| json!({ "note_id": n.to_string(), "text": format!("{n} has chills.") }).to_string() + "\n");
    site.write("notes.jsonl", &notes.collect::<String>());
    let dataset =
        "[[datasets]]\nname = \"diseases\"\ntrain = [\"diseases:train\"]\ndev = [\"diseases:dev\"]\n\n[teachers]";
    let students = "threads = 1\ntasks_together = true\nseeds = [0, 7]\nnotes = [\"notes.jsonl\"]\n\
                    sources = [\"human\", \"teachers\", \"wide\"]";
    let config =
        config().replace("[teachers]", dataset).replace("threads = 1", students).replace("epochs = 8", "epochs = 1");
    site.study(&config);
    let report = site.report();
    let students: Vec<Value> = report["students"]
        .as_array()
        .unwrap()
        .iter()
        .map(|student| json!([student["name"], student["tasks"], student["documents"]]))
        .collect();
    let expected = [
        json!(["tiny from human, seed 0", ["disease", "symptom"], 36 + 5]),
        json!(["tiny from human, seed 7", ["disease", "symptom"], 36 + 5]),
        json!(["tiny from teachers, seed 0", ["symptom"], 36 + 3]),
        json!(["tiny from teachers, seed 7", ["symptom"], 36 + 3]),
        json!(["tiny from wide, seed 0", ["symptom"], 36 + 3]),
        json!(["tiny from wide, seed 7", ["symptom"], 36 + 3]),
    ];
    assert_eq!(students, expected);
    let hashes: BTreeSet<&str> = report["students"]
        .as_array()
        .unwrap()
        .iter()
        .map(|student| student["weights_hash"].as_str().unwrap())
        .collect();
    assert_eq!(hashes.len(), 6, "no two are the same");
    // Who learned from a single teacher is compared with it, and nobody who learned from people is.
    let teachers: BTreeSet<[&str; 2]> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| ["student", "teacher"].map(|side| difference[side].as_str().unwrap()))
        .collect();
    let expected = [("teachers", "ensemble"), ("wide", "wide")]
        .iter()
        .flat_map(|(source, teacher)| [0, 7].map(|seed| (format!("tiny from {source}, seed {seed}"), *teacher)))
        .collect::<Vec<_>>();
    assert_eq!(teachers, expected.iter().map(|(student, teacher)| [student.as_str(), teacher]).collect());
    let diseases = report["figures"].as_array().unwrap().iter().filter(|figure| figure["task"] == "disease");
    assert_eq!(diseases.count(), 2, "both students of diseases on their dev documents");
    check_seed_mean(&site, &report);
}

/// The mean of the seeds stands below their rows, and is that of what these say.
fn check_seed_mean(site: &Site, report: &Value) {
    let markdown = site.read("study/report.md");
    let lines: Vec<&str> = markdown.lines().collect();
    let below =
        lines.iter().position(|line| line.starts_with("| elsewhere | test | tiny from wide, seed 7 |")).unwrap();
    let start = "| elsewhere | test | tiny from wide, mean of 2 seeds | 5 |";
    assert!(lines[below + 1].starts_with(start), "{}", lines[below + 1]);
    let mean = report["seed_means"].as_array().unwrap().iter().find(|mean| {
        mean["dataset"] == "elsewhere"
            && mean["students"] == json!(["tiny from wide, seed 0", "tiny from wide, seed 7"])
    });
    let of_seed = |seed: usize| {
        let figure = figure(report, ("elsewhere", "test"), &format!("tiny from wide, seed {seed}"));
        figure["levels"]["word"]["f1"]["value"].as_f64().unwrap()
    };
    let f1 = &mean.unwrap()["levels"]["word"]["f1"];
    let (one, other) = (of_seed(0), of_seed(7));
    assert!((f1["mean"].as_f64().unwrap() - (one + other) / 2.0).abs() < 1e-12, "{f1}");
    // Of two values, their distance over the root of 2.
    assert!((f1["deviation"].as_f64().unwrap() - (one - other).abs() / 2f64.sqrt()).abs() < 1e-12, "{f1}");
}
