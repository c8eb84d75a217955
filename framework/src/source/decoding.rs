//! The source operator: bytes of a topic to typed records with a timestamp.
//!
//! | | |
//! |---|---|
//! | emits | one record for each that can be read |
//! | drops | unreadable ones (`BadBytes`, by policy); those that the extractor refuses with an error (`BadTimestamp`, by policy), or to which it gives no timestamp or a negative one (`BadTimestamp`) |
//! | fails | without an extractor, at a negative timestamp (by policy), as Java's `FailOnInvalidTimestamp` |
//! | a panic of a serde or the extractor | is an error about the record |
//! | key, value | as the serdes read them |
//! | time | the record's own, or the extractor's |
//! | state | the record loaded ahead |

use std::sync::Arc;

use crate::chain::{Children, Faults, SourceNode, TaskContext};
use crate::error::{Result, caught};
use crate::log::RawRecord;
use crate::policy::DropReason;
use crate::record::{Data, Record, Timestamp};
use crate::source::consumed::Reading;

/// Reads one topic.
pub(crate) struct Decoding<K, V> {
    topic: Arc<str>,
    reading: Reading<K, V>,
    children: Children<K, V>,
    faults: Faults,
    loaded: Option<Record<K, V>>,
}

impl<K: Data, V: Data> Decoding<K, V> {
    /// Reads the topic of this name in the log.
    pub(crate) fn new(
        topic: Arc<str>,
        reading: Reading<K, V>,
        children: Children<K, V>,
        faults: Faults,
    ) -> Self {
        Self { topic, reading, children, faults, loaded: None }
    }
}

impl<K: Data, V: Data> SourceNode for Decoding<K, V> {
    fn load(
        &mut self,
        raw: &RawRecord<'_>,
        partition_time: Timestamp,
        ctx: &mut TaskContext,
    ) -> Result<Option<Timestamp>> {
        let mut record = match caught(|| self.reading.decode(&self.topic, raw)) {
            Ok(record) => record,
            Err(error) => {
                self.faults.apply(DropReason::BadBytes, error, ctx)?;
                return Ok(None);
            }
        };
        if let Some(extract) = &self.reading.timestamp {
            match caught(|| extract(&record, partition_time)) {
                Ok(Some(at)) if at.0 >= 0 => record.timestamp = at,
                Ok(_) => {
                    let why = format_args!("the extractor gave no timestamp, or a negative one");
                    self.faults.dropped(DropReason::BadTimestamp, ctx, why)?;
                    return Ok(None);
                }
                Err(error) => {
                    self.faults.apply(DropReason::BadTimestamp, error, ctx)?;
                    return Ok(None);
                }
            }
        } else if record.timestamp.0 < 0 {
            let error = "it has no timestamp; a timestamp extractor could give it one".into();
            self.faults.apply(DropReason::BadTimestamp, error, ctx)?;
            return Ok(None);
        }
        let at = record.timestamp;
        self.loaded = Some(record);
        Ok(Some(at))
    }

    #[inline]
    fn fire(&mut self, ctx: &mut TaskContext) -> Result<()> {
        match self.loaded.take() {
            Some(record) => self.children.forward(record, ctx),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::error::{BoxError, Error};
    use crate::policy::{DropReason, OnError};
    use crate::record::{Headers, Record, Timestamp};
    use crate::serde::{Null, Place, Serde};
    use crate::sink::Produced;
    use crate::source::consumed::Consumed;
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    fn driver(source: Consumed<String, i64>) -> TopologyDriver {
        let builder = StreamsBuilder::new();
        builder.stream(source).to("out");
        TopologyDriver::new(&builder.build().unwrap()).unwrap()
    }

    fn number(value: i64, at: i64) -> Record<String, i64> {
        Record::new("k".to_owned(), value, Timestamp(at))
    }

    #[test]
    fn bytes_that_cannot_be_read_follow_the_policy() {
        let mut fails = driver(Consumed::from("in"));
        let refused = fails.pipe("in", &text("k", "x", 1));
        assert!(matches!(refused, Err(Error::BadRecord { .. })), "{refused:?}");
        let said = format!("{refused:?}");
        assert!(said.contains("the value has 1 byte, i64 has 8; to go on, skip such"), "{said}");
        assert!(said.contains("`Consumed::on_error(..)`"), "{said}");
        let mut skips = driver(Consumed::from("in").on_error(OnError::Skip));
        skips.pipe("in", &text("k", "x", 1)).unwrap();
        skips.pipe_raw("in", (None, Some(&[0; 8])), Timestamp(1), &Headers::default()).unwrap();
        skips.pipe("in", &number(7, 2)).unwrap();
        assert_eq!(skips.read::<String, i64>("out").unwrap(), [number(7, 2)]);
        assert_eq!(skips.dropped(DropReason::BadBytes), 2);
    }

    #[test]
    fn without_an_extractor_a_missing_timestamp_follows_the_policy() {
        let mut fails = driver(Consumed::from("in"));
        assert!(fails.pipe("in", &number(7, -1)).is_err());
        let mut skips = driver(Consumed::from("in").on_error(OnError::Skip));
        skips.pipe("in", &number(7, -1)).unwrap();
        assert_eq!(skips.dropped(DropReason::BadTimestamp), 1);
    }

    #[test]
    fn an_extractor_replaces_the_timestamp_and_may_refuse_one() {
        let source = Consumed::from("in").timestamp(|record: &Record<String, i64>, latest| {
            (record.value > 0).then_some(Timestamp(record.value.max(latest.0)))
        });
        let mut driver = driver(source);
        for value in [50, 0, 30] {
            driver.pipe("in", &number(value, -1)).unwrap();
        }
        let out = driver.read::<String, i64>("out").unwrap();
        assert_eq!(out, [number(50, 50), number(30, 50)]);
        assert_eq!(driver.dropped(DropReason::BadTimestamp), 1);
    }

    #[test]
    fn an_extractor_that_gives_an_error_follows_the_policy() {
        let source = Consumed::from("in").on_error(OnError::DeadLetter("bad".into()));
        let mut driver = driver(source.try_timestamp(|record: &Record<String, i64>, latest| {
            if record.value > 9 { Err("too far ahead") } else { Ok(record.timestamp.max(latest)) }
        }));
        for value in [9, 10] {
            driver.pipe("in", &number(value, 3)).unwrap();
        }
        assert_eq!(driver.read::<String, i64>("out").unwrap(), [number(9, 3)]);
        let letters = driver.read::<String, i64>("bad").unwrap();
        assert_eq!((letters.len(), letters[0].value), (1, 10));
        let reason = letters[0].headers.last("__streams.errors.message");
        assert_eq!(reason, Some(&b"too far ahead"[..]));
        assert_eq!(driver.dropped(DropReason::BadTimestamp), 1);
    }

    /// Panics at the byte that its name says.
    #[derive(Clone, Copy)]
    struct Panics(u8);

    impl Serde<Vec<u8>> for Panics {
        fn serialize(
            &self,
            _: &mut Place<'_>,
            value: &Vec<u8>,
            into: &mut Vec<u8>,
        ) -> Result<Null, BoxError> {
            into.extend_from_slice(value);
            assert!(!value.contains(&self.0), "the byte {} is there", self.0);
            Ok(Null::No)
        }

        fn deserialize(
            &self,
            _: &mut Place<'_>,
            bytes: Option<&[u8]>,
        ) -> Result<Vec<u8>, BoxError> {
            assert!(!bytes.unwrap().contains(&self.0), "the byte {} is there", self.0);
            Ok(bytes.unwrap().to_vec())
        }
    }

    #[test]
    fn panics_at_both_ends_follow_the_policies_of_the_ends() {
        let letters = |topic: &'static str| OnError::DeadLetter(topic.into());
        let builder = StreamsBuilder::new();
        let source = Consumed::with_serdes("in", Panics(1), Panics(2))
            .timestamp(|record, _| {
                assert!(!record.value.contains(&3), "no threes");
                Some(record.timestamp)
            })
            .on_error(letters("unread"));
        let sink =
            Produced::with_serdes("out", Panics(4), Panics(5)).partitioner(|_, key, _, _| {
                assert!(!key.contains(&6), "no sixes");
                None
            });
        let sink = sink.on_error(letters("unwritten"));
        let stream = builder.stream::<Vec<u8>, Vec<u8>>(source);
        stream.to(sink);
        let chosen = |record: &Record<Vec<u8>, Vec<u8>>| {
            assert!(!record.value.contains(&7), "no sevens");
            "chosen".into()
        };
        stream.to(Produced::to_topic_of(chosen).on_error(letters("unchosen")));
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for byte in 0..=8 {
            let bytes = Some(&[byte][..]);
            driver.pipe_raw("in", (bytes, bytes), Timestamp(1), &Headers::default()).unwrap();
        }
        let mut keys = |topic: &str| -> Vec<u8> {
            driver
                .read_raw(topic)
                .unwrap()
                .iter()
                .map(|record| record.key.as_ref().unwrap()[0])
                .collect()
        };
        assert_eq!(keys("unread"), [1, 2, 3]);
        assert_eq!(keys("unwritten"), [4, 5, 6]);
        assert_eq!(keys("unchosen"), [7]);
        assert_eq!(keys("out"), [0, 7, 8]);
        assert_eq!(keys("chosen"), [0, 4, 5, 6, 8]);
    }

    #[test]
    fn a_panic_is_told_with_the_coordinates_of_its_record() {
        let builder = StreamsBuilder::new();
        builder.stream(Consumed::with_serdes("in", Panics(1), Panics(2))).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let bytes = Some(&[2][..]);
        match driver.pipe_raw("in", (bytes, bytes), Timestamp(1), &Headers::default()) {
            Err(Error::BadRecord { at, cause, .. }) => {
                assert_eq!(at.to_string(), "in-0@0");
                assert_eq!(cause.to_string(), "it panicked: the byte 2 is there");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn several_topics_are_one_stream() {
        let mut driver = driver(Consumed::from_topics(["a", "b"]));
        driver.pipe("b", &number(1, 1)).unwrap();
        driver.pipe("a", &number(2, 2)).unwrap();
        assert_eq!(driver.read::<String, i64>("out").unwrap(), [number(1, 1), number(2, 2)]);
    }
}
