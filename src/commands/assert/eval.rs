//! `stillroom assert eval`: accuracy by category, by axis and by part.

use super::{LexiconArgs, certainty, cues, experiencer, temporality, words};
use crate::commands::print_line;
use crate::highlight::plain;
use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use stillroom_assertion::{Example, Judged, Tally, evaluate, read_examples, shipped_examples};

/// The axes, in the order of [`Judged::axes`].
const AXES: [&str; 3] = ["certainty", "temporality", "experiencer"];

/// Arguments of `assert eval`.
#[derive(Args)]
pub(crate) struct Eval {
    /// Examples: a table with tabs and a first line of names, or JSON Lines: sentence, entity, of certainty (affirmed,
    /// uncertain, negated), temporality (recent, historical, hypothetical) and experiencer (patient, family, other) what is
    /// expected, and where known task, category and split. Those that come with the program when absent.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    lexicon: LexiconArgs,
    /// Print the sentences that are not understood too; they are text of notes if the file has any.
    #[arg(long)]
    errors: bool,
    /// Print a JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Accuracies by what they are of, in the order in which they are printed.
#[derive(Default)]
struct Tallies {
    all: Tally,
    axes: [Tally; AXES.len()],
    categories: BTreeMap<String, Tally>,
    splits: BTreeMap<String, Tally>,
}

impl Eval {
    pub(super) fn run(self) -> Result<ExitCode> {
        let context = self.lexicon.open()?;
        let examples = match &self.file {
            Some(path) => read_examples(path)?,
            None => shipped_examples(),
        };
        ensure!(!examples.is_empty(), "there are no examples in the file; write one a line");
        let judged = evaluate(&context, &examples);
        let mut tallies = Tallies::default();
        examples.iter().zip(&judged).for_each(|(example, judged)| tallies.add(example, judged));
        let wrong = examples.iter().zip(&judged).filter(|(_, judged)| self.errors && !judged.is_right());
        if self.json {
            let errors: Vec<Value> = wrong.map(|(example, judged)| error_as_json(example, judged)).collect();
            print_line(tallies.as_json(errors))?;
        } else {
            tallies.lines().into_iter().try_for_each(print_line)?;
            wrong.map(|(example, judged)| error(example, judged)).try_for_each(print_line)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Tallies {
    fn add(&mut self, example: &Example, judged: &Judged) {
        let is_right = judged.is_right();
        self.all.add(is_right);
        for (tally, axis) in self.axes.iter_mut().zip(judged.axes) {
            axis.into_iter().for_each(|is_right| tally.add(is_right));
        }
        let groups = [(&mut self.categories, &example.category), (&mut self.splits, &example.split)];
        for (tallies, group) in groups {
            if let Some(group) = group {
                tallies.entry(group.clone()).or_default().add(is_right);
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let head = format!("{:<11} {:<20} {:>8} {:>6} {:>9}", "by", "", "examples", "right", "accuracy");
        let row = |by: &str, name: &str, tally: &Tally| {
            let accuracy = tally.accuracy().map_or_else(|| "-".to_owned(), |accuracy| format!("{accuracy:.4}"));
            format!("{by:<11} {:<20} {:>8} {:>6} {accuracy:>9}", plain(name), tally.of, tally.right)
        };
        let categories = self.categories.iter().map(|(name, tally)| row("category", name, tally));
        let axes = AXES.iter().zip(&self.axes).map(|(name, tally)| row("axis", name, tally));
        let splits = self.splits.iter().map(|(name, tally)| row("split", name, tally));
        [head].into_iter().chain(categories).chain(axes).chain(splits).chain([row("all", "", &self.all)]).collect()
    }

    fn as_json(&self, errors: Vec<Value>) -> Value {
        let tally = |tally: &Tally| json!({ "examples": tally.of, "right": tally.right, "accuracy": tally.accuracy() });
        let group = |tallies: &BTreeMap<String, Tally>| -> BTreeMap<String, Value> {
            tallies.iter().map(|(name, of)| (name.clone(), tally(of))).collect()
        };
        let axes: BTreeMap<&str, Value> = AXES.into_iter().zip(self.axes.iter().map(tally)).collect();
        json!({
            "all": tally(&self.all),
            "axes": axes,
            "categories": group(&self.categories),
            "splits": group(&self.splits),
            "errors": errors,
        })
    }
}

/// What is expected, by axis; none where nothing is.
fn expected(example: &Example) -> [Option<&'static str>; AXES.len()] {
    [example.certainty.map(certainty), example.temporality.map(temporality), example.experiencer.map(experiencer)]
}

/// A sentence that was not understood, in two lines.
fn error(example: &Example, judged: &Judged) -> String {
    let (assertion, category) = (&judged.asserted.assertion, example.category.as_deref().unwrap_or("-"));
    let expected = expected(example).map(|axis| axis.unwrap_or("-")).join(", ");
    let cues = Some(cues(assertion)).filter(|cues| !cues.is_empty()).unwrap_or_else(|| "no trigger".to_owned());
    // Line ends of a sentence would look like other sentences.
    let sentence = plain(&example.sentence);
    format!(
        "\n{}: {sentence}\n  {}: expected {expected}; decided {} ({cues})",
        plain(category),
        plain(&example.entity),
        words(assertion).join(", ")
    )
}

fn error_as_json(example: &Example, judged: &Judged) -> Value {
    let axes = |axes: [Option<&'static str>; AXES.len()]| -> BTreeMap<&str, Option<&str>> {
        AXES.into_iter().zip(axes).collect()
    };
    json!({
        "category": example.category,
        "split": example.split,
        "sentence": example.sentence,
        "entity": example.entity,
        "expected": axes(expected(example)),
        "decided": axes(words(&judged.asserted.assertion).map(Some)),
        "section": judged.asserted.section,
        "cues": judged.asserted.assertion.cues,
    })
}
