//! The extraction topology.

use stillroom_dataflow::{
    AsJson, Ask, AskConfig, CohortTopics, Cohorts, CohortsConfig, Decode, DecodeCohorts, DecodeConfig, DecodedCohorts,
    Epoch, Extract, ExtractConfig, Input, LatestNotes, Output, Score, StudentLease, Students, Tag, TagConfig,
    TeacherPanel, Tokenize, TokenizeText,
};
use timely::dataflow::StreamVec;
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Concat, Concatenate};

/// What the extraction topology is made of, besides its inputs.
pub struct ExtractionParts {
    /// What `Decode` must know of the topics.
    pub decode: DecodeConfig,
    /// How texts are cut.
    pub tokenize: TokenizeText,
    /// The students of the process, and the one that serves until another is activated.
    pub students: (Students, StudentLease),
    /// How windows are put into batches, and when a student takes over.
    pub tag: TagConfig,
    /// How extractions are made.
    pub extract: ExtractConfig,
    /// Which notes teachers are asked about; of none if absent.
    pub ask: Option<AskConfig>,
    /// The teachers whose labels are compared.
    pub panel: TeacherPanel,
    /// The topics of cohorts, and what else they depend on; none are kept if absent.
    pub cohorts: Option<(CohortTopics, CohortsConfig)>,
}

/// Notes in, entities, live quality and cohorts out.
///
/// ```text
///                        notes                revisions          windows  probabilities        ┌► teachers, who write labels
/// inputs ─► Decode ─► Decode ─► LatestNotes ───────► Tokenize ───────► Tag ───────► Ask ──────┴──► Extract ─► extractions ─┐
///           Cohorts      │││          │ superseded,       │ dead          ▲                          dead letters          │
///             ││         ││└──────────│───────────────────│───────────────┘ activations, to all workers                    │
///             ││         ││           │ withdrawn         │ letters                                                        │
///             ││         │└───────────┴───────────────────┴─────────────────────────────────────────────────────► outputs ◄┘
///             ││         │  dead letters, offsets                                                    predictions, │ ▲ quality,
///             ││         │                                                                                 facts  │ │ cohorts
///             ││         └─ references, labels ─────────────────────────────────────────────────────────► Score ◄─┤ │
///             │└─ definitions, memberships of earlier runs ────────────────────────────────────────────► Cohorts ◄┘ │
///             └─ dead letters ──────────────────────────────────────────────────────────────────────────────────────┘
/// ```
///
/// Text flows from `Decode` to `Extract` on the worker that read it; only activations, predictions, facts, definitions, references and
/// labels, which hold none, are exchanged. Every record of the notes topic leaves in one output, see [`Output::outcome`].
pub fn extraction<'scope>(
    inputs: StreamVec<'scope, Epoch, Input>,
    parts: ExtractionParts,
) -> StreamVec<'scope, Epoch, Output> {
    let scope = inputs.scope();
    let Some((topics, config)) = parts.cohorts.clone() else { return notes_and_quality(inputs, parts) };
    let DecodedCohorts { inputs, definitions, published, outputs: letters } = inputs.decode_cohorts(topics);
    let outputs = notes_and_quality(inputs, parts);
    let facts = outputs.clone().flat_map(|output| output.facts());
    let changes = facts.cohorts(definitions, published, config);
    let changes = changes.map(|change| Output::Cohort(Box::new(change)));
    scope.concatenate([outputs, letters, changes])
}

/// All but cohorts.
fn notes_and_quality<'scope>(
    inputs: StreamVec<'scope, Epoch, Input>,
    parts: ExtractionParts,
) -> StreamVec<'scope, Epoch, Output> {
    let scope = inputs.scope();
    let decoded = inputs.decode(parts.decode);
    let (latest, overtaken) = decoded.notes.latest_notes();
    let (tokenized, refused) = latest.tokenize(parts.tokenize);
    // Every worker must know the student of an epoch. Among processes they go as JSON.
    let activations = decoded.activations.map(AsJson).broadcast().map(|AsJson(activation)| activation);
    let tagged = tokenized.tag(activations, parts.students, parts.tag);
    let tagged = match parts.ask {
        Some(ask) => tagged.ask(ask),
        None => tagged,
    };
    let extracted = tagged.extract(parts.extract);
    let outputs = scope.concatenate([decoded.outputs, overtaken, refused, extracted]);
    let predictions = outputs.clone().flat_map(|output| output.prediction());
    let quality = predictions.score(decoded.references, parts.panel);
    let quality = quality.inner.map(|((key, counts), epoch, diff)| Output::Quality { epoch, key, counts, diff });
    outputs.concat(quality)
}
