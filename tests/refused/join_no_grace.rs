//! A join of streams that does not say how late a record may come.

use std::time::Duration;

use millstream::{JoinWindows, StreamsBuilder};

fn main() {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, String>("left");
    let right = builder.stream::<String, String>("right");
    let within = JoinWindows::within(Duration::from_secs(1));
    left.join("joined", &right, within, |left, right| format!("{left} {right}")).to("out");
    //~ cannot be used as windows of a join
    //~ windows need a stated grace: `.grace(..)` or `.no_grace()`
}
