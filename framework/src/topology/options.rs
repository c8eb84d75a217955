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
    pub(crate) merge_repartitions: bool,
    pub(crate) reuse_table_source_topics: bool,
}

impl TopologyOptions {
    /// Repartition topics of one re-keyed stream become one, with the name of the one that was drawn first, as with Kafka
    /// Streams' `merge.repartition.topics`. Filters and peeks between that stream and a topic go behind it.
    ///
    /// A topic stays of its own if it has serdes (`_with`), a partitioner, another partition count or another policy for
    /// bad or dropped records, if the values change on the way to it, or if something else than such topics hangs below
    /// what would move. Unlike Java's option it is for explicit [`repartition`](crate::KStream::repartition)s as well:
    /// joins here need them, where Java's make theirs by themselves.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, TopologyOptions};
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("lines").select_key(|_, line| line.clone());
    /// words.group_by_key().count("counts");
    /// words.filter(|_, line| line.len() > 3).group_by_key().reduce("last", |_, last| last);
    ///
    /// let topology = builder.build_with(&TopologyOptions::default().merge_repartitions())?;
    /// assert!(topology.describe().contains("counts-repartition"));
    /// assert!(!topology.describe().contains("last-repartition"));
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn merge_repartitions(mut self) -> Self {
        self.merge_repartitions = true;
        self
    }

    /// The rows of a [`table`](crate::StreamsBuilder::table) are restored from its own topic, and no changelog is written, as with
    /// Kafka Streams' `reuse.ktable.source.topics`: half the traffic, and half the disk of the brokers.
    ///
    /// The topic must keep the last record of each key for ever (`cleanup.policy=compact`). It is read up to the position
    /// that is committed, and what the source would not take (bytes that its serdes refuse, by its policy) is left out
    /// again, unlike with Kafka Streams, which restores such rows unseen (KAFKA-8037). Settings for the changelog topic
    /// have no meaning then.
    ///
    /// A table keeps its changelog if it is versioned, if a timestamp extractor makes its times, or if its topic is not
    /// read from the beginning on ([`Reset`](crate::Reset)). One without a changelog stays without.
    ///
    /// An application that has run may turn this on: each store is rebuilt from the topic once, and its changelog topic
    /// may be deleted. It cannot be turned off again without a reset of the application, since the changelog lacks what
    /// came meanwhile: an instance with rows of its own refuses to start then.
    ///
    /// ```
    /// use millstream::{StreamsBuilder, TopologyOptions};
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<String, String>("names", "names");
    /// let orders = builder.stream::<String, String>("orders");
    /// orders.join_table(&names, |order, name| format!("{name}: {order}")).to("named");
    ///
    /// let topology = builder.build_with(&TopologyOptions::default().reuse_table_source_topics())?;
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn reuse_table_source_topics(mut self) -> Self {
        self.reuse_table_source_topics = true;
        self
    }

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
