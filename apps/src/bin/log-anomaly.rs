//! The program; everything it does is in the library.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match millstream_apps::log_anomaly::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line with its causes: a backtrace is no message to a user.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
