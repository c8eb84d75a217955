//! Reads what an engine wrote and reduces it to what must be equal in all engines: the final value of each key.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use hashbrown::HashMap;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use rust_decimal::Decimal;

use crate::cluster::{self, Cluster};
use crate::invoice::Total;
use crate::workload::Workload;

type Bytes = Box<[u8]>;

/// Final values by key, both in one spelling for all engines.
#[derive(Debug, Default)]
pub struct Results {
    finals: HashMap<Bytes, Bytes>,
    /// Records in all output topics; depends on when an engine commits, so it is told and not compared.
    pub records: u64,
}

impl Results {
    /// Reads all outputs of a finished engine.
    pub fn read(cluster: &Cluster, workload: Workload, application: &str) -> Result<Self> {
        let observer = cluster.observer(&format!("{application}-results"))?;
        let topics = cluster::topics(&observer)?;
        let mut results = Self::default();
        for topic in workload.outputs(application) {
            let partitions = *topics.get(&topic).with_context(|| format!("no topic {topic}"))?;
            results.read_topic(&observer, &topic, partitions, workload)?;
        }
        Ok(results)
    }

    fn read_topic(
        &mut self,
        observer: &BaseConsumer,
        topic: &str,
        partitions: i32,
        workload: Workload,
    ) -> Result<()> {
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        observer.assign(&assignment)?;
        let mut left = partitions;
        while left > 0 {
            match observer.poll(Duration::from_secs(30)) {
                Some(Ok(record)) => self.take(&record, workload)?,
                Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Err(error)) => return Err(error.into()),
                None => bail!("{topic} could not be read to its end"),
            }
        }
        Ok(observer.unassign()?)
    }

    fn take(&mut self, record: &BorrowedMessage<'_>, workload: Workload) -> Result<()> {
        self.records += 1;
        let key = record.key().unwrap_or_default();
        let value = record.payload().unwrap_or_default();
        let (key, value) = match workload {
            Workload::Stateless | Workload::JoinTable => return self.append(key, value),
            Workload::JoinStreams => return self.pair(key, value),
            Workload::Session | Workload::ForeignJoin if record.payload().is_none() => {
                self.finals.remove(key);
                return Ok(());
            }
            Workload::Count | Workload::ForeignJoin => (key.into(), value.into()),
            Workload::Window | Workload::Session => (key.into(), plain(value)?),
            Workload::InvoiceTotals => total(key, value)?,
        };
        self.finals.insert(key, value);
        Ok(())
    }

    /// Records that follow each other: how many a key has, and a sum over them that depends on their order.
    fn append(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.sum(key, |so_far| hash(so_far, value))
    }

    /// Pairs of two streams: how many a key has, and a sum that does not depend on their order. Which of two records of
    /// one time comes first is for each engine to say.
    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.sum(key, |so_far| so_far.wrapping_add(hash(0, value)))
    }

    fn sum(&mut self, key: &[u8], add: impl Fn(u64) -> u64) -> Result<()> {
        let so_far = self.finals.entry_ref(key).or_insert_with(|| [0; 16].into());
        let (count, sum) = so_far.split_first_chunk::<8>().context("16 bytes")?;
        let sum = sum.first_chunk::<8>().context("16 bytes")?;
        let count = u64::from_be_bytes(*count) + 1;
        let sum = add(u64::from_be_bytes(*sum));
        *so_far = [count.to_be_bytes(), sum.to_be_bytes()].concat().into();
        Ok(())
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.finals.len()
    }

    /// Says where the two differ, by a few examples; nothing if they are equal.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let mut examples = Vec::new();
        let mut count = 0_u64;
        let mut differs = |key: &[u8], ours: Option<&[u8]>, theirs: Option<&[u8]>| {
            count += 1;
            if examples.len() < 3 {
                let shown = |value: Option<&[u8]>| value.map_or("nothing".into(), show);
                examples.push(format!("{}: {} / {}", show(key), shown(ours), shown(theirs)));
            }
        };
        for (key, value) in &self.finals {
            let theirs = other.finals.get(key).map(AsRef::as_ref);
            if theirs != Some(value) {
                differs(key, Some(value), theirs);
            }
        }
        for (key, value) in &other.finals {
            if !self.finals.contains_key(key) {
                differs(key, None, Some(value));
            }
        }
        (count > 0).then(|| format!("{count} keys differ, for example {}", examples.join("; ")))
    }
}

/// FNV, going on from `so_far`.
fn hash(so_far: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(so_far, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A decimal without the zeros at its end: engines differ in how many they write.
fn plain(value: &[u8]) -> Result<Bytes> {
    let decimal: Decimal = std::str::from_utf8(value)?.trim_matches('"').parse()?;
    Ok(decimal.normalize().to_string().into_bytes().into())
}

/// A total: the start of the window belongs to the key, the rest is the value.
fn total(key: &[u8], value: &[u8]) -> Result<(Bytes, Bytes)> {
    let total: Total<'_> = serde_json::from_slice(value)?;
    let mut window = key.to_vec();
    for instant in [&total.from, &total.to].into_iter().flatten() {
        window.push(b' ');
        window.extend_from_slice(instant.as_bytes());
    }
    let value = format!("{} {} {}", total.total.normalize(), total.count, total.currency);
    Ok((window.into(), value.into_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(pairs: &[(&str, &str)]) -> Results {
        let finals = pairs.iter().map(|(k, v)| (k.as_bytes().into(), v.as_bytes().into()));
        Results { finals: finals.collect(), records: 0 }
    }

    #[test]
    fn equal_results_have_no_difference() {
        assert_eq!(results(&[("a", "1")]).difference(&results(&[("a", "1")])), None);
    }

    #[test]
    fn another_value_a_missing_and_an_extra_key_are_differences() {
        let ours = results(&[("a", "1"), ("b", "2")]);
        let theirs = results(&[("a", "3"), ("c", "4")]);
        let text = ours.difference(&theirs).unwrap();
        assert!(text.starts_with("3 keys differ"), "{text}");
        assert!(text.contains("a: 1 / 3"), "{text}");
        assert!(text.contains("c: nothing / 4"), "{text}");
    }

    #[test]
    fn pairs_may_come_in_any_order_and_records_may_not() {
        let [mut one, mut other] = [Results::default(), Results::default()];
        for (first, second) in [(&mut one, ["a b", "c d"]), (&mut other, ["c d", "a b"])] {
            for value in second {
                first.pair(b"pairs", value.as_bytes()).unwrap();
                first.append(b"records", value.as_bytes()).unwrap();
            }
        }
        let difference = one.difference(&other).unwrap();
        assert!(difference.starts_with("1 keys differ, for example records:"), "{difference}");
        other.pair(b"pairs", b"a b").unwrap();
        assert!(one.difference(&other).unwrap().starts_with("2 keys differ"));
    }

    #[test]
    fn zeros_at_the_end_and_the_order_of_fields_do_not_matter() {
        assert_eq!(plain(b"12.30").unwrap(), plain(b"\"12.3\"").unwrap());
        let one =
            total(b"all", br#"{"from":"x","to":"y","total":"1.50","count":2,"currency":"EUR"}"#);
        let other =
            total(b"all", br#"{"count":2,"total":"1.5","currency":"EUR","to":"y","from":"x"}"#);
        assert_eq!(one.unwrap(), other.unwrap());
    }
}
