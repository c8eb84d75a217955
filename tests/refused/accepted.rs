//! The other programs as they should have been: this one compiles.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream::serde::Json;
use millstream::{
    InPlace, JoinWindows, KStream, Materialized, StreamsBuilder, Suppress, TimeWindows,
};

fn main() {
    let second = Duration::from_secs(1);
    let builder = StreamsBuilder::new();
    let stream: KStream<String, String, InPlace> = builder.stream("in");
    let table = builder.table::<String, String>("table", "table");
    let grouped = stream.group_by_key();
    let maps = Materialized::with_values("maps", Json);
    grouped.aggregate(maps, BTreeMap::<String, i64>::new, |_, text, map| drop(map.insert(text, 1)));
    stream.map_values(|text| text.len() as i64).to("lengths");
    let rekeyed = stream.select_key(|_, text| text.clone()).repartition("again");
    rekeyed.join_table(&table, |text, _| text).to("joined");
    let within = JoinWindows::within(second).no_grace();
    stream.join("both", &rekeyed, within, |left, right| left.clone() + right).to("both");
    let counts = grouped.windowed_by(TimeWindows::of(second).no_grace()).count("counts");
    counts.suppress("closed", Suppress::until_window_closes());
}
