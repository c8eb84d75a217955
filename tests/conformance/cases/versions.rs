//! Tables that keep versions, and joins with them.

use std::time::Duration;

use anyhow::Result;
use millstream::{Joined, KTable, Materialized, StreamsBuilder, Topology};

use crate::cases::Case;
use crate::check::{Contents, Output};

const VERSIONS: &[(&str, &str, Contents)] = &[("vt", "versioned", Contents::RowTexts)];

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "versioned-table",
        topology: table,
        outputs: &[("out", Output::Texts)],
        stores: VERSIONS,
    },
    Case {
        name: "versioned-table-group-count",
        topology: group_count,
        outputs: &[("out", Output::Longs)],
        stores: &[],
    },
    Case {
        name: "join-versioned-inner",
        topology: join_inner,
        outputs: &[("out", Output::Texts)],
        stores: VERSIONS,
    },
    Case {
        name: "join-versioned-left",
        topology: join_left,
        outputs: &[("out", Output::Texts)],
        stores: VERSIONS,
    },
];

type Text = Option<String>;

fn versioned(builder: &StreamsBuilder, topic: &str, history_s: u64) -> KTable<Text, String> {
    let history = Duration::from_secs(history_s);
    builder.table(topic, Materialized::named("vt").versioned(history))
}

fn table() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    versioned(&builder, "in", 20).filter(|_, _| true).to_stream().to("out");
    Ok(builder.build()?)
}

fn group_count() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let parity = |_: &Text, value: &String| {
        let group =
            if value.bytes().last().is_some_and(|digit| digit % 2 == 1) { "o" } else { "e" };
        (group.to_owned(), value.clone())
    };
    versioned(&builder, "in", 20).group_by(parity).count("c").to_stream().to("out");
    Ok(builder.build()?)
}

fn how() -> Joined<Text, Text> {
    Joined::named("buf").grace(Duration::from_secs(5))
}

fn join_inner() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let right = versioned(&builder, "r", 30);
    builder
        .stream::<Text, Text>("l")
        .join_table_with(how(), &right, |left, right| joined(left.as_ref(), Some(right)))
        .to("out");
    Ok(builder.build()?)
}

fn join_left() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let right = versioned(&builder, "r", 30);
    builder
        .stream::<Text, Text>("l")
        .left_join_table_with(how(), &right, |left, right| joined(left.as_ref(), right))
        .to("out");
    Ok(builder.build()?)
}

fn joined(left: Option<&String>, right: Option<&String>) -> String {
    let text = |side: Option<&String>| side.map_or("null".to_owned(), Clone::clone);
    format!("{}|{}", text(left), text(right))
}
