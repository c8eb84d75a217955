//! `slide`: five minutes that end with each ten seconds, made of the windows that are over.
//!
//! | | |
//! |---|---|
//! | emits | for each window of ten seconds that is over, the five minutes that end with it |
//! | drops | nothing |
//! | key | the name of the series |
//! | time | that of the window |
//! | state | `metrics-5m`: the windows of the last five minutes, by series and start |
//!
//! Sketches of latencies and of users are added up: nothing is counted twice, and a line costs nothing here.

use std::time::Duration;

use millstream::record::Timestamp;
use millstream::{BoxError, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, WindowStore};

use super::cell::{Cell, Measured};

/// How long.
pub(in crate::log_anomaly) const SLIDING: Duration = Duration::from_secs(300);

/// Adds windows up.
pub(in crate::log_anomaly) struct Slide(pub(in crate::log_anomaly) WindowStore<String, Cell>);

impl FixedKeyProcessor<String, Measured> for Slide {
    type VOut = Measured;

    fn process(
        &mut self,
        record: FixedKeyRecord<String, Measured>,
        ctx: &mut FixedKeyContext<'_, String, Measured>,
    ) -> Result<(), BoxError> {
        let Measured { from, to, cell } = &record.value;
        let (start, end) = (to - SLIDING.as_millis() as i64, *to);
        self.0.put(record.key().clone(), cell.clone(), Timestamp(*from))?;
        let mut all = Cell::default();
        for window in self.0.fetch_range(record.key(), Timestamp(start), Timestamp(end - 1))? {
            all.merge(&window?.1);
        }
        ctx.forward(record.with_value(Measured { from: start, to: end, cell: all }));
        Ok(())
    }
}
