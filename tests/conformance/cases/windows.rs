//! Aggregations by window.

use std::time::Duration;

use anyhow::Result;
use millstream::record::Timestamp;
use millstream::{
    Consumed, Emit, Materialized, SessionWindows, SlidingWindows, StreamsBuilder, TimeWindows,
    Topology, UnlimitedWindows, WindowedStream,
};

use crate::cases::Case;
use crate::check::{Contents, Output};

const TEN_SECONDS: &[(&str, Output)] = &[("out", Output::WindowedLongs(10_000))];
const STORE_W: &[(&str, &str, Contents)] = &[("w", "window", Contents::WindowedLongTable)];
const HOUR: Duration = Duration::from_secs(3600);

/// A case whose windows are 10 s long.
const fn ten_seconds(name: &'static str, topology: fn() -> Result<Topology>) -> Case {
    Case { name, topology, outputs: TEN_SECONDS, stores: STORE_W }
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "session-concat",
        topology: session_concat,
        outputs: &[("out", Output::SessionTexts)],
        stores: &[("s", "session", Contents::SessionTexts)],
    },
    Case {
        name: "session-count-nograce",
        topology: session_count_nograce,
        outputs: &[("out", Output::SessionLongs)],
        stores: &[("s", "session", Contents::SessionLongs)],
    },
    Case {
        name: "session-reduce",
        topology: session_reduce,
        outputs: &[("out", Output::SessionTexts)],
        stores: &[("s", "session", Contents::SessionTexts)],
    },
    Case {
        name: "session-on-close",
        topology: session_on_close,
        outputs: &[("out", Output::SessionLongs)],
        stores: &[("s", "session", Contents::SessionLongs)],
    },
    Case {
        name: "session-store-changelog",
        topology: session_store_changelog,
        outputs: &[("out", Output::SessionLongs)],
        stores: &[],
    },
    Case {
        name: "sliding-count",
        topology: sliding_count,
        outputs: &[("out", Output::WindowedLongs(5_000))],
        stores: STORE_W,
    },
    Case {
        name: "sliding-concat",
        topology: sliding_concat,
        outputs: &[("out", Output::WindowedTexts(4_000))],
        stores: &[("w", "window", Contents::WindowedTextTable)],
    },
    Case {
        name: "sliding-on-close",
        topology: sliding_on_close,
        outputs: &[("out", Output::WindowedLongs(4_000))],
        stores: STORE_W,
    },
    ten_seconds("tumbling-count", tumbling_count),
    ten_seconds("tumbling-grace-sum", tumbling_grace_sum),
    ten_seconds("hopping-sum", hopping_sum),
    ten_seconds("tumbling-on-close", tumbling_on_close),
    ten_seconds("hopping-on-close", hopping_on_close),
    ten_seconds("timestamp-extractor", timestamp_extractor),
    Case {
        name: "unlimited-count",
        topology: unlimited_count,
        outputs: &[("out", Output::Longs)],
        stores: STORE_W,
    },
];

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn sum(_: &Option<String>, value: Option<String>, sum: &mut i64) {
    *sum += value.and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
}

fn tumbling_count() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(TimeWindows::of(seconds(10)).no_grace())
        .count("w")
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn tumbling_grace_sum() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(TimeWindows::of(seconds(10)).grace(seconds(5)))
        .aggregate("w", || 0, sum)
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn hopping_sum() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(TimeWindows::of(seconds(10)).grace(seconds(4)).advance_by(seconds(3)))
        .aggregate("w", || 0, sum)
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn tumbling_on_close() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(TimeWindows::of(seconds(10)).grace(seconds(3)))
        .emit(Emit::OnWindowClose)
        .count(Materialized::named("w").retention(HOUR))
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn hopping_on_close() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(TimeWindows::of(seconds(10)).grace(seconds(2)).advance_by(seconds(5)))
        .emit(Emit::OnWindowClose)
        .aggregate(Materialized::named("w").retention(HOUR), || 0, sum)
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn timestamp_extractor() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let source = Consumed::<Option<String>, String>::from("in").timestamp(|record, _| {
        let (_, at) = record.value.rsplit_once('@')?;
        at.parse().ok().map(Timestamp)
    });
    builder
        .stream(source)
        .group_by_key()
        .windowed_by(TimeWindows::of(seconds(10)).grace(seconds(5)))
        .count("w")
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn unlimited_count() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(UnlimitedWindows::of().start_on(Timestamp(110_000)))
        .count("w")
        .to_stream()
        .select_key(|window, _| window.key.clone())
        .to("out");
    Ok(builder.build()?)
}

type Sessions = WindowedStream<Option<String>, Option<String>, SessionWindows>;

fn sessions(builder: &StreamsBuilder, gap: u64, grace: u64) -> Sessions {
    let seconds = Duration::from_secs;
    let windows = SessionWindows::with_gap(seconds(gap)).grace(seconds(grace));
    builder.stream("in").group_by_key().windowed_by(windows)
}

fn session_concat() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let text = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
    let rows = sessions(&builder, 5, 10).aggregate(
        "s",
        || Some(String::new()),
        move |_, value, row: &mut Option<String>| {
            *row.get_or_insert_default() += &format!("+{}", text(value));
        },
        move |_, row, later| *row.get_or_insert_default() += &format!("&{}", text(later)),
    );
    rows.to_stream().to("out");
    Ok(builder.build()?)
}

fn session_count_nograce() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    sessions(&builder, 4, 0).count("s").to_stream().to("out");
    Ok(builder.build()?)
}

fn session_reduce() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let join = |row: Option<String>, value: Option<String>| Some(row? + "," + &value?);
    sessions(&builder, 3, 4).reduce("s", join).to_stream().to("out");
    Ok(builder.build()?)
}

fn session_on_close() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(SessionWindows::with_gap(seconds(4)).grace(seconds(2)))
        .emit(Emit::OnWindowClose)
        .count(Materialized::named("s").retention(HOUR))
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn session_store_changelog() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    sessions(&builder, 5, 20).count("s").to_stream().to("out");
    Ok(builder.build()?)
}

fn sliding_count() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(SlidingWindows::of_difference(seconds(5)).grace(seconds(3)))
        .count("w")
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn sliding_concat() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(SlidingWindows::of_difference(seconds(4)).grace(seconds(30)))
        .aggregate("w", String::new, |_, value, row| {
            row.push('+');
            row.push_str(&value.unwrap_or_default());
        })
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn sliding_on_close() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(SlidingWindows::of_difference(seconds(4)).grace(seconds(2)))
        .emit(Emit::OnWindowClose)
        .count(Materialized::named("w").retention(HOUR))
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}
