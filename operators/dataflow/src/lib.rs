//! The operators of stillroom's dataflow graphs, and the traits at their edges.
//!
//! An operator is one file and one verb: the file opens with what flows in and out, what state is kept and when it emits; the
//! thinking sits in pure functions that are tested without a worker. Nothing here knows a broker, a key or a GPU: records come
//! in through [`source()`], leave through [`Sink`], and the student is behind the trait [`Tagger`].

mod as_json;
mod ask;
mod batches;
mod bootstrap;
mod cohorts;
mod decode;
mod desk;
pub mod ensemble;
mod entry;
mod examples;
mod extract;
mod gossip;
mod held_out;
mod interpret;
mod labels;
mod latest_notes;
mod output;
mod pair;
mod panel;
mod record;
mod retire;
mod reviewed;
mod score;
mod scoring;
mod sink;
mod soft;
mod source;
mod spans;
mod students;
mod tag;
mod tagger;
mod tagger_pool;
mod tokenize;
mod tokenizer;
mod upserts;
mod wake;
mod wire;
mod words;

pub use as_json::AsJson;
pub use ask::{Ask, AskConfig, AskTeachers, NoteTypeRate, Sampling, TeacherQuestion, uncertainty};
pub use bootstrap::Bootstrap;
pub use cohorts::{
    CohortChange, CohortTally, CohortUpsert, Cohorts, CohortsConfig, CriterionFound, Hierarchy, MembershipUpsert,
    NoHierarchy, NoteFactsUpsert, Today, explain_cohort,
};
pub use decode::{
    CohortTopics, Decode, DecodeCohorts, DecodeConfig, Decoded, DecodedCohorts, NAME_BYTES_MAX, NoteEvent, NoteRecord,
    activation_of, definition_of, label_key, membership_of, reference_key, reference_of,
};
pub use entry::Entry;
pub use examples::{CurrentNote, CurrentNoteUpsert, Example, ExampleChange, ExampleKey, ExampleSource, Examples};
pub use extract::{Extract, ExtractConfig};
pub use gossip::{Voice, Word, gossip};
pub use held_out::HeldOut;
pub use interpret::{Fact, Interpret};
pub use latest_notes::LatestNotes;
pub use output::Output;
pub use pair::{Pair, PairUpsert, PredictionPair};
pub use panel::{ENSEMBLE, TeacherPanel};
pub use record::{Position, Record};
pub use retire::{CommittedFeed, CommittedSender, committed, retire};
pub use score::{PredictionUpsert, ReferenceKey, ReferenceUpsert, Score};
pub use scoring::{Scores, score_spans};
pub use sink::{Report, Sink};
pub use soft::{Share, SoftSpan, SoftSpans};
pub use source::{Admission, Batch, Feed, FeedError, FeedSender, Input, Retirement, feed, source};
pub use spans::{ScoredSpan, entities_of, spans_of};
pub use students::{LoadStudent, StudentLease, Students, Tenure};
pub use tag::{Activations, Tag, TagConfig, TaggedNote};
pub use tagger::{Probabilities, Tagger, TaggerError, Window};
pub(crate) use tagger_pool::TaggerHandle;
pub use tagger_pool::{TaggedBy, TaggerFactory, TaggerFactoryError, TaggerPool, TaggerPoolError};
pub use tokenize::{Tokenize, TokenizeText, TokenizedNote};
pub use tokenizer::{TokenizedText, Tokenizer, TokenizerError, WINDOW_PIECES_MAX};
pub use wire::{PlainJson, WireError, WireFormat};
pub use words::Words;

/// The timestamp of every dataflow: totally ordered, one tick of 50 to 250 ms of input.
pub type Epoch = u64;

/// How timely's workers run.
///
/// Arrangements are merged while a worker is idle too: they would otherwise be merged only when updates come. The effort is small,
/// because every step makes it, and with a thousand it was most of what a changed note costs.
pub fn worker_config() -> timely::WorkerConfig {
    let mut config = timely::WorkerConfig::default();
    let differential = differential_dataflow::Config::default().idle_merge_effort(Some(10));
    differential_dataflow::configure(&mut config, &differential);
    config
}
