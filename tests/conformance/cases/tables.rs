//! Tables: `table-filter-map`, `table-filter-materialized`, `stream-to-table`, `window-to-table-filter`,
//! `table-group-aggregate`, `table-group-count-reduce`.

use std::time::Duration;

use anyhow::Result;
use millstream::{Materialized, StreamsBuilder, TimeWindows, Topology};

use crate::cases::Case;
use crate::check::{Contents, Output};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "table-filter-map",
        topology: filter_map,
        outputs: &[("out", Output::Texts)],
        stores: &[("t", "tskv", Contents::StrictTextTable)],
    },
    Case {
        name: "table-filter-materialized",
        topology: filter_materialized,
        outputs: &[("out", Output::Texts)],
        stores: &[
            ("f", "tskv", Contents::StrictTextTable),
            ("m", "tskv", Contents::StrictTextTable),
        ],
    },
    Case {
        name: "stream-to-table",
        topology: stream_to_table,
        outputs: &[("out", Output::Texts)],
        stores: &[("tt", "tskv", Contents::TextTable)],
    },
    Case {
        name: "window-to-table-filter",
        topology: window_to_table_filter,
        outputs: &[("out", Output::WindowedTexts(10_000))],
        stores: &[],
    },
    Case {
        name: "table-group-aggregate",
        topology: group_aggregate,
        outputs: &[("out", Output::Texts)],
        stores: &[
            ("ag", "tskv", Contents::StrictTextTable),
            ("t", "tskv", Contents::StrictTextTable),
        ],
    },
    Case {
        name: "table-group-count-reduce",
        topology: group_count_reduce,
        outputs: &[("counts", Output::Longs), ("reduced", Output::Texts)],
        stores: &[],
    },
];

fn last_digit(value: &str) -> Option<u32> {
    value.chars().last()?.to_digit(10)
}

fn is_even(value: &str) -> bool {
    last_digit(value).is_some_and(|digit| digit % 2 == 0)
}

fn filter_map() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .table::<String, String>("in", "t")
        .filter(|_, value| is_even(value))
        .map_values(|value| format!("{value}!"))
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn filter_materialized() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    builder
        .table::<String, String>("in", Materialized::generated())
        .filter(|_, value| is_even(value))
        .materialized("f")
        .map_values(|value| format!("{value}!"))
        .materialized("m")
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn stream_to_table() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .map_values(|value| value.map(|value| format!("{value}~")))
        .to_table("tt")
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn window_to_table_filter() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of(Duration::from_secs(10)).grace(Duration::from_secs(5));
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(windows)
        .count("w")
        .filter(|_, count| *count >= 2)
        .map_values(|count| format!("n={count}"))
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn group_aggregate() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let grouped = builder.table::<String, String>("in", "t").group_by(|_, value| {
        (last_digit(value).map_or_else(String::new, |digit| (digit % 3).to_string()), value.clone())
    });
    let sums = grouped.aggregate(
        "ag",
        String::new,
        |_, value, all: &mut String| *all += &format!("+{value}"),
        |_, value, all| *all += &format!("-{value}"),
    );
    sums.to_stream().to("out");
    Ok(builder.build()?)
}

fn group_count_reduce() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let table = builder.table::<String, String>("in", Materialized::generated());
    let grouped = table.group_by(|_, value| {
        let parity = if is_even(value) { "e" } else { "o" };
        (parity.to_owned(), value.clone())
    });
    grouped.count("c").to_stream().to("counts");
    let without = |all: String, value: String| {
        let listed = format!(",{value}");
        let what = if all.contains(&listed) { &listed } else { &value };
        all.replacen(what.as_str(), "", 1)
    };
    grouped.reduce("rd", |all, value| format!("{all},{value}"), without).to_stream().to("reduced");
    Ok(builder.build()?)
}
