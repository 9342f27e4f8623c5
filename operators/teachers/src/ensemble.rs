//! Which teachers label best together.
//!
//! What several teachers say is merged by the rules of [`stillroom_dataflow::ensemble`]; here the subset and the rule are chosen that
//! agree best with people, and the choice is kept in a file.

mod choice;
mod search;

pub use choice::{Choice, Chosen};
pub use search::{Candidate, TEACHERS_MAX, Votes};
