//! What a note says of what it mentions: the trait at the edge of `Extract`.

use stillroom_schemas::{Assertion, Concept, Dosage, Span};

/// Tells what notes say of what they mention.
pub trait Interpret: Send + Sync {
    /// What `text` says of each of `spans`, one fact a span, in their order. All positions are in code points.
    ///
    /// This must be a function of text and spans alone: an epoch that is replayed must come to the same bytes, on whatever
    /// worker.
    fn interpret(&self, text: &str, spans: &[Span]) -> Vec<Fact>;

    /// By what it tells, such as `assertion@1f0c57a2b9de concepts@83d1f9024c6b`: two that are called the same say the same
    /// of every text. Every extraction names it.
    fn name(&self) -> &str;
}

/// What a note says of one entity, beside where it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fact {
    /// How the note means it.
    pub assertion: Option<Assertion>,
    /// The section that it stands in.
    pub section: Option<String>,
    /// The concept that it names.
    pub concept: Option<Concept>,
    /// How a medication is to be taken.
    pub dosage: Option<Dosage>,
}

impl Fact {
    /// The same with every position replaced by what `position` has for it.
    pub(crate) fn with_positions(mut self, position: impl Fn(u32) -> u32) -> Fact {
        for cue in self.assertion.iter_mut().flat_map(|assertion| &mut assertion.cues) {
            (cue.start, cue.end) = (position(cue.start), position(cue.end));
        }
        if let Some(Dosage { strength, dose, form, route, frequency, duration }) = &mut self.dosage {
            for stated in [strength, dose, form, route, frequency, duration].into_iter().flatten() {
                (stated.start, stated.end) = (position(stated.start), position(stated.end));
            }
        }
        self
    }
}
