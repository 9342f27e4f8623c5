//! Tells the program which commit it is built from: `STILLROOM_VERSION` is its version with that, as `0.1.0+59ee1401a2b3`, and
//! `-dirty` behind it where tracked files differed from the commit when it was first built. Outside of a checkout of git it is the
//! version alone.

use std::path::Path;
use std::process::Command;

/// The files of git that change with the commit; those that are there. One that is not would be built for each time.
const OF_COMMIT: [&str; 3] = ["HEAD", "logs/HEAD", "packed-refs"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    // A repository around an unpacked archive says nothing of it.
    let commit = Path::new(".git").exists().then(commit).flatten();
    match commit {
        Some(commit) => println!("cargo::rustc-env=STILLROOM_VERSION={version}+{commit}"),
        None => println!("cargo::rustc-env=STILLROOM_VERSION={version}"),
    }
}

/// The commit, and when to ask for it again.
fn commit() -> Option<String> {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for file in OF_COMMIT.into_iter().chain(branch.as_deref()) {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["describe", "--always", "--exclude=*", "--abbrev=12", "--dirty"])
}

/// What git says, if it is there and knows.
fn git(arguments: &[&str]) -> Option<String> {
    // It would write to the index otherwise, beside whoever works in the checkout.
    let output = Command::new("git").env("GIT_OPTIONAL_LOCKS", "0").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}
