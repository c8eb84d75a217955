//! A value of a type of one's own that does not say its bytes.

use millstream::StreamsBuilder;

#[derive(Clone)]
struct Mine;

fn main() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").map_values(|_| Mine).to("out");
    //~ `Mine` has no serde: Millstream does not know its bytes in a topic or a store
    //~ a type of your own says it once: `impl HasSerde for Mine { type Serde = Json; }`
}
