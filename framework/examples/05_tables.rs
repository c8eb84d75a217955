//! Tables: a topic as the latest value of each key, a condition on its rows, rows that are kept.
//!
//! A row that meets the condition no more becomes a deletion downstream: a table of open orders forgets those
//! that are paid.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use millstream::testing::{TopologyDriver, text};
use millstream::{BoxError, StreamsBuilder};

fn main() -> Result<(), BoxError> {
    let builder = StreamsBuilder::new();
    builder
        .table::<String, String>("orders", "orders")
        .filter(|_, state| state == "open")
        .materialized("open-orders")
        .to_stream()
        .to("open-orders");

    let mut driver = TopologyDriver::new(&builder.build()?)?;
    for (order, state) in [("1", "open"), ("2", "open"), ("1", "paid"), ("3", "open")] {
        driver.pipe("orders", &text(order, state, 0))?;
    }
    for change in driver.read::<String, Option<String>>("open-orders")? {
        println!("{} {}", change.key, change.value.as_deref().unwrap_or("is open no more"));
    }
    let open: Vec<String> =
        driver.table::<String, String>("open-orders")?.into_iter().map(|row| row.0).collect();
    println!("open: {}", open.join(", "));
    Ok(())
}
