//! The binary, as users call it.

mod annotated;
mod asking;
mod assert;
mod checkpoint;
mod cohorts;
mod concepts;
mod corpus;
mod demo;
mod documents;
mod extract;
mod formats;
mod hub;
mod inputs;
mod interpreting;
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
