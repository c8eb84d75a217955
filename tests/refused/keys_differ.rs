//! A join of a stream and a table whose keys are of different types.

use millstream::StreamsBuilder;

fn main() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<i64, String>("table", "table");
    builder.stream::<String, String>("in").join_table(&table, |text, _| text).to("out");
    //~ mismatched types
    //~ &KTable<String, _>
    //~ &KTable<i64, String>
}
