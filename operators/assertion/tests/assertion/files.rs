//! Lexicons and examples of users: what they change, and how they are refused.

use crate::{CONTEXT, check_with};
use std::path::PathBuf;
use stillroom_assertion::{Context, ContextConfig, Lexicon, evaluate, read_examples};
use stillroom_schemas::{Certainty, Task};

/// A context with files of one's own, one behind the other.
fn with(files: &[&str]) -> Context {
    let folder = tempfile::tempdir().unwrap();
    let write = |(number, text): (usize, &&str)| -> PathBuf {
        let path = folder.path().join(format!("{number}.toml"));
        std::fs::write(&path, text).unwrap();
        path
    };
    let lexicons = files.iter().enumerate().map(write).collect();
    Context::load(&ContextConfig { lexicons, ..ContextConfig::default() }).unwrap()
}

const ADDED: &str = r#"
[classes]
shade = ["shade", "hint"]

[[triggers]]
says = "negated"
direction = "forward"
texts = ["not a {shade} of"]

[[triggers]]
says = "uncertain"
direction = "forward"
texts = ["denies"]

[chronic]
texts = ["stroke"]

[[sections]]
name = "travel"
headings = ["travel history"]
rules = [{ says = "other" }]
"#;

#[test]
fn lexicons_add_and_replace() {
    let context = with(&[ADDED]);
    check_with(&context, "Not a hint of [d:gout].", r#"gout negated by "not a hint of""#);
    check_with(&context, "Denies [s:fever], no [s:cough].", r#"fever uncertain by "denies"; cough negated by "no""#);
    check_with(&context, "History of [d:stroke].", "stroke affirmed");
    check_with(&context, "Travel History: [d:malaria]", r#"malaria other by "travel history""#);
    check_with(&CONTEXT, "History of [d:stroke].", r#"stroke historical by "history of""#);
}

#[test]
fn lexicons_remove() {
    let removes = r#"
remove = ["not a {shade} of", "denies"]
chronic = { remove = ["stroke"] }
sections = [{ name = "travel", remove = ["travel history"] }, { name = "family_history", rules = [] }]
"#;
    let context = with(&[ADDED, removes]);
    check_with(&context, "Not a hint of [d:gout].", r#"gout negated by "not""#);
    check_with(&context, "Denies [s:fever].", "fever affirmed");
    check_with(&context, "History of [d:stroke].", r#"stroke historical by "history of""#);
    check_with(&context, "Travel History: [d:malaria]", r#"malaria historical by "history""#);
    check_with(&context, "Family history: [d:gout]", "gout affirmed");
}

#[test]
fn a_lexicon_may_stand_alone() {
    let config = ContextConfig { own_lexicon: false, ..ContextConfig::default() };
    let context = Context::load(&config).unwrap();
    check_with(&context, "No [s:fever].", "fever affirmed");
}

/// What is said of a lexicon, which is then as it was.
fn refused(text: &str, expected: &str) {
    let mut lexicon = Lexicon::shipped();
    let before = (lexicon.triggers(), lexicon.headings());
    let said = lexicon.extend("ward.toml", text).unwrap_err().to_string();
    assert!(said.starts_with("the lexicon ward.toml: "), "{said}");
    assert!(said.contains(expected), "{text}: {said}");
    assert_eq!((lexicon.triggers(), lexicon.headings()), before);
}

#[test]
fn what_is_wrong_with_a_lexicon_is_said() {
    let trigger = |rest: &str| format!("[[triggers]]\n{rest}\n");
    refused("triggerz = []", "line 1 cannot be read: unknown field `triggerz`");
    refused(&trigger("texts = ['x y']\ndirektion = 'forward'"), "unknown field `direktion`");
    refused(&trigger("texts = ['x y']\ndirection = 'sideways'"), "unknown variant `sideways`");
    refused(&trigger("texts = ['x y']\ndirection = 'forward'"), r#"[[triggers]] 1 ("x y") says nothing; write"#);
    refused(&trigger("texts = []\ndirection = 'pseudo'"), "has no texts; write one");
    refused(&trigger("texts = [' ']\ndirection = 'pseudo'"), r#"[[triggers]] 1 (" ") has an empty text; write it"#);
    refused(&trigger("texts = ['x y', 'X-y']\ndirection = 'pseudo'"), r#"("X-y") stands in this file twice; keep one"#);
    refused(&trigger("texts = ['x']\ndirection = 'terminate'\nsays = 'negated'"), "has no scope; leave out says");
    refused(&trigger("texts = ['x']\ndirection = 'pseudo'\nends = []"), "ends nothing; leave out ends");
    refused(&trigger("texts = ['x']\ndirection = 'both'\nsays = 'other'\ntasks = []"), "has no tasks; name one");
    refused(&trigger("texts = ['{x} y']\ndirection = 'pseudo'"), r#"has the class "x", which no lexicon has"#);
    refused(&trigger("texts = ['{x y']\ndirection = 'pseudo'"), "has a { without a }");
    refused("[classes]\na = ['{b}']", r#"[classes] a has the word "{b}"; write it without braces"#);
    refused("[classes]\na = ['b', 'B']", r#"[classes] a has "B" twice"#);
    refused("remove = ['no such trigger']", r#"remove "no such trigger" is no trigger before it; leave it out"#);
    refused("[chronic]\nremove = ['no such disease']", "is not there before it");
    refused("[[sections]]\nname = ''", "[[sections]] 1 (\"\") has no name of its own");
    refused("[[sections]]\nname = 'a'\n[[sections]]\nname = 'a'", "[[sections]] 2 (\"a\") has no name of its own");
    refused("[[sections]]\nname = 'a'\nheadings = ['a b c d e f g h i']", "has a heading of 9 words");
    refused(
        "[[sections]]\nname = 'a'\nheadings = ['q']\n[[sections]]\nname = 'b'\nheadings = ['Q']",
        "as a section before it",
    );
    refused("[[sections]]\nname = 'a'\nremove = ['q']", r#"removes "q", which is no heading before it"#);
}

#[test]
fn opposite_directions_of_a_text_go_together() {
    let text = r#"
[[triggers]]
says = "negated"
direction = "forward"
texts = ["xyz"]

[[triggers]]
says = "historical"
direction = "backward"
texts = ["xyz"]
"#;
    check_with(&with(&[text]), "[d:Gout] xyz [d:lupus]", r#"Gout historical by "xyz"; lupus negated by "xyz""#);
}

#[test]
fn what_is_wrong_with_a_configuration_is_said() {
    let said = Context::load(&ContextConfig { lexicons: vec!["/no/such.toml".into()], ..ContextConfig::default() });
    assert_eq!(said.unwrap_err().to_string(), "cannot read /no/such.toml; name a file that is there and in UTF-8");
    let unknown = serde_json::from_str::<ContextConfig>(r#"{"lexicon": []}"#).unwrap_err().to_string();
    assert!(unknown.contains("unknown field `lexicon`"), "{unknown}");
}

/// What is read of a file of examples, or said of it.
fn examples(text: &str) -> Result<Vec<stillroom_assertion::Example>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("examples");
    std::fs::write(&path, text).unwrap();
    read_examples(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

#[test]
fn examples_are_tables_or_json_lines() {
    let table = "sentence\tentity\tcertainty\ttask\nPlan:\\nno \"gout\\\\\tgout\\\\\tnegated\t\nFever\tFever\taffirmed\tsymptom\n";
    let lines = concat!(
        r#"{"sentence": "Plan:\nno \"gout\\", "entity": "gout\\", "certainty": "negated"}"#,
        "\n\n",
        r#"{"sentence": "Fever", "entity": "Fever", "certainty": "affirmed", "task": "symptom"}"#,
    );
    let (table, lines) = (examples(table).unwrap(), examples(lines).unwrap());
    assert_eq!(table, lines);
    assert_eq!(table[0].sentence, "Plan:\nno \"gout\\");
    assert_eq!((table[0].certainty, table[0].temporality), (Some(Certainty::Negated), None));
    let span = table[1].span().unwrap();
    assert_eq!((span.task, span.start, span.end), (Task::Symptom, 0, 5));
    let judged = evaluate(&CONTEXT, &table);
    assert_eq!(judged[0].axes, [Some(true), None, None]);
}

#[test]
fn entities_are_words_of_their_own() {
    let span = |sentence: &str, entity: &str| {
        let text = format!("sentence\tentity\tcertainty\n{sentence}\t{entity}\taffirmed\n");
        examples(&text).map(|examples| examples[0].span().map(|span| (span.start, span.end)))
    };
    assert_eq!(span("\u{e9}pigout, gout", "gout"), Ok(Some((9, 13))));
    assert_eq!(span("CP/SOB", "SOB"), Ok(Some((3, 6))));
    assert!(span("epigout", "gout").unwrap_err().starts_with("FILE:2: the entity does not stand in the sentence"));
    assert!(span("gout", "").is_err());
}

#[test]
fn what_is_wrong_with_examples_is_said_without_their_text() {
    let wrong = [
        "sentence\tentity\tsure\nSecret gout\tgout\tnegated\n",
        "sentence\tentity\tcertainty\nSecret gout\tgout\tsecret\n",
        "sentence\tentity\tcertainty\nSecret gout\tgout\n",
        "{\"sentence\": \"Secret gout\", \"entity\": \"gout\", \"certainty\": \"secret\"}",
        "sentence\tentity\ttask\nSecret gout\tgout\tdisease\n",
    ];
    for text in wrong {
        let said = examples(text).unwrap_err();
        assert!(said.starts_with("FILE:") && !said.to_lowercase().contains("secret"), "{said}");
    }
    assert!(examples(wrong[0]).unwrap_err().starts_with("FILE:2: is no example: it has a sentence"));
    assert!(examples(wrong[4]).unwrap_err().starts_with("FILE:2: nothing is expected"));
}
