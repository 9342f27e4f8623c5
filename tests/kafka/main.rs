//! `stillroom` on Apache Kafka itself, read back by kcat. `./test` starts the broker; without one these tests say so and are
//! skipped.

#[path = "../cli/annotated.rs"]
mod annotated;
mod asking;
#[path = "../cli/checkpoint.rs"]
mod checkpoint;
mod cluster;
mod cohorts;
#[path = "../cli/documents.rs"]
mod documents;
mod exactly_once;
mod export;
mod framed;
mod letters;
mod outage;
mod outcomes;
#[path = "../cli/parts.rs"]
mod parts;
mod retag;
mod retraining;
mod review;
#[path = "../cli/running.rs"]
mod running;
mod security;
mod sending;
mod shadow;
mod site;
mod students;
#[path = "../cli/support.rs"]
mod support;
#[path = "../cli/turns.rs"]
mod turns;
#[path = "../cli/vendor.rs"]
mod vendor;
