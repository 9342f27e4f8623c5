//! The binary, as users call it.

mod demo;
mod extract;
mod recovery;
mod support;
