//! `mine`: the template of each line.
//!
//! | | |
//! |---|---|
//! | emits | to [`LINES`] each line with its template; to [`ROWS`] templates that changed, and once a minute those whose counts did; to [`SIGNALS`] templates that are new, back, or come ten times as often as usual |
//! | drops | nothing |
//! | key | the service |
//! | time | that of the line; of counts, the time of the minute |
//! | state | `templates`, by service and id: what is changed is put at once, counts once a minute |

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::record::{Record, Timestamp};
use millstream::serde::{Bincode, HasSerde, Json};
use millstream::{
    BoxError, Context, Counter, Gauge, KeyValueStore, Processor, PunctuationType, Schedule,
};
use serde::{Deserialize, Serialize};

use super::anomalies::{Kind, Signal};
use super::clock_text::utc_text;
use super::parse::Line;
use super::templates::{Miner, Template, TemplateId};

/// The children.
pub(super) const LINES: &str = "mined-lines";
pub(super) const ROWS: &str = "mined-rows";
pub(super) const SIGNALS: &str = "mined-signals";

/// Between service and id in a key.
const BETWEEN: char = '\u{1f}';
const MINUTE_MS: i64 = 60_000;
/// A template that was not seen for so long is back.
const ABSENT_MS: i64 = 86_400_000;
/// So many times the usual rate is a burst.
const BURST_TIMES: f64 = 10.0;
/// And at least so many lines a minute.
const BURST_LINES_MIN: u32 = 30;
/// From so many minutes on a template has a usual rate.
const BURST_MINUTES_MIN: u32 = 10;
/// How much the last minute counts for the usual rate.
const USUAL_WEIGHT: f64 = 0.1;
/// A minute that nobody saw does not count more often than this.
const MINUTES_MAX: i64 = 60;

/// What is unusual of a service is told when so many lines and so much time of it were seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct WarmUp {
    pub(super) lines: u64,
    pub(super) ms: i64,
}

impl WarmUp {
    /// True if this much is enough.
    pub(super) fn is_over(self, lines: u64, ms: i64) -> bool {
        lines >= self.lines && ms >= self.ms
    }
}

/// What comes of a line.
#[derive(Clone, Debug)]
pub(super) enum Mined {
    Line(Line),
    Row(TemplateRow),
    Signal(Signal),
}

/// A template, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptTemplate {
    template: Template,
    first_seen: i64,
    last_seen: i64,
}

impl HasSerde for KeptTemplate {
    type Serde = Bincode;
}

/// A template, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateRow {
    /// Its name within its service.
    pub id: String,
    /// Whose it is.
    pub service: String,
    /// Its words; `<*>` stands for any.
    pub template: String,
    /// Lines that were of it.
    pub count: u64,
    /// The time of the first one.
    pub first_seen: String,
    /// The time of the last one.
    pub last_seen: String,
    /// The first line.
    pub example: String,
}

impl HasSerde for TemplateRow {
    type Serde = Json;
}

/// What is known of a template beside its words.
#[derive(Debug, Default)]
struct Seen {
    first: i64,
    last: i64,
    /// Minutes since 1970, and lines of that one.
    minute: i64,
    lines: u32,
    /// Lines a minute.
    usual: f64,
    minutes: u32,
    told: bool,
    /// Its counts were not put.
    is_dirty: bool,
}

#[derive(Default)]
struct Service {
    miner: Miner,
    seen: HashMap<TemplateId, Seen>,
    lines: u64,
    first: Option<i64>,
    count: Gauge,
}

/// Mines.
pub(super) struct Mine {
    store: KeyValueStore<String, KeptTemplate>,
    warm_up: WarmUp,
    services: HashMap<String, Service>,
    evicted: Counter,
}

type Ctx<'a, 'b> = &'a mut Context<'b, String, Mined>;

impl Mine {
    pub(super) fn new(store: KeyValueStore<String, KeptTemplate>, warm_up: WarmUp) -> Self {
        Self { store, warm_up, services: HashMap::new(), evicted: Counter::default() }
    }

    /// What the store has of a service, unless it is there already.
    fn open(&mut self, name: &str, ctx: Ctx<'_, '_>) -> Result<(), BoxError> {
        if self.services.contains_key(name) {
            return Ok(());
        }
        let mut kept = Vec::new();
        for entry in self.store.prefix_scan(&format!("{name}{BETWEEN}"))? {
            kept.push(entry?.1);
        }
        kept.sort_by_key(|kept| (kept.last_seen, kept.template.id));
        let mut service = Service {
            lines: kept.iter().map(|kept| kept.template.count).sum(),
            first: kept.iter().map(|kept| kept.first_seen).min(),
            count: ctx.metrics().gauge(
                "log_anomaly_templates",
                "Templates that are known, by service.",
                &[("service", name)],
            )?,
            ..Service::default()
        };
        for KeptTemplate { template, first_seen, last_seen } in &kept {
            let seen = Seen { first: *first_seen, last: *last_seen, ..Seen::default() };
            service.seen.insert(template.id, seen);
        }
        service.miner = Miner::with_templates(kept.into_iter().map(|kept| kept.template));
        service.count.set(service.seen.len() as f64);
        self.services.insert(name.to_owned(), service);
        Ok(())
    }

    /// What is unusual about a line of a template; then it is one that was seen.
    fn signal(service: &mut Service, id: TemplateId, is_new: bool, line: &Line) -> Option<Signal> {
        let at = line.timestamp;
        let seen = service.seen.entry(id).or_insert_with(|| Seen {
            first: at,
            last: at,
            minute: at.div_euclid(MINUTE_MS),
            ..Seen::default()
        });
        let away = at - seen.last;
        seen.last = seen.last.max(at);
        seen.is_dirty = true;
        let burst = seen.count(at.div_euclid(MINUTE_MS), line.repeated);
        let (name, subject) = (line.service.as_str(), id.to_string());
        let signal = |kind, score, why| {
            Some(Signal::new(kind, (name, &subject), score, why).sample(&line.message))
        };
        if is_new {
            let score = if line.is_error() { 0.8 } else { 0.6 };
            return signal(
                Kind::NewTemplate,
                score,
                "no line like this was seen before".to_owned(),
            );
        }
        if away >= ABSENT_MS {
            let why = format!("absent for {:.1} days", away as f64 / ABSENT_MS as f64);
            return signal(Kind::TemplateBack, 0.6, why);
        }
        let (lines, usual) = burst?;
        let score = 1.0 - BURST_TIMES / 2.0 * usual.max(0.1) / f64::from(lines);
        let why = format!("{lines} lines this minute, usually {usual:.1}");
        let found = signal(Kind::TemplateBurst, score.clamp(0.5, 1.0), why)?;
        Some(found.value(f64::from(lines), (None, Some(usual * BURST_TIMES))))
    }

    fn row(service: &str, template: &Template, seen: &Seen) -> Result<TemplateRow, BoxError> {
        Ok(TemplateRow {
            id: template.id.to_string(),
            service: service.to_owned(),
            template: template.text(),
            count: template.count,
            first_seen: utc_text(seen.first)?,
            last_seen: utc_text(seen.last)?,
            example: template.example.clone(),
        })
    }

    /// Puts a template and hands it on.
    fn put(&mut self, name: &str, id: TemplateId, ctx: Ctx<'_, '_>) -> Result<(), BoxError> {
        let Some(service) = self.services.get_mut(name) else { return Ok(()) };
        let Some((template, seen)) = service.miner.get(id).zip(service.seen.get_mut(&id)) else {
            return Ok(());
        };
        seen.is_dirty = false;
        let kept = KeptTemplate {
            template: template.clone(),
            first_seen: seen.first,
            last_seen: seen.last,
        };
        self.store.put(format!("{name}{BETWEEN}{id}"), kept)?;
        let row = Self::row(name, template, seen)?;
        let key = format!("{name}/{id}");
        ctx.forward_to(ROWS, Record::new(key, Mined::Row(row), Timestamp(seen.last)));
        Ok(())
    }

    /// Forgets the templates that the miner has forgotten.
    fn forget(&mut self, name: &str) -> Result<(), BoxError> {
        let Some(service) = self.services.get_mut(name) else { return Ok(()) };
        for id in service.miner.take_gone() {
            service.seen.remove(&id);
            self.store.delete(&format!("{name}{BETWEEN}{id}"))?;
            self.evicted.inc();
        }
        Ok(())
    }
}

impl Seen {
    /// Counts a line. The lines of this minute and the usual ones when they are far too many, once a minute.
    fn count(&mut self, minute: i64, lines: u32) -> Option<(u32, f64)> {
        if minute > self.minute {
            let over = f64::from(self.lines);
            self.usual += (over - self.usual) * USUAL_WEIGHT.max(1.0 / f64::from(self.minutes + 1));
            let empty = (minute - self.minute - 1).min(MINUTES_MAX);
            for _ in 0..empty {
                self.usual *= 1.0 - USUAL_WEIGHT;
            }
            let passed = u32::try_from(empty + 1).unwrap_or_default();
            self.minutes = self.minutes.saturating_add(passed);
            (self.minute, self.lines, self.told) = (minute, 0, false);
        }
        self.lines = self.lines.saturating_add(lines);
        let is_burst = self.lines >= BURST_LINES_MIN
            && self.minutes >= BURST_MINUTES_MIN
            && f64::from(self.lines) >= BURST_TIMES * self.usual;
        (is_burst && !std::mem::replace(&mut self.told, true)).then_some((self.lines, self.usual))
    }
}

impl Processor<String, Line> for Mine {
    type KOut = String;
    type VOut = Mined;

    fn init(&mut self, ctx: &mut Context<'_, String, Mined>) -> Result<(), BoxError> {
        let minute = Duration::from_millis(MINUTE_MS.unsigned_abs());
        ctx.schedule(minute, PunctuationType::WallClockTime);
        let help = "Templates that were forgotten, since their service had too many.";
        self.evicted = ctx.metrics().counter("log_anomaly_templates_evicted_total", help, &[])?;
        Ok(())
    }

    fn process(
        &mut self,
        mut record: Record<String, Line>,
        ctx: &mut Context<'_, String, Mined>,
    ) -> Result<(), BoxError> {
        let name = record.key.clone();
        self.open(&name, ctx)?;
        let Some(service) = self.services.get_mut(&name) else { return Ok(()) };
        let line = &record.value;
        service.lines += 1;
        let first = *service.first.get_or_insert(line.timestamp);
        let learned = service.miner.learn(&line.message);
        let id = learned.template;
        let signal = Self::signal(service, id, learned.is_new, line);
        let is_over = self.warm_up.is_over(service.lines, line.timestamp - first);
        if learned.is_new {
            self.forget(&name)?;
            if let Some(service) = self.services.get(&name) {
                service.count.set(service.seen.len() as f64);
            }
        }
        if learned.is_changed {
            self.put(&name, id, ctx)?;
        }
        let (at, headers) = (record.timestamp, record.headers.clone());
        if let Some(signal) = signal.filter(|_| is_over) {
            let key = signal.key();
            let value = Mined::Signal(signal);
            ctx.forward_to(SIGNALS, Record { key, value, timestamp: at, headers });
        }
        Arc::make_mut(&mut record.value).template_id = Some(id.to_string());
        let Record { key, value, timestamp, headers } = record;
        ctx.forward_to(LINES, Record { key, value: Mined::Line(value), timestamp, headers });
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        _: Timestamp,
        ctx: &mut Context<'_, String, Mined>,
    ) -> Result<(), BoxError> {
        let mut dirty = Vec::new();
        for (name, service) in &mut self.services {
            for (id, seen) in &mut service.seen {
                if std::mem::take(&mut seen.is_dirty) {
                    dirty.push((name.clone(), *id));
                }
            }
        }
        // In an order that does not depend on how the map was filled.
        dirty.sort_unstable();
        dirty.iter().try_for_each(|(name, id)| self.put(name, *id, ctx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_times_the_usual_lines_of_a_minute_are_a_burst_told_once() {
        let mut seen = Seen::default();
        for minute in 0..20 {
            for _ in 0..4 {
                assert_eq!(seen.count(minute, 1), None);
            }
        }
        let told: Vec<u32> =
            (0..100).filter_map(|_| seen.count(20, 1)).map(|found| found.0).collect();
        assert_eq!(told, [40]);
        // A busy template is not in a burst because a minute is half as busy again.
        let mut busy = Seen::default();
        for minute in 0..30 {
            let lines = if minute == 29 { 900 } else { 600 };
            assert!((0..lines).all(|_| busy.count(minute, 1).is_none()));
        }
    }

    #[test]
    fn what_was_quiet_for_long_has_a_low_usual_rate() {
        let mut seen = Seen::default();
        for minute in 0..20 {
            (0..50).for_each(|_| assert_eq!(seen.count(minute, 1), None));
        }
        let told = (0..60).filter_map(|_| seen.count(20 + 60, 1)).count();
        assert_eq!(told, 1);
    }
}
