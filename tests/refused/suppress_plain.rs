//! A table without windows that waits for their end.

use millstream::{StreamsBuilder, Suppress};

fn main() {
    let builder = StreamsBuilder::new();
    let counts = builder.stream::<String, String>("in").group_by_key().count("counts");
    counts.suppress("closed", Suppress::until_window_closes()).updates().to("out");
    //~ rows by `String` have no window that could close
    //~ use `Suppress::until_time_limit`, or suppress a windowed table
}
