//! Windows that do not say how late a record may come.

use std::time::Duration;

use millstream::{StreamsBuilder, TimeWindows};

fn main() {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in").group_by_key();
    grouped.windowed_by(TimeWindows::of(Duration::from_secs(1))).count("counts");
    //~ cannot be used as windows
    //~ windows need a stated grace: `.grace(..)` or `.no_grace()`
}
