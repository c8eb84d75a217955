//! What a topology is built with: what Kafka Streams calls its optimisations.

/// Changes of a topology that save topics or stores, all off unless they are asked for: they change names and state,
/// so an application that has run keeps them as they are.
///
/// ```
/// use std::time::Duration;
/// use millstream::{JoinWindows, StreamsBuilder, TopologyOptions};
/// # use millstream::testing::{TopologyDriver, text};
/// let builder = StreamsBuilder::new();
/// let clicks = builder.stream::<String, String>("clicks");
/// let minute = JoinWindows::within(Duration::from_secs(60)).no_grace();
/// clicks.join("pairs", &clicks, minute, |one, other| format!("{one} {other}")).to("pairs");
///
/// let topology = builder.build_with(&TopologyOptions::default().self_join())?;
/// let mut driver = TopologyDriver::new(&topology)?;
/// assert_eq!(driver.store_names(), ["pairs-this-join-store"]);
/// driver.pipe("clicks", &text("ada", "/a", 1_000))?;
/// driver.pipe("clicks", &text("ada", "/b", 2_000))?;
/// assert_eq!(driver.read::<String, String>("pairs")?.len(), 4);
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopologyOptions {
    pub(crate) self_join: bool,
}

impl TopologyOptions {
    /// A stream that is joined with itself is remembered in one store and not in two, as with Kafka Streams'
    /// `single.store.self.join`. It gives out the same pairs in the same order, as long as no record is later than the
    /// grace. Each record meets itself, so left and outer joins give out what an inner one does; one without a key or a
    /// value is dropped.
    #[must_use]
    pub fn self_join(mut self) -> Self {
        self.self_join = true;
        self
    }
}
