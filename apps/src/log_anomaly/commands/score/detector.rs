//! `log-anomaly score detector DIR`: each series from its beginning, one threshold for all of them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::log_anomaly::detector::{Detector, Labelled, PROFILES, Scored, Verdict, load, verdict};

/// A score of so much is an alarm.
const ALARM: f64 = 0.5;

/// Prints what the scores are worth in each profile of the benchmark, with the best threshold and at
/// 0.5, and what they are worth in each group alone.
#[expect(clippy::disallowed_methods, reason = "real time is what is measured here")]
pub(super) fn run(dir: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let series = load(dir)?;
    let begun = Instant::now();
    let scored: Vec<Scored> = series.into_iter().map(scored).collect();
    report(&scored, begun.elapsed(), out)
}

fn scored(series: Labelled) -> Scored {
    let mut detector = Detector::default();
    let rows = series.times.iter().zip(&series.values);
    let scores = rows.map(|(at, value)| detector.score(*at, *value)).collect();
    Scored { series, scores }
}

fn report(scored: &[Scored], took: Duration, out: &mut impl Write) -> anyhow::Result<()> {
    let points: usize = scored.iter().map(|it| it.scores.len()).sum();
    let windows: usize = scored.iter().map(|it| it.series.windows.len()).sum();
    let each = took.as_secs_f64() * 1e9 / points.max(1) as f64;
    writeln!(
        out,
        "{} series, {points} points, {windows} windows: {each:.0} ns/point",
        scored.len()
    )?;
    writeln!(out, "{:<36} {:>6} {:>12} {:>7}", "profile", "best", "at threshold", "at 0.5")?;
    for profile in &PROFILES {
        line(out, profile.name, verdict(scored, profile, ALARM))?;
    }
    let [standard, ..] = &PROFILES;
    for name in groups(scored) {
        let found = verdict(of_group(scored, name), standard, ALARM);
        line(out, &format!("standard, {name}"), found)?;
    }
    Ok(())
}

fn line(out: &mut impl Write, name: &str, verdict: Verdict) -> anyhow::Result<()> {
    let Verdict { best, threshold, at_alarm } = verdict;
    writeln!(out, "{name:<36} {best:>6.2} {threshold:>12.4} {at_alarm:>7.2}")?;
    Ok(())
}

fn group(scored: &Scored) -> &str {
    scored.series.name.split_once('/').map_or("", |(folder, _)| folder)
}

/// The folders, if there are several.
fn groups(scored: &[Scored]) -> BTreeSet<&str> {
    let groups: BTreeSet<&str> = scored.iter().map(group).collect();
    if groups.len() > 1 { groups } else { BTreeSet::new() }
}

fn of_group<'a>(scored: &'a [Scored], name: &str) -> impl Iterator<Item = &'a Scored> {
    scored.iter().filter(move |it| group(it) == name)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The two open groups of the benchmark, where they lie beside the checkout.
    fn open_groups() -> Option<Vec<Labelled>> {
        let named = std::env::var_os("MILLSTREAM_NAB").map(PathBuf::from);
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/nab");
        let folder = named.or_else(|| beside.is_dir().then_some(beside))?;
        Some(load(&folder).unwrap())
    }

    #[test]
    fn the_numbers_of_the_open_groups() {
        let Some(series) = open_groups() else { return };
        let scored: Vec<Scored> = series.into_iter().map(scored).collect();
        let [standard, few_false, few_missed] =
            PROFILES.each_ref().map(|profile| verdict(&scored, profile, ALARM));
        assert!(standard.best >= 64.0 && standard.at_alarm >= 62.0, "{standard:?}");
        assert!(few_false.at_alarm >= 50.0 && few_missed.at_alarm >= 67.0);
        // Neither group is carried by the other.
        for name in groups(&scored) {
            let found = verdict(of_group(&scored, name), &PROFILES[0], ALARM);
            assert!(found.at_alarm >= 55.0, "{name}: {found:?}");
        }
        let mut out = Vec::new();
        report(&scored, Duration::from_micros(137_301), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("24 series, 137301 points, 49 windows: 1000 ns/point\n"), "{out}");
        for part in ["\nstandard  ", "\nreward_low_FN_rate  ", "\nstandard, realKnownCause  "] {
            assert!(out.contains(part), "{part} in {out}");
        }
    }

    /// How improbable each value is under the normal distribution of up to 6,400 before it: what the
    /// benchmark calls "windowed Gaussian".
    fn windowed_gaussian(values: &[f64]) -> Vec<f64> {
        let (mut window, mut waiting) = (std::collections::VecDeque::new(), Vec::new());
        let (mut sum, mut squares, mut mean, mut deviation) = (0.0, 0.0, 0.0, 1.0);
        let mut score = |value: &f64| {
            let far = if window.is_empty() { 0.0 } else { (value - mean).abs() / deviation };
            waiting.push(*value);
            if window.len() < 6_400 || waiting.len() == 100 {
                for value in waiting.drain(..) {
                    let gone = if window.len() < 6_400 { 0.0 } else { window.pop_front().unwrap() };
                    (sum, squares) = (sum + value - gone, squares + value * value - gone * gone);
                    window.push_back(value);
                }
                mean = sum / window.len() as f64;
                deviation = (squares / window.len() as f64 - mean * mean).max(0.0).sqrt().max(1e-6);
            }
            let density = (-far * far / 2.0).exp() / std::f64::consts::TAU.sqrt();
            let tail =
                density / far * (1.0 - far.powi(-2) + 3.0 * far.powi(-4) - 15.0 * far.powi(-6));
            // As published: with twelve digits.
            if far < 4.0 { far / 5.0 } else { ((1.0 - tail) * 1e12).round() / 1e12 }
        };
        values.iter().map(&mut score).collect()
    }

    #[test]
    fn the_published_score_of_a_simple_detector_comes_out() {
        let Some(series) = open_groups() else { return };
        let scored = |series: Labelled| {
            let scores = windowed_gaussian(&series.values);
            Scored { series, scores }
        };
        let scored: Vec<Scored> = series.into_iter().map(scored).collect();
        let best = PROFILES.each_ref().map(|profile| verdict(&scored, profile, ALARM).best);
        for (best, published) in best.into_iter().zip([24.30, 6.84, 32.21]) {
            assert!((best - published).abs() < 0.05, "{best} instead of {published}");
        }
    }

    #[test]
    fn groups_are_the_folders_if_there_are_several() {
        let of = |name: &str| {
            let series = Labelled { name: name.to_owned(), ..Labelled::default() };
            Scored { series, scores: Vec::new() }
        };
        let scored = ["a/1.csv", "a/2.csv", "b/3.csv"].map(of);
        assert_eq!(groups(&scored).into_iter().collect::<Vec<_>>(), ["a", "b"]);
        let names = of_group(&scored, "a").map(|it| it.series.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["a/1.csv", "a/2.csv"]);
        assert!(groups(&["a/1.csv", "a/2.csv"].map(of)).is_empty());
    }
}
