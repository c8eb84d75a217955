//! What a driven topology counts.

use crate::policy::DropReason;
use crate::testing::driver::TopologyDriver;

impl TopologyDriver {
    /// How many records were dropped so far, for a reason.
    ///
    /// ```
    /// use millstream::DropReason;
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// # use millstream::record::{Record, Timestamp};
    /// # let builder = StreamsBuilder::new();
    /// # builder.table::<String, String>("names", "names").updates().to("out");
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("names", &Record::new(None::<String>, "Ada".to_owned(), Timestamp(1)))?;
    /// assert_eq!(driver.dropped(DropReason::NullKey), 1);
    /// assert_eq!(driver.metrics(), "", "no processor has metrics of its own");
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(&reason).copied().unwrap_or(0)
    }

    /// The metrics of processors of one's own, in Prometheus' text format: see [`OwnMetrics`](crate::OwnMetrics).
    pub fn metrics(&self) -> String {
        self.meters.text(&self.application_id)
    }
}
