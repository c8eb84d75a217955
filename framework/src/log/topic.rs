//! Topics, as all logs create and describe them.

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// Copies of each partition; -1 is the broker's default.
    pub replication_factor: i16,
    /// Settings, for example `cleanup.policy`.
    pub config: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with so many partitions, and else as the broker has it by default.
    ///
    /// ```
    /// use millstream::log::memory::MemoryLog;
    /// use millstream::log::{Log, NewTopic, TopicDescription};
    ///
    /// # fn main() -> millstream::Result<()> {
    /// let log = MemoryLog::new();
    /// let customers = NewTopic::new("customers", 4).with("cleanup.policy", "compact");
    /// log.create(&[NewTopic::new("orders", 4), customers])?;
    /// let described: Vec<Option<TopicDescription>> = log.describe(&["orders", "nowhere"])?;
    /// assert_eq!(described.iter().flatten().map(|topic| topic.partitions).collect::<Vec<_>>(), [4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication_factor: -1, config: Vec::new() }
    }

    /// With a setting, for example `cleanup.policy`.
    #[must_use]
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.config.push((setting.to_owned(), value.to_owned()));
        self
    }
}

/// What a broker says of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
}
