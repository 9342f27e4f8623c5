//! What tells by a rule of its own what notes say: that depends on neither workers nor kills, and another rule is a reason
//! to read notes again.

use super::*;
use stillroom_dataflow::{Fact, Interpret};
use stillroom_schemas::{Assertion, Certainty, Cue};

/// What tells unless a test says otherwise.
pub(super) const FIRST: &str = "rule@000000000001";

/// Another.
pub(super) const SECOND: &str = "rule@000000000002";

/// Tells by the last digit of its name, by where an entity stands and by how long the text is.
struct ByDigit(&'static str);

/// What is called `name`.
pub(super) fn by_digit(name: &'static str) -> Option<Arc<dyn Interpret>> {
    Some(Arc::new(ByDigit(name)))
}

impl Interpret for ByDigit {
    fn interpret(&self, text: &str, spans: &[Span]) -> Vec<Fact> {
        let digit = self.0.bytes().last().map_or(0, u32::from);
        let fact = |span: &Span| {
            let is_negated = (span.start + digit + text.len() as u32).is_multiple_of(2);
            let certainty = if is_negated { Certainty::Negated } else { Certainty::Affirmed };
            let (start, end) = (span.start, span.start + 1);
            let cues = vec![Cue { says: "negated".to_owned(), trigger: self.0.to_owned(), start, end }];
            let assertion = Some(Assertion { certainty, cues, ..Assertion::default() });
            Fact { assertion, section: Some(format!("{}", text.len())), ..Fact::default() }
        };
        spans.iter().map(fact).collect()
    }

    fn name(&self) -> &str {
        self.0
    }
}

#[test]
fn extractions_and_states_name_what_told_of_them() {
    let history = History::random(5, 200, 4, &Topics::default());
    let log = history.log.copy();
    Run::new(&log, 2, 5).run(Fault::None).unwrap();
    let extractions = log.records(&Topics::default().extractions).concat();
    let (mut entities, mut negated) = (0, 0);
    for value in extractions.into_iter().filter_map(|record| record.value) {
        let extraction: Extraction = serde_json::from_slice(&value).unwrap();
        assert_eq!(extraction.interpretation.as_deref(), Some(FIRST));
        entities += extraction.entities.len();
        let is_negated = |assertion: &Assertion| assertion.certainty == Certainty::Negated;
        negated += extraction.entities.iter().filter(|e| e.assertion.as_ref().is_some_and(is_negated)).count();
    }
    assert!(negated > 10 && negated + 10 < entities, "{negated} of {entities} prove little");
    for value in log.records(&Topics::default().state).concat().into_iter().filter_map(|record| record.value) {
        let state: NoteState = serde_json::from_slice(&value).unwrap();
        assert_eq!(state.interpretation.is_some(), state.prediction.is_some());
    }
}
