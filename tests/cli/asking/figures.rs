//! Figures as they are published, and made anew from the records.

use crate::site::Site;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use stillroom_dataflow::{Words, score_spans};
use stillroom_schemas::{
    Comparison, Counts, Label, Level, ModelId, NoteState, Prediction, Quality, QualityKey, Reference, Span, Task,
};

pub(super) type Figures = BTreeMap<QualityKey, Counts>;

/// The last values that are published.
pub(super) fn figures(site: &Site) -> Figures {
    let published: Vec<Quality> = last(site, &site.topics.quality);
    published.into_iter().map(|quality| (quality.key, quality.counts)).collect()
}

fn last<T: DeserializeOwned>(site: &Site, topic: &str) -> Vec<T> {
    let values = site.log.last_values(topic).unwrap();
    values.values().map(|value| serde_json::from_slice(value).unwrap()).collect()
}

/// What must be published of the teachers `mine` and `names`, of which the second knows symptoms alone, and of their intersection as the
/// chosen ensemble for symptoms. No mention of theirs overlaps another.
pub(super) fn recomputed(site: &Site) -> Figures {
    let states: Vec<NoteState> = last(site, &site.topics.state);
    let references: Vec<Reference> = last(site, &site.topics.references);
    let labels: Vec<Label> = last(site, &site.topics.labels);
    let mut figures = Figures::new();
    for NoteState { note_id, prediction, .. } in states {
        let Some(prediction) = prediction else { continue };
        let note = Note { words: Words::from_bytes(&prediction.words).unwrap(), prediction };
        let hash = &note.prediction.text_hash;
        let is_of_text = |said: &&Reference| said.note_id == note_id && said.text_hash == *hash;
        let references: Vec<&Reference> = references.iter().filter(is_of_text).collect();
        let labels: Vec<&Reference> = labels.iter().map(|label| &label.reference).filter(is_of_text).collect();
        let by = |teacher: &str| labels.iter().find(|label| label.annotator == teacher);
        let (Some(mine), Some(names)) = (by("mine"), by("names")) else { continue };
        for reference in &references {
            note.student(&mut figures, Comparison::StudentReference, reference);
        }
        for label in [mine, names] {
            note.student(&mut figures, Comparison::StudentTeacher, label);
        }
        let [mine_said, names_said] =
            [mine, names].map(|label| label.spans.iter().copied().collect::<BTreeSet<Span>>());
        let both: Vec<Span> = mine_said.intersection(&names_said).copied().collect();
        let either: Vec<Span> = mine_said.union(&names_said).copied().collect();
        let ensemble = Reference {
            annotator: "ensemble".to_owned(),
            tasks: [Task::Symptom].into(),
            spans: both,
            ..(*mine).clone()
        };
        note.student(&mut figures, Comparison::StudentEnsemble, &ensemble);
        for reference in references {
            for &task in &reference.tasks {
                note.teachers(&mut figures, (task, "mine"), &mine.spans, reference);
            }
            let of_symptoms = [
                ("names", &names.spans),
                ("mine + names (union)", &either),
                ("mine + names (intersection)", &ensemble.spans),
                ("ensemble", &ensemble.spans),
            ];
            for (model, spans) in of_symptoms {
                note.teachers(&mut figures, (Task::Symptom, model), spans, reference);
            }
            note.only_student(&mut figures, &ensemble.spans, reference);
        }
    }
    figures
}

struct Note {
    prediction: Prediction,
    words: Words,
}

impl Note {
    fn student(&self, figures: &mut Figures, comparison: Comparison, said: &Reference) {
        let Prediction { model, note_type, site, spans, .. } = &self.prediction;
        for &task in &said.tasks {
            let scores = score_spans(&self.words, task, spans, &said.spans);
            for (level, counts) in Level::ALL.into_iter().zip(scores) {
                let all = key((task, level, comparison), model.clone(), said);
                let (note_type, site) = (note_type.clone(), site.clone());
                *figures.entry(QualityKey { note_type, site, rollup: false, ..all.clone() }).or_default() += counts;
                *figures.entry(all).or_default() += counts;
            }
        }
    }

    fn teachers(&self, figures: &mut Figures, (task, model): (Task, &str), spans: &[Span], reference: &Reference) {
        let [counts, ..] = score_spans(&self.words, task, spans, &reference.spans);
        let what = (task, Level::Word, Comparison::TeachersReference);
        *figures.entry(key(what, ModelId(model.to_owned()), reference)).or_default() += counts;
    }

    /// What a reference says of the symptoms that only the student finds, of the words that are whole in its spans.
    fn only_student(&self, figures: &mut Figures, ensemble: &[Span], reference: &Reference) {
        let is_in = |spans: &[Span], word: &std::ops::Range<u32>| {
            let is_symptom = |span: &&Span| span.task == Task::Symptom;
            spans.iter().filter(is_symptom).any(|span| span.start <= word.start && word.end <= span.end)
        };
        let mut counts = Counts { notes: 1, ..Counts::default() };
        for word in &self.words.0 {
            if is_in(&self.prediction.spans, word) && !is_in(ensemble, word) {
                *(if is_in(&reference.spans, word) { &mut counts.tp } else { &mut counts.fp }) += 1;
            }
        }
        let what = (Task::Symptom, Level::Word, Comparison::FalsePositivesReviewed);
        *figures.entry(key(what, self.prediction.model.clone(), reference)).or_default() += counts;
    }
}

/// Over all types and sites.
fn key((task, level, comparison): (Task, Level, Comparison), model: ModelId, said: &Reference) -> QualityKey {
    let reference = said.annotator.clone();
    QualityKey { task, level, comparison, model, reference, note_type: None, site: None, rollup: true }
}
