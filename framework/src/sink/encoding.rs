//! The sink operator: typed records to bytes in a partition of a topic.
//!
//! | | |
//! |---|---|
//! | emits | one record in a topic for each; with a partitioner, one to each partition that it chooses |
//! | drops | those that a serde or the partitioner refuses, or panics at (`Failed`, by policy); those that the partitioner sends nowhere (`NoPartition`) |
//! | key, value | as the serdes write them; null where the serde says so |
//! | time, headers | the record's |
//! | state | none |

use std::sync::Arc;

use crate::chain::{Faults, Node, Operator, TaskContext};
use crate::collector::{SinkTopic, Target};
use crate::error::{Error, Result, caught};
use crate::log::RawRecord;
use crate::policy::DropReason;
use crate::record::{Data, Headers, Record};
use crate::serde::Null;
use crate::sink::partitions::Partitions;
use crate::sink::produced::{Destination, Produced};

/// Writes to one topic, or to the topic that each record chooses.
pub(crate) struct Encoding<K, V> {
    /// The fixed topic, known to the producer since `init`.
    fixed: Option<(Arc<str>, Option<SinkTopic>)>,
    encoder: Encoder<K, V>,
}

impl<K: Data, V: Data> Encoding<K, V> {
    /// Writes to the topic of this name in the log, or to the topic that each record chooses.
    pub(crate) fn new(
        fixed: Option<Arc<str>>,
        produced: Arc<Produced<K, V>>,
        faults: Faults,
    ) -> Self {
        let fixed = fixed.map(|topic| (topic, None));
        Self { fixed, encoder: Encoder { produced, key: Vec::new(), value: Vec::new(), faults } }
    }
}

/// Makes bytes of a record and sends them.
struct Encoder<K, V> {
    produced: Arc<Produced<K, V>>,
    /// Scratch buffers, so that no record allocates.
    key: Vec<u8>,
    value: Vec<u8>,
    faults: Faults,
}

impl<K: Data, V: Data> Node for Encoding<K, V> {
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        if let Some((name, topic)) = &mut self.fixed {
            *topic = Some(ctx.collector.topic(name)?);
        }
        Ok(())
    }
}

impl<K: Data, V: Data> Operator<K, V> for Encoding<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        if let Some((name, Some(topic))) = &self.fixed {
            return self.encoder.send((name, *topic), record, ctx);
        }
        let name = match &self.encoder.produced.destination {
            Destination::PerRecord(choose) => match caught(|| Ok(choose(&record))) {
                Ok(name) => name,
                Err(error) => return self.encoder.faults.apply(DropReason::Failed, error, ctx),
            },
            Destination::Fixed(name) => name.to_string().into(),
        };
        let topic = ctx.collector.topic(&name)?;
        self.encoder.send((&name, topic), record, ctx)
    }
}

impl<K: Data, V: Data> Encoder<K, V> {
    #[inline]
    fn send(
        &mut self,
        (name, topic): (&str, SinkTopic),
        mut record: Record<K, V>,
        ctx: &mut TaskContext,
    ) -> Result<()> {
        let (key, value) = match caught(|| {
            self.produced.encode(name, &mut record, &mut self.key, &mut self.value)
        }) {
            Ok(nulls) => nulls,
            Err(error) => return self.faults.apply(DropReason::Failed, error, ctx),
        };
        let output = Output {
            topic,
            key: (key == Null::No).then_some(&*self.key),
            value: (value == Null::No).then_some(&*self.value),
            timestamp: record.timestamp.0,
            headers: &record.headers,
        };
        if self.produced.partitioner.is_none() {
            return output.send(self.produced.by_key(output.key), &self.faults, ctx);
        }
        let partitions = ctx.collector.partitions(topic)?;
        match caught(|| self.produced.chosen(name, &record, partitions)) {
            Ok(Partitions::ByKey) => {
                output.send(self.produced.by_key(output.key), &self.faults, ctx)
            }
            Ok(Partitions::One(one)) => output.send(Target::Partition(one), &self.faults, ctx),
            Ok(Partitions::Several(several)) => several
                .into_iter()
                .try_for_each(|one| output.send(Target::Partition(one), &self.faults, ctx)),
            Ok(Partitions::Nowhere) => {
                let why = format_args!("the partitioner of topic {name} sends it nowhere");
                self.faults.dropped(DropReason::NoPartition, ctx, why)
            }
            Err(error) => self.faults.apply(DropReason::Failed, error, ctx),
        }
    }
}

/// A record as bytes, to be sent to one partition or several.
struct Output<'a> {
    topic: SinkTopic,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    timestamp: i64,
    headers: &'a Headers,
}

impl Output<'_> {
    #[inline]
    fn send(&self, target: Target<'_>, faults: &Faults, ctx: &mut TaskContext) -> Result<()> {
        let (key, value) = (self.key, self.value);
        let timestamp = Some(self.timestamp).filter(|at| *at >= 0);
        match ctx.collector.send(self.topic, target, (key, value), timestamp, self.headers) {
            Err(error @ Error::Refused { .. }) => {
                let (timestamp, headers) = (self.timestamp, self.headers.clone());
                let output = RawRecord { offset: -1, timestamp, key, value, headers };
                faults.refused(error.into(), &output, ctx)
            }
            sent => sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::client::Producer;
    use crate::error::Error;
    use crate::log::memory::MemoryRecord;
    use crate::log::{Log, NewTopic};
    use crate::operators::Repartitioned;
    use crate::policy::{DropReason, OnError};
    use crate::record::{Record, Timestamp, TopicPartition};
    use crate::serde::{Json, Plain};
    use crate::sink::partitions::Partitions;
    use crate::sink::produced::Produced;
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn null_keys_and_values_are_null_in_the_topic() {
        let builder = StreamsBuilder::new();
        builder.stream::<Option<String>, Option<String>>("in").to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let empty = Record::new(None::<String>, Some(String::new()), Timestamp(1));
        driver.pipe("in", &empty).unwrap();
        let out = driver.read_raw("out").unwrap();
        assert_eq!((out[0].key.clone(), out[0].value.clone()), (None, Some(Vec::new())));
    }

    /// Pipes the size of a value between two good ones through a sink with this policy.
    fn piped(policy: OnError, value_bytes: usize) -> (TopologyDriver, Result<(), Error>) {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        // Records that are too large cannot be piped in.
        let grown = stream.map_values(|bytes: String| "x".repeat(bytes.parse().unwrap()));
        grown.to(Produced::from("out").on_error(policy));
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &text("a", "3", 1)).unwrap();
        let piped = driver.pipe("in", &text("b", &value_bytes.to_string(), 2));
        if piped.is_ok() {
            driver.pipe("in", &text("c", "4", 3)).unwrap();
        }
        (driver, piped)
    }

    fn sizes(driver: &mut TopologyDriver, topic: &str) -> Vec<usize> {
        driver
            .read_raw(topic)
            .unwrap()
            .iter()
            .map(|raw| raw.value.as_ref().unwrap().len())
            .collect()
    }

    /// 1,048,588 bytes are Kafka's default; a record with a key of one byte and such a value has 73
    /// beside it.
    const LARGEST: usize = 1_048_588 - 73;

    #[test]
    fn a_value_that_is_too_large_for_its_topic_follows_the_policy() {
        let (mut driver, piped) = piped(OnError::Skip, LARGEST);
        piped.unwrap();
        assert_eq!(sizes(&mut driver, "out"), [3, LARGEST, 4]);
        assert_eq!(driver.dropped(DropReason::Refused), 0);

        let (mut driver, piped) = self::piped(OnError::Skip, LARGEST + 1);
        piped.unwrap();
        assert_eq!(sizes(&mut driver, "out"), [3, 4]);
        assert_eq!(driver.dropped(DropReason::Refused), 1);
    }

    #[test]
    fn so_does_one_that_is_too_large_for_the_client() {
        let (mut driver, piped) = piped(OnError::dead_letter("letters"), 9_000_000);
        piped.unwrap();
        assert_eq!(sizes(&mut driver, "out"), [3, 4]);
        // The letter is the record that it was made of.
        let letters = driver.read_raw("letters").unwrap();
        let [letter] = letters.as_slice() else { panic!("{letters:?}") };
        assert_eq!(letter.value.as_deref(), Some(&b"9000000"[..]));
        let at = letter.headers.last("__streams.errors.offset");
        assert_eq!(at, Some(&b"1"[..]));
    }

    #[test]
    fn without_a_policy_the_error_says_where_it_came_from_and_where_it_should_go() {
        for bytes in [LARGEST + 1, 9_000_000] {
            let (mut driver, piped) = piped(OnError::Fail, bytes);
            let text = format!("{:?}", piped.unwrap_err());
            for part in ["in-0@1", "KSTREAM-SINK-0000000002", "out-0", "max.message.bytes"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert_eq!(sizes(&mut driver, "out"), [3]);
        }
    }

    #[test]
    fn a_value_that_cannot_be_written_follows_the_policy() {
        let builder = StreamsBuilder::new();
        let sink = Produced::with_serdes("out", Plain, Json);
        let letters = OnError::DeadLetter("letters".into());
        builder.stream::<String, f64>("in").to(sink.on_error(letters));
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for value in [0.5, f64::NEG_INFINITY, 1.5] {
            let record = Record::new("k".to_owned(), value, Timestamp(1));
            driver.pipe("in", &record).unwrap();
        }
        let out: Vec<_> =
            driver.read_raw("out").unwrap().into_iter().map(|record| record.value).collect();
        assert_eq!(out, [Some(b"0.5".to_vec()), Some(b"1.5".to_vec())]);
        let letters = driver.read::<String, f64>("letters").unwrap();
        assert_eq!((letters.len(), letters[0].value), (1, f64::NEG_INFINITY));
    }

    #[test]
    fn an_impossible_partition_follows_the_policy() {
        let builder = StreamsBuilder::new();
        let sink = Produced::<String, String>::from("out")
            .partitioner(|_, key, _, partitions| (key == "far").then_some(partitions));
        builder.stream::<String, String>("in").to(sink.on_error(OnError::Skip));
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for key in ["far", "near"] {
            driver.pipe("in", &text(key, "v", 1)).unwrap();
        }
        assert_eq!(driver.read::<String, String>("out").unwrap(), [text("near", "v", 1)]);
        assert_eq!(driver.dropped(DropReason::Failed), 1);
    }

    /// Three partitions of `out` with the values in them, over the memory log.
    fn placed(partitioner: fn(&String) -> Partitions) -> (Vec<Vec<String>>, u64) {
        let log = crate::log::memory::MemoryLog::new();
        let (name, config) = ("out".to_owned(), Vec::new());
        let topic = NewTopic { name, partitions: 3, replication_factor: 1, config };
        log.create(&[topic]).unwrap();
        let shared: Arc<dyn Log> = Arc::new(log.clone());
        let sink =
            Produced::<String, String>::from("out").partitioner(move |_, _, value, partitions| {
                assert_eq!(partitions, 3);
                partitioner(value)
            });
        let mut producer = Producer::open(&shared, sink).unwrap();
        let mut refused = 0;
        for value in ["all", "none", "two", "far", "key"] {
            refused += u64::from(producer.send(text("k", value, 1)).is_err());
        }
        producer.flush().unwrap();
        let of = |partition| {
            let records = log.records_from(&TopicPartition::new("out", partition), 0);
            let value = |record: MemoryRecord| String::from_utf8(record.value.unwrap()).unwrap();
            records.into_iter().map(value).collect()
        };
        ((0..3).map(of).collect(), refused)
    }

    #[test]
    fn a_partitioner_may_say_several_none_or_one_that_is_not_there() {
        let (found, refused) = placed(|value| match value.as_str() {
            "all" => vec![0, 1, 2, 1].into(),
            "none" => Partitions::Nowhere,
            "two" => Some(2).into(),
            "far" => vec![0, 3].into(),
            _ => Partitions::ByKey,
        });
        assert_eq!(refused, 1, "of the one that is not there nothing is sent");
        let mut expected = vec![vec!["all"], vec!["all"], vec!["all", "two"]];
        let by_key = usize::try_from(crate::collector::murmur2_partition(b"k", 3)).unwrap();
        expected[by_key].push("key");
        assert_eq!(found, expected);
    }

    #[test]
    fn what_goes_nowhere_is_counted_from_zero() {
        let builder = StreamsBuilder::new();
        let chosen = |_: &str, _: &String, value: &String, _| match value.as_str() {
            "none" => Partitions::Nowhere,
            _ => vec![0, 0].into(),
        };
        let stream = builder.stream::<String, String>("in");
        stream.to(Produced::from("out").partitioner(chosen));
        let by_value = Repartitioned::named("r").partitioner(chosen);
        stream.repartition(by_value).to("through");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for value in ["none", "some"] {
            driver.pipe("in", &text("k", value, 1)).unwrap();
        }
        for topic in ["out", "through"] {
            assert_eq!(driver.read::<String, String>(topic).unwrap(), [text("k", "some", 1)]);
        }
        assert_eq!(driver.dropped(DropReason::NoPartition), 2);
    }
}
