//! Windows: counts per ten seconds, given out once, when a window is over; records that come too late.
//!
//! A window is over when a record came whose time is past its end and its grace. Time is that of the records:
//! nothing closes while no record comes.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use millstream::testing::{TopologyDriver, text};
use millstream::{BoxError, DropReason, Emit, StreamsBuilder, TimeWindows};

fn main() -> Result<(), BoxError> {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of(Duration::from_secs(10)).grace(Duration::from_secs(2));
    builder
        .stream::<String, String>("clicks")
        .group_by_key()
        .windowed_by(windows)
        .emit(Emit::OnWindowClose)
        .count("clicks-per-10s")
        .updates()
        .map(|window, clicks| (window.key, format!("{} s: {clicks}", window.start / 1_000)))
        .to("clicks-per-10s");

    let mut driver = TopologyDriver::new(&builder.build()?)?;
    // The fourth is late and within the grace; the last one comes when its window is over.
    for (second, page) in [(1, "/"), (4, "/a"), (11, "/b"), (9, "/c"), (13, "/d"), (3, "/e")] {
        driver.pipe("clicks", &text("ada", page, second * 1_000))?;
    }
    for record in driver.read::<String, String>("clicks-per-10s")? {
        println!("{} from {}", record.key, record.value);
    }
    println!("too late: {}", driver.dropped(DropReason::Late));
    Ok(())
}
