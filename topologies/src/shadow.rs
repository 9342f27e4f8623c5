//! The shadow topology.

use stillroom_dataflow::{
    Decode, DecodeConfig, Epoch, Extract, ExtractConfig, Input, LatestNotes, Output, Pair, PairUpsert, PredictionPair,
    PredictionUpsert, ReferenceUpsert, Sampling, Score, StudentLease, Students, Tag, TagConfig, TeacherPanel, Tokenize,
    TokenizeText,
};
use stillroom_schemas::{Comparison, ModelId, NoteState, Prediction};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::generic::operator::empty;
use timely::dataflow::operators::vec::{Filter, Map};
use timely::dataflow::operators::{Concat, Concatenate};

/// What the shadow topology is made of, besides its inputs.
pub struct ShadowParts {
    /// What `Decode` must know of the topics.
    pub decode: DecodeConfig,
    /// Which notes the candidate reads: a note is drawn by its id alone, whatever its type, so that a teacher that is asked
    /// about as great a share is asked about the same notes.
    pub share: f64,
    /// How texts are cut.
    pub tokenize: TokenizeText,
    /// The candidate.
    pub candidate: (Students, StudentLease),
    /// How windows are put into batches.
    pub tag: TagConfig,
    /// How extractions are made: what is too large for the student that serves is too large for the candidate. Mentions are
    /// all that is compared.
    pub extract: ExtractConfig,
    /// The student that serves.
    pub serving: ModelId,
    /// The ensembles that merge the teachers' labels.
    pub panel: TeacherPanel,
}

/// What leaves the shadow topology.
pub struct Shadow<'scope> {
    /// What both students say of a note that is drawn, while both have read the same text of it.
    pub pairs: StreamVec<'scope, Epoch, PairUpsert>,
    /// References and labels of the notes that are drawn.
    pub references: StreamVec<'scope, Epoch, ReferenceUpsert>,
    /// The quality of both students, as [`Output::Quality`], each over the notes of the pairs and no others.
    pub quality: StreamVec<'scope, Epoch, Output>,
}

/// Notes, and what the student that serves said of them, in; live quality of a candidate beside that of the student that
/// serves out.
///
/// ```text
///             notes                revisions    drawn             windows  probabilities
/// inputs ─► Decode ─► LatestNotes ───────► Filter ─► Tokenize ───────► Tag ────────► Extract
///             │            │ withdrawn                   │ could not be cut              │ predictions of the candidate
///             │            └─────────────────────────────┴───────────────────────────────┴──► Filter ─► Pair ◄─┐
///             │                                                                                          │     │
///             │ references,                                              states ─► Filter, of who serves ──────┘
///             │ labels                                                                                   │
///             └─► Filter ─► references ─► Score, of the candidate ◄──────────────────────────────────────┼──► pairs
///                               └───────► Score, of who serves ◄─────────────────────────────────────────┘
///                                           └─► quality
/// ```
///
/// `states` are the states of notes, each with its partition, as the extraction topology writes them: of another student than
/// the one that serves no prediction counts. They must come to the worker that has the notes of their partition. Text flows
/// from `Decode` to `Extract` on the worker that read it. Activations and dead letters are not among what leaves.
pub fn shadow<'scope>(
    inputs: StreamVec<'scope, Epoch, Input>,
    states: StreamVec<'scope, Epoch, (u32, NoteState)>,
    parts: ShadowParts,
) -> Shadow<'scope> {
    let scope = inputs.scope();
    let ShadowParts { decode, share, tokenize, candidate, tag, extract, serving, panel } = parts;
    let decoded = inputs.decode(decode);
    let (latest, overtaken) = decoded.notes.latest_notes();
    // Not before `LatestNotes`, which leans on an order that a filter does not promise.
    let drawn = latest.filter(move |note| is_drawn(share, &note.note.note_id));
    let (tokenized, refused) = drawn.tokenize(tokenize);
    let extracted = tokenized.tag(empty(scope), candidate, tag).extract(extract);
    let read = scope.concatenate([overtaken, refused, extracted]).flat_map(|output| output.prediction());
    let read = read.filter(move |((note_id, _), _)| is_drawn(share, note_id));
    let served = states.filter(move |(_, state)| is_drawn(share, &state.note_id));
    let served = served.map(move |(partition, state)| prediction_of(partition, state, &serving));
    let pairs = read.pair(served);
    let references = decoded.references.filter(move |(key, _)| is_drawn(share, &key.note_id));
    let quality = |side: fn(PredictionPair) -> Prediction| {
        let predictions =
            pairs.clone().map(move |(note, (revision, offset, pair))| (note, (revision, offset, pair.map(side))));
        let quality = predictions.score(references.clone(), panel.clone()).inner;
        // What teachers say of references has nothing to do with either student.
        let quality = quality.filter(|((key, _), _, _)| key.comparison != Comparison::TeachersReference);
        quality.map(|((key, counts), epoch, diff)| Output::Quality { epoch, key, counts, diff })
    };
    let quality = quality(|pair| pair.candidate).concat(quality(|pair| pair.serving));
    Shadow { pairs, references, quality }
}

/// Whether a note is among the share of the notes that is drawn.
fn is_drawn(share: f64, note_id: &str) -> bool {
    // How sure a student is does not matter.
    Sampling { rate: share, ..Sampling::default() }.draws(note_id, None, 0.0)
}

/// What the student that serves says of a note, by the note's state.
fn prediction_of(partition: u32, state: NoteState, serving: &ModelId) -> PredictionUpsert {
    let NoteState { note_id, revision, offset, prediction, .. } = state;
    ((note_id, partition), (revision, offset, prediction.filter(|prediction| prediction.model == *serving)))
}
