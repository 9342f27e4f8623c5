//! What a training leaves in its folder while it lasts.

use crate::running::DEADLINE;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The first file of this name below a folder whose path has `part` in it.
pub(crate) fn find(folder: &Path, part: &str, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| match path.is_dir() {
        true => find(&path, part, name),
        false => (path.ends_with(name) && path.to_string_lossy().contains(part)).then_some(path),
    })
}

/// What the training locks, once there is a checkpoint.
pub(crate) fn wait_for_checkpoint(retraining: &Path) -> PathBuf {
    let began = Instant::now();
    while !retraining.exists() || find(retraining, "checkpoint", "state.json").is_none() {
        assert!(began.elapsed() < DEADLINE, "there is no checkpoint");
        // The training says nothing to us.
        std::thread::sleep(Duration::from_millis(5));
    }
    find(retraining, "", "train.lock").unwrap()
}
