//! The retraining topology.

use stillroom_dataflow::{
    Decode, DecodeConfig, Epoch, ExampleChange, Examples, HeldOut, Input, LatestNotes, TeacherPanel, Tokenize,
    TokenizeText,
};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

/// What the retraining topology is made of, besides its inputs.
pub struct RetrainingParts {
    /// What `Decode` must know of the topics.
    pub decode: DecodeConfig,
    /// How texts are cut into the words that ensembles vote on.
    pub tokenize: TokenizeText,
    /// The ensembles that merge the teachers' labels.
    pub panel: TeacherPanel,
    /// Whose notes are never learned from.
    pub held_out: HeldOut,
}

/// What leaves the retraining topology.
pub struct Retraining<'scope> {
    /// Examples that become current or cease to be, each with its epoch: a change may travel ahead of it. At the end of
    /// every epoch there is one example at most of each key.
    pub examples: StreamVec<'scope, Epoch, (ExampleChange, Epoch)>,
}

/// Notes, references and labels in, what is to be learned of them out.
///
/// ```text
///             notes                revisions           notes without text
/// inputs ─► Decode ─► LatestNotes ───────► Tokenize ─────────────────────► Examples ─► examples
///             │            │ withdrawn         │ could not be cut             ▲ ▲
///             │            └───────────────────┴──────────────────────────────┘ │
///             └─ references, labels ────────────────────────────────────────────┘
/// ```
///
/// The inputs are the topics of notes, references and labels, from their beginnings: of a note that is only restored no
/// text is known, and nothing is learned of it. Text flows from `Decode` to `Tokenize` on the worker that read it and
/// goes no further. Dead letters are not among what leaves: the extraction topology, which reads the same records,
/// writes them.
pub fn retraining<'scope>(inputs: StreamVec<'scope, Epoch, Input>, parts: RetrainingParts) -> Retraining<'scope> {
    let decoded = inputs.decode(parts.decode);
    let (latest, overtaken) = decoded.notes.latest_notes();
    let (tokenized, refused) = latest.tokenize(parts.tokenize);
    let gone = overtaken.concat(refused).flat_map(|output| output.without_current());
    let notes = tokenized.map(|note| note.into_current()).concat(gone);
    let examples = notes.examples(decoded.references, parts.panel, parts.held_out);
    let changes = examples.inner.map(|((key, example), epoch, diff)| (ExampleChange { key, example, diff }, epoch));
    Retraining { examples: changes }
}
