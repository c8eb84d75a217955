//! What an operator keeps of each service: in memory, and in its store.
//!
//! It is as bounded as the services are, of which [`super::parse`] lets through a thousand.

use std::collections::HashMap;

use millstream::record::Data;
use millstream::{BoxError, KeyValueStore};

/// What is kept of each service, and whether the store does not have it yet.
pub(super) struct ByService<V> {
    store: KeyValueStore<String, V>,
    services: HashMap<String, (V, bool)>,
}

impl<V: Data + Default> ByService<V> {
    pub(super) fn new(store: KeyValueStore<String, V>) -> Self {
        Self { store, services: HashMap::new() }
    }

    /// Changes what is kept of a service. `change` gives what comes of it, and whether it is put at once; else
    /// [`Self::put_changed`] does that.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn change<T>(
        &mut self,
        service: &str,
        change: impl FnOnce(&mut V) -> (T, bool),
    ) -> Result<T, BoxError> {
        // Nearly every service is there: its name is copied for none of those.
        let (kept, is_dirty) = match self.services.get_mut(service) {
            Some(known) => known,
            None => {
                let kept = self.store.get(&service.to_owned())?.unwrap_or_default();
                self.services.entry(service.to_owned()).or_insert((kept, false))
            }
        };
        let (outcome, is_put) = change(kept);
        *is_dirty = !is_put;
        if is_put {
            self.store.put(service.to_owned(), kept.clone())?;
        }
        Ok(outcome)
    }

    /// Puts what changed since it was put last.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) fn put_changed(&mut self) -> Result<(), BoxError> {
        for (service, (kept, is_dirty)) in &mut self.services {
            if std::mem::take(is_dirty) {
                self.store.put(service.clone(), kept.clone())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millstream::record::{Record, Timestamp};
    use millstream::testing::TopologyDriver;
    use millstream::{
        Context, KeyValue, Processor, PunctuationType, Schedule, StreamsBuilder, Topology,
    };

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Counts words of a service; the count is put at once when a word begins with `!`.
    struct Words(ByService<i64>);

    impl Processor<String, String> for Words {
        type KOut = String;
        type VOut = i64;

        fn init(&mut self, ctx: &mut Context<'_, String, i64>) -> Result<(), BoxError> {
            ctx.schedule(MINUTE, PunctuationType::WallClockTime);
            Ok(())
        }

        fn process(
            &mut self,
            record: Record<String, String>,
            ctx: &mut Context<'_, String, i64>,
        ) -> Result<(), BoxError> {
            let counted = self.0.change(&record.key, |count| {
                *count += 1;
                (*count, record.value.starts_with('!'))
            })?;
            ctx.forward(Record::new(record.key, counted, record.timestamp));
            Ok(())
        }

        fn punctuate(
            &mut self,
            _: Schedule,
            _: Timestamp,
            _: &mut Context<'_, String, i64>,
        ) -> Result<(), BoxError> {
            self.0.put_changed()
        }
    }

    fn words() -> Topology {
        let builder = StreamsBuilder::new();
        let store = builder.store(KeyValue::<String, i64>::named("words"));
        let lines = builder.stream::<String, String>("lines");
        lines.process("words", &store, |store| Words(ByService::new(store))).to("counts");
        builder.build().unwrap()
    }

    #[test]
    fn what_changed_is_put_at_once_or_with_the_next_minute() {
        let mut driver = TopologyDriver::new(&words()).unwrap();
        let say = |driver: &mut TopologyDriver, service: &str, word: &str| {
            let record = Record::new(service.to_owned(), word.to_owned(), Timestamp(0));
            driver.pipe("lines", &record).unwrap();
        };
        let kept = |driver: &TopologyDriver, service: &str| {
            driver
                .key_value_store::<String, i64>("words")
                .unwrap()
                .get(&service.to_owned())
                .unwrap()
        };
        say(&mut driver, "shop", "a");
        say(&mut driver, "bank", "!b");
        assert_eq!((kept(&driver, "shop"), kept(&driver, "bank")), (None, Some(1)));
        driver.advance_wall_clock(MINUTE).unwrap();
        assert_eq!((kept(&driver, "shop"), kept(&driver, "bank")), (Some(1), Some(1)));
        say(&mut driver, "shop", "c");
        say(&mut driver, "shop", "!d");
        assert_eq!(kept(&driver, "shop"), Some(3));
    }
}
