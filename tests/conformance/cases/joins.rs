//! Joins: `join-tables-{inner,left,outer}`, `join-stream-table-{inner,left}`.

use anyhow::Result;
use millstream::{Joined, KStream, KTable, StreamsBuilder, Topology};

use crate::cases::Case;
use crate::check::{Contents, Output};

const TABLES: Case = Case {
    name: "join-tables-inner",
    topology: tables_inner,
    outputs: &[("out", Output::Texts)],
    stores: &[("j", "tskv", Contents::StrictTextTable)],
};

const STREAM_TABLE: Case = Case {
    name: "join-stream-table-inner",
    topology: stream_table_inner,
    outputs: &[("out", Output::Texts)],
    stores: &[],
};

pub(crate) const CASES: &[Case] = &[
    TABLES,
    Case { name: "join-tables-left", topology: tables_left, ..TABLES },
    Case { name: "join-tables-outer", topology: tables_outer, ..TABLES },
    STREAM_TABLE,
    Case { name: "join-stream-table-left", topology: stream_table_left, ..STREAM_TABLE },
];

/// Java's text of a value that may be missing.
fn or_null<T: AsRef<str>>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.as_ref().to_owned())
}

type Table = KTable<String, String>;

fn tables(join: impl FnOnce(&Table, &Table) -> Table) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.table("l", "lt"), builder.table("r", "rt"));
    join(&left, &right).materialized("j").to_stream().to("out");
    Ok(builder.build()?)
}

fn tables_inner() -> Result<Topology> {
    tables(|left, right| left.join(right, |left, right| format!("{left}|{right}")))
}

fn tables_left() -> Result<Topology> {
    tables(|left, right| left.left_join(right, |left, right| format!("{left}|{}", or_null(right))))
}

fn tables_outer() -> Result<Topology> {
    tables(|left, right| {
        left.outer_join(right, |left, right| format!("{}|{}", or_null(left), or_null(right)))
    })
}

type Nullable = Option<String>;

fn stream_table(
    join: impl FnOnce(
        &KStream<Nullable, Nullable>,
        &KTable<Nullable, String>,
    ) -> KStream<Nullable, String>,
) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let table = builder.table("r", "t");
    join(&builder.stream("l"), &table).to("out");
    Ok(builder.build()?)
}

fn stream_table_inner() -> Result<Topology> {
    stream_table(|stream, table| {
        stream.join_table_with(Joined::default(), table, |left, right| {
            format!("{}|{right}", or_null(left))
        })
    })
}

fn stream_table_left() -> Result<Topology> {
    stream_table(|stream, table| {
        stream.left_join_table_with(Joined::default(), table, |left, right| {
            format!("{}|{}", or_null(left), or_null(right))
        })
    })
}
