//! How a program ends.

use std::io::Write as _;
use std::process::ExitCode;

/// The exit code of what came of a command; an error is said.
pub fn exit_code(outcome: &anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line with its causes: a backtrace is no message to a user.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
