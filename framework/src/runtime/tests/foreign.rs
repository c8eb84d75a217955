//! Joins by foreign key of tables whose topics have different numbers of partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BOTH, PATIENCE, config, log_with, wait_until};
use crate::collector::murmur2_partition;
use crate::config::ProcessingGuarantee;
use crate::log::Log;
use crate::log::memory::MemoryLog;
use crate::operators::TableJoined;
use crate::record::{Headers, TopicPartition};
use crate::runtime::board::StreamsState;
use crate::runtime::streams::Streams;
use crate::topology::{StreamsBuilder, Topology};

type How = TableJoined<String, String, String>;
type Rows = BTreeMap<String, String>;

const LEFT: i32 = 3;
const RIGHT: i32 = 5;

/// Where rows lie that do not lie where Java's partitioner puts them.
fn placed(key: &str, partitions: i32) -> i32 {
    key.len() as i32 % partitions
}

fn topology(is_left: bool, how: How) -> Topology {
    let builder = StreamsBuilder::new();
    let left = builder.table::<String, String>("l", "lt");
    let right = builder.table::<String, String>("r", "rt");
    let key = |_: &String, row: &String| Some(row.clone()).filter(|row| row != "none");
    let joined = match is_left {
        true => left.left_join_foreign(how, &right, key, |l, r| format!("{l} {r:?}")),
        false => left.join_foreign(how, &right, key, |l, r| format!("{l} {:?}", Some(r))),
    };
    joined.materialized("joined").to_stream().to("out");
    builder.build().unwrap()
}

/// Both tables, and the log in which they are.
struct World {
    log: MemoryLog,
    left: Rows,
    right: Rows,
    is_placed: bool,
    is_left: bool,
}

impl World {
    fn put(&mut self, of_left: bool, key: &str, row: Option<&str>) {
        let (topic, partition) = match (of_left, self.is_placed) {
            (true, true) => ("l", placed(key, LEFT)),
            (true, false) => ("l", murmur2_partition(key.as_bytes(), LEFT)),
            (false, true) => ("r", placed(key, RIGHT)),
            (false, false) => ("r", murmur2_partition(key.as_bytes(), RIGHT)),
        };
        let at = TopicPartition::new(topic, partition);
        let bytes = (Some(key.as_bytes()), row.map(str::as_bytes));
        self.log.append(&at, bytes.0, bytes.1, 7, &Headers::default()).unwrap();
        let table = if of_left { &mut self.left } else { &mut self.right };
        match row {
            Some(row) => drop(table.insert(key.to_owned(), row.to_owned())),
            None => drop(table.remove(key)),
        }
    }

    /// Writes that look like chance.
    fn write(&mut self, round: usize) {
        for step in 0..60 {
            let number = (step * 7 + round * 5) % 12;
            let foreign = "x".repeat(number % 6);
            match (step + round) % 5 {
                0 => self.put(false, &foreign, Some(&format!("right {round} {step}"))),
                1 if step % 4 == 0 => self.put(false, &foreign, None),
                2 if step % 7 == 0 => self.put(true, &format!("k{number}"), None),
                3 if step % 3 == 0 => self.put(true, &format!("k{number}"), Some("none")),
                _ => self.put(true, &format!("k{number}"), Some(&foreign)),
            }
        }
    }

    fn wanted(&self) -> Rows {
        let row = |(key, row): (&String, &String)| {
            let right = self.right.get(row).filter(|_| row != "none");
            let result = (key.clone(), format!("{row} {right:?}"));
            (self.is_left || right.is_some()).then_some(result)
        };
        self.left.iter().filter_map(row).collect()
    }

    /// What the output says last of each key, which is always in the same partition.
    fn found(&self) -> Rows {
        let mut rows = Rows::new();
        for record in self.log.records("out") {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let key = text(record.key.unwrap());
            match record.value.map(text) {
                Some(row) => drop(rows.insert(key, row)),
                None => drop(rows.remove(&key)),
            }
        }
        rows
    }

    /// Runs an instance until the output says what both tables do.
    fn run(&self, dir: &tempfile::TempDir, guarantee: ProcessingGuarantee) {
        let how = match self.is_placed {
            true => How::named("j").partitioner(|key, partitions| Some(placed(key, partitions))),
            false => How::named("j"),
        };
        let shared: Arc<dyn Log> = Arc::new(self.log.clone());
        let streams =
            Streams::with(topology(self.is_left, how), config(dir, guarantee)).log(shared);
        let streams = streams.start().unwrap();
        let state = streams.wait_for(&[StreamsState::Running], PATIENCE);
        assert_eq!(state, StreamsState::Running);
        let wanted = self.wanted();
        wait_until(|| self.found(), |found| *found == wanted);
        streams.close().unwrap();
    }
}

/// Neither side lies as the other does; the second instance goes on from its disk, the third from the changelogs.
#[test]
fn a_join_by_foreign_key_needs_no_equal_partitions_and_survives_restarts() {
    for guarantee in BOTH {
        for (is_placed, is_left) in [(false, true), (true, false)] {
            let log = log_with(&[("l", LEFT), ("r", RIGHT), ("out", 1)]);
            let (left, right) = (Rows::new(), Rows::new());
            let mut world = World { log, left, right, is_placed, is_left };
            let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            for (round, dir) in [&first, &first, &second].into_iter().enumerate() {
                world.write(round);
                world.run(dir, guarantee);
            }
            let partitions = |topic: &str| {
                let topics = world.log.describe(&[topic]).unwrap();
                topics[0].as_ref().unwrap().partitions
            };
            assert_eq!(partitions("app-j-subscription-registration-topic"), RIGHT);
            assert_eq!(partitions("app-j-subscription-response-topic"), LEFT);
        }
    }
}
