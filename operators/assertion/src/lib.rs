//! How a note means what it mentions: whether it says that a disease, medication or symptom is so, may be so or is not,
//! whether it was or might be, and of whom.
//!
//! This is the ConText algorithm (Harkema, Dowling, Thornblade, Chapman, J Biomed Inform 42(5), 2009), which extends
//! NegEx (Chapman, Bridewell, Hanbury, Cooper, Buchanan, J Biomed Inform 34(5), 2001): triggers say something of the
//! entities in their scope, which goes from the trigger to the end of the sentence unless a word ends it before; what
//! only looks like a trigger is known, too. The triggers are in `lexicon/`, written for this project after the
//! publications.
//!
//! ```text
//! text ──► words ──► sentences, sections ──► triggers ──► a sweep forward, one backward ──► assertion, cues
//! spans ─────┘ (no trigger within an entity)
//! ```
//!
//! What is chosen beyond the publications, or otherwise:
//!
//! - A scope also ends where another trigger of its axis begins: of `denies fever, possible chills` each decides what
//!   follows it. Of a trigger before and one behind an entity the nearer decides, and of two as near the one behind.
//! - What leads to a list acts on its items: `denies any of the following:`, and a line for each.
//! - A trigger behind an entity reaches over the enumeration that it ends (`fever, chills and cough were denied`), not
//!   back to the beginning of the sentence.
//! - "Unlikely" negates, as in NegEx; "rule out" makes uncertain, and "ruled out" negates.
//! - "History of" and the section of past medical history make historical, as in ConText, but for chronic diseases by a
//!   list that is part of the lexicon: who has a history of diabetes has diabetes, and a cohort of diabetics must not
//!   lose them. That the difference needs knowledge beyond triggers is what ConText's authors conclude.
//! - Sections speak on the axes that no trigger speaks on: family history of experiencers, past medical history of
//!   time, allergies negate medications (which the patient should not take) and make reactions historical.
//! - A medication that is refused, held or not tolerated is negated; one that was stopped is historical.
//! - Family are relatives by blood, of whom a family history tells; spouses, partners and donors are others.

mod context;
mod error;
mod examples;
mod headings;
mod lexicon;
mod lists;
mod marked;
mod note;
mod scopes;
mod sentences;
mod triggers;
mod words;

pub use context::{Asserted, Context, ContextConfig};
pub use error::AssertionError;
pub use examples::{Example, Judged, Tally, evaluate, read_examples, shipped_examples};
pub use lexicon::Lexicon;
pub use marked::Marked;
