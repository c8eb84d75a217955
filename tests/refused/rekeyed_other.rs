//! A join with another stream that was re-keyed.

use std::time::Duration;

use millstream::{JoinWindows, StreamsBuilder};

fn main() {
    let builder = StreamsBuilder::new();
    let left = builder.stream::<String, String>("left");
    let right = builder.stream::<String, String>("right").select_key(|_, text| text.clone());
    let within = JoinWindows::within(Duration::from_secs(1)).no_grace();
    left.join("both", &right, within, |left, right| left.clone() + right).to("out");
    //~ this stream was re-keyed: its records of one key may be in several places, and a join would miss them
    //~ needs records of one key in one place
    //~ send it through a topic first: `.repartition("name")`
}
