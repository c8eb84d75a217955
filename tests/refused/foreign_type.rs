//! Rows of a type of the standard library, which has no serde.

use std::collections::BTreeMap;

use millstream::StreamsBuilder;

fn main() {
    let builder = StreamsBuilder::new();
    let grouped = builder.stream::<String, String>("in").group_by_key();
    grouped
        .aggregate("maps", BTreeMap::<String, i64>::new, |_, text, map| drop(map.insert(text, 1)));
    //~ `BTreeMap<String, i64>` has no serde: Millstream does not know its bytes in a topic or a store
    //~ another crate's type goes into a struct of your own, or its serdes are named
    //~ `Materialized::with_serdes`
}
