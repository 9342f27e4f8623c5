//! Where a student comes from, for people.

use crate::gate::table;
use crate::highlight::plain;
use stillroom_models::{LearnedData, TaskExamples, TaskFigure, Training};
use stillroom_schemas::Task;

/// What an entry says of where its student comes from, in lines; nothing of what is not known.
pub(super) fn lines(training: &Training) -> Vec<String> {
    let Training { snapshot, data, tasks, labels_usd, machine_usd, serving, figures, .. } = training;
    let mut lines: Vec<String> = snapshot.iter().map(|hash| format!("snapshot   {hash}")).collect();
    for LearnedData { name, hash, documents } in data {
        lines.push(format!("{}, SHA-256 {hash}", learned(name, *documents)));
    }
    lines.extend(tasks.iter().map(|(task, examples)| of_task(*task, examples)));
    lines.extend(labels_usd.map(|usd| format!("labels     {usd:.6} USD")));
    lines.extend(machine_usd.map(|usd| format!("machine    {usd:.6} USD")));
    lines.extend(took(training));
    if let (Some(serving), Some(figures)) = (serving, figures) {
        lines.push(format!("measured   on notes that were held out, beside {}", plain(&serving.0)));
        lines.extend(table(figures));
        let f1 = |figure: &TaskFigure| Some(format!("F1         {}: {}", figure.task.name(), figure.candidate_f1?));
        lines.extend(figures.iter().filter_map(f1));
    }
    lines
}

/// A file that was learned from.
pub(super) fn learned(name: &str, documents: u64) -> String {
    format!("learned    {}: {documents} documents", plain(name))
}

/// The examples of a task, by who said what is to be learned.
fn of_task(task: Task, examples: &TaskExamples) -> String {
    let TaskExamples { human, teachers, ensemble, mentions, held_out } = examples;
    let by = ensemble.as_ref().map_or("teachers".to_owned(), |ensemble| plain(ensemble));
    let task = task.name();
    format!(
        "examples   {task}: {human} by people, {teachers} by {by}, {mentions} mentions in them, {held_out} held out"
    )
}

/// What the training took, as far as that is known.
fn took(Training { seconds, tokens_per_second, memory_bytes, .. }: &Training) -> Option<String> {
    let parts = [
        seconds.map(|seconds| format!("{seconds:.1} s")),
        tokens_per_second.map(|tokens| format!("{tokens:.0} word pieces a second")),
        memory_bytes.map(|bytes| format!("{} MiB of memory at most", bytes >> 20)),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("took       {}", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_models::Estimate;
    use stillroom_schemas::{Counts, ModelId};

    fn check(training: Training, expected: &[&str]) {
        assert_eq!(lines(&training), expected);
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        check(Training::default(), &[]);
        check(Training { seconds: Some(71.23), ..Training::default() }, &["took       71.2 s"]);
        check(Training { memory_bytes: Some(3 << 20), ..Training::default() }, &["took       3 MiB of memory at most"]);
        check(Training { labels_usd: Some(0.0), ..Training::default() }, &["labels     0.000000 USD"]);
        check(Training { machine_usd: Some(0.0625), ..Training::default() }, &["machine    0.062500 USD"]);
    }

    #[test]
    fn figures_are_those_of_the_table_and_f1_with_its_interval() {
        let counts = |tp: i64| Counts { notes: 20, tp, fp: 0, fn_: 20 - tp };
        let figure = |candidate_f1: Option<Estimate>| TaskFigure {
            task: Task::Symptom,
            documents: 20,
            serving: counts(5),
            candidate: counts(10),
            difference: Estimate { value: 0.25, low: 0.125, high: 0.5 },
            candidate_f1,
        };
        let of = |figures: Vec<TaskFigure>| Training {
            serving: Some(ModelId("weak@0123".to_owned())),
            figures: Some(figures),
            ..Training::default()
        };
        let known = figure(Some(Estimate { value: 0.625, low: 0.5, high: 0.75 }));
        let told = lines(&of(vec![known.clone(), figure(None)]));
        assert_eq!(told[0], "measured   on notes that were held out, beside weak@0123");
        assert_eq!(told[1..4], table(&[known.clone(), known]));
        assert_eq!(told[4..], ["F1         symptom: 0.625 (0.500 to 0.750)"]);
    }

    #[test]
    fn what_is_known_is_said_without_control_characters() {
        let data = LearnedData { name: "a\u{1b}[2J.jsonl".to_owned(), hash: "0c".repeat(32), documents: 7 };
        let examples = |ensemble: Option<&str>| TaskExamples {
            human: 1,
            teachers: 2,
            ensemble: ensemble.map(str::to_owned),
            mentions: 3,
            held_out: 4,
        };
        let training = Training {
            snapshot: Some("5a".repeat(32)),
            data: vec![data],
            tasks: [(Task::Disease, examples(Some("a\n+ b (union)"))), (Task::Symptom, examples(None))].into(),
            labels_usd: Some(0.375),
            seconds: Some(90.0),
            tokens_per_second: Some(2048.4),
            ..Training::default()
        };
        let (snapshot, hash) = ("5a".repeat(32), "0c".repeat(32));
        let expected = [
            format!("snapshot   {snapshot}"),
            format!("learned    a [2J.jsonl: 7 documents, SHA-256 {hash}"),
            "examples   disease: 1 by people, 2 by a + b (union), 3 mentions in them, 4 held out".to_owned(),
            "examples   symptom: 1 by people, 2 by teachers, 3 mentions in them, 4 held out".to_owned(),
            "labels     0.375000 USD".to_owned(),
            "took       90.0 s, 2048 word pieces a second".to_owned(),
        ];
        check(training, &expected.each_ref().map(String::as_str));
    }
}
