//! Types say their bytes once: a type of one's own as JSON, keys that may be null, a type of somebody else.
//!
//! The test driver runs the topology record by record, without a broker: so do the next examples.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;

use millstream::record::{Record, Timestamp};
use millstream::serde::{HasSerde, Json};
use millstream::testing::TopologyDriver;
use millstream::{BoxError, Materialized, Produced, StreamsBuilder};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    customer: String,
    product: String,
    pieces: u32,
}

/// From here on every source, store and sink knows how an order is written.
impl HasSerde for Order {
    type Serde = Json;
}

fn main() -> Result<(), BoxError> {
    let builder = StreamsBuilder::new();
    builder
        // The producers of this topic write no keys: `Option` is Kafka's null.
        .stream::<Option<String>, Order>("orders")
        .group_by(|_, order| order.customer.clone())
        // A map is nobody's type of ours: this store says its serde itself.
        .aggregate(
            Materialized::with_values("baskets", Json),
            BTreeMap::new,
            |_, order, basket: &mut BTreeMap<String, u32>| {
                *basket.entry(order.product).or_default() += order.pieces;
            },
        )
        .updates()
        .to(Produced::with_values("baskets", Json));

    let mut driver = TopologyDriver::new(&builder.build()?)?;
    for (product, pieces) in [("pens", 2), ("paper", 1), ("pens", 3)] {
        let (customer, product) = ("ada".to_owned(), product.to_owned());
        let order = Order { customer, product, pieces };
        driver.pipe("orders", &Record::new(None::<String>, order, Timestamp(0)))?;
    }
    for basket in driver.read_raw("baskets")? {
        println!("{}", String::from_utf8_lossy(basket.value.as_deref().unwrap_or_default()));
    }
    Ok(())
}
