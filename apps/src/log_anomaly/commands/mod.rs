//! The command line of `log-anomaly`: one file per command.

mod reading;
mod demo;
mod run;
mod produce;
mod replay;
mod templates;
mod detect;
mod score;

use clap::{Parser, Subcommand};

use super::topics;
use crate::program::Application;

const APPLICATION: Application =
    Application { id: "log-anomaly", idle_timeout_ms: "5000", topics: topics::TOPICS };

/// What an application's logs say, as it happens.
#[derive(Debug, Parser)]
#[command(name = "log-anomaly", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sample lines and what is unusual about them, printed live: in this process alone, or on a Kafka
    Demo(demo::Demo),
    /// The application alone: reads lines from Kafka, writes templates, metrics, visits and anomalies
    Run(run::Run),
    /// Sends sample lines to Kafka, or writes them to a file
    Produce(produce::Produce),
    /// A file through the whole application without a broker; what comes out as JSON lines
    Replay(replay::Replay),
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
        Command::Demo(demo) => demo.run(),
        Command::Run(run) => run.run(),
        Command::Produce(produce) => produce.run(),
        Command::Replay(replay) => {
            replay.run(&mut std::io::BufWriter::new(std::io::stdout().lock()))
        }
        Command::Templates(templates) => templates.run(&mut std::io::stdout().lock()),
        Command::Detect(detect) => detect.run(&mut std::io::stdout().lock()),
        Command::Score(score) => score.run(&mut std::io::stdout().lock()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The options of reading lines, as they are unless said otherwise.
    pub(in crate::log_anomaly::commands) fn reading() -> reading::Reading {
        #[derive(Parser)]
        struct Alone {
            #[command(flatten)]
            reading: reading::Reading,
        }
        Alone::parse_from(["alone"]).reading
    }

    /// Writes sample lines to a file.
    pub(in crate::log_anomaly::commands) fn produce(options: &[&str], file: &std::path::Path) {
        let file = file.display().to_string();
        let all = ["log-anomaly", "produce"].iter().chain(options).copied().chain([file.as_str()]);
        match Cli::try_parse_from(all).unwrap().command {
            Command::Produce(produce) => produce.run().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        for arguments in [
            &["detect", "--input", "a.csv"][..],
            &["score", "detector", "data"],
            &["score", "stream", "lines.txt"],
            &["replay", "--input", "a.log", "--topic", "log-anomalies"],
            &["produce", "--seed", "7", "--count", "9", "--anomalies", "0.01", "--output", "a"],
            &["demo", "--rate", "50", "--zone", "Europe/Madrid"],
            &["run", "--bootstrap-servers", "kafka:9092"],
        ] {
            let all = ["log-anomaly"].iter().chain(arguments);
            assert!(Cli::try_parse_from(all).is_ok(), "{arguments:?}");
        }
    }
}
