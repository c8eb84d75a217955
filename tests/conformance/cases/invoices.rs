//! The totals of the invoice application, on plain text values.

use std::time::Duration;

use anyhow::Result;
use millstream::{StreamsBuilder, TimeWindows, Topology};

use crate::cases::Case;
use crate::check::{Contents, Output};

pub(crate) const CASES: &[Case] = &[Case {
    name: "invoice-totals",
    topology: invoice_totals,
    outputs: &[("totals-5s", Output::WindowedLongs(5_000)), ("totals-client", Output::Longs)],
    stores: &[("c", "tskv", Contents::LongTable), ("w", "window", Contents::WindowedLongTable)],
}];

fn client(value: &str) -> String {
    value.split(';').next().unwrap_or_default().to_owned()
}

fn amount(value: &str) -> i64 {
    value.split(';').nth(1).and_then(|amount| amount.parse().ok()).unwrap_or(0)
}

fn invoice_totals() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let invoices = builder.stream::<Option<String>, String>("FACTURATION");
    let windows = TimeWindows::of(Duration::from_secs(5)).grace(Duration::from_secs(1));
    invoices
        .group_by(|_, _| Some("all".to_owned()))
        .windowed_by(windows)
        .aggregate("w", || 0_i64, |_, value, total| *total += amount(&value))
        .updates()
        .to("totals-5s");
    invoices
        .group_by(|_, value| Some(client(value)))
        .aggregate("c", || 0_i64, |_, value, total| *total += amount(&value))
        .updates()
        .to("totals-client");
    Ok(builder.build()?)
}
