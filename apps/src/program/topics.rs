//! Making the topics that are missing.

use std::time::Duration;

use millstream::log::{Log, NewTopic};
use millstream::{Error, Reaction};

const RETRY: Duration = Duration::from_secs(2);

/// The topics of an application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Topics {
    /// All that it reads and writes, internal ones aside.
    pub(crate) all: &'static [&'static str],
    /// Those of them of which only the last value of a key counts. All else follows the broker's settings.
    pub(crate) compacted: &'static [&'static str],
}

impl Topics {
    /// Creates the topics that are missing, all with so many partitions. Waits for a broker that does
    /// not answer; `wait` pauses, and returns false to give up, which is no error.
    ///
    /// # Errors
    /// What the broker refuses.
    pub(crate) fn create_missing(
        self,
        log: &dyn Log,
        partitions: i32,
        mut wait: impl FnMut(Duration) -> bool,
    ) -> Result<(), Error> {
        loop {
            match self.try_create(log, partitions) {
                Err(error) if error.reaction() == Reaction::Retry => {
                    tracing::warn!(?error, "the broker does not answer, trying again");
                    if !wait(RETRY) {
                        return Ok(());
                    }
                }
                done => return done,
            }
        }
    }

    fn try_create(self, log: &dyn Log, partitions: i32) -> Result<(), Error> {
        let described = log.describe(self.all)?;
        let missing: Vec<NewTopic> = (self.all.iter().zip(described))
            .filter(|(_, found)| found.is_none())
            .map(|(name, _)| NewTopic {
                name: (*name).to_owned(),
                partitions,
                replication_factor: -1,
                config: self.settings_of(name),
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        for topic in &missing {
            tracing::info!(topic = topic.name, partitions, "creating a topic");
        }
        log.create(&missing)
    }

    fn settings_of(self, topic: &str) -> Vec<(String, String)> {
        if self.compacted.contains(&topic) {
            return vec![("cleanup.policy".to_owned(), "compact".to_owned())];
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use millstream::log::memory::MemoryLog;

    use super::*;

    const TOPICS: Topics = Topics { all: &["lines", "rows"], compacted: &["rows"] };

    #[test]
    fn what_is_missing_is_made_and_what_is_there_stays_as_it_is() {
        let log = MemoryLog::new();
        log.create(&[NewTopic::new("lines", 1)]).unwrap();
        TOPICS.create_missing(&log, 3, |_| panic!("nothing to wait for")).unwrap();
        let found = log.describe(&["lines", "rows"]).unwrap();
        let partitions: Vec<_> = found.iter().flatten().map(|topic| topic.partitions).collect();
        assert_eq!(partitions, [1, 3]);
        TOPICS.create_missing(&log, 9, |_| panic!("nothing to wait for")).unwrap();
        assert_eq!(log.describe(&["rows"]).unwrap()[0].as_ref().unwrap().partitions, 3);
    }

    #[test]
    fn rows_are_compacted_and_lines_are_not() {
        let compact = ("cleanup.policy".to_owned(), "compact".to_owned());
        assert_eq!(TOPICS.settings_of("rows"), [compact]);
        assert_eq!(TOPICS.settings_of("lines"), []);
    }
}
