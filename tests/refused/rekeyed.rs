//! A join of a stream that was re-keyed.

use millstream::StreamsBuilder;

fn main() {
    let builder = StreamsBuilder::new();
    let table = builder.table::<String, String>("table", "table");
    let rekeyed = builder.stream::<String, String>("in").select_key(|_, text| text.clone());
    rekeyed.join_table(&table, |text, _| text).to("out");
    //~ this stream was re-keyed: its records of one key may be in several places, and a join would miss them
    //~ needs records of one key in one place
    //~ send it through a topic first: `.repartition("name")`
}
