//! Stores of a driven topology, to be looked at by tests.

use std::cell::RefCell;
use std::rc::Rc;

use millstream_state::Direction;

use crate::error::{Error, Result};
use crate::record::{Data, RecordTime, Session, Timestamp, Windowed};
use crate::store::{
    CustomState, CustomStore, KeyValueStore, SessionStore, TableStore, TaskStore,
    TimestampedKeyValueStore, VersionedKeyValueStore, WindowStore,
};
use crate::testing::driver::TopologyDriver;

impl TopologyDriver {
    fn store(&self, name: &str) -> Result<&TaskStore> {
        let found = self.stores.iter().find(|store| store.state().borrow().name() == name);
        found.ok_or_else(|| {
            let names = self.store_names();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Error::no_such_store(&format!("looking at store {name}"), &names)
        })
    }

    /// The names of all stores.
    pub fn store_names(&self) -> Vec<String> {
        self.stores.iter().map(|store| store.state().borrow().name().to_owned()).collect()
    }

    /// A key-value store of processors.
    ///
    /// # Errors
    /// If there is none of this name and these types.
    pub fn key_value_store<K: Data, V: Data>(&self, name: &str) -> Result<KeyValueStore<K, V>> {
        KeyValueStore::of(self.store(name)?, &RecordTime::default())
    }

    /// A window store of processors.
    ///
    /// # Errors
    /// If there is none of this name and these types.
    pub fn window_store<K: Data, V: Data>(&self, name: &str) -> Result<WindowStore<K, V>> {
        WindowStore::of(self.store(name)?, &RecordTime::default())
    }

    /// A session store of processors.
    ///
    /// ```
    /// use millstream::{Result, SessionStore, testing::TopologyDriver};
    ///
    /// fn visits(driver: &TopologyDriver) -> Result<SessionStore<String, i64>> {
    ///     driver.session_store("visits")
    /// }
    /// ```
    ///
    /// # Errors
    /// If there is none of this name and these types.
    pub fn session_store<K: Data, V: Data>(&self, name: &str) -> Result<SessionStore<K, V>> {
        SessionStore::of(self.store(name)?, &RecordTime::default())
    }

    /// A timestamped key-value store of processors.
    ///
    /// ```
    /// use millstream::{Result, TimestampedKeyValueStore, testing::TopologyDriver};
    ///
    /// fn newest(driver: &TopologyDriver) -> Result<TimestampedKeyValueStore<String, i64>> {
    ///     driver.timestamped_store("newest")
    /// }
    /// ```
    ///
    /// # Errors
    /// If there is none of this name and these types.
    pub fn timestamped_store<K: Data, V: Data>(
        &self,
        name: &str,
    ) -> Result<TimestampedKeyValueStore<K, V>> {
        TimestampedKeyValueStore::of(self.store(name)?, &RecordTime::default())
    }

    /// A versioned key-value store of processors.
    ///
    /// ```
    /// use millstream::{Result, VersionedKeyValueStore, testing::TopologyDriver};
    ///
    /// fn prices(driver: &TopologyDriver) -> Result<VersionedKeyValueStore<String, i64>> {
    ///     driver.versioned_store("prices")
    /// }
    /// ```
    ///
    /// # Errors
    /// If there is none of this name and these types.
    pub fn versioned_store<K: Data, V: Data>(
        &self,
        name: &str,
    ) -> Result<VersionedKeyValueStore<K, V>> {
        VersionedKeyValueStore::of(self.store(name)?)
    }

    /// A store of the user's own.
    ///
    /// ```
    /// # use millstream::{BoxError, ChangelogRecord, Context, Custom, CustomStore, Processor, StreamsBuilder};
    /// # use millstream::record::Record;
    /// # use millstream::testing::{TopologyDriver, text};
    /// # use std::{cell::RefCell, rc::Rc};
    /// /// How many records there were.
    /// struct Total(u64);
    ///
    /// impl CustomStore for Total {
    ///     fn restore(&mut self, _: ChangelogRecord<'_>) -> Result<(), BoxError> {
    ///         Ok(())
    ///     }
    /// }
    /// # struct Counting(Rc<RefCell<Total>>);
    /// # impl Processor<String, String> for Counting {
    /// #     type KOut = String;
    /// #     type VOut = String;
    /// #     fn process(&mut self, _: Record<String, String>, _: &mut Context<'_, String, String>) -> Result<(), BoxError> {
    /// #         self.0.borrow_mut().0 += 1;
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let builder = StreamsBuilder::new();
    /// # let total = builder.store(Custom::named("total", |_| Total(0)).without_changelog());
    /// # builder.stream("in").process("counting", &total, Counting).to("out");
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "v", 1))?;
    /// assert_eq!(driver.custom_store::<Total>("total")?.borrow().0, 1);
    /// # Ok::<(), BoxError>(())
    /// ```
    ///
    /// # Errors
    /// If there is none of this name and type.
    pub fn custom_store<S: CustomStore>(&self, name: &str) -> Result<Rc<RefCell<S>>> {
        let state = self.store(name)?.typed::<CustomState<S>>()?;
        let store = state.borrow().store();
        Ok(store)
    }

    /// The rows of a table with their times, in the order of their keys' bytes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millstream::{KeyValueStore, TimeWindows, Window, WindowStore};
    /// # use millstream::{BoxError, Context, KeyValue, Processor, StreamsBuilder, record::Record};
    /// # use millstream::testing::{TopologyDriver, text};
    /// # struct Keep(KeyValueStore<String, String>, WindowStore<String, String>);
    /// # impl Processor<String, String> for Keep {
    /// #     type KOut = String;
    /// #     type VOut = String;
    /// #     fn process(&mut self, record: Record<String, String>, _: &mut Context<'_, String, String>) -> Result<(), BoxError> {
    /// #         self.0.put(record.key.clone(), record.value.clone())?;
    /// #         Ok(self.1.put(record.key, record.value, record.timestamp)?)
    /// #     }
    /// # }
    /// # let builder = StreamsBuilder::new();
    /// # let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    /// # let last = builder.store(KeyValue::<String, String>::named("last"));
    /// # let recent = builder.store(Window::<String, String>::named("recent", hour, minute));
    /// # let stream = builder.stream::<String, String>("in");
    /// # stream.process("keep", (&last, &recent), |(last, recent)| Keep(last, recent)).to("nowhere");
    /// # stream.group_by_key().count("counts");
    /// # stream.group_by_key().windowed_by(TimeWindows::of(minute).no_grace()).count("per-minute");
    /// # let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "v", 61_000))?;
    /// assert_eq!(driver.table::<String, i64>("counts")?[0].1, 1);
    /// assert_eq!(driver.windowed_table::<String, i64>("per-minute")?[0].0.start, 60_000);
    /// let last: KeyValueStore<String, String> = driver.key_value_store("last")?;
    /// assert_eq!(last.get(&"k".to_owned())?, Some("v".to_owned()));
    /// let recent: WindowStore<String, String> = driver.window_store("recent")?;
    /// assert_eq!(recent.all().count(), 1);
    /// assert_eq!(driver.store_names().len(), 4);
    /// # Ok::<(), BoxError>(())
    /// ```
    ///
    /// # Errors
    /// If there is no table of this name and these types.
    pub fn table<K: Data, V: Data>(&self, name: &str) -> Result<Vec<(K, V, Timestamp)>> {
        let store = self.store(name)?.typed::<TableStore<K, V>>()?;
        let rows = store.borrow_mut().range(.., Direction::Forward)?;
        rows.collect()
    }

    /// The rows of a table of sessions that have not expired, with the times of the records that wrote them.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::testing::{TopologyDriver, text};
    /// # use millstream::{SessionWindows, StreamsBuilder};
    /// let builder = StreamsBuilder::new();
    /// let windows = SessionWindows::with_gap(Duration::from_millis(5)).no_grace();
    /// builder.stream::<String, String>("clicks").group_by_key().windowed_by(windows).count("visits");
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("clicks", &text("anna", "/", 10))?;
    /// driver.pipe("clicks", &text("anna", "/cart", 14))?;
    ///
    /// let rows = driver.session_table::<String, i64>("visits")?;
    /// let (session, count, _) = &rows[0];
    /// assert_eq!((session.start, session.end, *count), (10, 14, 2));
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    ///
    /// # Errors
    /// If there is no table of sessions of this name and these types.
    pub fn session_table<K: Data, V: Data>(
        &self,
        name: &str,
    ) -> Result<Vec<(Session<K>, V, Timestamp)>> {
        let store = Rc::clone(&self.store(name)?.typed::<TableStore<Session<K>, V>>()?);
        let rows = store.borrow_mut().all_sessions()?;
        rows.collect()
    }

    /// The rows of a windowed table that have not expired, with their times.
    ///
    /// # Errors
    /// If there is no windowed table of this name and these types.
    pub fn windowed_table<K: Data, V: Data>(
        &self,
        name: &str,
    ) -> Result<Vec<(Windowed<K>, V, Timestamp)>> {
        let store = Rc::clone(&self.store(name)?.typed::<TableStore<Windowed<K>, V>>()?);
        let rows = store.borrow_mut().fetch_all((0, i64::MAX), Direction::Forward)?;
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::TimeWindows;
    use crate::topology::StreamsBuilder;

    fn driver() -> TopologyDriver {
        let builder = StreamsBuilder::new();
        let clicks = builder.stream::<String, String>("clicks").group_by_key();
        clicks.count("counts");
        let minute = TimeWindows::of(Duration::from_secs(60)).no_grace();
        clicks.windowed_by(minute).count("per-minute");
        TopologyDriver::new(&builder.build().unwrap()).unwrap()
    }

    #[test]
    fn an_unknown_store_is_told_those_that_there_are() {
        let refused = driver().table::<String, i64>("count").unwrap_err().to_string();
        assert!(refused.ends_with("there is no such store, only counts, per-minute"), "{refused}");
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").to("out");
        let none = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let refused = none.table::<String, i64>("counts").unwrap_err().to_string();
        assert!(refused.ends_with("this topology has no stores"), "{refused}");
    }

    #[test]
    fn a_store_of_another_type_says_what_it_is() {
        let driver = driver();
        let refused = driver.table::<String, i32>("counts").unwrap_err().to_string();
        let said = "it is a table of String to i64, not a table of String to i32";
        assert!(refused.ends_with(said), "{refused}");
        let refused = driver.table::<String, i64>("per-minute").unwrap_err().to_string();
        let said = "it is a table of Windowed<String> to i64, not a table of String to i64";
        assert!(refused.ends_with(said), "{refused}");
        let refused = driver.key_value_store::<String, i64>("counts").unwrap_err().to_string();
        assert!(refused.ends_with("not a key-value store of String to i64"), "{refused}");
        let refused = driver.window_store::<String, i64>("counts").unwrap_err().to_string();
        assert!(refused.ends_with("not a window store of String to i64"), "{refused}");
    }
}
