//! What a study would ask and train, and what that may cost at worst.

use crate::study::config::{StudyConfig, TEACHERS};
use crate::study::data::Data;
use crate::study::panel::{Panel, measured};
use crate::study::steps::Steps;
use crate::study::students::plans;
use crate::study::training::{labelling, notes};
use crate::teaching::labels::usd;
use anyhow::Result;
use stillroom_connectors::Part;
use stillroom_schemas::{Task, TaskSet};

/// The plan, a line each; nothing is asked, trained or written.
///
/// # Errors
/// Those of the configuration, the datasets and the teachers.
pub(crate) fn plan(config: &StudyConfig) -> Result<Vec<String>> {
    Steps::check(&config.out, &config.name)?;
    let data = Data::load(config)?;
    let (notes, _) = notes(config, &data)?;
    let students = plans(config, &data, &notes)?;
    let panel = Panel::open(config, false)?;
    let mut lines = vec![format!("study {:?} in {}", config.name, config.out.display())];
    for row in data.rows()? {
        lines.push(format!("read  {} {}: {} documents, {} words", row.dataset, row.part, row.documents, row.words));
    }
    let (mut all, mut is_known) = (0.0, true);
    for &task in &data.tasks {
        let measured: Vec<&str> = measured(&data, task).iter().map(|item| item.document.text.as_str()).collect();
        let training = data.items(task).filter(|item| item.part == Part::Train).map(|item| item.document.text.as_str());
        let training: Vec<&str> = training.chain(notes.iter().map(|note| note.text.as_str())).collect();
        // Which of them are in the ensemble is not known yet.
        let labelling = labelling(config, task, None);
        for name in config.teachers.of(task) {
            let texts = measured.iter().chain(training.iter().filter(|_| labelling.contains(name)));
            let worst = worst_case(&panel, (name, task), texts.clone().copied())?;
            all += worst.unwrap_or(0.0);
            is_known &= worst.is_some();
            let (documents, worst) =
                (texts.count(), worst.map_or_else(|| "no price".to_owned(), |usd| format!("{usd:.4} USD at worst")));
            lines.push(format!("ask   {name} about {}: {documents} texts, {worst}", task.name()));
        }
    }
    for student in &students {
        let tasks: Vec<&str> = student.tasks.iter().map(|task| task.name()).collect();
        lines.push(format!("train {} for {}", student.name, tasks.join(", ")));
    }
    let at_most = match config.teachers.usd_max {
        usd_max if usd_max > 0.0 && usd_max < all => format!(", and {usd_max} USD by teachers.usd_max"),
        _ => String::new(),
    };
    let unknown = if is_known { "" } else { " and what has no price" };
    lines.push(format!(
        "at worst {all:.4} USD{unknown}{at_most}: an attempt a text, a token a byte and answers of full length; what was answered before costs \
         nothing"
    ));
    if config.students.sources.iter().any(|source| source == TEACHERS) && !students.is_empty() {
        lines.push(
            "training documents are labelled by the chosen ensembles alone, which may be fewer teachers than these"
                .to_owned(),
        );
    }
    Ok(lines)
}

/// Dollars; nothing where the teacher's model has no price.
fn worst_case<'a>(
    panel: &Panel,
    (name, task): (&str, Task),
    mut texts: impl Iterator<Item = &'a str>,
) -> Result<Option<f64>> {
    let (teacher, tasks) = (panel.teacher(name)?, TaskSet::from([task]));
    Ok(texts.try_fold(0.0, |sum, text| Some(sum + usd(teacher.worst_case(text, &tasks)?))))
}
