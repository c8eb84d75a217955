//! The Millstream engine: the workloads through the public API only, as a user in a hurry would write them.
//!
//! Two habits keep allocations out of the way of a record, and are open to any user: short strings are held inline
//! ([`Text`]), and a value that nobody looks at is not read ([`Unread`]). Whatever the shared settings do not name can be
//! tried by `MILLSTREAM_*` variables.

use std::io::Write;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser as _;
use compact_str::CompactString;
use millstream::record::Timestamp;
use millstream::serde::{HasSerde, Json, Null, Place, Serde};
use millstream::{
    BoxError, Consumed, JoinWindows, SessionWindows, Sources, Streams, StreamsBuilder,
    StreamsConfig, TimeWindows, Topology,
};
use millstream_benches::arguments::Arguments;
use millstream_benches::invoice::{CURRENCY, LARGE, instant};
use millstream_benches::settings::Settings;
use millstream_benches::workload::{Guarantee, Workload};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// Both native engines allocate with jemalloc, the C libraries in them too, as docs/recipes.md advises.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A string of at most 24 bytes inline, longer ones on the heap; in a topic it is UTF-8 as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
struct Text(CompactString);

impl HasSerde for Text {
    type Serde = Utf8;
}

#[derive(Debug, Default)]
struct Utf8;

impl Serde<Text> for Utf8 {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        value: &Text,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        into.extend_from_slice(value.0.as_bytes());
        Ok(Null::No)
    }

    fn deserialize(&self, _: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<Text, BoxError> {
        Ok(Text(CompactString::from_utf8(bytes.ok_or("a text is never null")?)?))
    }
}

/// A value that is there, and that nobody looks at.
#[derive(Debug, Clone)]
struct Unread;

impl HasSerde for Unread {
    type Serde = Skip;
}

#[derive(Debug, Default)]
struct Skip;

impl Serde<Unread> for Skip {
    fn serialize(&self, _: &mut Place<'_>, _: &Unread, _: &mut Vec<u8>) -> Result<Null, BoxError> {
        Err("what was not read cannot be written".into())
    }

    fn deserialize(&self, _: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<Unread, BoxError> {
        bytes.map(|_| Unread).ok_or_else(|| "the value is null".into())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Invoice {
    number: Text,
    client: Text,
    amount: Decimal,
    currency: Text,
    issued_at: Text,
}

impl HasSerde for Invoice {
    type Serde = Json;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Customer {
    name: Text,
    city: Text,
}

impl HasSerde for Customer {
    type Serde = Json;
}

impl Customer {
    fn gets(&self, invoice: &Invoice) -> String {
        format!("{} {}", self.city.0, invoice.number.0)
    }
}

/// The sum of a window or of a session.
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
    currency: Text,
}

impl HasSerde for Total {
    type Serde = Json;
}

impl Total {
    fn zero() -> Self {
        let currency = Text(CURRENCY.into());
        Self { from: None, to: None, total: Decimal::ZERO, count: 0, currency }
    }

    fn add(&mut self, amount: Decimal) {
        self.total += amount;
        self.count += 1;
    }

    fn within(mut self, start: i64, end: i64) -> Self {
        self.from = Some(instant(start));
        self.to = Some(instant(end));
        self
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // An engine that has to do work again says why in its log, which is shown when a run fails.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let settings = Settings::load(&arguments.settings)?;
    let version = env!("CARGO_PKG_VERSION");
    writeln!(std::io::stdout(), r#"{{"engine":"millstream","version":"{version}"}}"#)?;
    let topology = topology(&arguments, &settings)?;
    Streams::start(topology, config(&arguments, &settings)?)?.run_until_signal()?;
    Ok(())
}

fn config(arguments: &Arguments, settings: &Settings) -> Result<StreamsConfig> {
    let guarantee = match arguments.guarantee {
        Guarantee::AtLeastOnce => "at_least_once",
        Guarantee::ExactlyOnce => "exactly_once_v2",
    };
    let presets = [
        ("application_id", arguments.application_id.clone()),
        ("bootstrap_servers", arguments.bootstrap.clone()),
        ("state_dir", arguments.state_dir.to_string_lossy().into_owned()),
        ("processing_guarantee", guarantee.to_owned()),
        ("num_stream_threads", settings.threads.to_string()),
        ("commit_interval_ms", millis(settings.commit_interval)),
        ("cache_bytes_max", settings.cache_bytes.to_string()),
        ("compression", settings.compression.clone()),
        ("linger_ms", millis(settings.linger)),
    ];
    let sources = Sources::default().environment(std::env::vars_os());
    let sources =
        presets.into_iter().fold(sources, |sources, (key, value)| sources.preset(key, value));
    Ok(StreamsConfig::from_sources(&sources)?)
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn topology(arguments: &Arguments, settings: &Settings) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let application = arguments.application_id.as_str();
    let output = format!("{application}-out");
    let inputs: Vec<&str> = arguments.input.iter().map(String::as_str).collect();
    match (arguments.workload, inputs.as_slice()) {
        (Workload::Stateless, [input]) => stateless(&builder, input, &output),
        (Workload::Count, [input]) => count(&builder, input, &output),
        (Workload::Window, [input]) => window(&builder, input, &output, settings),
        (Workload::InvoiceTotals, [input]) => {
            invoice_totals(&builder, input, application, settings);
        }
        (Workload::JoinStreams, [left, right]) => {
            join_streams(&builder, (left, right), &output, settings);
        }
        (Workload::JoinTable, [invoices, customers]) => {
            join_table(&builder, (invoices, customers), &output);
        }
        (Workload::Session, [input]) => session(&builder, input, &output, settings),
        (Workload::ForeignJoin, [orders, customers]) => {
            foreign_join(&builder, (orders, customers), &output);
        }
        (workload, inputs) => bail!("{workload} does not read {} topics", inputs.len()),
    }
    Ok(builder.build()?)
}

fn stateless(builder: &StreamsBuilder, input: &str, output: &str) {
    builder
        .stream::<Text, Invoice>(input)
        .filter(|_, invoice| invoice.amount >= LARGE)
        .map_values(|invoice| invoice.number)
        .to(output);
}

fn count(builder: &StreamsBuilder, input: &str, output: &str) {
    builder.stream::<Text, Unread>(input).group_by_key().count("counts").updates().to(output);
}

fn window(builder: &StreamsBuilder, input: &str, output: &str, settings: &Settings) {
    builder
        .stream::<Text, Invoice>(input)
        .group_by_key()
        .windowed_by(TimeWindows::of(settings.window_size).grace(settings.window_grace))
        .aggregate("sums", Sum::default, |_, invoice, sum| sum.0 += invoice.amount)
        .updates()
        .to(output);
}

fn invoice_totals(builder: &StreamsBuilder, input: &str, application: &str, settings: &Settings) {
    let source = Consumed::<Text, Invoice>::from(input).timestamp(|record, _| {
        let issued_at: jiff::Timestamp = record.value.issued_at.0.parse().ok()?;
        Some(Timestamp(issued_at.as_millisecond()))
    });
    let invoices = builder.stream::<Text, Invoice>(source);
    invoices
        .group_by(|_, _| Text("all".into()))
        .windowed_by(TimeWindows::of(settings.totals_size).grace(settings.totals_grace))
        .aggregate("totals-5s", Total::zero, |_, invoice, total| total.add(invoice.amount))
        .updates()
        .map(|window, total| (window.key, total.within(window.start, window.end)))
        .to(format!("{application}-totals-5s"));
    invoices
        .group_by(|_, invoice| invoice.client.clone())
        .aggregate("totals-by-client", Total::zero, |_, invoice, total| total.add(invoice.amount))
        .updates()
        .to(format!("{application}-totals-by-client"));
}

fn join_streams(
    builder: &StreamsBuilder,
    (left, right): (&str, &str),
    output: &str,
    settings: &Settings,
) {
    let right = builder.stream::<Text, Invoice>(right);
    let within = JoinWindows::within(settings.join_window).grace(settings.join_grace);
    builder
        .stream::<Text, Invoice>(left)
        .join("near", &right, within, |left, right| format!("{} {}", left.number.0, right.number.0))
        .to(output);
}

fn join_table(builder: &StreamsBuilder, (invoices, customers): (&str, &str), output: &str) {
    let customers = builder.table::<Text, Customer>(customers, "customers");
    builder
        .stream::<Text, Invoice>(invoices)
        .join_table(&customers, |invoice, customer| customer.gets(&invoice))
        .to(output);
}

fn session(builder: &StreamsBuilder, input: &str, output: &str, settings: &Settings) {
    builder
        .stream::<Text, Invoice>(input)
        .group_by_key()
        .windowed_by(SessionWindows::with_gap(settings.session_gap).grace(settings.session_grace))
        .aggregate(
            "sums",
            Sum::default,
            |_, invoice, sum| sum.0 += invoice.amount,
            |_, sum, later| sum.0 += later.0,
        )
        .to_stream()
        .to(output);
}

fn foreign_join(builder: &StreamsBuilder, (orders, customers): (&str, &str), output: &str) {
    let customers = builder.table::<Text, Customer>(customers, "customers");
    builder
        .table::<Text, Invoice>(orders, "orders")
        .join_foreign(
            "customer",
            &customers,
            |_, invoice| Some(invoice.client.clone()),
            |invoice, customer| customer.gets(invoice),
        )
        .to_stream()
        .to(output);
}
