//! Tables: `table-filter-map`, `table-filter-materialized`, `stream-to-table`, `window-to-table-filter`.

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
];

fn is_even(value: &str) -> bool {
    value.chars().last().and_then(|last| last.to_digit(10)).is_some_and(|digit| digit % 2 == 0)
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
