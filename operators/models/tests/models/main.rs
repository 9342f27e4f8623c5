//! Registries in folders, and in buckets of a server that checks signatures and conditions as S3 does.

mod bucket;
mod damages;
mod finding;
mod origin;
mod server;
mod support;
mod writing;
