//! Aggregations by key: `count`, `reduce`, `aggregate`, `repartition-count`,
//! `chained-repartitions`; several streams into one row: `cogroup`, `windowed-cogroup`.

use std::time::Duration;

use anyhow::Result;
use millstream::{CogroupedStream, StreamsBuilder, TimeWindows, Topology};

use crate::cases::Case;
use crate::check::{Contents, Output};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "cogroup",
        topology: cogroup,
        outputs: &[("out", Output::Texts)],
        stores: &[("cg", "tskv", Contents::TextTable)],
    },
    Case {
        name: "windowed-cogroup",
        topology: windowed_cogroup,
        outputs: &[("out", Output::WindowedTexts(10_000))],
        stores: &[],
    },
    Case {
        name: "count",
        topology: count,
        outputs: &[("out", Output::Longs)],
        stores: &[("counts", "tskv", Contents::LongTable)],
    },
    Case {
        name: "reduce",
        topology: reduce,
        outputs: &[("out", Output::Texts)],
        stores: &[("r", "tskv", Contents::TextTable)],
    },
    Case {
        name: "aggregate",
        topology: aggregate,
        outputs: &[("out", Output::Longs)],
        stores: &[("sums", "tskv", Contents::LongTable)],
    },
    Case {
        name: "repartition-count",
        topology: repartition_count,
        outputs: &[("out", Output::Longs)],
        stores: &[("counts", "tskv", Contents::LongTable)],
    },
    Case {
        name: "chained-repartitions",
        topology: chained_repartitions,
        outputs: &[("out", Output::Texts)],
        stores: &[("c1", "tskv", Contents::LongTable), ("r1", "tskv", Contents::TextTable)],
    },
];

fn count() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .count("counts")
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn reduce() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .reduce("r", |so_far, value| Some(so_far? + "," + &value?))
        .updates()
        .to("out");
    Ok(builder.build()?)
}

fn aggregate() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, String>("in")
        .group_by(
            |key, value| if value.starts_with('-') { Some("neg".to_owned()) } else { key.clone() },
        )
        .aggregate_retain(
            "sums",
            || 0_i64,
            |_, value, sum| {
                *sum += value.parse::<i64>().unwrap_or(0);
                *sum % 5 != 0
            },
        )
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn last_char(value: &str) -> String {
    value.chars().last().map(String::from).unwrap_or_default()
}

fn repartition_count() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, String>("in")
        .select_key(|_, value| Some(last_char(value)))
        .repartition("rp")
        .group_by_key()
        .count("counts")
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn chained_repartitions() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, String>("in")
        .group_by(|_, value| Some(last_char(value)))
        .count("c1")
        .updates()
        .select_key(|_, count| Some(if count % 2 == 0 { "even" } else { "odd" }.to_owned()))
        .map_values(|count| Some(count.to_string()))
        .group_by_key()
        .reduce("r1", |so_far, value| Some(so_far? + &value?))
        .updates()
        .to("out");
    Ok(builder.build()?)
}

type Nullable = Option<String>;

fn both(builder: &StreamsBuilder) -> CogroupedStream<Nullable, Nullable> {
    let left = builder.stream::<Nullable, Nullable>("l").group_by_key();
    let right = builder.stream::<Nullable, Nullable>("r").group_by_key();
    let add = |what: &str, value: Nullable, row: &mut Nullable| {
        let row = row.get_or_insert_default();
        row.push_str(what);
        row.push_str(value.as_deref().unwrap_or("null"));
    };
    left.cogroup(|| Some(String::new()), move |_, value, row| add("L", value, row))
        .cogroup(&right, move |_, value, row| add("R", value, row))
}

fn cogroup() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    both(&builder).aggregate("cg").to_stream().to("out");
    Ok(builder.build()?)
}

fn windowed_cogroup() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of(Duration::from_secs(10)).grace(Duration::from_secs(5));
    both(&builder).windowed_by(windows).aggregate("cg").to_stream().to("out");
    Ok(builder.build()?)
}
