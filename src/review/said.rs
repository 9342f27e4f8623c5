//! What teachers said of some texts, and what an annotator says of notes, as it stands on the log.

use crate::config::Config;
use crate::reading::read_topic;
use crate::wire::Wire;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use stillroom_connectors::Log;
use stillroom_dataflow::{ReferenceUpsert, reference_of};
use stillroom_schemas::{Reference, TextHash};

/// A note and the hash of its text.
pub(super) type TextId = (String, TextHash);

/// What teachers said of texts, the last of each teacher and partition.
#[derive(Debug, Default)]
pub(super) struct Said(BTreeMap<TextId, BTreeMap<(String, u32), Reference>>);

impl Said {
    /// What teachers said of these texts.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn read(config: &Config, log: (&dyn Log, &Wire), texts: &BTreeSet<TextId>) -> Result<Said> {
        let mut said = Said::default();
        each(config, log, &config.engine.topics.labels, |upsert| said.take_in(upsert, texts))?;
        Ok(said)
    }

    fn take_in(&mut self, (key, (_, reference)): ReferenceUpsert, texts: &BTreeSet<TextId>) {
        let Some(text) = key.text_hash.map(|text_hash| (key.note_id, text_hash)) else { return };
        if !texts.contains(&text) {
            return;
        }
        let (teachers, whose) = (self.0.entry(text).or_default(), (key.annotator, key.partition));
        match reference {
            Some(reference) => teachers.insert(whose, reference),
            None => teachers.remove(&whose),
        };
    }

    /// What each teacher said of a text: of a label that stands in two partitions one, and the same as `Score` takes.
    pub(super) fn of(&self, text: &TextId) -> BTreeMap<&str, &Reference> {
        let mut one_of_each: BTreeMap<&str, &Reference> = BTreeMap::new();
        for ((teacher, _), said) in self.0.get(text).into_iter().flatten() {
            let kept = one_of_each.entry(teacher.as_str()).or_insert(said);
            if (&said.tasks, &said.spans) < (&kept.tasks, &kept.spans) {
                *kept = said;
            }
        }
        one_of_each
    }
}

/// What an annotator says of notes now, by note.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn references_by(
    annotator: &str,
    config: &Config,
    log: (&dyn Log, &Wire),
) -> Result<BTreeMap<String, Reference>> {
    let mut references = BTreeMap::new();
    each(config, log, &config.engine.topics.references, |(key, (_, reference))| {
        if key.annotator == annotator {
            match reference {
                Some(reference) => references.insert(key.note_id, reference),
                None => references.remove(&key.note_id),
            };
        }
    })?;
    Ok(references)
}

/// Every reference or label of a topic, in the order of its partition. A topic that is not there has none.
fn each(
    config: &Config,
    (log, wire): (&dyn Log, &Wire),
    topic: &str,
    mut take_in: impl FnMut(ReferenceUpsert),
) -> Result<()> {
    if log.partitions(topic)?.is_none() {
        return Ok(());
    }
    let decode = config.engine.decode(wire.format());
    read_topic(wire.source(log.bounded()?), topic, |record| {
        if let Some(upsert) = reference_of(&record, &decode) {
            take_in(upsert);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillroom_dataflow::ReferenceKey;
    use stillroom_schemas::{Span, Task};

    /// Labels of the text `a` of a note: teacher, partition and where the mention starts, or `-` where it is withdrawn.
    fn check(labels: &[&str], expected: &str) {
        let (mut said, text) = (Said::default(), ("n".to_owned(), TextHash::of("a")));
        for label in labels {
            let parts: Vec<&str> = label.split(' ').collect();
            let start = parts[2].parse::<u32>().ok();
            let key = ReferenceKey {
                note_id: text.0.clone(),
                annotator: parts[0].to_owned(),
                text_hash: Some(TextHash::of(parts.get(3).unwrap_or(&"a"))),
                partition: parts[1].parse().unwrap(),
            };
            let reference = start.map(|start| Reference {
                note_id: text.0.clone(),
                annotator: parts[0].to_owned(),
                text_hash: TextHash::of("a"),
                tasks: [Task::Disease].into(),
                spans: vec![Span { task: Task::Disease, start, end: start + 1 }],
            });
            said.take_in((key, (0, reference)), &[text.clone()].into());
        }
        let found = said.of(&text).into_iter().map(|(teacher, said)| format!("{teacher} {}", said.spans[0].start));
        assert_eq!(found.collect::<Vec<_>>().join(", "), expected, "{labels:?}");
    }

    #[test]
    fn of_each_teacher_the_last_label_counts() {
        check(&["ann 0 3", "cy 0 4"], "ann 3, cy 4");
        check(&["ann 0 3", "ann 0 5"], "ann 5");
        check(&["ann 0 3", "ann 0 -", "cy 1 2"], "cy 2");
        check(&["ann 0 3", "ann 0 9 b"], "ann 3");
        check(&["ann 0 7", "ann 1 3"], "ann 3");
    }
}
