//! What a driven topology has written.

use crate::error::{BoxError, Error, Result};
use crate::log::memory::MemoryRecord;
use crate::record::{Record, Timestamp, TopicPartition};
use crate::serde::{HasSerde, Part, Place, Serde};
use crate::testing::driver::TopologyDriver;

impl TopologyDriver {
    /// The records that came to a topic since the last call for it.
    ///
    /// ```
    /// # use millstream::testing::{TopologyDriver, text};
    /// # use millstream::StreamsBuilder;
    /// # let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "a", 1))?;
    /// assert_eq!(driver.read::<String, String>("out")?[0].value, "a");
    /// assert!(driver.read_raw("out")?.is_empty());
    /// assert_eq!(driver.topic_names(), ["in", "out"]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    ///
    /// # Errors
    /// When the bytes are of other types, or when the topology does not write the topic.
    pub fn read<K: HasSerde, V: HasSerde>(&mut self, topic: &str) -> Result<Vec<Record<K, V>>> {
        self.read_with(topic, &K::Serde::default(), &V::Serde::default())
    }

    /// As [`Self::read`], from bytes of these serdes. Keys of time windows need it: their bytes hold the start
    /// alone, and the end follows from the size.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// use millstream::TimeWindows;
    /// use millstream::record::Windowed;
    /// use millstream::serde::{Plain, WindowedSerde};
    ///
    /// let minute = Duration::from_secs(60);
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key();
    /// clicks.windowed_by(TimeWindows::of(minute).no_grace()).count("per-minute").updates().to("counts");
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("clicks", &text("anna", "/", 61_000))?;
    ///
    /// let counts = driver.read_with("counts", &WindowedSerde::<Plain>::of_size(minute), &Plain)?;
    /// let (window, count): (&Windowed<String>, i64) = (&counts[0].key, counts[0].value);
    /// assert_eq!((window.start, window.end, count), (60_000, 120_000, 1));
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_with<K, V>(
        &mut self,
        topic: &str,
        key: &impl Serde<K>,
        value: &impl Serde<V>,
    ) -> Result<Vec<Record<K, V>>> {
        let typed = |raw: MemoryRecord| -> Result<Record<K, V>, BoxError> {
            let mut headers = raw.headers;
            let mut place = Place { topic, part: Part::Key, headers: &mut headers };
            let key = key.deserialize(&mut place, raw.key.as_deref())?;
            place.part = Part::Value;
            let value = value.deserialize(&mut place, raw.value.as_deref())?;
            Ok(Record { key, value, timestamp: Timestamp(raw.timestamp), headers })
        };
        let all: Result<Vec<_>, BoxError> = self.read_raw(topic)?.into_iter().map(typed).collect();
        all.map_err(|error| Error::Fatal {
            what: format!("reading {topic}"),
            reason: error.to_string(),
        })
    }

    /// As [`Self::read`], bytes as they are. Internal topics can be read too, under their names in
    /// the log: with the application's id in front.
    ///
    /// # Errors
    /// When the topology does not write the topic. Where records choose topics, any name may be one
    /// of theirs.
    pub fn read_raw(&mut self, topic: &str) -> Result<Vec<MemoryRecord>> {
        self.topics.check_read(topic)?;
        let next = self.read.entry(topic.to_owned()).or_default();
        let found = self.log.records_from(&TopicPartition::new(topic, 0), *next);
        if let Some(last) = found.last() {
            *next = last.offset + 1;
        }
        Ok(found)
    }

    /// All topics there are, internal ones too, sorted.
    pub fn topic_names(&self) -> Vec<String> {
        self.log.topic_names()
    }
}
