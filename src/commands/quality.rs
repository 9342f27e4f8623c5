//! `stillroom quality`: what is published of students, teachers and people, side by side.

use crate::commands::{ConfigArgs, print_line};
use crate::engine::published_quality;
use crate::highlight::plain;
use crate::log::open_written_log;
use crate::wire::Wire;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;
use stillroom_dataflow::ENSEMBLE;
use stillroom_schemas::{Comparison, Level, Quality, Task};

/// Subsets of teachers that are printed of each task and annotator.
const SUBSETS_SHOWN: usize = 5;

/// Arguments of `quality`.
#[derive(Args)]
pub(crate) struct ShowQuality {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print every subset of the teachers, not the best alone.
    #[arg(long)]
    all: bool,
    /// Print lines of JSON, `quality.v1`: every level, note type and site.
    #[arg(long, conflicts_with = "all")]
    json: bool,
}

impl ShowQuality {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let config = self.config.load()?.config;
        let (log, wire) = (open_written_log(&config)?, Wire::open(&config)?);
        let mut history = wire.source(log.bounded()?);
        let topics = &config.engine.topics;
        let published = published_quality(history.as_mut(), topics, wire.format().as_ref(), &log.progress()?)?;
        let figures: Vec<Quality> = published.into_values().collect();
        if self.json {
            figures.iter().try_for_each(|quality| print_line(serde_json::to_string(quality)?))?;
        } else {
            let subsets_max = if self.all { usize::MAX } else { SUBSETS_SHOWN };
            let mut lines = table(&figures, subsets_max).into_iter().chain(reviewed(&figures));
            lines.try_for_each(print_line)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The figures in words over all note types and sites: of each task the student, then teachers, the best first, so many of their
/// subsets and the ensemble.
fn table(figures: &[Quality], subsets_max: usize) -> Vec<String> {
    let mut lines = vec![row(["task", "measured", "against", "notes", "precision", "recall", "F1"].map(str::to_owned))];
    let mut shown: Vec<&Quality> = in_words(figures).collect();
    // Stable, so that what is equal stays in the order of its key.
    shown.sort_by(|one, other| {
        let place = |figure: &Quality| (figure.key.task, figure.key.comparison, figure.key.reference.clone());
        place(one).cmp(&place(other)).then(other.f1.total_cmp(&one.f1))
    });
    let mut subsets: (Option<(Task, &str)>, usize) = (None, 0);
    for Quality { key, counts, precision, recall, f1 } in shown {
        let against = match key.comparison {
            Comparison::StudentReference => format!("reference {}", key.reference),
            Comparison::StudentTeacher => format!("teacher {}", key.reference),
            Comparison::StudentEnsemble => "the ensemble".to_owned(),
            Comparison::TeachersReference => {
                let group = Some((key.task, key.reference.as_str()));
                // The chosen ensemble is no subset of its own, and always there.
                let is_subset = usize::from(key.model.0 != ENSEMBLE);
                subsets = (group, is_subset + if subsets.0 == group { subsets.1 } else { 0 });
                if is_subset > 0 && subsets.1 > subsets_max {
                    continue;
                }
                format!("reference {}", key.reference)
            }
            // Recall and F1 say nothing of these.
            Comparison::FalsePositivesReviewed => continue,
        };
        let [precision, recall, f1] = [precision, recall, f1].map(|figure| format!("{figure:.3}"));
        let (task, notes) = (key.task.name().to_owned(), counts.notes.to_string());
        // Names come from topics that others write too, and go to a terminal.
        let (model, against) = (plain(&key.model.0), plain(&against));
        lines.push(row([task, model, against, notes, precision, recall, f1]));
    }
    lines
}

/// Figures in words over all note types and sites.
fn in_words(figures: &[Quality]) -> impl Iterator<Item = &Quality> {
    figures.iter().filter(|figure| figure.key.level == Level::Word && figure.key.rollup)
}

/// Of the words that the student tags and the ensemble does not, how many references call mentions: lines with a heading of their
/// own; none where no note has all of these.
fn reviewed(figures: &[Quality]) -> Vec<String> {
    let is_reviewed = |figure: &&Quality| figure.key.comparison == Comparison::FalsePositivesReviewed;
    let mut lines: Vec<String> = Vec::new();
    for Quality { key, counts, precision, .. } in in_words(figures).filter(is_reviewed) {
        if lines.is_empty() {
            let head = ["task", "student", "by", "notes", "words", "mentions", "share"].map(str::to_owned);
            lines.extend([String::new(), "words that only the student tags, of them mentions after all".to_owned()]);
            lines.push(reviewed_row(head));
        }
        let [notes, words, mentions] = [counts.notes, counts.tp + counts.fp, counts.tp].map(|count| count.to_string());
        let (task, share) = (key.task.name().to_owned(), format!("{precision:.3}"));
        let (model, reference) = (plain(&key.model.0), plain(&key.reference));
        lines.push(reviewed_row([task, model, reference, notes, words, mentions, share]));
    }
    lines
}

fn reviewed_row([task, student, by, notes, words, mentions, share]: [String; 7]) -> String {
    format!("{task:<11} {student:<36} {by:<28} {notes:>8} {words:>10} {mentions:>8} {share:>6}")
}

fn row([task, measured, against, notes, precision, recall, f1]: [String; 7]) -> String {
    format!("{task:<11} {measured:<36} {against:<28} {notes:>8} {precision:>10} {recall:>7} {f1:>6}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_schemas::{Counts, ModelId, QualityKey};

    fn figure(task: Task, comparison: Comparison, model: &str, reference: &str, tp: i64) -> Quality {
        let key = QualityKey {
            task,
            level: Level::Word,
            comparison,
            model: ModelId(model.to_owned()),
            reference: reference.to_owned(),
            note_type: None,
            site: None,
            rollup: true,
        };
        let counts = Counts { notes: 3, tp, fp: 2, fn_: 1 };
        Quality { precision: counts.precision(), recall: counts.recall(), f1: counts.f1(), key, counts }
    }

    #[test]
    fn what_only_the_student_tags_has_a_heading_of_its_own() {
        let of_student = figure(Task::Disease, Comparison::StudentReference, "s@1", "dr", 6);
        assert_eq!(reviewed(std::slice::from_ref(&of_student)), Vec::<String>::new());
        let mut exact = figure(Task::Disease, Comparison::FalsePositivesReviewed, "s@1", "dr", 6);
        exact.key.level = Level::SpanExact;
        let figures = [
            of_student,
            exact,
            figure(Task::Disease, Comparison::FalsePositivesReviewed, "s@1", "dr\u{1b}[2J", 6),
            figure(Task::Symptom, Comparison::FalsePositivesReviewed, "s@1", "dr", 0),
        ];
        let lines = reviewed(&figures);
        let squeezed: Vec<String> =
            lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let expected = [
            "",
            "words that only the student tags, of them mentions after all",
            "task student by notes words mentions share",
            "disease s@1 dr [2J 3 8 6 0.750",
            "symptom s@1 dr 3 2 0 0.000",
        ];
        assert_eq!(squeezed, expected);
    }

    #[test]
    fn sides_are_named_and_the_best_teachers_come_first() {
        let mut figures = vec![
            figure(Task::Symptom, Comparison::StudentReference, "s@1", "dr", 2),
            figure(Task::Disease, Comparison::TeachersReference, "a", "dr", 1),
            figure(Task::Disease, Comparison::TeachersReference, "b", "dr", 7),
            figure(Task::Disease, Comparison::TeachersReference, "a + b (union)", "dr", 4),
            figure(Task::Disease, Comparison::TeachersReference, "ensemble", "dr", 0),
            figure(Task::Disease, Comparison::TeachersReference, "a", "second\u{1b}[2J", 1),
            figure(Task::Disease, Comparison::StudentEnsemble, "s@1", "ensemble", 3),
            figure(Task::Disease, Comparison::StudentTeacher, "s@1", "dr", 5),
            figure(Task::Disease, Comparison::StudentReference, "s@1", "dr", 6),
            figure(Task::Disease, Comparison::FalsePositivesReviewed, "s@1", "dr", 6),
        ];
        let mut exact = figures[0].clone();
        exact.key.level = Level::SpanExact;
        let mut of_type = figures[0].clone();
        of_type.key.rollup = false;
        figures.extend([exact, of_type]);
        let squeezed = |subsets_max| -> Vec<String> {
            let lines = table(&figures, subsets_max);
            lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        let expected = [
            "task measured against notes precision recall F1",
            "disease s@1 reference dr 3 0.750 0.857 0.800",
            "disease s@1 teacher dr 3 0.714 0.833 0.769",
            "disease s@1 the ensemble 3 0.600 0.750 0.667",
            "disease b reference dr 3 0.778 0.875 0.824",
            "disease a + b (union) reference dr 3 0.667 0.800 0.727",
            "disease ensemble reference dr 3 0.000 0.000 0.000",
            "disease a reference second [2J 3 0.333 0.500 0.400",
            "symptom s@1 reference dr 3 0.500 0.667 0.571",
        ];
        assert_eq!(squeezed(2), expected);
        assert_eq!(squeezed(usize::MAX).len(), expected.len() + 1);
    }
}
