//! The subcommands. Each is a struct of its arguments with a `run` that gives the exit code: 0 when all is done, 1 when it could
//! not be done, 2 when the command line is wrong, 3 when it was done but some notes became dead letters.

pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod extract;
pub(crate) mod run;
pub(crate) mod train;

use std::process::ExitCode;

/// Done, but not for every note.
pub(crate) fn some_dead_lettered() -> ExitCode {
    ExitCode::from(3)
}
