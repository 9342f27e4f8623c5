//! Teachers: language models and ontologies that label notes.
//!
//! A teacher is data ([`Profile`]): the kind of its API, where it is, what it cannot do, what it costs and whether it may see notes of
//! real patients. [`Client`] asks a remote one, [`vocabulary::Vocabulary`] is one that runs here. What they find is grounded in the text
//! ([`ground`]), kept in a [`Store`] so that nothing is paid twice, and paid from a [`Budget`] that is hard. [`ensemble`] merges what
//! several teachers say, and chooses the subset that agrees best with people.

mod budget;
mod client;
pub mod ensemble;
mod error;
mod grounding;
mod labeler;
mod prices;
mod profile;
mod prompt;
mod question;
mod stop;
mod store;
pub mod vocabulary;
mod wire;

pub use budget::{Budget, Limits, TeacherPurse, today};
pub use client::{Client, Purse, Reservation, Waits};
pub use error::TeacherError;
pub use grounding::{Grounded, Mention, ground};
pub use labeler::{Labeled, Labeler, Teacher};
pub use prices::{NanoUsd, Prices};
pub use profile::{Api, Profile};
pub use prompt::Prompt;
pub use question::{Asked, Question, Reply, Usage};
pub use store::{Answer, AnswerKey, Found, Store};
