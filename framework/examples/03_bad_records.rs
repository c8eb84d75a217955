//! Bad records: what cannot be read and what a closure refuses follow a policy, each where it stands.
//!
//! Without a policy the instance stops with the record's coordinates. Nothing is lost in silence: each drop is
//! counted by its reason, and a dead letter has the original bytes and headers that say what failed.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use millstream::record::{Headers, Timestamp};
use millstream::testing::TopologyDriver;
use millstream::{BoxError, Consumed, DropReason, OnError, StreamsBuilder};

fn main() -> Result<(), BoxError> {
    let builder = StreamsBuilder::new();
    let readings = Consumed::from("readings").on_error(OnError::dead_letter("unreadable"));
    builder
        .stream::<Option<String>, String>(readings)
        .try_map_values(|text| text.parse::<f64>())
        .on_error(OnError::Skip)
        .filter(|_, celsius| *celsius > 30.0)
        .map_values(|celsius| format!("{celsius} degrees"))
        .to("heat");

    let mut driver = TopologyDriver::new(&builder.build()?)?;
    let bad_text: &[u8] = &[0xff, 0xfe];
    for value in [b"31.5".as_slice(), bad_text, b"warm", b"12"] {
        driver.pipe_raw("readings", (None, Some(value)), Timestamp(1), &Headers::default())?;
    }
    for record in driver.read::<Option<String>, String>("heat")? {
        println!("heat: {}", record.value);
    }
    for letter in driver.read_raw("unreadable")? {
        let why = letter.headers.last("__streams.errors.message").unwrap_or_default();
        println!("unreadable: {}", String::from_utf8_lossy(why));
    }
    println!("skipped: {}", driver.dropped(DropReason::Failed));
    Ok(())
}
