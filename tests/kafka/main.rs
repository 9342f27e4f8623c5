//! `stillroom` on Apache Kafka itself, read back by kcat. `./test` starts the broker; without one these tests say so and are
//! skipped.

mod asking;
mod cluster;
mod exactly_once;
mod framed;
mod letters;
mod outage;
mod outcomes;
#[path = "../cli/running.rs"]
mod running;
mod security;
mod site;
mod students;
#[path = "../cli/support.rs"]
mod support;
#[path = "../cli/vendor.rs"]
mod vendor;
