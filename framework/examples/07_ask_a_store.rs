//! Questions: the state of a running instance is read while it runs, and shows what is committed.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::time::Duration;

use millstream::client::Producer;
use millstream::log::memory::MemoryLog;
use millstream::log::{Log, NewTopic};
use millstream::record::{Record, Timestamp};
use millstream::{BoxError, Streams, StreamsBuilder, StreamsConfig, StreamsState};

fn main() -> Result<(), BoxError> {
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    log.create(&[NewTopic::new("payments", 2)])?;

    let builder = StreamsBuilder::new();
    builder.stream::<String, i64>("payments").group_by_key().aggregate(
        "paid",
        || 0,
        |_, cents, paid| *paid += cents,
    );

    let state = std::env::temp_dir().join(format!("millstream-ask-{}", std::process::id()));
    let config = StreamsConfig::new("payments").state_dir(&state).commit_interval_ms(50);
    let streams = Streams::with(builder.build()?, config).log(Arc::clone(&log)).start()?;
    streams.wait_for(&[StreamsState::Running], Duration::from_secs(30));

    let mut payments = Producer::<String, i64>::open(&log, "payments")?;
    for cents in [1_000, 250] {
        payments.send(Record::new("ada".to_owned(), cents, Timestamp(1)))?;
    }
    payments.close()?;

    // What is not committed yet is not shown: ask until both payments are there.
    let paid = streams.store::<String, i64>("paid");
    let row = loop {
        match paid.get(&"ada".to_owned())? {
            Some(row) if row.value == 1_250 => break row,
            _ => std::thread::yield_now(),
        }
    };
    println!("{} has paid {} cents", row.key, row.value);
    streams.close()?;
    std::fs::remove_dir_all(&state)?;
    Ok(())
}
