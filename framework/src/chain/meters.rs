//! Metrics of the user's own, as a processor has them: plain numbers of its task, which the host carries to the
//! instance's [`MeterBoard`] with each commit.
//!
//! | | |
//! |---|---|
//! | counters, histograms | count what is committed: after an abort the same records count once |
//! | gauges | as of the last commit; what an instance shows is the sum over its tasks |
//! | series | at zero from the start; at most 100 of one name, then `other` |
//! | cost | an add to a number of the task; names are looked up where a handle is made, and nowhere else |

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::chain::meter_board::{Holder, MeterBoard, Reading, SeriesId, Wanted};
use crate::error::Result;

/// Counts up; made by [`OwnMetrics::counter`]. A clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct Counter(Rc<Cell<u64>>);

impl Counter {
    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.set(self.0.get().wrapping_add(more));
    }
}

/// A number that goes up and down; made by [`OwnMetrics::gauge`]. Each task has its own, from 0 on; an instance shows
/// their sum. A clone is the same gauge.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Rc<Cell<f64>>);

impl Gauge {
    /// It is this now.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// So much more; less, if it is negative.
    #[inline]
    pub fn add(&self, more: f64) {
        self.0.set(self.0.get() + more);
    }
}

/// Counts values by size; made by [`OwnMetrics::histogram`]. A clone counts into the same.
///
/// That of a `default` counts for nobody, as a counter of that kind.
#[derive(Clone, Default)]
pub struct Histogram(Rc<Buckets>);

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram").field(&self.0.bounds).finish()
    }
}

#[derive(Default)]
struct Buckets {
    bounds: Rc<[f64]>,
    /// One more than there are bounds: what is beyond the last.
    counts: Vec<Cell<u64>>,
    sum: Cell<f64>,
}

impl Histogram {
    /// Counts a value.
    #[inline]
    pub fn observe(&self, value: f64) {
        let Buckets { bounds, counts, sum } = &*self.0;
        // A value that is no number is beyond all bounds.
        let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        if let Some(count) = counts.get(bucket) {
            count.set(count.get() + 1);
        }
        sum.set(sum.get() + value);
    }
}

/// A handle that was given out, by what it counts into.
enum Handle {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// The metrics of one task.
#[derive(Default)]
pub(crate) struct Meters {
    board: MeterBoard,
    holder: Holder,
    handles: Vec<(SeriesId, Handle)>,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").field("handles", &self.handles.len()).finish_non_exhaustive()
    }
}

impl Drop for Meters {
    /// What the task held is not here any more; what it counted and did not commit is counted by who does it again.
    fn drop(&mut self) {
        if !self.handles.is_empty() {
            self.board.leaves(self.holder);
        }
    }
}

impl Meters {
    /// Those of a task that is made.
    pub(crate) fn of(board: &MeterBoard) -> Self {
        Self { board: board.clone(), holder: board.enters(), handles: Vec::new() }
    }

    /// Carries what was counted to the board: it is committed.
    pub(crate) fn carry(&self) {
        if self.handles.is_empty() {
            return;
        }
        let readings = self.handles.iter().map(|(series, handle)| {
            let reading = match handle {
                Handle::Counter(counter) => Reading::Counted(counter.0.take()),
                Handle::Gauge(gauge) => Reading::Held(gauge.0.get()),
                Handle::Histogram(Histogram(buckets)) => Reading::Observed {
                    counts: buckets.counts.iter().map(Cell::take).collect(),
                    sum: buckets.sum.take(),
                },
            };
            (*series, reading)
        });
        self.board.takes(self.holder, readings);
    }

    /// Forgets what was counted since it was last carried.
    pub(crate) fn forget(&self) {
        for (_, handle) in &self.handles {
            match handle {
                Handle::Counter(counter) => counter.0.set(0),
                Handle::Gauge(_) => {}
                Handle::Histogram(Histogram(buckets)) => {
                    buckets.counts.iter().for_each(|count| count.set(0));
                    buckets.sum.set(0.0);
                }
            }
        }
    }

    fn known(&self, series: SeriesId) -> Option<&Handle> {
        self.handles.iter().find(|(known, _)| *known == series).map(|(_, handle)| handle)
    }
}

/// Makes the metrics of a processor, from [`Context::metrics`](crate::Context::metrics): in `init`, since a handle is
/// looked up where it is made, and costs a lookup and a lock each time.
///
/// They are served with the instance's own, each with the label `application`, and count what is committed. Names and
/// labels are Prometheus': letters, digits and `_`, the unit in the name; that of a counter ends with `_total`. Names
/// that begin with `millstream_` or `process_` are the library's. The same name and labels in two processors or tasks
/// are one series; another type, help, label or bucket under a name that exists is an error. A name has at most
/// 100 series; the values of the labels of further ones are `other`.
///
/// ```
/// # use millstream::{BoxError, Context, Processor, StreamsBuilder};
/// # use millstream::record::Record;
/// # use millstream::testing::{TopologyDriver, text};
/// use millstream::{Counter, Gauge, Histogram};
///
/// struct Orders { taken: Counter, refused: Counter, open: Gauge, amounts: Histogram }
///
/// /// Counts orders: `taken AMOUNT`, `refused` and `done`.
/// struct Counting(Option<Orders>);
///
/// impl Processor<String, String> for Counting {
///     type KOut = String;
///     type VOut = String;
///
///     fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
///         let mut metrics = ctx.metrics();
///         let (orders, help) = ("shop_orders_total", "Orders, by what became of them.");
///         self.0 = Some(Orders {
///             taken: metrics.counter(orders, help, &[("outcome", "taken")])?,
///             refused: metrics.counter(orders, help, &[("outcome", "refused")])?,
///             open: metrics.gauge("shop_open_orders", "Orders that are not done.", &[])?,
///             amounts: metrics.histogram("shop_amount_euros", "What orders are worth.", &[], &[10.0, 100.0])?,
///         });
///         Ok(())
///     }
///
///     fn process(&mut self, order: Record<String, String>, _: &mut Context<'_, String, String>) -> Result<(), BoxError> {
///         let Some(orders) = &self.0 else { return Ok(()) };
///         match order.value.split_once(' ') {
///             Some((_, amount)) => {
///                 orders.taken.inc();
///                 orders.open.add(1.0);
///                 orders.amounts.observe(amount.parse()?);
///             }
///             None if order.value == "done" => orders.open.add(-1.0),
///             None => orders.refused.add(1),
///         }
///         Ok(())
///     }
/// }
///
/// let builder = StreamsBuilder::new();
/// builder.stream("orders").process("counting", (), |()| Counting(None)).to("nowhere");
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for value in ["taken 12.5", "taken 3", "done"] {
///     driver.pipe("orders", &text("k", value, 1))?;
/// }
/// let metrics = driver.metrics();
/// for line in [
///     r#"shop_orders_total{outcome="taken",application="app"} 2"#,
///     r#"shop_orders_total{outcome="refused",application="app"} 0"#,
///     r#"shop_open_orders{application="app"} 1"#,
///     r#"shop_amount_euros_bucket{application="app",le="10"} 1"#,
///     r#"shop_amount_euros_sum{application="app"} 15.5"#,
/// ] {
///     assert!(metrics.contains(line), "{line}: {metrics}");
/// }
/// # Ok::<(), BoxError>(())
/// ```
#[derive(Debug)]
pub struct OwnMetrics<'a>(&'a mut Meters);

impl<'a> OwnMetrics<'a> {
    pub(crate) fn of(meters: &'a mut Meters) -> Self {
        Self(meters)
    }

    /// A counter with these labels and their values.
    ///
    /// # Errors
    /// `Config` for a name or label that cannot be, or that is something else already.
    pub fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Counter> {
        let series = self.0.board.series(&Wanted::counter(name, help, labels))?;
        if let Some(Handle::Counter(known)) = self.0.known(series) {
            return Ok(known.clone());
        }
        let counter = Counter::default();
        self.0.handles.push((series, Handle::Counter(counter.clone())));
        Ok(counter)
    }

    /// A gauge with these labels and their values.
    ///
    /// # Errors
    /// As [`Self::counter`].
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Gauge> {
        let series = self.0.board.series(&Wanted::gauge(name, help, labels))?;
        if let Some(Handle::Gauge(known)) = self.0.known(series) {
            return Ok(known.clone());
        }
        let gauge = Gauge::default();
        self.0.handles.push((series, Handle::Gauge(gauge.clone())));
        Ok(gauge)
    }

    /// A histogram with these labels and their values, which counts values up to each of the bounds: from 1 to 50 of
    /// them, ascending.
    ///
    /// # Errors
    /// As [`Self::counter`], and for bounds that cannot be.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
    ) -> Result<Histogram> {
        let series = self.0.board.series(&Wanted::histogram(name, help, labels, bounds))?;
        if let Some(Handle::Histogram(known)) = self.0.known(series) {
            return Ok(known.clone());
        }
        let histogram = Histogram(Rc::new(Buckets {
            bounds: bounds.into(),
            counts: (0..=bounds.len()).map(|_| Cell::new(0)).collect(),
            sum: Cell::new(0.0),
        }));
        self.0.handles.push((series, Handle::Histogram(histogram.clone())));
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_of_nobody_takes_values() {
        let histogram = Histogram::default();
        histogram.observe(1.0);
        assert_eq!(histogram.0.sum.get().to_bits(), 1_f64.to_bits());
    }
}
