//! The rules of the Numenta Anomaly Benchmark (NAB 1.1): what an alarm is worth.
//!
//! Each series has windows around its anomalies. The earliest alarm in a window counts, up to 1 at its
//! left edge and nothing at its right one; a window without an alarm costs [`Profile::missed`]. Each
//! alarm outside costs up to [`Profile::false_alarm`], less shortly behind a window. The first 15 % of
//! a series, at most 750 rows, are for learning and do not count. 0 is who says nothing, 100 who is
//! right at the first moment always.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use millstream::record::Timestamp;

use crate::log_anomaly::series::{Rows, time};

/// The part of a series that does not count, and the rows of which it is a part at most.
const LEARNING: f64 = 0.15;
const LEARNING_ROWS_MAX: usize = 750;

/// One series with its windows.
#[derive(Debug, Default)]
pub struct Labelled {
    /// `folder/file.csv`.
    pub name: String,
    /// Of each row.
    pub times: Vec<Timestamp>,
    /// Of each row.
    pub values: Vec<f64>,
    /// In order; none overlaps another.
    pub windows: Vec<Span>,
}

/// A window: its first and its last row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    first: usize,
    last: usize,
}

/// What mistakes cost.
#[derive(Debug)]
pub struct Profile {
    /// Its name in the benchmark.
    pub name: &'static str,
    false_alarm: f64,
    missed: f64,
}

/// The three of the benchmark.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", false_alarm: 0.11, missed: 1.0 },
    Profile { name: "reward_low_FP_rate", false_alarm: 0.22, missed: 1.0 },
    Profile { name: "reward_low_FN_rate", false_alarm: 0.11, missed: 2.0 },
];

/// The result over some series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    /// With the threshold for which it is best.
    pub best: f64,
    /// That threshold; infinite if it is best to say nothing.
    pub threshold: f64,
    /// With the threshold asked for.
    pub at_alarm: f64,
}

/// A series with a score for each of its rows.
#[derive(Debug)]
pub struct Scored {
    /// The series.
    pub series: Labelled,
    /// Of each row.
    pub scores: Vec<f64>,
}

/// One row that counts.
#[derive(Clone, Copy, Debug)]
struct Point {
    score: f64,
    /// What an alarm here is worth, before the weights of a profile.
    worth: f64,
    window: Option<usize>,
}

/// Reads the series that `windows.json` of a folder names.
///
/// # Errors
/// A file that is not there or cannot be read; a window that does not begin and end at a row.
pub fn load(folder: &Path) -> anyhow::Result<Vec<Labelled>> {
    let path = folder.join("windows.json");
    let named = || path.display().to_string();
    let text = std::fs::read(&path).with_context(named)?;
    let labels: BTreeMap<String, Vec<[String; 2]>> =
        serde_json::from_slice(&text).with_context(named)?;
    anyhow::ensure!(!labels.is_empty(), "{}: it names no series", named());
    labels.into_iter().map(|(name, windows)| labelled(folder, name, &windows)).collect()
}

fn labelled(folder: &Path, name: String, windows: &[[String; 2]]) -> anyhow::Result<Labelled> {
    let path = folder.join(&name);
    let mut rows = Rows::open(&path)?;
    let mut series = Labelled { name, ..Labelled::default() };
    while let Some(row) = rows.next().with_context(|| path.display().to_string())? {
        series.times.push(row.at);
        series.values.push(row.value);
    }
    let row_at = |text: &String| {
        let found = time(text).and_then(|at| series.times.iter().position(|it| *it == at));
        found.with_context(|| format!("windows.json: {} has no row at {text}", series.name))
    };
    let spans = windows.iter().map(|[from, to]| {
        let span = Span { first: row_at(from)?, last: row_at(to)? };
        anyhow::ensure!(
            span.first <= span.last,
            "windows.json: {from} to {to} ends before it begins"
        );
        Ok(span)
    });
    let mut spans = spans.collect::<anyhow::Result<Vec<_>>>()?;
    spans.sort_by_key(|span| span.first);
    let apart = spans.is_sorted_by(|one, next| one.last < next.first);
    anyhow::ensure!(apart, "windows.json: windows of {} overlap", series.name);
    series.windows = spans;
    Ok(series)
}

/// What the scores of some series are worth, with one threshold for all of them; `alarm` is the
/// threshold of interest.
pub fn verdict<'a>(
    scored: impl IntoIterator<Item = &'a Scored>,
    profile: &Profile,
    alarm: f64,
) -> Verdict {
    let mut points = Vec::new();
    let mut windows = 0;
    for Scored { series, scores } in scored {
        points.extend(series.points(scores, windows));
        windows += series.windows.len();
    }
    // A window of which no row counts can be neither met nor missed, but belongs to perfection.
    let mut worths: BTreeMap<usize, f64> =
        points.iter().filter_map(|point| point.window).map(|it| (it, -profile.missed)).collect();
    let silent = -profile.missed * worths.len() as f64;
    let in_percent = |total: f64| 100.0 * (total - silent) / (windows as f64 - silent);
    points.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut verdict = Verdict { threshold: f64::INFINITY, ..Verdict::default() };
    let mut total = silent;
    for same in points.chunk_by(|a, b| a.score == b.score) {
        for point in same {
            total += match point.window.and_then(|window| worths.get_mut(&window)) {
                None => point.worth * profile.false_alarm,
                Some(worth) => {
                    let before = std::mem::replace(worth, worth.max(point.worth));
                    *worth - before
                }
            };
        }
        let Some(threshold) = same.first().map(|point| point.score) else { continue };
        if in_percent(total) > verdict.best {
            verdict.best = in_percent(total);
            verdict.threshold = threshold;
        }
        if threshold >= alarm {
            verdict.at_alarm = in_percent(total);
        }
    }
    verdict
}

impl Labelled {
    /// The rows that count. Windows are numbered from `first_window` on.
    fn points(&self, scores: &[f64], first_window: usize) -> Vec<Point> {
        let rows = self.times.len();
        let learning = ((LEARNING * rows as f64).floor() as usize).min(LEARNING_ROWS_MAX);
        let mut windows = self.windows.iter().zip(first_window..).peekable();
        let mut before: Option<Span> = None;
        let mut points = Vec::with_capacity(rows - learning);
        for (row, score) in scores.iter().enumerate() {
            while let Some((over, _)) = windows.next_if(|(window, _)| window.last < row) {
                before = Some(*over);
            }
            let inside = windows.peek().filter(|(window, _)| window.first <= row);
            let (worth, window) = match inside {
                Some((window, number)) => (window.hit(row), Some(*number)),
                None => (before.map_or(-1.0, |before| before.passed(row)), None),
            };
            if row >= learning {
                points.push(Point { score: *score, worth, window });
            }
        }
        points
    }
}

impl Span {
    fn width(self) -> f64 {
        (self.last - self.first + 1) as f64
    }

    /// What an alarm at a row of this window is worth: 1 at its left edge, nearly 0 at its right one.
    fn hit(self, row: usize) -> f64 {
        let left = (self.last - row + 1) as f64;
        sigmoid(-left / self.width()) / sigmoid(-1.0)
    }

    /// What an alarm behind this window is worth: from nearly 0 to -1.
    fn passed(self, row: usize) -> f64 {
        let far = (row - self.last) as f64 / (self.width() - 1.0);
        if far > 3.0 { -1.0 } else { sigmoid(far) }
    }
}

/// From 1 far before an edge through 0 at it to -1 far behind it, in widths of the window.
fn sigmoid(place: f64) -> f64 {
    2.0 / (1.0 + (5.0 * place).exp()) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: &Profile = &PROFILES[0];

    /// 1,000 rows; 150 do not count.
    fn series(windows: &[(usize, usize)]) -> Labelled {
        Labelled {
            name: "made/up.csv".to_owned(),
            times: (0..1_000).map(Timestamp).collect(),
            values: vec![0.0; 1_000],
            windows: windows
                .iter()
                .map(|(first, last)| Span { first: *first, last: *last })
                .collect(),
        }
    }

    fn with_alarms(windows: &[(usize, usize)], alarms: &[usize], profile: &Profile) -> Verdict {
        let mut scores = vec![0.0; 1_000];
        alarms.iter().for_each(|row| scores[*row] = 1.0);
        verdict(&[Scored { series: series(windows), scores }], profile, 0.5)
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }

    #[test]
    fn who_says_nothing_has_0_and_who_is_right_at_once_100() {
        for profile in &PROFILES {
            let windows = [(300, 349), (700, 749)];
            assert_eq!(with_alarms(&windows, &[], profile).at_alarm, 0.0);
            close(with_alarms(&windows, &[300, 700], profile).at_alarm, 100.0);
            close(with_alarms(&windows, &[300, 320, 349, 700], profile).at_alarm, 100.0);
        }
    }

    #[test]
    fn an_alarm_in_a_window_is_worth_less_the_later_it_comes() {
        let at = |row| with_alarms(&[(300, 349)], &[row], STANDARD).at_alarm;
        // In the middle: (2 / (1 + e^-2.5) - 1) / 0.98661 instead of 1, of two from a miss to perfect.
        close(at(325), 100.0 * (1.0 + 0.848_283_64 / 0.986_614_30) / 2.0);
        close(at(349), 100.0 * (1.0 + 0.049_958_37 / 0.986_614_30) / 2.0);
    }

    #[test]
    fn an_alarm_outside_costs_more_the_farther_it_is_behind_a_window() {
        let cost = |row, profile| {
            200.0 / 100.0 * (100.0 - with_alarms(&[(300, 349)], &[300, row], profile).at_alarm)
        };
        close(cost(200, STANDARD), 11.0);
        close(cost(200, &PROFILES[1]), 22.0);
        close(cost(350, STANDARD), 11.0 * 0.050_976_18);
        close(cost(398, STANDARD), 11.0 * 0.986_614_30);
        close(cost(900, STANDARD), 11.0);
    }

    #[test]
    fn a_missed_window_costs_what_the_profile_says() {
        let half = |profile| with_alarms(&[(300, 349), (700, 749)], &[300], profile).at_alarm;
        close(half(STANDARD), 50.0);
        close(half(&PROFILES[2]), 50.0);
        let with_false = |profile| with_alarms(&[(300, 349)], &[200], profile).at_alarm;
        close(with_false(STANDARD), -5.5);
        close(with_false(&PROFILES[2]), -11.0 / 3.0);
    }

    #[test]
    fn the_first_rows_do_not_count() {
        assert_eq!(with_alarms(&[(300, 349)], &[0, 149], STANDARD).at_alarm, 0.0);
        close(with_alarms(&[(300, 349)], &[150], STANDARD).at_alarm, -5.5);
        let long = Labelled { times: vec![Timestamp(0); 10_000], ..Labelled::default() };
        assert_eq!(long.points(&[0.0; 10_000], 0).len(), 9_250);
        // Begun while learning: it can still be met, for what is left of it.
        let late = with_alarms(&[(100, 199)], &[120, 150], STANDARD).at_alarm;
        close(late, 100.0 * (1.0 + 0.848_283_64 / 0.986_614_30) / 2.0);
        // Over while learning: nobody can meet it.
        close(with_alarms(&[(50, 99), (300, 349)], &[300], STANDARD).at_alarm, 100.0 * 2.0 / 3.0);
    }

    #[test]
    fn one_threshold_is_the_best_for_all() {
        let mut scores = vec![0.1; 1_000];
        (scores[300], scores[200], scores[700], scores[900]) = (0.9, 0.8, 0.7, 0.6);
        let all = |scores| [Scored { series: series(&[(300, 349), (700, 749)]), scores }];
        let found = verdict(&all(scores), STANDARD, 0.75);
        assert_eq!(found.threshold, 0.7);
        close(found.best, 100.0 * (4.0 - 0.11) / 4.0);
        close(found.at_alarm, 100.0 * (2.0 - 0.11) / 4.0);
        let nothing = verdict(&all(vec![0.5; 1_000]), STANDARD, 0.6);
        assert_eq!(nothing, Verdict { best: 0.0, threshold: f64::INFINITY, at_alarm: 0.0 });
    }

    #[test]
    fn a_folder_that_is_not_whole_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = || format!("{:#}", load(folder.path()).unwrap_err());
        assert!(refused().contains("windows.json"), "{}", refused());
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("windows.json", "{}");
        assert!(refused().contains("names no series"), "{}", refused());
        write(
            "windows.json",
            r#"{"a.csv": [["2026-01-01 00:00:00.000000", "2026-01-03 00:00:00"]]}"#,
        );
        assert!(refused().contains("a.csv"), "{}", refused());
        write("a.csv", "timestamp,value\n2026-01-01 00:00:00,1\n2026-01-02 00:00:00,x\n");
        assert!(refused().contains("a.csv: line 3"), "{}", refused());
        write("a.csv", "timestamp,value\n2026-01-01 00:00:00,1\n2026-01-02 00:00:00,2\n");
        assert!(refused().contains("no row at 2026-01-03"), "{}", refused());
        write("a.csv", "timestamp,value\n2026-01-01 00:00:00,1\n2026-01-03 00:00:00,2\n");
        assert_eq!(load(folder.path()).unwrap()[0].windows, [Span { first: 0, last: 1 }]);
        let (from, to) = (r#""2026-01-01 00:00:00""#, r#""2026-01-03 00:00:00""#);
        write("windows.json", &format!(r#"{{"a.csv": [[{to}, {from}]]}}"#));
        assert!(refused().contains("ends before it begins"), "{}", refused());
        write("windows.json", &format!(r#"{{"a.csv": [[{from}, {to}], [{to}, {to}]]}}"#));
        assert!(refused().contains("overlap"), "{}", refused());
    }
}
