//! The command line of `log-anomaly`: one file per command.

mod detect;
mod score;
mod templates;

use clap::{Parser, Subcommand};

/// What an application's logs say, as it happens.
#[derive(Debug, Parser)]
#[command(name = "log-anomaly", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The template of each line of a file, as CSV: line_no,template_id,template
    Templates(templates::Templates),
    /// Scores each value of a series of numbers, as CSV: timestamp,value,anomaly_score; 0.5 is an alarm
    Detect(detect::Detect),
    /// Measures against samples whose answers are known
    #[command(subcommand)]
    Score(score::Score),
}

/// Runs the program's command line.
///
/// # Errors
/// What the command failed with.
pub fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Templates(templates) => templates.run(&mut std::io::stdout().lock()),
        Command::Detect(detect) => detect.run(&mut std::io::stdout().lock()),
        Command::Score(score) => score.run(&mut std::io::stdout().lock()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        for arguments in [&["detect", "--input", "a.csv"][..], &["score", "detector", "data"]] {
            let all = ["log-anomaly"].iter().chain(arguments);
            assert!(Cli::try_parse_from(all).is_ok(), "{arguments:?}");
        }
    }
}
