//! `routes`: which series a line counts for.
//!
//! | | |
//! |---|---|
//! | emits | a sample for the service; one for the route, if the line has one: under its name if it is among the top hundred of the service, else under `other` |
//! | drops | nothing |
//! | key | the name of the series |
//! | time | that of the line |
//! | state | `routes`, by service: put when the top hundred change, counts once a minute |

use std::collections::HashMap;
use std::time::Duration;

use millstream::record::{Record, Timestamp};
use millstream::serde::{Bincode, HasSerde};
use millstream::{BoxError, Context, Counter, KeyValueStore, Processor, PunctuationType, Schedule};
use serde::{Deserialize, Serialize};

use super::cell::{Sample, series_of};
use crate::log_anomaly::by_service::ByService;
use crate::log_anomaly::parse::{Line, OTHER};

/// Routes with a series of their own, a service.
const NAMED_MAX: usize = 100;
/// Routes that may become one of them.
const WAITING_MAX: usize = 400;
/// One that waits takes a place when it comes so many times as often as the rarest that has one.
const AHEAD_TIMES: u64 = 2;
/// Methods and routes are cut: they are part of keys.
const METHOD_BYTES_MAX: usize = 16;
const ROUTE_BYTES_MAX: usize = 200;
/// What is counted is halved so often, so that yesterday's routes make room.
const HALVED_EVERY_MS: i64 = 600_000;

/// The routes of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct RoutesKept {
    named: HashMap<String, u64>,
    waiting: HashMap<String, u64>,
    halved: i64,
}

impl HasSerde for RoutesKept {
    type Serde = Bincode;
}

impl RoutesKept {
    /// Counts a route. Whether it has a name, and whether another one lost its own by that.
    fn count(&mut self, route: &str, at: i64) -> (bool, bool) {
        if at - self.halved >= HALVED_EVERY_MS {
            self.halved = at;
            self.named.values_mut().for_each(|count| *count /= 2);
            halve(&mut self.waiting);
        }
        if let Some(count) = self.named.get_mut(route) {
            *count += 1;
            return (true, false);
        }
        if self.named.len() < NAMED_MAX {
            self.named.insert(route.to_owned(), 1);
            return (true, true);
        }
        if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(route) {
            halve(&mut self.waiting);
            if self.waiting.len() >= WAITING_MAX {
                return (false, false);
            }
        }
        let count = self.waiting.entry(route.to_owned()).or_default();
        *count += 1;
        let count = *count;
        let rarest = self.named.iter().min_by_key(|(name, count)| (**count, (*name).clone()));
        let Some((rarest, seldom)) = rarest.map(|(name, seldom)| (name.clone(), *seldom)) else {
            return (false, false);
        };
        // A single line takes nobody's place.
        if count < AHEAD_TIMES * (seldom + 1) {
            return (false, false);
        }
        self.named.remove(&rarest);
        self.waiting.remove(route);
        self.named.insert(route.to_owned(), count);
        (true, true)
    }
}

/// Halves all counts; those that came once go.
fn halve(counts: &mut HashMap<String, u64>) {
    counts.retain(|_, count| {
        *count /= 2;
        *count > 0
    });
}

/// Names series.
pub(in crate::log_anomaly) struct Routes {
    services: ByService<RoutesKept>,
    others: Counter,
}

impl Routes {
    pub(in crate::log_anomaly) fn new(store: KeyValueStore<String, RoutesKept>) -> Self {
        Self { services: ByService::new(store), others: Counter::default() }
    }

    /// Method and route under which a line counts.
    fn name(&mut self, service: &str, line: &Line) -> Result<Option<(String, String)>, BoxError> {
        let Some(route) = line.route.as_deref() else { return Ok(None) };
        let route = route.get(..route.floor_char_boundary(ROUTE_BYTES_MAX)).unwrap_or(route);
        let method = line.method.as_deref().unwrap_or("-");
        let method = method.get(..method.floor_char_boundary(METHOD_BYTES_MAX)).unwrap_or(method);
        let name = format!("{method} {route}");
        if self.services.change(service, |kept| kept.count(&name, line.timestamp))? {
            return Ok(Some((method.to_owned(), route.to_owned())));
        }
        self.others.inc();
        Ok(Some(("-".to_owned(), OTHER.to_owned())))
    }
}

impl Processor<String, Line> for Routes {
    type KOut = String;
    type VOut = Sample;

    fn init(&mut self, ctx: &mut Context<'_, String, Sample>) -> Result<(), BoxError> {
        ctx.schedule(Duration::from_secs(60), PunctuationType::WallClockTime);
        let help = "Lines whose route has no series of its own.";
        self.others = ctx.metrics().counter("log_anomaly_other_routes_total", help, &[])?;
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, Line>,
        ctx: &mut Context<'_, String, Sample>,
    ) -> Result<(), BoxError> {
        let Record { key: service, value: line, timestamp, headers } = record;
        let whole = Sample::of(&line);
        if let Some((method, route)) = self.name(&service, &line)? {
            let (method, route) = (Some(method), Some(route));
            let sample = Sample { method, route, ..whole.clone() };
            let key = series_of(&sample);
            ctx.forward(Record { key, value: sample, timestamp, headers: headers.clone() });
        }
        ctx.forward(Record { key: series_of(&whole), value: whole, timestamp, headers });
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        _: Timestamp,
        _: &mut Context<'_, String, Sample>,
    ) -> Result<(), BoxError> {
        self.services.put_changed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_hundred_have_names_and_memory_does_not_grow() {
        let mut routes = RoutesKept::default();
        for n in 0..100_000_u32 {
            routes.count(&format!("GET /rare/{n}"), 0);
            if n >= 1_000 {
                routes.count("GET /often", 0);
            }
            assert!(routes.named.len() <= NAMED_MAX && routes.waiting.len() <= WAITING_MAX);
        }
        assert_eq!(routes.count("GET /often", 0), (true, false), "it took a place");
        assert_eq!(routes.count("GET /new", 0), (false, false));
    }

    #[test]
    fn who_was_often_yesterday_makes_room() {
        let mut routes = RoutesKept::default();
        for _ in 0..1_000 {
            (0..NAMED_MAX).for_each(|n| {
                routes.count(&format!("GET /{n}"), 0);
            });
        }
        let mut at = 0;
        let taken = (0..20).any(|_| {
            at += HALVED_EVERY_MS;
            (0..50).any(|_| routes.count("GET /today", at).0)
        });
        assert!(taken, "after {at} ms");
        assert!(at > HALVED_EVERY_MS);
    }
}
