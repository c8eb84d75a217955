//! Joins: `join-tables-{inner,left,outer}`, `join-stream-table-{inner,left}`, `join-global-table-{inner,left}`,
//! `join-streams-{inner,left,outer,asymmetric,left-asymmetric,self,changelog,outer-changelog}`, `join-then-count`.

use std::time::Duration;

use anyhow::Result;
use millstream::{
    GlobalKTable, JoinWindows, Joined, KStream, KTable, StreamJoined, StreamsBuilder, TimeWindows,
    Topology,
};

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

const GLOBAL_TABLE: Case = Case {
    name: "join-global-table-inner",
    topology: stream_global_inner,
    outputs: &[("out", Output::Texts)],
    stores: &[("gt", "tskv", Contents::StrictTextTable)],
};

const STREAMS: Case = Case {
    name: "join-streams-inner",
    topology: streams_inner,
    outputs: &[("out", Output::Texts)],
    stores: &[],
};

pub(crate) const CASES: &[Case] = &[
    STREAMS,
    Case { name: "join-streams-left", topology: streams_left, ..STREAMS },
    Case { name: "join-streams-outer", topology: streams_outer, ..STREAMS },
    Case { name: "join-streams-asymmetric", topology: streams_asymmetric, ..STREAMS },
    Case { name: "join-streams-left-asymmetric", topology: streams_left_asymmetric, ..STREAMS },
    Case { name: "join-streams-self", topology: streams_self, ..STREAMS },
    Case { name: "join-streams-changelog", topology: streams_changelog, ..STREAMS },
    Case { name: "join-streams-outer-changelog", topology: streams_outer_changelog, ..STREAMS },
    Case {
        name: "join-then-count",
        topology: join_then_count,
        outputs: &[("out", Output::WindowedLongs(10_000))],
        stores: &[],
    },
    TABLES,
    Case { name: "join-tables-left", topology: tables_left, ..TABLES },
    Case { name: "join-tables-outer", topology: tables_outer, ..TABLES },
    STREAM_TABLE,
    Case { name: "join-stream-table-left", topology: stream_table_left, ..STREAM_TABLE },
    GLOBAL_TABLE,
    Case { name: "join-global-table-left", topology: stream_global_left, ..GLOBAL_TABLE },
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

type Stream = KStream<Nullable, Nullable>;
type How = StreamJoined<Nullable, Nullable, Nullable>;

const S: fn(u64) -> Duration = Duration::from_secs;

fn streams(join: impl FnOnce(&Stream, &Stream) -> KStream<Nullable, String>) -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let (left, right) = (builder.stream("l"), builder.stream("r"));
    join(&left, &right).to("out");
    Ok(builder.build()?)
}

fn both(left: &Nullable, right: &Nullable) -> String {
    format!("{}|{}", or_null(left.as_ref()), or_null(right.as_ref()))
}

fn either(left: Option<&Nullable>, right: Option<&Nullable>) -> String {
    both(&left.cloned().flatten(), &right.cloned().flatten())
}

fn five() -> JoinWindows {
    JoinWindows::within(S(5)).grace(S(3))
}

fn inner(left: &Stream, right: &Stream, how: How) -> KStream<Nullable, String> {
    left.join(how, right, five(), both)
}

fn streams_inner() -> Result<Topology> {
    streams(|left, right| inner(left, right, How::generated()))
}

fn left_joined(left: &Stream, right: &Stream, within: JoinWindows) -> KStream<Nullable, String> {
    left.left_join(How::generated(), right, within, |left, right| either(Some(left), right))
}

fn streams_left() -> Result<Topology> {
    streams(|left, right| left_joined(left, right, five()))
}

fn streams_outer() -> Result<Topology> {
    streams(|left, right| left.outer_join(How::generated(), right, five(), either))
}

fn streams_asymmetric() -> Result<Topology> {
    let within = JoinWindows::within(S(0)).before(S(2)).after(S(6)).grace(S(10));
    streams(|left, right| left.join(How::generated(), right, within, both))
}

fn streams_left_asymmetric() -> Result<Topology> {
    let within = JoinWindows::within(S(0)).before(S(3)).after(S(1)).grace(S(2));
    streams(|left, right| left_joined(left, right, within))
}

fn streams_self() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let stream: Stream = builder.stream("in");
    let within = JoinWindows::within(S(4)).grace(S(3));
    stream.join(How::generated(), &stream, within, both).to("out");
    Ok(builder.build()?)
}

fn streams_changelog() -> Result<Topology> {
    streams(|left, right| inner(left, right, How::named("j").store_name("js")))
}

fn streams_outer_changelog() -> Result<Topology> {
    let how = How::named("j").store_name("js");
    streams(|left, right| left.outer_join(how, right, five(), either))
}

fn join_then_count() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let (left, right): (Stream, Stream) = (builder.stream("l"), builder.stream("r"));
    let windows = TimeWindows::of(S(10)).grace(S(5));
    inner(&left, &right, How::generated())
        .group_by_key()
        .windowed_by(windows)
        .count("w")
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn stream_global(
    join: impl FnOnce(&Stream, &GlobalKTable<String, String>) -> KStream<Nullable, String>,
) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let table = builder.global_table("r", "gt");
    join(&builder.stream("l"), &table).to("out");
    Ok(builder.build()?)
}

/// `a` for values that end in an even digit, else the record's own key.
fn a_or_own(key: &Nullable, value: &Nullable) -> Nullable {
    let last = value.as_ref().and_then(|value| value.chars().last()?.to_digit(10));
    match last {
        Some(digit) if digit % 2 == 0 => Some("a".to_owned()),
        _ => key.clone(),
    }
}

fn stream_global_inner() -> Result<Topology> {
    stream_global(|stream, table| {
        stream.join_global_with(Joined::default(), table, a_or_own, |left, right| {
            format!("{}|{right}", or_null(left))
        })
    })
}

fn stream_global_left() -> Result<Topology> {
    stream_global(|stream, table| {
        stream.left_join_global_with(Joined::default(), table, a_or_own, |left, right| {
            format!("{}|{}", or_null(left), or_null(right))
        })
    })
}
