//! Joins by foreign key: `join-foreign-key-{inner,left,bytes}`, `table-join-aggregate`.

use anyhow::Result;
use millstream::{KTable, StreamsBuilder, TableJoined, Topology};

use crate::cases::Case;
use crate::check::{Contents, Output};

const FOREIGN: Case = Case {
    name: "join-foreign-key-inner",
    topology: inner,
    outputs: &[("out", Output::Texts)],
    stores: &[("fk", "tskv", Contents::StrictTextTable)],
};

pub(crate) const CASES: &[Case] = &[
    FOREIGN,
    Case { name: "join-foreign-key-left", topology: left, ..FOREIGN },
    Case { name: "join-foreign-key-bytes", topology: bytes, ..FOREIGN },
    Case {
        name: "table-join-aggregate",
        topology: then_aggregate,
        outputs: &[("out", Output::Longs)],
        stores: &[("n", "tskv", Contents::LongTable)],
    },
];

type Table = KTable<String, String>;
type How = TableJoined<String, String, String>;

/// The last digit modulo 3, as a letter.
fn foreign_key(value: &str) -> Option<String> {
    let digit = value.chars().last()?.to_digit(10)?;
    ["a", "b", "c"].get(digit as usize % 3).map(|letter| (*letter).to_owned())
}

fn meet(left: &Table, right: &Table, how: How) -> Table {
    left.join_foreign(how, right, |_, value| foreign_key(value), |l, r| format!("{l}|{r}"))
}

fn meet_left(left: &Table, right: &Table) -> Table {
    left.left_join_foreign(
        How::generated(),
        right,
        |_, value| foreign_key(value),
        |l, r| format!("{l}|{}", r.map_or("null", String::as_str)),
    )
}

fn tables(join: impl FnOnce(&Table, &Table) -> Table) -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let (left, right) = (builder.table("l", "lt"), builder.table("r", "rt"));
    join(&left, &right).materialized("fk").to_stream().to("out");
    Ok(builder.build()?)
}

fn inner() -> Result<Topology> {
    tables(|left, right| meet(left, right, How::generated()))
}

fn left() -> Result<Topology> {
    tables(meet_left)
}

fn bytes() -> Result<Topology> {
    tables(|left, right| meet(left, right, How::named("fkj")))
}

fn then_aggregate() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let (orders, customers) = (builder.table("orders", "o"), builder.table("customers", "c"));
    let customer = |_: &String, line: &String| {
        let customer = line.split_once('|').map_or("", |(_, customer)| customer);
        (Some(customer.to_owned()), line.clone())
    };
    meet_left(&orders, &customers)
        .materialized("j")
        .group_by(customer)
        .count("n")
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}
