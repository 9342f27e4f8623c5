//! Bases from a server that behaves like the hub.

mod failures;
mod fetching;
mod server;
mod support;
