//! The binary, as users call it.

mod demo;
mod extract;
mod label;
mod recovery;
mod support;
mod train;
