//! Windows of a table, whose rows are of no time.

use std::time::Duration;

use millstream::{StreamsBuilder, TimeWindows};

fn main() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("in", "table");
    table.windowed_by(TimeWindows::of(Duration::from_secs(1)).no_grace());
    //~ no method named `windowed_by` found for struct `KTable
}
