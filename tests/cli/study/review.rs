//! The sheet of false positives: what is in it, and what it says when it is filled.

use super::{Site, config};
use crate::support::{stderr, stdout};
use serde_json::Value;
use std::collections::BTreeMap;

/// A study whose student is the base, which tags words at random: no pass changes much at this rate.
fn sheet(site: &Site) -> (String, Vec<BTreeMap<String, String>>) {
    site.study(
        &config().replace("rate = 3e-3", "rate = 1e-9").replace("samples = 100", "samples = 100\nreview_rows = 7"),
    );
    let report = site.report();
    let file = format!("study/{}", report["reviews"][0]["file"].as_str().unwrap());
    let mut reader = csv::Reader::from_path(site.path(&file)).unwrap();
    let head = reader.headers().unwrap().clone();
    let row = |row: csv::StringRecord| head.iter().map(str::to_owned).zip(row.iter().map(str::to_owned)).collect();
    let rows = reader.records().map(|record| row(record.unwrap())).collect();
    (file, rows)
}

#[test]
fn the_sheet_has_words_that_nobody_annotated() {
    let site = Site::new();
    // What a spreadsheet would take for a formula.
    site.write("corpus/test.jsonl", &site.read("corpus/test.jsonl").replace("\"id\":\"", "\"id\":\"="));
    let (_, rows) = sheet(&site);
    let report = site.report();
    let review = &report["reviews"][0];
    assert_eq!((rows.len(), &review["rows"], &review["part"]), (7, &7.into(), &"test".into()));
    let gold: Vec<Value> =
        site.read("corpus/test.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for row in &rows {
        let document =
            gold.iter().find(|document| format!("[{}]", document["id"].as_str().unwrap()) == row["note_id"]).unwrap();
        let text: Vec<char> = document["text"].as_str().unwrap().chars().collect();
        let [start, end] = ["start", "end"].map(|name| row[name].parse::<usize>().unwrap());
        assert_eq!(format!("[{}]", text[start..end].iter().collect::<String>()), row["text"]);
        assert!(row["context"].contains(&row["text"]), "{row:?}");
        assert!(row.values().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])), "{row:?}");
        for entity in document["entities"].as_array().unwrap() {
            let [from, to] = ["start", "end"].map(|name| entity[name].as_u64().unwrap() as usize);
            assert!(end <= from || to <= start, "{row:?} is annotated: {entity}");
        }
        assert!(row["verdict"].is_empty() && row["words"].parse::<usize>().unwrap() > 0);
        assert!((0.0..=1.0).contains(&row["probability"].parse::<f64>().unwrap()));
        assert!(["all", "some", "none"].contains(&row["ensemble"].as_str()), "{row:?}");
    }
    // All of the false positives that the figures count are in the runs that rows are drawn from.
    let student = review["student"].as_str().unwrap();
    let is_it =
        |figure: &&Value| figure["system"] == student && figure["part"] == "test" && figure["dataset"] == "made-up";
    let counts = &report["figures"].as_array().unwrap().iter().find(is_it).unwrap()["levels"]["word"]["counts"];
    assert_eq!([&review["false_positives"], &review["true_positives"]], [&counts["fp"], &counts["tp"]]);
}

#[test]
fn a_filled_sheet_tells_the_share_and_the_precision() {
    let site = Site::new();
    let (file, rows) = sheet(&site);
    let filled = site.path("filled.csv");
    let fill = |verdict: &dyn Fn(usize) -> &'static str, separator: u8| {
        let mut reader = csv::Reader::from_path(site.path(&file)).unwrap();
        let mut writer = csv::WriterBuilder::new().delimiter(separator).from_path(&filled).unwrap();
        writer.write_record(reader.headers().unwrap()).unwrap();
        for (at, record) in reader.records().enumerate() {
            let record = record.unwrap();
            let last = record.len() - 1;
            let rewritten = |cell: &str| match separator == b';' && cell.parse::<f64>().is_ok() {
                true => cell.replace('.', ","),
                false => cell.to_owned(),
            };
            let cells = record.iter().take(last).map(rewritten);
            writer.write_record(cells.chain([verdict(at).to_owned()])).unwrap();
        }
        writer.flush().unwrap();
        site.run(&["study", "review", "filled.csv"])
    };
    let empty = fill(&|_| "", b',');
    assert_eq!(stdout(&empty), "symptom: 0 of 7 rows are judged\n");

    // In the way of a spreadsheet of a country with a decimal comma.
    let judged = fill(&|at| ["annotation", " Student ", ""][at % 3], b';');
    let words = |wanted: usize| -> f64 {
        rows.iter()
            .enumerate()
            .filter(|(at, _)| at % 3 == wanted)
            .map(|(_, row)| row["words"].parse::<f64>().unwrap())
            .sum()
    };
    let share = words(0) / (words(0) + words(1));
    let [tp, fp] = ["true_positives", "false_positives"].map(|name| rows[0][name].parse::<f64>().unwrap());
    let lines: Vec<&str> = stdout(&judged).lines().collect();
    assert_eq!(lines[0], "symptom: 5 of 7 rows are judged");
    assert!(
        lines[1].starts_with(&format!("  the annotation is at fault at {:.1} % of the words", 100.0 * share)),
        "{lines:?}"
    );
    let precision =
        format!("  precision {:.4} as annotated, {:.4} as corrected", tp / (tp + fp), (tp + share * fp) / (tp + fp));
    assert!(lines[2].starts_with(&precision), "{lines:?}: {precision}");

    let wrong = fill(&|_| "maybe", b',');
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("is neither annotation nor student"), "{}", stderr(&wrong));
    site.write("filled.csv", "a,b\n1,fever\n");
    let other = site.run(&["study", "review", "filled.csv"]);
    assert!(stderr(&other).contains("filled.csv, line 2: not a row of a review") && !stderr(&other).contains("fever"));
    // A run after that keeps what people have written.
    let original = site.read(&file);
    site.write(&file, &original.replace(",\n", ",student\n"));
    sheet(&site);
    assert!(site.read(&file).contains(",student\n"));
}
