//! The command line of `login-lake`: one file per command.

mod verify;
mod demo;
mod run;
mod produce;
mod replay;
mod erase;

use clap::{Parser, Subcommand};

use super::topics;
use crate::program::Application;

const APPLICATION: Application =
    Application { id: "login-lake", idle_timeout_ms: "5000", topics: topics::TOPICS };

/// Who signed in when.
#[derive(Debug, Parser)]
#[command(name = "login-lake", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verifies a token and prints its claims; or says why it is refused, with exit code 1
    Verify(verify::Verify),
    /// Sample sign-ins and what comes of them, printed live: in this process alone, or on a Kafka
    Demo(demo::Demo),
    /// The application alone: reads sign-ins and erasures from Kafka, writes what counts, and documents
    Run(run::Run),
    /// Sends sample sign-ins to Kafka, or writes them to a file
    Produce(produce::Produce),
    /// A file of sign-ins through the application without a broker; what comes out as JSON lines
    Replay(replay::Replay),
    /// Asks for the erasure of a person: what the application keeps of them goes, and their document
    Erase(erase::Erase),
}

/// Runs the program's command line.
///
/// # Errors
/// What the command failed with.
pub fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Verify(verify) => verify.run(&mut std::io::stdout().lock()),
        Command::Demo(demo) => demo.run(),
        Command::Run(run) => run.run(),
        Command::Produce(produce) => produce.run(),
        Command::Replay(replay) => {
            replay.run(&mut std::io::BufWriter::new(std::io::stdout().lock()))
        }
        Command::Erase(erase) => erase.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let keys =
            ["--keys", "jwks.json", "--audience", "web", "--issuer", "https://accounts.google.com"];
        let verify = |more: &[&str]| {
            let all = ["login-lake", "verify", "TOKEN"].iter().chain(&keys).chain(more).copied();
            Cli::try_parse_from(all.collect::<Vec<_>>())
        };
        assert!(verify(&["--nonce", "N", "--at", "2026-11-22T10:00:00Z"]).is_ok());
        assert!(verify(&["--access"]).is_ok());
        assert!(verify(&[]).is_err(), "an ID token has a nonce");
        assert!(verify(&["--access", "--nonce", "N"]).is_err());
        for arguments in [
            &["demo", "--people", "50", "--count", "5000"][..],
            &["run", "--bootstrap-servers", "kafka:9092"],
            &["produce", "--seed", "7", "--count", "9", "--rate", "0", "--output", "a"],
            &["replay", "--input", "a.jsonl", "--topic", "logins-gold", "--erasures", "b.jsonl"],
            &["erase", "1234", "--bootstrap-servers", "kafka:9092"],
        ] {
            let all = ["login-lake"].iter().chain(arguments);
            assert!(Cli::try_parse_from(all).is_ok(), "{arguments:?}");
        }
        assert!(Cli::try_parse_from(["login-lake", "demo", "--people", "0"]).is_err());
    }
}
