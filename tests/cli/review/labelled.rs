//! A pipeline with notes that teachers have labelled.

use crate::annotated::{Keyed, ensembles, labels, note, notes};
use crate::site::Site;
use std::fs;

pub(super) const WITHDRAWN: usize = 0;

/// Since it was labelled.
pub(super) const AMENDED: usize = 1;

/// By a person, for diseases.
pub(super) const ANNOTATED: usize = 2;

/// All medications are judged to be some; to be none; nobody judges.
pub(super) const YES: usize = 4;
pub(super) const NO: usize = 5;
pub(super) const OPEN: usize = 6;

pub(super) fn put(site: &Site, number: usize, revision: u64, text: &str) {
    append(site, &site.topics.notes, &[note(number, revision, text)]);
}

fn append(site: &Site, topic: &str, records: &[Keyed]) {
    site.append(topic, records.iter().map(|(key, value)| (&key[..], value.as_deref())));
}

/// Notes that two teachers have labelled, and their ensembles.
pub(super) fn labelled() -> Site {
    let mut site = Site::new(2);
    site.log.create_topic(&site.topics.labels, 2).unwrap();
    let folder = site.folder.path();
    let (ensemble, registry) = (folder.join("ensemble.toml"), folder.join("registry"));
    fs::write(&ensemble, ensembles()).unwrap();
    site.extra = format!("[teachers]\nensemble = {ensemble:?}\n[models]\nregistry = {registry:?}\n");
    append(&site, &site.topics.notes, &notes());
    append(&site, &site.topics.labels, &labels());
    site
}
