//! `Pair`: what two students say of the same texts.
//!
//! In: upserts of the predictions of a candidate, and of those of the student that serves, keyed by note and partition. Out: upserts of
//! pairs under the same keys: what both say of a note for as long as both have read the same text of it, and nothing from then on. State:
//! the latest prediction of each note by each student, without text. Emits when an epoch is complete, one upsert at most of each note.
//!
//! Order: the records of one note come to one worker on both sides, in the order of their partition, as partitions are read by
//! `partition % workers`. Within an epoch a student may answer in another order: the greatest `(revision, offset)` wins, and of equal
//! ones the later, because a note that is read again by another student keeps both.

use crate::{Epoch, PredictionUpsert};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use stillroom_schemas::Prediction;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

/// What two students say of one text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PredictionPair {
    /// The student that might take over.
    pub candidate: Prediction,
    /// The student that serves.
    pub serving: Prediction,
}

/// A note and its partition, with the revision and the offset that the candidate read last, and what both students say; nothing when
/// they have not read the same text, or no more.
pub type PairUpsert = ((String, u32), (u64, u64, Option<PredictionPair>));

/// Brings the predictions of two students together.
pub trait Pair<'scope> {
    /// Pairs the predictions of a candidate with those of the student that serves, by note and text. A note that one of them has not
    /// read, cannot read or has read in another revision is in no pair.
    ///
    /// ```
    /// use stillroom_dataflow::Pair;
    /// use stillroom_schemas::{ModelId, Prediction, TextHash};
    /// use timely::dataflow::operators::{Capture, ToStream, capture::Extract};
    ///
    /// let pairs = timely::execute_directly(|worker| {
    ///     worker.dataflow::<u64, _, _>(|scope| {
    ///         let said = |model: &str, note: &str| {
    ///             let prediction = Prediction {
    ///                 model: ModelId(model.into()),
    ///                 text_hash: TextHash::of("Fever."),
    ///                 note_type: None,
    ///                 site: None,
    ///                 words: Vec::new(),
    ///                 spans: Vec::new(),
    ///             };
    ///             ((note.to_owned(), 0), (1, 0, Some(prediction)))
    ///         };
    ///         let candidate = [said("b@1", "n1"), said("b@1", "n2")].to_stream(scope).container::<Vec<_>>();
    ///         let serving = [said("a@1", "n2"), said("a@1", "n3")].to_stream(scope).container::<Vec<_>>();
    ///         candidate.pair(serving).capture()
    ///     })
    /// });
    /// let pairs: Vec<_> = pairs.extract().into_iter().flat_map(|(_, pairs)| pairs).collect();
    /// let [((note, 0), (1, 0, Some(pair)))] = &pairs[..] else { panic!("{pairs:?}") };
    /// assert_eq!((&**note, &*pair.candidate.model.0, &*pair.serving.model.0), ("n2", "b@1", "a@1"));
    /// ```
    fn pair(self, serving: StreamVec<'scope, Epoch, PredictionUpsert>) -> StreamVec<'scope, Epoch, PairUpsert>;
}

impl<'scope> Pair<'scope> for StreamVec<'scope, Epoch, PredictionUpsert> {
    fn pair(self, serving: StreamVec<'scope, Epoch, PredictionUpsert>) -> StreamVec<'scope, Epoch, PairUpsert> {
        type Pairs = CapacityContainerBuilder<Vec<PairUpsert>>;
        self.binary_frontier::<_, Pairs, _, _, _, _>(serving, Pipeline, Pipeline, "Pair", |initial, _| {
            // Kept, it would hold the frontier for good.
            drop(initial);
            let mut open: BTreeMap<Epoch, Open> = BTreeMap::new();
            let mut notes = Notes::default();
            move |(candidate, candidate_frontier), (serving, serving_frontier), output| {
                candidate.for_each(|capability, upserts| {
                    let Some(capability) = capability.retain_least(output.output_index()) else { return };
                    let (_, held) = open.entry(*capability.time()).or_insert((capability, Vec::new()));
                    held.extend(upserts.drain(..).map(|upsert| (Side::Candidate, upsert)));
                });
                serving.for_each(|capability, upserts| {
                    let Some(capability) = capability.retain_least(output.output_index()) else { return };
                    let (_, held) = open.entry(*capability.time()).or_insert((capability, Vec::new()));
                    held.extend(upserts.drain(..).map(|upsert| (Side::Serving, upsert)));
                });
                while let Some(entry) = open.first_entry() {
                    if candidate_frontier.less_equal(entry.key()) || serving_frontier.less_equal(entry.key()) {
                        break;
                    }
                    let (capability, upserts) = entry.remove();
                    output.session(&capability).give_iterator(notes.settle(upserts).into_iter());
                }
            }
        })
    }
}

/// What has come of an epoch that is not complete.
type Open = (Capability<Epoch>, Vec<(Side, PredictionUpsert)>);

/// Whose prediction it is.
#[derive(Clone, Copy, Debug)]
enum Side {
    Candidate,
    Serving,
}

/// What is known of every note.
#[derive(Default)]
struct Notes(HashMap<(String, u32), Said>);

/// Revision, offset and prediction of what was read last; nothing before.
type Latest = Option<(u64, u64, Option<Prediction>)>;

/// What both students say of a note.
#[derive(Default)]
struct Said {
    candidate: Latest,
    serving: Latest,
    is_paired: bool,
}

impl Notes {
    /// Takes in all upserts of an epoch; what changes with it, by note.
    fn settle(&mut self, upserts: Vec<(Side, PredictionUpsert)>) -> Vec<PairUpsert> {
        let mut touched = BTreeSet::new();
        for (side, (note, upsert)) in upserts {
            let said = self.0.entry(note.clone()).or_default();
            let latest = match side {
                Side::Candidate => &mut said.candidate,
                Side::Serving => &mut said.serving,
            };
            let is_later = latest.as_ref().is_none_or(|known| (known.0, known.1) <= (upsert.0, upsert.1));
            if is_later {
                *latest = Some(upsert);
            }
            touched.insert(note);
        }
        let changed = touched.into_iter().filter_map(|note| {
            let said = self.0.get_mut(&note)?;
            let (pair, was_paired) = (said.pair(), said.is_paired);
            said.is_paired = pair.is_some();
            let (revision, offset, _) = said.candidate.as_ref()?;
            (pair.is_some() || was_paired).then_some((note, (*revision, *offset, pair)))
        });
        changed.collect()
    }
}

impl Said {
    /// What both say, if it is of the same text.
    fn pair(&self) -> Option<PredictionPair> {
        let (_, _, candidate) = self.candidate.as_ref()?;
        let (_, _, serving) = self.serving.as_ref()?;
        let (candidate, serving) = (candidate.as_ref()?, serving.as_ref()?);
        let is_same = candidate.text_hash == serving.text_hash;
        is_same.then(|| PredictionPair { candidate: candidate.clone(), serving: serving.clone() })
    }
}
