//! Topics and records from the command line: `deploy/kafka/kafka topic`, `produce` and `consume`.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};
use millstream_tests::kafka::{Broker, SCRIPT, unique};

/// Runs the script against the shared broker, with this as its standard input.
fn run(broker: &Broker, arguments: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut child = Command::new(SCRIPT)
        .args(arguments)
        .args(["--bootstrap-servers", broker.bootstrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("a standard input")?;
    // Who refuses its arguments does not read.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(written.is_ok() || !output.status.success(), "nobody read the input");
    Ok(output)
}

fn done(broker: &Broker, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let output = run(broker, arguments, input)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

fn refused(broker: &Broker, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let output = run(broker, arguments, input)?;
    ensure!(!output.status.success(), "{arguments:?} went well");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn topics_come_and_go_by_command() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let name = unique("by.command");
    let create =
        ["topic", "create", &name, "--partitions", "3", "--config", "cleanup.policy=compact"];
    done(&broker, &create, "")?;
    // The second time it is left as it is.
    done(&broker, &["topic", "create", &name], "")?;
    let listed = done(&broker, &["topic", "list"], "")?;
    assert!(listed.lines().any(|line| line == name), "{listed}");
    let described = done(&broker, &["topic", "describe", &name], "")?;
    for part in ["PartitionCount: 3", "cleanup.policy=compact", "Partition: 2"] {
        assert!(described.contains(part), "{part}: {described}");
    }
    // A name is no pattern.
    let like_it = name.replace('.', "x");
    done(&broker, &["topic", "create", &like_it], "")?;
    done(&broker, &["topic", "delete", &name], "")?;
    let listed = done(&broker, &["topic", "list"], "")?;
    assert!(listed.lines().any(|line| line == like_it), "{listed}");
    assert!(!listed.lines().any(|line| line == name), "{listed}");
    for impossible in ["two words", ".*", "$(id)"] {
        let said = refused(&broker, &["topic", "create", impossible], "")?;
        assert!(said.contains(&format!("'{impossible}' is no name")), "{said}");
    }
    Ok(())
}

#[test]
fn lines_become_records_and_records_lines() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let name = unique("lines");
    done(&broker, &["topic", "create", &name], "")?;
    let lines = "Ada:engine: analytical\nGrace:$HOME 'x' \"y\" *\nnobody:NONE\nempty:\n";
    done(&broker, &["produce", &name, "--null", "NONE"], lines)?;
    done(&broker, &["produce", &name, "--no-keys"], "a line: with no key\n")?;
    done(&broker, &["produce", &name, "--separator", " -> "], "a:b -> c:d\n")?;
    let consumed = done(&broker, &["consume", &name, "--idle-ms", "4000"], "")?;
    let all = "Ada:engine: analytical\nGrace:$HOME 'x' \"y\" *\nnobody:null\nempty:\n\
               null:a line: with no key\na:b:c:d\n";
    assert_eq!(consumed, all);
    let two = ["consume", &name, "--count", "2", "--separator", "\t"];
    let first = "Ada\tengine: analytical\nGrace\t$HOME 'x' \"y\" *\n";
    assert_eq!(done(&broker, &two, "")?, first);
    Ok(())
}

#[test]
fn what_cannot_be_done_is_said() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let missing = unique("missing");
    for verb in ["produce", "consume"] {
        let said = refused(&broker, &[verb, &missing], "k:v\n")?;
        assert!(said.contains(&missing) && said.contains("does not exist"), "{said}");
    }
    let listed = done(&broker, &["topic", "list"], "")?;
    assert!(!listed.lines().any(|line| line == missing), "looking for it has created it");
    let name = unique("strict");
    let small = ["topic", "create", &name, "--config", "max.message.bytes=200"];
    done(&broker, &small, "")?;
    let said = refused(&broker, &["produce", &name], "no separator\n")?;
    assert!(said.contains("No key separator") && said.contains("line number 1"), "{said}");
    let said = refused(&broker, &["produce", &name], &format!("k:{}\n", "v".repeat(300)))?;
    assert!(said.contains("RecordTooLarge"), "{said}");
    done(&broker, &["produce", &name], "k:text\n")?;
    let said = refused(&broker, &["consume", &name, "--values", "long", "--count", "1"], "")?;
    assert!(said.contains("LongDeserializer"), "{said}");
    let said = refused(&broker, &["consume", &name, "--count", "0"], "")?;
    assert!(said.contains("--count takes a number"), "{said}");
    Ok(())
}
