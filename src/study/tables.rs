//! From the figures of a study to the tables and plots of its report.

use crate::estimate::Estimate;
use crate::study::dataset::Role;
use crate::study::pages::{Block, Table};
use crate::study::plots::{self, Point, Row};
use crate::study::report::{DatasetRow, Difference, Figure, Kind, Report, Review, SeedMean, Selection, StudentRow};
use crate::study::seeds::{CAPTION, row_below};
use anyhow::Result;
use stillroom_schemas::{Level, Task};

/// The report, piece by piece.
///
/// # Errors
/// When a plot cannot be drawn.
pub(crate) fn blocks(report: &Report) -> Result<Vec<Block>> {
    let mut blocks = vec![Block::Paragraph(preface(report))];
    datasets(report, &mut blocks);
    for selection in &report.selections {
        teachers(selection, &mut blocks)?;
    }
    students(report, &mut blocks);
    results(report, Role::Study, &mut blocks)?;
    differences(report, &mut blocks);
    results(report, Role::External, &mut blocks)?;
    costs(report, &mut blocks)?;
    reviews(&report.reviews, &mut blocks);
    Ok(blocks)
}

fn preface(report: &Report) -> String {
    let problems = match report.problems {
        0 => String::new(),
        problems => {
            format!(
                " Annotations and documents of the corpora that were left out, as said when they were read: {problems}."
            )
        }
    };
    format!(
        "The experiment of Vedula et al. (arXiv 2501.00031) by stillroom {}. A word is a pre-token of the basic BERT tokenizer, and counts \
         are summed over documents (micro average). Intervals hold 95 % of {} bootstrap samples of the documents.{problems}",
        report.stillroom, report.samples
    )
}

fn datasets(report: &Report, blocks: &mut Vec<Block>) {
    let row = |row: &DatasetRow| {
        let of_task = |task: &Task| row.entities.get(task).map_or_else(|| "–".to_owned(), ToString::to_string);
        let cells = [
            row.dataset.clone(),
            role(row.role).to_owned(),
            row.part.clone(),
            row.documents.to_string(),
            row.words.to_string(),
        ];
        cells.into_iter().chain(Task::ALL.iter().map(of_task)).collect()
    };
    blocks.push(Block::Heading("Datasets".to_owned()));
    blocks.push(Block::Table(Table {
        caption: "Documents, words and annotated mentions; – where a task is not annotated.".to_owned(),
        head: vec!["dataset", "for", "part", "documents", "words", "diseases", "medications", "symptoms"],
        words: 3,
        rows: report.datasets.iter().map(row).collect(),
    }));
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Study => "the study",
        Role::External => "external validation",
    }
}

fn teachers(selection: &Selection, blocks: &mut Vec<Block>) -> Result<()> {
    let Selection { task, documents, left_out, candidates } = selection;
    let task = task.name();
    let best: Vec<_> = candidates.iter().filter(|candidate| candidate.is_best_rule).collect();
    let without = if *left_out == 0 { String::new() } else { format!(" ({left_out} left out that lack an answer)") };
    let rules = candidates.len();
    blocks.push(Block::Heading(format!("Teachers: {task}")));
    if let Some(chosen) = candidates.first() {
        blocks.push(Block::Paragraph(format!(
            "The choice is {}: the best F1 of {} subsets of the teachers under {rules} combinations of subset and rule, on dev.",
            chosen.ensemble.name(),
            best.len()
        )));
    }
    blocks.push(Block::Table(Table {
        caption: format!("Every subset of the teachers for {task} under its best rule, in words, on n = {documents} dev documents{without}."),
        head: vec!["teachers", "rule", "precision", "recall", "F1 (95 %)", "tp", "fp", "fn"],
        words: 2,
        rows: best
            .iter()
            .map(|row| {
                let counts = &row.counts;
                let (teachers, rule) = (row.ensemble.teachers.join(" + "), row.ensemble.rule.name());
                let figures = [three(row.precision), three(row.recall), row.f1.to_string()];
                [teachers, rule].into_iter().chain(figures).chain([counts.tp, counts.fp, counts.fn_].map(|n| n.to_string())).collect()
            })
            .collect(),
    }));
    let rows: Vec<Row> = best
        .iter()
        .map(|row| Row {
            label: row.ensemble.name(),
            kind: if row.ensemble.teachers.len() > 1 { Kind::Ensemble } else { Kind::Teacher },
            estimate: row.f1,
        })
        .collect();
    blocks.push(Block::Plot {
        caption: format!(
            "F1 in words of every subset for {task}, the best first, with 95 % intervals; n = {documents} dev documents. One teacher blue, \
             several orange."
        ),
        svg: plots::rows(&rows, "F1 in words")?,
    });
    Ok(())
}

fn students(report: &Report, blocks: &mut Vec<Block>) {
    if report.students.is_empty() {
        return;
    }
    let row = |row: &StudentRow| {
        let tasks: Vec<&str> = row.tasks.iter().map(|task| task.name()).collect();
        let words = [row.base.clone(), row.source.clone(), tasks.join(", "), row.folder.clone()];
        words.into_iter().chain([row.seed.to_string(), row.documents.to_string(), row.epochs.to_string()]).collect()
    };
    blocks.push(Block::Heading("Students".to_owned()));
    blocks.push(Block::Table(Table {
        caption:
            "Who was trained, whose labels it learned from, and on how many documents and notes; passes that were made."
                .to_owned(),
        head: vec!["base", "labels of", "tasks", "folder", "seed", "documents", "passes"],
        words: 4,
        rows: report.students.iter().map(row).collect(),
    }));
}

/// Tables of a role's figures, and plots of each dataset and part.
fn results(report: &Report, role: Role, blocks: &mut Vec<Block>) -> Result<()> {
    let figures: Vec<&Figure> = report.figures.iter().filter(|figure| figure.group.role == role).collect();
    if figures.is_empty() {
        return Ok(());
    }
    let heading = match role {
        Role::Study => "Results",
        Role::External => "External validation",
    };
    blocks.push(Block::Heading(heading.to_owned()));
    for task in Task::ALL {
        let of_task: Vec<&Figure> = figures.iter().copied().filter(|figure| figure.task == task).collect();
        if of_task.is_empty() {
            continue;
        }
        blocks.push(Block::Subheading(format!("{heading}: {}", task.name())));
        for level in Level::ALL {
            blocks.push(Block::Table(level_table(task, level, &of_task, &report.seed_means)));
        }
        let mut plotted = Vec::new();
        for figure in &of_task {
            if !plotted.contains(&&figure.group) {
                plotted.push(&figure.group);
                blocks.push(figure_plot(&of_task, figure)?);
            }
        }
    }
    Ok(())
}

fn level_table(task: Task, level: Level, figures: &[&Figure], means: &[SeedMean]) -> Table {
    let row = |figure: &&Figure| {
        let group = &figure.group;
        let mut row = vec![group.dataset.clone(), group.part.clone(), figure.system.clone()];
        row.extend([figure.documents.to_string(), figure.words.to_string()]);
        if let Some(of_level) = figure.levels.get(&level) {
            row.extend([of_level.precision, of_level.recall, of_level.f1].map(|estimate| estimate.to_string()));
            row.extend([of_level.counts.tp, of_level.counts.fp, of_level.counts.fn_].map(|count| count.to_string()));
        }
        row
    };
    let what = match level {
        Level::Word => "in words",
        Level::SpanExact => "in spans with both ends right",
        Level::SpanOverlap => "in spans that share a word",
    };
    let of_seeds: Vec<Option<Vec<String>>> = figures.iter().map(|figure| row_below(figure, means, level)).collect();
    let of_means = if of_seeds.iter().any(Option::is_some) { CAPTION } else { "" };
    Table {
        caption: format!(
            "For {}, {what}: precision, recall and F1 with 95 % intervals, and their counts. Documents and words are those that the system has \
             read.{of_means}",
            task.name()
        ),
        head: vec!["dataset", "part", "system", "documents", "words", "precision", "recall", "F1", "tp", "fp", "fn"],
        words: 3,
        rows: figures
            .iter()
            .zip(of_seeds)
            .flat_map(|(figure, mean)| std::iter::once(row(figure)).chain(mean))
            .collect(),
    }
}

/// The plot of the group of a figure.
fn figure_plot(figures: &[&Figure], of: &Figure) -> Result<Block> {
    let rows: Vec<Row> = figures
        .iter()
        .filter(|figure| figure.group == of.group)
        .filter_map(|figure| {
            let estimate = figure.levels.get(&Level::Word)?.f1;
            Some(Row { label: figure.system.clone(), kind: figure.kind, estimate })
        })
        .collect();
    let (task, group) = (of.task.name(), &of.group);
    let caption = format!(
        "F1 in words for {task} on {} {}, with 95 % intervals; n = {} documents, {} words at most. Teachers blue, the ensemble orange, students \
         green.",
        group.dataset, group.part, of.documents, of.words
    );
    Ok(Block::Plot { caption, svg: plots::rows(&rows, "F1 in words")? })
}

fn differences(report: &Report, blocks: &mut Vec<Block>) {
    if report.differences.is_empty() {
        return;
    }
    let row = |row: &Difference| {
        let words = [row.task.name().to_owned(), row.group.dataset.clone(), row.group.part.clone()];
        let names = [row.student.clone(), row.teacher.clone()];
        let Estimate { value, low, high } = row.f1;
        let figures = [row.documents.to_string(), format!("{value:+.3}"), format!("{low:+.3} to {high:+.3}")];
        words.into_iter().chain(names).chain(figures).collect()
    };
    blocks.push(Block::Heading("Students beside their teachers".to_owned()));
    blocks.push(Block::Table(Table {
        caption: "F1 in words of a student less that of whom it learned from, with the 95 % interval of a paired bootstrap. An interval \
                  without 0 tells them apart."
            .to_owned(),
        head: vec!["task", "dataset", "part", "student", "less", "documents", "difference", "95 %"],
        words: 5,
        rows: report.differences.iter().map(row).collect(),
    }));
}

fn costs(report: &Report, blocks: &mut Vec<Block>) -> Result<()> {
    let machine = &report.machine;
    let price = match machine.usd_an_hour {
        Some(usd) => format!("at {usd} dollars an hour of this machine"),
        None => "without a stated price of this machine, so that their dollars are not told".to_owned(),
    };
    blocks.push(Block::Heading("Seconds and dollars a note".to_owned()));
    blocks.push(Block::Paragraph(format!(
        "Students and vocabularies were timed on this machine (students: {}, {}, notes read at once: {}), {price}. Other teachers were timed \
         from the first request to the last answer and paid by their tokens; the teachers of an ensemble are asked at once.",
        machine.device, machine.precision, machine.threads
    )));
    let usd = |usd: Option<f64>| usd.map_or_else(|| "–".to_owned(), significant);
    blocks.push(Block::Table(Table {
        caption: "What a note takes, over all documents that were measured on.".to_owned(),
        head: vec!["task", "system", "documents", "seconds a note", "dollars a note"],
        words: 2,
        rows: report
            .costs
            .iter()
            .map(|cost| {
                let words = [cost.task.name().to_owned(), cost.system.clone()];
                words
                    .into_iter()
                    .chain([cost.documents.to_string(), significant(cost.seconds), usd(cost.usd)])
                    .collect()
            })
            .collect(),
    }));
    if !report.ratios.is_empty() {
        blocks.push(Block::Table(Table {
            caption: "How many times faster and cheaper a student is than a teacher; below 1 it is slower or dearer."
                .to_owned(),
            head: vec!["task", "student", "than", "times faster", "times cheaper"],
            words: 3,
            rows: report
                .ratios
                .iter()
                .map(|ratio| {
                    let words = [ratio.task.name().to_owned(), ratio.student.clone(), ratio.teacher.clone()];
                    words.into_iter().chain([significant(ratio.faster), usd(ratio.cheaper)]).collect()
                })
                .collect(),
        }));
    }
    for task in Task::ALL {
        blocks.extend(cost_plot(report, task)?);
    }
    Ok(())
}

/// F1 of the group that stands for the task against dollars; nothing where nobody has a price.
fn cost_plot(report: &Report, task: Task) -> Result<Option<Block>> {
    let Some(group) = report.main_groups.get(&task) else { return Ok(None) };
    let points: Vec<Point> = report
        .costs
        .iter()
        .filter(|cost| cost.task == task)
        .filter_map(|cost| {
            let usd = cost.usd.filter(|usd| *usd > 0.0)?;
            let is_of =
                |figure: &&Figure| figure.task == task && figure.group == *group && figure.system == cost.system;
            let figure = report.figures.iter().find(is_of)?;
            let f1 = figure.levels.get(&Level::Word)?.f1.value;
            Some(Point { label: cost.system.clone(), kind: cost.kind, usd, f1 })
        })
        .collect();
    if points.is_empty() {
        return Ok(None);
    }
    let documents = report.figures.iter().filter(|figure| figure.task == task && figure.group == *group);
    let caption = format!(
        "F1 in words for {} on {} {} (n = {} documents) against dollars a note. Teachers blue, the ensemble orange, students green; who costs \
         nothing or has no price is left out.",
        task.name(),
        group.dataset,
        group.part,
        documents.map(|figure| figure.documents).max().unwrap_or(0)
    );
    Ok(Some(Block::Plot { caption, svg: plots::points(&points)? }))
}

fn reviews(reviews: &[Review], blocks: &mut Vec<Block>) {
    let Some(first) = reviews.first() else { return };
    blocks.push(Block::Heading("False positives to review".to_owned()));
    blocks.push(Block::Paragraph(format!(
        "The sheet {} has words that a student tagged and nobody had annotated. The published study found 63 to 82 % of such words to be \
         mentions that the annotators had missed. Write annotation in its last column where the annotation is at fault and student where the \
         student is; the command stillroom study review reads it back, and tells the share and the precision as corrected.",
        first.file
    )));
    let row = |review: &Review| {
        let words = [
            review.task.name().to_owned(),
            review.student.clone(),
            review.group.dataset.clone(),
            review.group.part.clone(),
        ];
        let counts = [review.rows as i64, review.runs as i64, review.false_positives, review.true_positives];
        words.into_iter().chain(counts.map(|count| count.to_string())).collect()
    };
    blocks.push(Block::Table(Table {
        caption: "Rows of the sheet, drawn from all runs of such words; words that the student tagged wrongly and rightly by the annotation."
            .to_owned(),
        head: vec!["task", "student", "dataset", "part", "rows", "runs", "words wrong", "words right"],
        words: 4,
        rows: reviews.iter().map(row).collect(),
    }));
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

/// Three significant digits.
fn significant(value: f64) -> String {
    match value {
        value if value == 0.0 || !value.is_finite() => format!("{value}"),
        value if (1e-3..1e6).contains(&value.abs()) => {
            let digits = (2 - value.abs().log10().floor() as i32).max(0) as usize;
            format!("{value:.digits$}")
        }
        value => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_shown() {
        let check = |value: f64, expected: &str| assert_eq!(significant(value), expected);
        check(0.0, "0");
        check(12.345, "12.3");
        check(101.4, "101");
        check(1234.5, "1234");
        check(0.0123456, "0.0123");
        check(0.000123456, "1.23e-4");
        check(-2.5, "-2.50");
    }
}
