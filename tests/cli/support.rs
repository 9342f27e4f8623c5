//! What the tests of the binary share.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A BERT of two layers with random weights: it finds entities everywhere, and it is fast.
pub(crate) fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("operators/student/tests/tiny")
}

/// The binary.
pub(crate) fn stillroom() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stillroom"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("STILLROOM_LOG").stdin(Stdio::null());
    command
}

/// What it said, if it did well.
pub(crate) fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{:?}: {}", output.status, stderr(output));
    std::str::from_utf8(&output.stdout).unwrap()
}

/// What it said on the side.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The lines of `text` as JSON.
pub(crate) fn json_lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
