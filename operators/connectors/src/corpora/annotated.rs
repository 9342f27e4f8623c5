//! From annotations as they stand in a file to spans: labels to tasks, offsets against the text.

use super::labels::Mapping;
use crate::gold::CodePoints;
use crate::{CorpusDocument, CorpusProblem, GoldDocument, Part};
use std::path::PathBuf;
use stillroom_dataflow::SoftSpans;
use stillroom_schemas::Span;

/// A document and its annotations, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Annotated {
    /// The file of the annotations.
    pub(super) path: PathBuf,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) part: Option<Part>,
    pub(super) marks: Vec<Mark>,
}

/// An annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: u64,
    pub(super) label: String,
    /// Where it is, in code points.
    pub(super) fragments: Vec<(u32, u32)>,
    /// What stands there, as the file says.
    pub(super) quote: String,
}

/// Why an annotation is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    Beyond,
    Other,
}

impl Annotated {
    /// The document with the spans of the labels that `mapping` reads, and what was wrong with the others of these labels.
    pub(super) fn resolve(self, mapping: &Mapping) -> (CorpusDocument, Vec<CorpusProblem>) {
        let points = CodePoints::new(&self.text);
        let (mut spans, mut problems, mut discontinuous) = (Vec::new(), Vec::new(), 0);
        for mark in &self.marks {
            let Some(task) = mapping.task(&mark.label) else { continue };
            match mark.misfit(&points) {
                None => {
                    spans.extend(mark.fragments.iter().map(|&(start, end)| Span { task, start, end }));
                    discontinuous += usize::from(mark.fragments.len() > 1);
                }
                Some(misfit) => {
                    let what = mark.complaint(misfit, points.len());
                    problems.push(CorpusProblem { path: self.path.clone(), line: Some(mark.line), what });
                }
            }
        }
        spans.sort_unstable_by_key(|span| (span.start, span.end, span.task));
        // Two labels may be read as the same task.
        spans.dedup();
        let document =
            GoldDocument { id: self.id, text: self.text, tasks: mapping.tasks(), spans, soft: SoftSpans::new() };
        (CorpusDocument { document, path: self.path, part: self.part, discontinuous }, problems)
    }

    /// How many annotations of the labels that `mapping` reads stand in `text` where they say.
    pub(super) fn fitting(&self, text: &str, mapping: &Mapping) -> usize {
        let points = CodePoints::new(text);
        let fits = |mark: &&Mark| mapping.task(&mark.label).is_some() && mark.misfit(&points).is_none();
        self.marks.iter().filter(fits).count()
    }
}

impl Mark {
    fn misfit(&self, points: &CodePoints<'_>) -> Option<Misfit> {
        let found: Option<Vec<&str>> = self.fragments.iter().map(|&(start, end)| points.slice(start, end)).collect();
        // Files write a line end within a mention as a space, and the gap between two fragments too; some pad it.
        let words = |texts: &[&str]| texts.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect();
        let found: Vec<String> = match found {
            Some(found) => words(&found),
            None => return Some(Misfit::Beyond),
        };
        let quoted: Vec<String> = words(&[&self.quote]);
        (found != quoted || found.is_empty()).then_some(Misfit::Other)
    }

    fn complaint(&self, misfit: Misfit, length: usize) -> String {
        let at: Vec<String> = self.fragments.iter().map(|(start, end)| format!("{start}..{end}")).collect();
        let (label, at) = (&self.label, at.join(" and "));
        match misfit {
            Misfit::Beyond => format!("{label} at {at}, but the text has {length} code points; left out"),
            Misfit::Other => format!("{label}: what it quotes is not what stands at {at}, in code points; left out"),
        }
    }
}
