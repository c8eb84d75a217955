//! A processor of one's own: it remembers in a store, and acts when time has passed.
//!
//! Each event is let through once by its id; every minute of event time those that are older are forgotten.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use millstream::record::{Record, Timestamp};
use millstream::testing::{TopologyDriver, text};
use millstream::{
    BoxError, Context, KeyValue, KeyValueStore, Processor, PunctuationType, Schedule,
    StreamsBuilder,
};

const REMEMBERED_MS: i64 = 60_000;

/// One per task: `seen` holds when an id was seen, and is restored from its changelog after a failure.
struct Once {
    seen: KeyValueStore<String, i64>,
}

impl Processor<String, String> for Once {
    type KOut = String;
    type VOut = String;

    fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
        ctx.schedule(Duration::from_secs(60), PunctuationType::StreamTime);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        if self.seen.put_if_absent(record.value.clone(), record.timestamp.0)?.is_none() {
            ctx.forward(record);
        }
        Ok(())
    }

    fn punctuate(
        &mut self,
        _which: Schedule,
        now: Timestamp,
        _ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        for entry in self.seen.all()? {
            let (id, seen_at) = entry?;
            if seen_at <= now.0 - REMEMBERED_MS {
                self.seen.delete(&id)?;
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), BoxError> {
    let builder = StreamsBuilder::new();
    // Naming the store in `process` connects it: there is no way to forget it.
    let seen = builder.store(KeyValue::<String, i64>::named("seen"));
    builder
        .stream::<String, String>("events")
        .process("once", &seen, |seen| Once { seen })
        .to("events-once");

    let mut driver = TopologyDriver::new(&builder.build()?)?;
    for (id, second) in [("a", 1), ("b", 2), ("a", 3), ("c", 130), ("a", 131)] {
        driver.pipe("events", &text("k", id, second * 1_000))?;
    }
    for record in driver.read::<String, String>("events-once")? {
        println!("{} at {} s", record.value, record.timestamp.0 / 1_000);
    }
    Ok(())
}
