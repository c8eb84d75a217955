//! The program; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream_apps::exit_code(&millstream_apps::login_lake::run())
}
