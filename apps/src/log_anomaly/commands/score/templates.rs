//! `log-anomaly score templates DIR`.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::log_anomaly::templates::{Miner, Structured, grouping_accuracy};

/// How long the speed of mining is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// Prints the grouping accuracy of each sample of a folder, their mean, and lines per second.
pub(super) fn run(dir: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let samples = Structured::all(dir)?;
    let mut sum = 0.0;
    for sample in &samples {
        let accuracy = accuracy(sample);
        sum += accuracy;
        writeln!(out, "{:<14} {accuracy:.3}", sample.name)?;
    }
    writeln!(out, "{:<14} {:.3}", "mean", sum / samples.len() as f64)?;
    writeln!(out, "{:<14} {:.0}", "lines/s", lines_per_second(&samples))?;
    Ok(())
}

fn accuracy(sample: &Structured) -> f64 {
    let mut miner = Miner::default();
    let found: Vec<_> = sample.lines.iter().map(|line| miner.learn(line).template).collect();
    grouping_accuracy(&found, &sample.templates)
}

/// Of one thread, over all samples again and again.
#[expect(clippy::disallowed_methods, reason = "real time is what is measured here")]
fn lines_per_second(samples: &[Structured]) -> f64 {
    let mut miners: Vec<Miner> = samples.iter().map(|_| Miner::default()).collect();
    let (begun, mut lines) = (Instant::now(), 0_usize);
    while begun.elapsed() < MEASURED {
        for (sample, miner) in samples.iter().zip(&mut miners) {
            for line in &sample.lines {
                miner.learn(line);
            }
            lines += sample.lines.len();
        }
    }
    lines as f64 / begun.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_scored_by_name_with_their_mean() {
        let dir = tempfile::tempdir().unwrap();
        let sample = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        sample("A_structured.csv", "Content,EventId\nchild 1 up,E1\nchild 2 up,E1\n");
        sample("B_structured.csv", "Content,EventId\nchild 1 up,E1\nchild 2 up,E2\n");
        let mut out = Vec::new();
        run(dir.path(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<&str>> =
            out.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[..3], [["A", "1.000"], ["B", "0.000"], ["mean", "0.500"]]);
        assert!(lines[3][1].parse::<f64>().unwrap() > 0.0, "{out}");
    }
}
