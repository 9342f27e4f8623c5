//! The binary `stillroom`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stillroom::main()
}
