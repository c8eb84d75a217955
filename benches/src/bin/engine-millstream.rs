//! The Millstream engine: the workloads through the public API only, as a user would write them.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use millstream::record::Timestamp;
use millstream::serde::{HasSerde, Json};
use millstream::{
    Compression, Consumed, ProcessingGuarantee, Streams, StreamsBuilder, StreamsConfig,
    TimeWindows, Topology,
};
use millstream_benches::invoice::{CURRENCY, LARGE, instant};
use millstream_benches::settings::Settings;
use millstream_benches::workload::{Guarantee, Workload};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    workload: Workload,
    #[arg(long)]
    guarantee: Guarantee,
    #[arg(long)]
    input: String,
    #[arg(long)]
    application_id: String,
    #[arg(long)]
    settings: PathBuf,
    #[arg(long)]
    state_dir: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Invoice {
    number: String,
    client: String,
    amount: Decimal,
    currency: String,
    issued_at: String,
}

impl HasSerde for Invoice {
    type Serde = Json;
}

/// The sum of a window.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Sum(Decimal);

impl HasSerde for Sum {
    type Serde = Json;
}

/// A running total; `from` and `to` for windows only.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Total {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    to: Option<String>,
    total: Decimal,
    count: u64,
    currency: String,
}

impl HasSerde for Total {
    type Serde = Json;
}

impl Total {
    fn zero() -> Self {
        let currency = CURRENCY.to_owned();
        Self { from: None, to: None, total: Decimal::ZERO, count: 0, currency }
    }

    fn plus(mut self, amount: Decimal) -> Self {
        self.total += amount;
        self.count += 1;
        self
    }

    fn within(mut self, start: i64, end: i64) -> Self {
        self.from = Some(instant(start));
        self.to = Some(instant(end));
        self
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings::load(&arguments.settings)?;
    let version = env!("CARGO_PKG_VERSION");
    writeln!(std::io::stdout(), r#"{{"engine":"millstream","version":"{version}"}}"#)?;
    let topology = topology(&arguments, &settings)?;
    Streams::start(topology, config(&arguments, &settings)?)?.run_until_signal()?;
    Ok(())
}

fn config(arguments: &Arguments, settings: &Settings) -> Result<StreamsConfig> {
    let guarantee = match arguments.guarantee {
        Guarantee::AtLeastOnce => ProcessingGuarantee::AtLeastOnce,
        Guarantee::ExactlyOnce => ProcessingGuarantee::ExactlyOnceV2,
    };
    Ok(StreamsConfig::new(&arguments.application_id)
        .bootstrap_servers(&arguments.bootstrap)
        .state_dir(&arguments.state_dir)
        .processing_guarantee(guarantee)
        .num_stream_threads(settings.threads)
        .commit_interval_ms(millis(settings.commit_interval)?)
        .cache_bytes_max(usize::try_from(settings.cache_bytes)?)
        .compression(compression(settings)?)
        .linger_ms(millis(settings.linger)?))
}

fn compression(settings: &Settings) -> Result<Compression> {
    match settings.compression.as_str() {
        "lz4" => Ok(Compression::Lz4),
        "zstd" => Ok(Compression::Zstd),
        "none" => Ok(Compression::None),
        other => bail!("unknown compression {other}"),
    }
}

fn millis(duration: Duration) -> Result<u64> {
    Ok(u64::try_from(duration.as_millis())?)
}

fn topology(arguments: &Arguments, settings: &Settings) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let (input, application) = (arguments.input.as_str(), arguments.application_id.as_str());
    let output = format!("{application}-out");
    match arguments.workload {
        Workload::Stateless => stateless(&builder, input, &output),
        Workload::Count => count(&builder, input, &output),
        Workload::Window => window(&builder, input, &output, settings),
        Workload::InvoiceTotals => invoice_totals(&builder, input, application, settings),
    }
    Ok(builder.build()?)
}

fn stateless(builder: &StreamsBuilder, input: &str, output: &str) {
    builder
        .stream::<String, Invoice>(input)
        .filter(|_, invoice| invoice.amount >= LARGE)
        .map_values(|invoice| invoice.number)
        .to(output);
}

fn count(builder: &StreamsBuilder, input: &str, output: &str) {
    builder.stream::<String, Vec<u8>>(input).group_by_key().count("counts").updates().to(output);
}

fn window(builder: &StreamsBuilder, input: &str, output: &str, settings: &Settings) {
    builder
        .stream::<String, Invoice>(input)
        .group_by_key()
        .windowed_by(TimeWindows::of(settings.window_size).grace(settings.window_grace))
        .aggregate("sums", Sum::default, |_, invoice, sum| Sum(sum.0 + invoice.amount))
        .updates()
        .to(output);
}

fn invoice_totals(builder: &StreamsBuilder, input: &str, application: &str, settings: &Settings) {
    let source = Consumed::<String, Invoice>::from(input).timestamp(|record, _| {
        let issued_at: jiff::Timestamp = record.value.issued_at.parse().ok()?;
        Some(Timestamp(issued_at.as_millisecond()))
    });
    let invoices = builder.stream::<String, Invoice>(source);
    invoices
        .group_by(|_, _| "all".to_owned())
        .windowed_by(TimeWindows::of(settings.totals_size).grace(settings.totals_grace))
        .aggregate("totals-5s", Total::zero, |_, invoice, total| total.plus(invoice.amount))
        .updates()
        .map(|window, total| (window.key, total.within(window.start, window.end)))
        .to(format!("{application}-totals-5s"));
    invoices
        .group_by(|_, invoice| invoice.client.clone())
        .aggregate("totals-by-client", Total::zero, |_, invoice, total| total.plus(invoice.amount))
        .updates()
        .to(format!("{application}-totals-by-client"));
}
