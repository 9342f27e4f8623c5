//! `Ask`: which notes teachers are asked about.
//!
//! In: tagged notes. Out: the same notes, at once. State: none. What is drawn leaves the dataflow by a function that does not block,
//! and no capability goes with it: whatever becomes of a question holds up no epoch, and what a teacher says comes back as input,
//! from the topic of labels.

use crate::{Epoch, Probabilities, TaggedNote};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use stillroom_schemas::{Task, TextHash};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

/// A text that teachers are to be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeacherQuestion {
    /// The note.
    pub note_id: String,
    /// Its text.
    pub text: String,
    /// Of the text.
    pub text_hash: TextHash,
}

impl TeacherQuestion {
    /// Bytes that it takes while it waits.
    pub fn bytes(&self) -> usize {
        size_of::<TeacherQuestion>() + self.note_id.len() + self.text.len() + self.text_hash.0.len()
    }
}

/// Takes a question, and gives it up when too many are waiting. It does not block.
pub type AskTeachers = Arc<dyn Fn(TeacherQuestion) + Send + Sync>;

/// Which notes are drawn. A note is drawn by its id: with every revision of the same share, and with every greater share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// The share of notes that teachers are asked about, 0 to 1. Default 0.05.
    pub rate: f64,
    /// The share of notes of these types, instead. Default none. Example:
    /// `note_types = [{ note_type = "discharge_summary", rate = 0.2 }]`.
    pub note_types: Vec<NoteTypeRate>,
    /// From which uncertainty on the student counts as unsure of a note, 0 to 1: by its own probabilities, it expects an F1 of 1 less
    /// this, or a lower one. Default 0.25.
    pub uncertainty_min: f64,
    /// The share of notes that the student is unsure of, 0 to 1, where that is more. Default 0, no more of them than of others.
    pub uncertain_rate: f64,
}

/// The share of the notes of a type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteTypeRate {
    /// The type.
    pub note_type: String,
    /// The share, 0 to 1.
    pub rate: f64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { rate: 0.05, note_types: Vec::new(), uncertainty_min: 0.25, uncertain_rate: 0.0 }
    }
}

impl Sampling {
    /// Whether a note is drawn, of which the student is so unsure. It depends on nothing else, so a note that is read again is drawn
    /// again.
    pub fn draws(&self, note_id: &str, note_type: Option<&str>, uncertainty: f64) -> bool {
        let of_type = self.note_types.iter().find(|of_type| Some(&*of_type.note_type) == note_type);
        let rate = of_type.map_or(self.rate, |of_type| of_type.rate);
        let is_uncertain = uncertainty >= self.uncertainty_min;
        let rate = if is_uncertain { rate.max(self.uncertain_rate) } else { rate };
        lot_of(note_id) < rate
    }
}

/// A number from 0 to 1, without 1, by which the note is drawn: the first 32 bits of a hash of its id.
fn lot_of(note_id: &str) -> f64 {
    let digits = &TextHash::of(note_id).0[..8];
    u32::from_str_radix(digits, 16).map_or(0.0, |bits| f64::from(bits) / (f64::from(u32::MAX) + 1.0))
}

/// How unsure the student is of a text, from 0 to 1: 1 less the F1, over the words of all tasks, that it has to expect if its
/// probabilities are right. Expected counts stand in for counts, as in Jansche (Maximum expected F-measure training of logistic
/// regression models, HLT/EMNLP 2005); a word that is certain is added, so that a text in which nothing is likely is none to doubt.
pub fn uncertainty(probabilities: &[[f32; Task::ALL.len()]], thresholds: &[f32; Task::ALL.len()]) -> f64 {
    let (mut right, mut wrong) = (1.0, 0.0);
    for row in probabilities {
        for (&probability, threshold) in row.iter().zip(thresholds) {
            if probability >= *threshold {
                right += f64::from(probability);
                wrong += f64::from(1.0 - probability);
            } else {
                wrong += f64::from(probability);
            }
        }
    }
    wrong / (2.0 * right + wrong)
}

/// What `Ask` asks, and whom.
#[derive(Clone)]
pub struct AskConfig {
    /// Which notes are drawn.
    pub sampling: Sampling,
    /// Takes the questions.
    pub ask: AskTeachers,
}

/// Asks teachers about notes.
pub trait Ask<'scope> {
    /// Lets every note pass, and asks teachers about those that `config` draws and a student has read. A note without a letter is not
    /// asked about, nor is one that is read again, which was drawn or not before.
    fn ask(self, config: AskConfig) -> StreamVec<'scope, Epoch, TaggedNote>;
}

impl<'scope> Ask<'scope> for StreamVec<'scope, Epoch, TaggedNote> {
    fn ask(self, config: AskConfig) -> StreamVec<'scope, Epoch, TaggedNote> {
        self.unary::<CapacityContainerBuilder<Vec<TaggedNote>>, _, _, _>(Pipeline, "Ask", move |_, _| {
            move |input, output| {
                input.for_each(|capability, notes| {
                    let asked = notes.iter().filter_map(|note| question(note, &config.sampling));
                    asked.for_each(|question| (config.ask)(question));
                    output.session(&capability).give_iterator(notes.drain(..));
                });
            }
        })
    }
}

fn question(tagged: &TaggedNote, sampling: &Sampling) -> Option<TeacherQuestion> {
    let probabilities: &Probabilities = tagged.answer.as_ref().ok()?;
    let (note, text_hash) = (&tagged.note.note, &tagged.note.text_hash);
    let uncertainty = uncertainty(probabilities, &tagged.student.thresholds);
    let is_drawn = sampling.draws(&note.note_id, note.note_type.as_deref(), uncertainty);
    (is_drawn && !tagged.note.is_again && !note.text.trim().is_empty()).then(|| TeacherQuestion {
        note_id: note.note_id.clone(),
        text: note.text.clone(),
        text_hash: text_hash.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: [f32; 3] = [0.5; 3];

    #[test]
    fn a_student_is_unsure_where_its_probabilities_are() {
        let of = |rows: &[[f32; 3]]| (uncertainty(rows, &HALF) * 1e4).round() / 1e4;
        assert_eq!(of(&[]), 0.0);
        assert_eq!(of(&[[0.0; 3]; 100]), 0.0, "nothing there");
        assert_eq!(of(&[[1.0, 0.0, 0.0]; 4]), 0.0, "all certain");
        assert_eq!(of(&[[0.0005, 0.0, 0.0]; 100]), 0.0244, "a long text in which nothing is likely");
        // Expected: 1.6 right beside the one added, 0.4 too many, 0.8 missed.
        assert_eq!(of(&[[0.8, 0.0, 0.4], [0.0, 0.8, 0.4]]), 0.1875);
        assert!(of(&[[0.5; 3]; 100]) > 0.3);
    }

    /// Of 10,000 notes, how many are drawn.
    fn drawn(sampling: &Sampling, note_type: Option<&str>, uncertainty: f64) -> usize {
        (0..10_000).filter(|note| sampling.draws(&format!("note-{note}"), note_type, uncertainty)).count()
    }

    #[test]
    fn shares_are_those_that_were_asked_for() {
        let letters = NoteTypeRate { note_type: "letter".to_owned(), rate: 0.5 };
        let sampling = Sampling { rate: 0.1, note_types: vec![letters], uncertainty_min: 0.3, uncertain_rate: 0.25 };
        let about = |share: f64, drawn: usize| assert!((drawn as f64 / 1e4 - share).abs() < 0.02, "{share}: {drawn}");
        about(0.1, drawn(&sampling, None, 0.29));
        about(0.25, drawn(&sampling, Some("report"), 0.3));
        about(0.5, drawn(&sampling, Some("letter"), 0.9));
        let all = Sampling { rate: 1.0, ..Sampling::default() };
        assert_eq!(drawn(&all, None, 0.0), 10_000);
        let none = Sampling { rate: 0.0, ..Sampling::default() };
        assert_eq!(drawn(&none, None, 1.0), 0);
        let more = Sampling { rate: 0.2, ..Sampling::default() };
        let less = Sampling { rate: 0.1, ..Sampling::default() };
        let is_kept = |note: &String| !less.draws(note, None, 0.0) || more.draws(note, None, 0.0);
        assert!((0..1000).map(|note| note.to_string()).all(|note| is_kept(&note)), "a greater share drops notes");
    }
}
