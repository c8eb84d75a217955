//! What an instance does and says while it waits for others.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::*;
use crate::config::HttpAddress;
use crate::log::{
    Committed, GroupListener, GroupSpec, Membership, PartitionQueue, Producer, ProducerSpec,
};

/// Another member of the group, which reads nothing.
struct Other(Vec<TopicPartition>);

impl GroupListener for Other {
    fn start_offsets(&mut self, added: &[TopicPartition]) -> crate::error::Result<Vec<i64>> {
        Ok(vec![0; added.len()])
    }
    fn assigned(&mut self, added: Vec<(TopicPartition, Box<dyn PartitionQueue>)>) {
        self.0 = added.into_iter().map(|(partition, _)| partition).collect();
    }
    fn revoked(&mut self, _: &[TopicPartition]) {}
    fn lost(&mut self, _: &[TopicPartition]) {}
}

fn joined(log: &MemoryLog) -> (Box<dyn Membership>, Vec<TopicPartition>) {
    let spec = GroupSpec {
        group: "app".to_owned(),
        topics: vec!["in".to_owned()],
        isolation: Isolation::ReadCommitted,
        static_member: None,
        prefetch_bytes_max: 1 << 20,
    };
    let mut membership = log.join(&spec).unwrap();
    let mut other = Other(Vec::new());
    wait_until(
        || {
            membership.poll(Duration::from_millis(5), &mut other).unwrap();
            other.0.clone()
        },
        |owned| !owned.is_empty(),
    );
    (membership, other.0)
}

/// Leaves a transaction open that holds offsets of the group.
fn open_transaction(log: &MemoryLog, transactional_id: &str) -> Box<dyn Producer> {
    let (membership, owned) = joined(log);
    let spec = ProducerSpec {
        transactional_id: Some(transactional_id.to_owned()),
        transaction_timeout: Some(Duration::from_secs(60)),
        ..ProducerSpec::default()
    };
    let mut producer = log.producer(&spec).unwrap();
    producer.begin().unwrap();
    let committed = Committed { offset: 0, metadata: String::new() };
    let offsets: Vec<_> = owned.into_iter().map(|p| (p, committed.clone())).collect();
    producer.send_offsets(&offsets, &membership.member().generation().unwrap()).unwrap();
    membership.leave(&mut Other(Vec::new())).unwrap();
    producer
}

pub(super) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A process that died in the middle of a commit leaves a transaction with its offsets; its time-out
/// does not pass here. The next process of the directory ends it, also one with fewer workers.
#[test]
fn a_transaction_left_open_does_not_hold_up_the_next_process() {
    for (worker, workers) in [(0, 2), (1, 2), (1, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let log = log_with(&[("in", 2), ("out", 1)]);
        let start = |workers| {
            let shared: Arc<dyn Log> = Arc::new(log.clone());
            let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
            let config = config.num_stream_threads(workers);
            Streams::with(upper(), config).log(shared).start().unwrap()
        };
        let first = start(2);
        assert_eq!(first.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
        first.close().unwrap();
        let process = std::fs::read_to_string(dir.path().join("app/process-id")).unwrap();
        drop(open_transaction(&log, &format!("app-{}-{worker}", process.trim())));
        let next = start(workers);
        let state = next.wait_for(&[StreamsState::Running], PATIENCE);
        assert_eq!(state, StreamsState::Running, "{worker} of {workers}");
        put(&log, 0, "a", "one");
        wait_for(&log, "out", &["ONE"]);
        next.close().unwrap();
    }
}

/// Positions that are part of somebody else's transaction are waited for: no task is there
/// meanwhile, which is not the same as that all tasks run.
#[test]
fn an_instance_that_waits_for_positions_is_not_ready_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 2), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2)
        .http(HttpAddress::On("127.0.0.1:0".parse().unwrap()));
    let streams = Streams::with(upper(), config).log(shared).start().unwrap();
    let address = streams.http_address().unwrap();
    wait_until(|| get(address, "/readyz").0, |code| *code == 200);
    let mut producer = open_transaction(&log, "somebody");
    let body = wait_until(|| get(address, "/readyz").1, |body| body.contains("open transaction"));
    for part in ["\"ready\":false", "rebalancing", "the committed positions of in-"] {
        assert!(body.contains(part), "{body}");
    }
    assert_eq!(get(address, "/readyz").0, 503);
    assert_eq!(get(address, "/healthz").0, 200);
    assert_eq!(streams.state(), StreamsState::Rebalancing);
    producer.abort().unwrap();
    let body = wait_until(|| get(address, "/readyz"), |(code, _)| *code == 200).1;
    assert!(body.contains("\"waiting_for\":[]"), "{body}");
    streams.close().unwrap();
}

/// A topic that is not there yet is waited for, and the body names it.
#[test]
fn an_instance_that_waits_for_a_topic_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(&dir, ProcessingGuarantee::AtLeastOnce)
        .http(HttpAddress::On("127.0.0.1:0".parse().unwrap()));
    let streams = Streams::with(upper(), config).log(shared).start().unwrap();
    let address = streams.http_address().unwrap();
    wait_until(|| get(address, "/readyz").1, |body| body.contains("topic in does not exist"));
    assert_eq!(streams.state(), StreamsState::Starting);
    streams.close().unwrap();
}
