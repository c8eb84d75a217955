//! `parse`: bytes become lines.
//!
//! | | |
//! |---|---|
//! | emits | each line at its own time, to all children |
//! | drops | what is no line (`Failed`, by policy): its error is the reason |
//! | key | the service |
//! | time | the line's, or the record's where it has none or an absurd one |
//! | state | none but the names of the services met |

use std::collections::HashMap;
use std::sync::Arc;

use millstream::record::{Record, Timestamp};
use millstream::{BoxError, Context, Counter, Processor};

use super::line::{BadLine, Format, LogLine, Oddity, Reader};

/// Services beyond so many are `other`: each has state of its own.
pub(super) const SERVICES_MAX: usize = 1_000;
/// What stands for all that are too many.
pub(super) const OTHER: &str = "other";
/// Bytes of a service's name: it is part of keys.
const SERVICE_BYTES_MAX: usize = 128;

const UNPARSED: (&str, &str) = ("log_anomaly_unparsed_total", "Records that are no lines.");
const LINES: (&str, &str) = ("log_anomaly_lines_total", "Lines that were read.");
const AHEAD: (&str, &str) =
    ("log_anomaly_clock_ahead_total", "Lines with an absurd time: that of the record was taken.");
const ODD: (&str, &str) =
    ("log_anomaly_odd_total", "Lines of which something was not taken as it was.");

/// As a line goes from operator to operator: shared, since several look at it.
pub(super) type Line = Arc<LogLine>;

/// Reads lines.
pub(super) struct Parse {
    reader: Reader,
    services: HashMap<String, HashMap<Format, Counter>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    unparsed: HashMap<&'static str, Counter>,
    odd: HashMap<Oddity, Counter>,
    ahead: Counter,
}

impl Parse {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, services: HashMap::new(), counts: Counts::default() }
    }

    /// The name under which a service goes on.
    fn service(&self, named: &str) -> String {
        let named = named.get(..named.floor_char_boundary(SERVICE_BYTES_MAX)).unwrap_or(named);
        let is_known = self.services.contains_key(named);
        if is_known || self.services.len() < SERVICES_MAX { named } else { OTHER }.to_owned()
    }

    fn count(
        &mut self,
        line: &LogLine,
        ctx: &mut Context<'_, String, Line>,
    ) -> Result<(), BoxError> {
        let formats = match self.services.get_mut(&line.service) {
            Some(formats) => formats,
            None => self.services.entry(line.service.clone()).or_default(),
        };
        if let Some(counter) = formats.get(&line.format) {
            counter.inc();
            return Ok(());
        }
        let labels = [("service", line.service.as_str()), ("format", line.format.name())];
        let counter = ctx.metrics().counter(LINES.0, LINES.1, &labels)?;
        counter.inc();
        formats.insert(line.format, counter);
        Ok(())
    }
}

type Bytes = Option<Vec<u8>>;

impl Processor<Bytes, Bytes> for Parse {
    type KOut = String;
    type VOut = Line;

    fn init(&mut self, ctx: &mut Context<'_, String, Line>) -> Result<(), BoxError> {
        for reason in BadLine::REASONS {
            let counter = ctx.metrics().counter(UNPARSED.0, UNPARSED.1, &[("reason", reason)])?;
            self.counts.unparsed.insert(reason, counter);
        }
        for oddity in Oddity::ALL {
            let counter = ctx.metrics().counter(ODD.0, ODD.1, &[("what", oddity.name())])?;
            self.counts.odd.insert(oddity, counter);
        }
        self.counts.ahead = ctx.metrics().counter(AHEAD.0, AHEAD.1, &[])?;
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<Bytes, Bytes>,
        ctx: &mut Context<'_, String, Line>,
    ) -> Result<(), BoxError> {
        let bytes = record.value.as_deref().unwrap_or_default();
        let read = match self.reader.read(bytes, record.timestamp.0) {
            Ok(read) => read,
            Err(bad) => {
                if let Some(counter) = self.counts.unparsed.get(bad.reason()) {
                    counter.inc();
                }
                return Err(bad.into());
            }
        };
        for oddity in &read.oddities {
            if let Some(counter) = self.counts.odd.get(oddity) {
                counter.inc();
            }
            if *oddity == Oddity::Time {
                self.counts.ahead.inc();
            }
        }
        let mut line = read.line;
        line.service = self.service(&line.service);
        self.count(&line, ctx)?;
        // A time before 1970 would be refused by every topic.
        let at = if line.timestamp < 0 { record.timestamp } else { Timestamp(line.timestamp) };
        line.timestamp = at.0;
        let (key, value) = (line.service.clone(), Arc::new(line));
        let headers = record.headers;
        ctx.forward(Record { key, value, timestamp: at, headers });
        Ok(())
    }
}
