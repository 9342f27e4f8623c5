//! `stillroom corpus stats`: what a corpus holds.

use super::CorpusArgs;
use crate::commands::print_line;
use crate::corpora::Problems;
use anyhow::Result;
use clap::Args;
use std::collections::BTreeMap;
use std::process::ExitCode;
use stillroom_connectors::{Corpus, CorpusDocument, CorpusItem, CorpusProblem, KnownCorpus};
use stillroom_dataflow::Tokenizer;
use stillroom_schemas::{Span, Task};

/// So many problems stand in the JSON object; their number is that of all.
const PROBLEMS_LISTED_MAX: usize = 10_000;

/// Arguments of `corpus stats`.
#[derive(Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    corpus: CorpusArgs,
    /// Print a JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// What was counted.
#[derive(Default)]
struct Counted {
    documents: u64,
    notes: u64,
    words: u64,
    non_ascii: u64,
    /// Documents that are annotated for a task, and their entities.
    tasks: BTreeMap<Task, [u64; 2]>,
    /// Annotations in fragments.
    discontinuous: u64,
    /// Spans within another one.
    nested: u64,
    /// Spans that cross another one.
    overlapping: u64,
    note_types: BTreeMap<String, u64>,
    problems: u64,
    listed: Vec<CorpusProblem>,
}

impl Stats {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let corpus = self.corpus.open()?;
        let (mut counted, mut told) = (Counted::default(), Problems::default());
        let tokenizer = Tokenizer::words_only();
        for item in corpus.items() {
            match item? {
                CorpusItem::Document(document) => counted.add_document(&document, &tokenizer)?,
                CorpusItem::Note(note) => {
                    counted.notes += 1;
                    *counted.note_types.entry(note.note_type.unwrap_or_else(|| "-".to_owned())).or_default() += 1;
                    counted.add_text(&note.text, &tokenizer)?;
                }
                CorpusItem::Problem(problem) if self.json => counted.add_problem(problem),
                CorpusItem::Problem(problem) => told.tell(&problem),
            }
        }
        if self.json {
            print_line(counted.as_json(&corpus))?;
        } else {
            counted.problems = told.finish();
            counted.table(&corpus).iter().try_for_each(print_line)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Counted {
    fn add_document(&mut self, found: &CorpusDocument, tokenizer: &Tokenizer) -> Result<()> {
        let document = &found.document;
        self.documents += 1;
        for task in &document.tasks {
            let entities = document.spans.iter().filter(|span| span.task == *task).count();
            let [documents, all] = self.tasks.entry(*task).or_default();
            *documents += 1;
            *all += entities as u64;
        }
        self.discontinuous += found.discontinuous as u64;
        let (nested, overlapping) = entangled(&document.spans);
        self.nested += nested;
        self.overlapping += overlapping;
        self.add_text(&document.text, tokenizer)
    }

    fn add_text(&mut self, text: &str, tokenizer: &Tokenizer) -> Result<()> {
        self.words += tokenizer.tokenize(text)?.words.len() as u64;
        self.non_ascii += u64::from(!text.is_ascii());
        Ok(())
    }

    fn add_problem(&mut self, problem: CorpusProblem) {
        self.problems += 1;
        if self.listed.len() < PROBLEMS_LISTED_MAX {
            self.listed.push(problem);
        }
    }

    fn as_json(&self, corpus: &Corpus) -> serde_json::Value {
        let task = |(task, [documents, entities]): (&Task, &[u64; 2])| {
            (task.name(), serde_json::json!({ "documents": documents, "entities": entities }))
        };
        let problem = |problem: &CorpusProblem| serde_json::json!({ "path": problem.path, "line": problem.line, "what": problem.what });
        let labels = corpus.labels();
        serde_json::json!({
            "corpora": names(corpus),
            "labels": labels.iter().map(|(label, task)| (label, task.name())).collect::<BTreeMap<_, _>>(),
            "documents": self.documents,
            "notes": self.notes,
            "words": self.words,
            "non_ascii": self.non_ascii,
            "tasks": self.tasks.iter().map(task).collect::<BTreeMap<_, _>>(),
            "discontinuous": self.discontinuous,
            "nested": self.nested,
            "overlapping": self.overlapping,
            "note_types": self.note_types,
            "problems": { "count": self.problems, "listed": self.listed.iter().map(problem).collect::<Vec<_>>() },
        })
    }

    fn table(&self, corpus: &Corpus) -> Vec<String> {
        let row = |name: &str, count: u64| format!("{name:<32} {count:>10}");
        let labels = corpus.labels();
        let of_task = |task: Task| -> Vec<&str> {
            labels.iter().filter(|(_, read)| *read == task).map(|(label, _)| label.as_str()).collect()
        };
        let mut lines: Vec<String> = names(corpus).iter().map(|name| format!("{:<32} {name:>10}", "corpus")).collect();
        lines.extend([
            row("documents", self.documents),
            row("notes without annotations", self.notes),
            row("words", self.words),
            row("documents that are not ASCII", self.non_ascii),
        ]);
        for (&task, &[documents, entities]) in &self.tasks {
            let labels = of_task(task).join(", ");
            let labels = if labels.is_empty() { labels } else { format!(" ({labels})") };
            lines.push(format!("{}, in {documents} documents{labels}", row(task.name(), entities)));
        }
        lines.extend([
            row("annotations in fragments", self.discontinuous),
            row("spans within another", self.nested),
            row("spans that cross another", self.overlapping),
        ]);
        lines.extend(self.note_types.iter().map(|(name, count)| row(&format!("notes: {name}"), *count)));
        lines.push(row("problems", self.problems));
        lines
    }
}

fn names(corpus: &Corpus) -> Vec<&'static str> {
    corpus.known().iter().map(|known: &KnownCorpus| known.name).collect()
}

/// How many spans lie within another one, and how many cross one, of whatever tasks. Of equal ones all but the first lie within it.
fn entangled(spans: &[Span]) -> (u64, u64) {
    let is_within = |(index, span): &(usize, &Span)| {
        spans.iter().enumerate().any(|(other, outer)| {
            let is_equal = (span.start, span.end) == (outer.start, outer.end);
            outer.start <= span.start && span.end <= outer.end && if is_equal { other < *index } else { true }
        })
    };
    let crosses = |(_, span): &(usize, &Span)| {
        spans.iter().any(|other| {
            let (first, second) = if span.start < other.start { (*span, other) } else { (other, *span) };
            first.start < second.start && second.start < first.end && first.end < second.end
        })
    };
    let count = |is: &dyn Fn(&(usize, &Span)) -> bool| spans.iter().enumerate().filter(is).count() as u64;
    (count(&is_within), count(&crosses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lie_within_others_or_cross_them() {
        let check = |spans: &[(u32, u32)], expected: (u64, u64)| {
            let span = |&(start, end): &(u32, u32)| Span { task: Task::Disease, start, end };
            assert_eq!(entangled(&spans.iter().map(span).collect::<Vec<_>>()), expected, "{spans:?}");
        };
        check(&[], (0, 0));
        check(&[(0, 4), (4, 8)], (0, 0));
        check(&[(0, 8), (2, 4), (8, 9)], (1, 0));
        check(&[(0, 8), (0, 4), (4, 8)], (2, 0));
        check(&[(0, 4), (0, 4), (0, 4)], (2, 0));
        check(&[(0, 4), (2, 6)], (0, 2));
        check(&[(0, 9), (2, 6), (4, 8)], (2, 2));
    }
}
