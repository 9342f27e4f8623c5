//! The binary, as users call it.

mod annotated;
mod asking;
mod checkpoint;
mod cohorts;
mod assert;
mod concepts;
mod corpus;
mod demo;
mod documents;
mod extract;
mod formats;
mod hub;
mod interpreting;
mod inputs;
mod label;
mod models;
mod native;
mod recovery;
mod retraining;
mod review;
mod running;
mod site;
mod study;
mod support;
mod train;
mod vendor;
