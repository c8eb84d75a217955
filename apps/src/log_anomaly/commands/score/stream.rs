//! `log-anomaly score stream FILE`: what of the planted anomalies is found, and what is told beside them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use millstream::record::Headers;

use crate::log_anomaly::anomalies::{Anomaly, Kind, State};
use crate::log_anomaly::commands::produce::{LabelledLine, labels_of};
use crate::log_anomaly::driving::{Drive, each_line};
use crate::log_anomaly::samples::{HEADER, Label};
use crate::log_anomaly::topics;
use crate::log_anomaly::topology::Settings;

/// So long after its last line an episode may still be told: windows close, and are looked at in pairs.
const AFTER_MS: i64 = 90_000;

/// A planted anomaly.
#[derive(Debug)]
struct Episode {
    label: Label,
    from: i64,
    to: i64,
    /// Told by its kind, and how long after its beginning.
    found: Option<i64>,
}

impl Episode {
    fn covers(&self, anomaly: &Anomaly, at: i64) -> bool {
        let is_of_it = match &self.label.address {
            Some(address) => anomaly.subject == *address || anomaly.service == self.label.service,
            None => anomaly.service == self.label.service,
        };
        is_of_it && (self.from..=self.to + AFTER_MS).contains(&at)
    }

    fn is_named_by(&self, anomaly: &Anomaly) -> bool {
        let is_address = self.label.address.as_ref().is_none_or(|it| anomaly.subject == *it);
        anomaly.kind == self.label.kind && is_address
    }
}

/// What came of a stream.
#[derive(Debug, Default)]
struct Verdict {
    episodes: Vec<Episode>,
    told: u64,
    /// Told and part of an episode, whatever it was called.
    right: u64,
    wrong: Vec<Anomaly>,
}

impl Verdict {
    fn recall(&self) -> f64 {
        let found = self.episodes.iter().filter(|it| it.found.is_some()).count();
        found as f64 / self.episodes.len().max(1) as f64
    }

    fn precision(&self) -> f64 {
        self.right as f64 / self.told.max(1) as f64
    }

    /// Takes in an anomaly that opened.
    fn take(&mut self, anomaly: Anomaly) -> anyhow::Result<()> {
        let at = anomaly.first_seen.parse::<jiff::Timestamp>()?.as_millisecond();
        self.told += 1;
        let mut is_right = false;
        for episode in self.episodes.iter_mut().filter(|it| it.covers(&anomaly, at)) {
            is_right = true;
            if episode.is_named_by(&anomaly) {
                episode.found.get_or_insert(at - episode.from);
            }
        }
        if is_right {
            self.right += 1;
        } else {
            self.wrong.push(anomaly);
        }
        Ok(())
    }
}

/// Prints each kind with what was planted and found, what was told for nothing, recall and precision.
pub(super) fn run(file: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let (verdict, lines, seconds) = judge(file)?;
    writeln!(out, "{:<16} {:>7} {:>6} {:>12}", "kind", "planted", "found", "found after")?;
    for kind in Kind::ALL {
        let of_it: Vec<&Episode> =
            verdict.episodes.iter().filter(|it| it.label.kind == kind).collect();
        if of_it.is_empty() {
            continue;
        }
        let found: Vec<i64> = of_it.iter().filter_map(|it| it.found).collect();
        let mean = found.iter().sum::<i64>() as f64 / found.len().max(1) as f64 / 1_000.0;
        let (name, planted, found) = (kind.name(), of_it.len(), found.len());
        writeln!(out, "{name:<16} {planted:>7} {found:>6} {mean:>10.1} s")?;
    }
    for wrong in &verdict.wrong {
        let Anomaly { kind, service, subject, why, first_seen, .. } = wrong;
        writeln!(out, "for nothing: {first_seen} {} {service}: {subject}: {why}", kind.name())?;
    }
    let (recall, precision) = (verdict.recall(), verdict.precision());
    writeln!(
        out,
        "recall {recall:.3}  precision {precision:.3}  ({} anomalies told)",
        verdict.told
    )?;
    writeln!(
        out,
        "{lines} lines, {:.0} lines/s through the whole topology",
        lines as f64 / seconds
    )?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "real time is what is measured here")]
fn judge(file: &Path) -> anyhow::Result<(Verdict, u64, f64)> {
    let labels = labels(file)?;
    let mut verdict = Verdict { episodes: episodes(&labels), ..Verdict::default() };
    let reading = || format!("reading {}", file.display());
    let source = BufReader::new(File::open(file).with_context(reading)?);
    let mut drive = Drive::new(&Settings::default())?;
    let begun = Instant::now();
    let mut number = 0;
    let mut told = Vec::new();
    let lines = each_line(source, |line| {
        number += 1;
        let mut headers = Headers::default();
        if let Some(labelled) = labels.get(&number) {
            headers.push(HEADER, Some(serde_json::to_vec(&labelled.label)?));
        }
        drive.feed(line, &headers)?;
        if number % 1_000 == 0 {
            told.extend(drive.written(topics::ANOMALIES)?);
        }
        Ok(())
    })
    .with_context(reading)?;
    let seconds = begun.elapsed().as_secs_f64();
    // What is told when the stream has ended is that it has.
    told.extend(drive.written(topics::ANOMALIES)?);
    for record in told {
        let anomaly: Anomaly = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
        if anomaly.state == State::Open {
            verdict.take(anomaly)?;
        }
    }
    Ok((verdict, lines, seconds))
}

fn labels(file: &Path) -> anyhow::Result<BTreeMap<u64, LabelledLine>> {
    let beside = labels_of(file);
    let reading = || format!("reading {}, which produce --output writes", beside.display());
    let source = BufReader::new(File::open(&beside).with_context(reading)?);
    let mut labels = BTreeMap::new();
    for line in source.lines() {
        let labelled: LabelledLine =
            serde_json::from_str(&line.with_context(reading)?).with_context(reading)?;
        labels.insert(labelled.line, labelled);
    }
    Ok(labels)
}

/// The episodes of planted lines.
fn episodes(labels: &BTreeMap<u64, LabelledLine>) -> Vec<Episode> {
    let mut episodes: BTreeMap<u32, Episode> = BTreeMap::new();
    for LabelledLine { at, label, .. } in labels.values() {
        let episode = episodes.entry(label.episode).or_insert_with(|| Episode {
            label: label.clone(),
            // Lines of some formats have whole seconds only.
            from: at.div_euclid(1_000) * 1_000,
            to: *at,
            found: None,
        });
        episode.to = episode.to.max(*at);
    }
    episodes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(episode: u32, kind: Kind, at: i64) -> LabelledLine {
        let service = "sshd".to_owned();
        let label = Label { episode, kind, service, address: Some("10.0.0.1".to_owned()) };
        LabelledLine { line: u64::from(episode) * 10, at, label }
    }

    fn told(kind: Kind, service: &str, subject: &str, at: &str) -> Anomaly {
        let json = serde_json::json!({
            "id": "1", "kind": kind, "category": "", "severity": "warning", "score": 0.6,
            "service": service, "subject": subject, "value": null, "low": null, "high": null,
            "why": "", "first_seen": at, "last_seen": at, "count": 1, "state": "open", "sample": null,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn an_episode_is_found_by_its_kind_and_explains_what_else_is_told_of_it() {
        let lines = [planted(1, Kind::BruteForce, 0), planted(2, Kind::UserScan, 500_000)];
        let labels = lines.into_iter().map(|it| (it.line, it)).collect();
        let mut verdict = Verdict { episodes: episodes(&labels), ..Verdict::default() };
        let mut take = |kind, service, subject, at| {
            verdict.take(told(kind, service, subject, at)).unwrap();
        };
        take(Kind::BruteForce, "sshd", "10.0.0.1", "1970-01-01T00:00:09Z");
        take(Kind::NewTemplate, "sshd", "ab", "1970-01-01T00:00:09Z");
        take(Kind::NewTemplate, "shop", "ab", "1970-01-01T00:00:09Z");
        take(Kind::UserScan, "sshd", "10.0.0.2", "1970-01-01T00:08:30Z");
        take(Kind::UserScan, "sshd", "10.0.0.1", "1970-01-01T00:12:00Z");
        assert_eq!((verdict.recall(), verdict.told, verdict.right), (0.5, 5, 3));
        assert_eq!(verdict.precision(), 0.6);
        assert_eq!(verdict.episodes[0].found, Some(9_000));
    }

    /// Slower than the command's own, so that it takes a test's time: the ways to the anomalies are the same.
    #[test]
    fn what_is_planted_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lines.txt");
        let produce =
            ["--rate", "5", "--count", "11000", "--anomalies", "0.05", "--seed", "3", "--output"];
        crate::log_anomaly::commands::tests::produce(&produce, &file);
        let (verdict, lines, _) = judge(&file).unwrap();
        assert!(lines == 11_000 && verdict.episodes.len() >= 4, "{:?}", verdict.episodes);
        let found = (verdict.recall(), verdict.precision());
        assert!(found.0 >= 0.9 && found.1 >= 0.8, "{found:?} {verdict:#?}");
        let mut out = Vec::new();
        let missing = dir.path().join("missing.txt");
        let error = format!("{:#}", run(&missing, &mut out).unwrap_err());
        assert!(error.contains("missing.txt.planted"), "{error}");
    }
}
