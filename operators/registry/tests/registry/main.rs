//! Records through a schema registry and back, and a registry that fails.
//!
//! The tests run against a server of their own that follows the documented API. Those that need no misbehaviour run against a real
//! registry instead, under subjects of their own, if one is named:
//! `STILLROOM_TEST_SCHEMA_REGISTRY=http://localhost:8081 cargo test -p stillroom-registry --test registry`.

mod failures;
mod holding;
mod round_trip;
mod server;
mod support;
