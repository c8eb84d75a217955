//! The metrics of the user's own of one instance: what its tasks have committed, and Prometheus' text of it.
//!
//! Tasks come here where a handle is made, and once per commit. The names of the library are refused by their
//! beginnings, so that a metric that it gets later breaks no application.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};

/// So many series may have one name; a label that takes any text would fill the memory of whoever collects them.
const SERIES_MAX: usize = 100;
/// The value of all labels of those beyond.
const OTHER: &str = "other";
/// More bounds say no more, and each is a series.
const BOUNDS_MAX: usize = 50;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A series that a processor asks for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    kind: Kind,
    name: &'a str,
    help: &'a str,
    labels: &'a [(&'a str, &'a str)],
    bounds: &'a [f64],
}

impl<'a> Wanted<'a> {
    pub(super) fn counter(name: &'a str, help: &'a str, labels: &'a [(&'a str, &'a str)]) -> Self {
        Self { kind: Kind::Counter, name, help, labels, bounds: &[] }
    }

    pub(super) fn gauge(name: &'a str, help: &'a str, labels: &'a [(&'a str, &'a str)]) -> Self {
        Self { kind: Kind::Gauge, name, help, labels, bounds: &[] }
    }

    pub(super) fn histogram(
        name: &'a str,
        help: &'a str,
        labels: &'a [(&'a str, &'a str)],
        bounds: &'a [f64],
    ) -> Self {
        Self { kind: Kind::Histogram, name, help, labels, bounds }
    }

    /// Why it cannot be, if it cannot.
    fn refusal(&self) -> Option<String> {
        let ends = |suffix: &str| self.name.ends_with(suffix);
        if !is_name(self.name) {
            return Some("a name has letters, digits and '_', and no digit first".to_owned());
        }
        for prefix in ["millstream_", "process_"] {
            if self.name.starts_with(prefix) {
                return Some(format!("names that begin with {prefix} are the library's"));
            }
        }
        if (self.kind == Kind::Counter) != ends("_total") {
            return Some("counters, and nothing else, end with _total".to_owned());
        }
        if let Some(suffix) = ["_bucket", "_sum", "_count"].into_iter().find(|it| ends(it)) {
            return Some(format!("{suffix} is how the series of histograms end"));
        }
        if let Some((label, _)) = self.labels.iter().find(|(label, _)| !is_label(label)) {
            return Some(format!(
                "the label {label:?}: letters, digits and '_', no digit and not '__' first, not application or le"
            ));
        }
        let mut names: Vec<&str> = self.labels.iter().map(|(label, _)| *label).collect();
        names.sort_unstable();
        if let Some(label) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            return Some(format!("the label {label:?} twice"));
        }
        if self.kind != Kind::Histogram {
            return None;
        }
        let ascends = self.bounds.windows(2).all(|pair| pair.first() < pair.last());
        let are_numbers = self.bounds.iter().all(|bound| bound.is_finite());
        let count = self.bounds.len();
        (!(ascends && are_numbers && (1..=BOUNDS_MAX).contains(&count)))
            .then(|| format!("a histogram has from 1 to {BOUNDS_MAX} bounds, ascending numbers"))
    }

    /// In what it differs from one of the same name, if it does.
    fn differs_from(&self, family: &Family) -> Option<&'static str> {
        let mut labels = self.labels.iter().map(|(label, _)| *label);
        if self.kind != family.kind {
            Some("type")
        } else if self.help != family.help {
            Some("help")
        } else if !family.labels.iter().map(String::as_str).eq(labels.by_ref()) {
            Some("labels")
        } else if self.bounds != family.bounds {
            Some("bounds")
        } else {
            None
        }
    }
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().next().is_some_and(|first| !first.is_ascii_digit()) && name.chars().all(legal)
}

fn is_label(label: &str) -> bool {
    is_name(label) && !label.starts_with("__") && !["application", "le"].contains(&label)
}

/// A series on the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeriesId {
    family: usize,
    series: usize,
}

/// What a task says of a series: what was counted since it last said so, or what is held now.
pub(super) enum Reading {
    Counted(u64),
    Held(f64),
    Observed { counts: Vec<u64>, sum: f64 },
}

/// A task, as far as gauges are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder(u64);

/// All series of one name.
#[derive(Debug)]
struct Family {
    kind: Kind,
    name: String,
    help: String,
    labels: Vec<String>,
    bounds: Vec<f64>,
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    values: Vec<String>,
    total: Total,
}

#[derive(Debug)]
enum Total {
    Counter(u64),
    Gauge(BTreeMap<Holder, f64>),
    Histogram { counts: Vec<u64>, sum: f64 },
}

#[derive(Debug, Default)]
struct Families {
    all: Vec<Family>,
    holders: u64,
}

/// The board of an instance; a clone is the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeterBoard(Arc<Mutex<Families>>);

impl MeterBoard {
    fn families(&self) -> MutexGuard<'_, Families> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another task.
    pub(super) fn enters(&self) -> Holder {
        let mut families = self.families();
        families.holders += 1;
        Holder(families.holders)
    }

    /// A task is gone, with what it held.
    pub(super) fn leaves(&self, holder: Holder) {
        for family in &mut self.families().all {
            for series in &mut family.series {
                if let Total::Gauge(held) = &mut series.total {
                    held.remove(&holder);
                }
            }
        }
    }

    /// The place of a series, which is made if it is new.
    ///
    /// # Errors
    /// `Config` for one that cannot be.
    pub(super) fn series(&self, wanted: &Wanted<'_>) -> Result<SeriesId> {
        let refused = |why: &str| Error::Config(format!("the metric {}: {why}", wanted.name));
        if let Some(why) = wanted.refusal() {
            return Err(refused(&why));
        }
        let mut families = self.families();
        let known = families.all.iter().position(|family| family.name == wanted.name);
        let family = known.unwrap_or_else(|| {
            families.all.push(Family::of(wanted));
            families.all.len() - 1
        });
        let Some(of) = families.all.get_mut(family) else { return Err(refused("it is lost")) };
        if let Some(what) = wanted.differs_from(of) {
            return Err(refused(&format!("there is one with another {what}")));
        }
        let series = of.place(wanted.labels.iter().map(|(_, value)| *value));
        Ok(SeriesId { family, series })
    }

    /// What a task has committed.
    pub(super) fn takes(
        &self,
        holder: Holder,
        readings: impl Iterator<Item = (SeriesId, Reading)>,
    ) {
        let mut families = self.families();
        for (SeriesId { family, series }, reading) in readings {
            let family = families.all.get_mut(family);
            let total = family.and_then(|family| family.series.get_mut(series));
            match (total.map(|series| &mut series.total), reading) {
                (Some(Total::Counter(total)), Reading::Counted(more)) => {
                    *total = total.wrapping_add(more);
                }
                (Some(Total::Gauge(held)), Reading::Held(now)) => drop(held.insert(holder, now)),
                (
                    Some(Total::Histogram { counts, sum }),
                    Reading::Observed { counts: more, sum: add },
                ) => {
                    counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
                    *sum += add;
                }
                // A handle is of the kind of its series.
                _ => {}
            }
        }
    }

    /// All series in Prometheus' text format.
    pub(crate) fn text(&self, application_id: &str) -> String {
        let families = self.families();
        let mut all: Vec<&Family> = families.all.iter().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let mut text = String::new();
        for family in all {
            family.write(application_id, &mut text);
        }
        text
    }
}

impl Family {
    fn of(wanted: &Wanted<'_>) -> Self {
        Self {
            kind: wanted.kind,
            name: wanted.name.to_owned(),
            help: wanted.help.to_owned(),
            labels: wanted.labels.iter().map(|(label, _)| (*label).to_owned()).collect(),
            bounds: wanted.bounds.to_vec(),
            series: Vec::new(),
        }
    }

    /// The place of the series with these values of the labels; that of the others if there is no room.
    fn place<'v>(&mut self, values: impl Iterator<Item = &'v str>) -> usize {
        let mut values: Vec<&str> = values.collect();
        let find = |values: &[&str]| self.series.iter().position(|it| it.values == values);
        let mut known = find(&values);
        if known.is_none() && self.series.len() >= SERIES_MAX {
            values.fill(OTHER);
            known = find(&values);
        }
        if let Some(known) = known {
            return known;
        }
        let total = match self.kind {
            Kind::Counter => Total::Counter(0),
            Kind::Gauge => Total::Gauge(BTreeMap::new()),
            Kind::Histogram => {
                Total::Histogram { counts: vec![0; self.bounds.len() + 1], sum: 0.0 }
            }
        };
        let values = values.into_iter().map(str::to_owned).collect();
        self.series.push(Series { values, total });
        self.series.len() - 1
    }

    fn write(&self, application_id: &str, into: &mut String) {
        let name = &self.name;
        let help = self.help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing into a string does not fail.
        let _ = write!(into, "# HELP {name} {help}\n# TYPE {name} {}\n", self.kind.label());
        for series in &self.series {
            let labels = self.labels.iter().map(String::as_str).chain(["application"]);
            let values = series.values.iter().map(String::as_str).chain([application_id]);
            let pair = |(label, value)| format!("{label}=\"{}\"", escaped(value));
            let labels: Vec<String> = labels.zip(values).map(pair).collect();
            let labels = labels.join(",");
            let _ = match &series.total {
                Total::Counter(count) => writeln!(into, "{name}{{{labels}}} {count}"),
                Total::Gauge(held) => {
                    let sum: f64 = held.values().sum();
                    // The sum of nothing is -0.
                    writeln!(into, "{name}{{{labels}}} {}", number(sum + 0.0))
                }
                Total::Histogram { counts, sum } => {
                    self.write_histogram(&labels, counts, *sum, into);
                    Ok(())
                }
            };
        }
    }

    fn write_histogram(&self, labels: &str, counts: &[u64], sum: f64, into: &mut String) {
        let (name, mut below) = (&self.name, 0);
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, count) in bounds.zip(counts) {
            below += count;
            let le = number(bound);
            let _ = writeln!(into, "{name}_bucket{{{labels},le=\"{le}\"}} {below}");
        }
        let _ = writeln!(into, "{name}_sum{{{labels}}} {}", number(sum));
        let _ = writeln!(into, "{name}_count{{{labels}}} {below}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::meters::{Meters, OwnMetrics};

    fn text(board: &MeterBoard) -> Vec<String> {
        let text = board.text("app");
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn names_and_labels_that_cannot_be_are_refused() {
        let board = MeterBoard::default();
        let no = |wanted: Wanted<'_>| board.series(&wanted).unwrap_err().to_string();
        for (name, part) in [
            ("a b_total", "letters, digits"),
            ("7_total", "no digit first"),
            ("", "letters, digits"),
            ("millstream_x_total", "the library's"),
            ("process_x_total", "the library's"),
            ("orders", "end with _total"),
        ] {
            let error = no(Wanted::counter(name, "", &[]));
            assert!(error.contains(part) && error.contains(name), "{error}");
        }
        assert!(no(Wanted::gauge("open_total", "", &[])).contains("_total"));
        assert!(no(Wanted::gauge("x_count", "", &[])).contains("_count"));
        for label in ["a b", "__x", "le", "application", ""] {
            let error = no(Wanted::gauge("open", "", &[(label, "x")]));
            assert!(error.contains("label"), "{error}");
        }
        assert!(no(Wanted::gauge("open", "", &[("a", "x"), ("a", "y")])).contains("twice"));
        for bounds in [
            vec![],
            vec![2.0, 1.0],
            vec![1.0, 1.0],
            vec![f64::NAN],
            vec![f64::INFINITY],
            vec![0.0; 51],
        ] {
            assert!(
                no(Wanted::histogram("size", "", &[], &bounds)).contains("bounds"),
                "{bounds:?}"
            );
        }
        assert_eq!(text(&board), Vec::<String>::new());
    }

    #[test]
    fn a_name_is_one_thing() {
        let board = MeterBoard::default();
        let (mut one, mut other) = (Meters::of(&board), Meters::of(&board));
        let (mut one, mut other) = (OwnMetrics::of(&mut one), OwnMetrics::of(&mut other));
        one.histogram("size", "help", &[("a", "x")], &[1.0]).unwrap();
        let mut no = |of: &dyn Fn(&mut OwnMetrics<'_>) -> String, part: &str| {
            let error = of(&mut other);
            assert!(error.contains("size") && error.contains(part), "{error}");
        };
        no(&|own| own.gauge("size", "help", &[("a", "x")]).unwrap_err().to_string(), "type");
        let histogram = |own: &mut OwnMetrics<'_>, help: &str, label: &str, bound: f64| {
            own.histogram("size", help, &[(label, "x")], &[bound]).unwrap_err().to_string()
        };
        no(&|own| histogram(own, "else", "a", 1.0), "help");
        no(&|own| histogram(own, "help", "b", 1.0), "labels");
        no(&|own| histogram(own, "help", "a", 2.0), "bounds");
        other.histogram("size", "help", &[("a", "y")], &[1.0]).unwrap();
    }

    #[test]
    fn tasks_add_up_what_they_commit_and_take_their_gauges_with_them() {
        let board = MeterBoard::default();
        let (mut one, mut other) = (Meters::of(&board), Meters::of(&board));
        let make = |meters: &mut Meters| {
            let mut own = OwnMetrics::of(meters);
            let labels = [("kind", "a\"b\\c\nd")];
            let count = own.counter("n_total", "Of \\ all.\nAll.", &labels).unwrap();
            assert_eq!(
                own.counter("n_total", "Of \\ all.\nAll.", &labels).map(drop).ok(),
                Some(())
            );
            (
                count,
                own.gauge("held", "h", &[]).unwrap(),
                own.histogram("ms", "m", &[], &[1.0, 2.5]).unwrap(),
            )
        };
        let (first, second) = (make(&mut one), make(&mut other));
        for (count, held, ms) in [&first, &second] {
            count.inc();
            held.set(2.0);
            held.add(0.5);
            [0.5, 1.0, 2.0, 9.0].into_iter().for_each(|value| ms.observe(value));
        }
        let line = "n_total{kind=\"a\\\"b\\\\c\\nd\",application=\"app\"}";
        let of = |name: &str| {
            let all = text(&board);
            let found = all.iter().find(|line| line.starts_with(name)).cloned().unwrap();
            found.rsplit_once(' ').unwrap().1.to_owned()
        };
        assert_eq!((of(line), of("held"), of("ms_count")), ("0".into(), "0".into(), "0".into()));
        one.carry();
        assert_eq!((of(line), of("held"), of("ms_count")), ("1".into(), "2.5".into(), "4".into()));
        other.carry();
        other.carry();
        assert_eq!((of(line), of("held"), of("ms_sum")), ("2".into(), "5".into(), "25".into()));
        let buckets: Vec<String> = ["1", "2.5", "+Inf"]
            .map(|le| of(&format!("ms_bucket{{application=\"app\",le=\"{le}\"}}")))
            .into();
        assert_eq!(buckets, ["4", "6", "8"]);
        // What an abort takes back.
        second.0.add(100);
        second.2.observe(1.0);
        other.forget();
        other.carry();
        first.0.add(100);
        drop(one);
        assert_eq!((of(line), of("held"), of("ms_count")), ("2".into(), "2.5".into(), "8".into()));
        assert!(
            board
                .text("app")
                .contains("# HELP n_total Of \\\\ all.\\nAll.\n# TYPE n_total counter\n")
        );
    }

    #[test]
    fn series_are_bounded() {
        let board = MeterBoard::default();
        let mut meters = Meters::of(&board);
        let mut own = OwnMetrics::of(&mut meters);
        for id in 0..150 {
            let id = format!("id-{id}");
            own.counter("seen_total", "s", &[("id", &id)]).unwrap().inc();
        }
        own.counter("seen_total", "s", &[("id", "id-7")]).unwrap().inc();
        meters.carry();
        let lines = text(&board);
        assert_eq!(lines.len(), 101);
        let has = |line: &str| assert!(lines.iter().any(|it| it == line), "{line}: {lines:?}");
        has("seen_total{id=\"id-7\",application=\"app\"} 2");
        has("seen_total{id=\"other\",application=\"app\"} 50");
    }
}
