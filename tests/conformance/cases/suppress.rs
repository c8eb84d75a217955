//! Tables whose changes are held back.

use std::time::Duration;

use anyhow::Result;
use millstream::{
    Buffer, Materialized, SessionWindows, StreamsBuilder, Suppress, TimeWindows, Topology,
};

use crate::cases::Case;
use crate::check::Output;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "suppress-window-close",
        topology: || window_close(Buffer::generated()),
        outputs: &[("out", Output::WindowedLongs(10_000))],
        stores: &[],
    },
    Case {
        name: "suppress-changelog",
        topology: || window_close(Buffer::named("sup")),
        outputs: &[("out", Output::WindowedLongs(10_000))],
        stores: &[],
    },
    Case {
        name: "suppress-session-close",
        topology: session_close,
        outputs: &[("out", Output::SessionLongs)],
        stores: &[],
    },
    Case {
        name: "suppress-time-limit",
        topology: time_limit,
        outputs: &[("out", Output::Longs)],
        stores: &[],
    },
    Case {
        name: "user-sessions",
        topology: user_sessions,
        outputs: &[("out", Output::Texts)],
        stores: &[],
    },
];

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn window_close(buffer: Buffer<i64>) -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(TimeWindows::of(seconds(10)).grace(seconds(3)))
        .count("w")
        .suppress(buffer, Suppress::until_window_closes())
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn session_close() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .windowed_by(SessionWindows::with_gap(seconds(4)).grace(seconds(3)))
        .count("s")
        .suppress(Buffer::generated(), Suppress::until_window_closes())
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn time_limit() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let limit = Suppress::until_time_limit(seconds(8)).max_records(3).emit_early_when_full();
    builder
        .stream::<Option<String>, Option<String>>("in")
        .group_by_key()
        .count("c")
        .suppress(Buffer::generated(), limit)
        .to_stream()
        .to("out");
    Ok(builder.build()?)
}

fn user_sessions() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let visits = SessionWindows::with_gap(seconds(8)).grace(seconds(6));
    let join = |path: &mut String, page: &str| {
        if !path.is_empty() {
            path.push('>');
        }
        path.push_str(page);
    };
    builder
        .stream::<String, String>("clicks")
        .group_by_key()
        .windowed_by(visits)
        .aggregate(
            Materialized::named("us"),
            String::new,
            move |_, page, path| join(path, &page),
            move |_, path, later| join(path, &later),
        )
        .suppress(Buffer::generated(), Suppress::until_window_closes())
        .to_stream()
        .map(|visit, path| {
            let path = path.unwrap_or_default();
            (visit.key, format!("{path}:{}-{}", visit.start, visit.end))
        })
        .to("out");
    Ok(builder.build()?)
}
