//! `watch`: what an address does over time.
//!
//! | | |
//! |---|---|
//! | emits | a sighting at each act beyond a limit: ten failed sign-ins in 10 min, five unknown users in 10 min, a success after five failures within 1 h, twenty missing paths in 1 min, a break-in |
//! | drops | nothing |
//! | key | kind, service and address |
//! | time | that of the act |
//! | state | `attempts`, by address: the last 100,000 addresses |

use std::collections::{BTreeSet, VecDeque};

use millstream::record::{Record, Timestamp};
use millstream::serde::{Bincode, HasSerde};
use millstream::{BoxError, Context, KeyValueStore, Processor};
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::sign_in::{Act, Did};
use super::signal::Signal;

/// Addresses that are remembered; those that did something longest ago go.
pub(in crate::log_anomaly) const ADDRESSES_MAX: usize = 100_000;

const MINUTE_MS: i64 = 60_000;
/// Failed sign-ins and unknown users count for so long.
const TRIES_MS: i64 = 10 * MINUTE_MS;
/// Failures before a success count for so long.
const SUCCESS_MS: i64 = 60 * MINUTE_MS;
/// Missing paths count for so long.
const PATHS_MS: i64 = MINUTE_MS;
const FAILURES_MIN: u64 = 10;
const FAILURES_BEFORE_SUCCESS_MIN: u64 = 5;
const USERS_MIN: usize = 5;
const PATHS_MIN: usize = 20;
/// Of an address in an attack that goes on so much is remembered: enough for every limit.
const FAILURES_MAX: usize = 500;
const NAMES_MAX: usize = 64;

/// What an address did lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Attempts {
    /// When, and how often.
    failures: VecDeque<(i64, u32)>,
    users: VecDeque<(i64, String)>,
    paths: VecDeque<(i64, String)>,
}

impl HasSerde for Attempts {
    type Serde = Bincode;
}

impl Attempts {
    /// Failures within so long before a time.
    fn failures(&self, at: i64, within_ms: i64) -> u64 {
        let recent = self.failures.iter().filter(|(when, _)| (0..within_ms).contains(&(at - when)));
        recent.map(|(_, times)| u64::from(*times)).sum()
    }

    fn fail(&mut self, at: i64, times: u32) {
        self.failures.retain(|(when, _)| at - when < SUCCESS_MS);
        if self.failures.len() >= FAILURES_MAX {
            self.failures.pop_front();
        }
        self.failures.push_back((at, times));
    }
}

/// Remembers a name; how many different ones there are within so long before a time.
fn remember(names: &mut VecDeque<(i64, String)>, at: i64, name: &str, within_ms: i64) -> usize {
    names.retain(|(when, known)| at - when < within_ms && known != name);
    if names.len() >= NAMES_MAX {
        names.pop_front();
    }
    names.push_back((at, name.to_owned()));
    let recent: BTreeSet<&str> = names
        .iter()
        .filter(|(when, _)| (0..within_ms).contains(&(at - when)))
        .map(|(_, name)| name.as_str())
        .collect();
    recent.len()
}

/// 0.6 at the limit, 0.8 at twice as much, never 1.
fn score(count: f64, limit: f64) -> f64 {
    (1.0 - 0.4 * limit / count).clamp(0.5, 0.99)
}

/// Watches.
pub(in crate::log_anomaly) struct Watch(pub(in crate::log_anomaly) KeyValueStore<String, Attempts>);

/// What is told of an address at an act.
fn judge(attempts: &mut Attempts, address: &str, act: &Act, at: i64) -> Vec<Signal> {
    let mut told = Vec::new();
    let mut tell = |kind, score, value: f64, limit: f64, why| {
        let signal = Signal::new(kind, (&act.service, address), score, why).sample(&act.sample);
        told.push(signal.value(value, (None, Some(limit))));
    };
    let mut nobody = None;
    match &act.did {
        Did::Fail { user, is_unknown } => {
            attempts.fail(at, act.times);
            let failures = attempts.failures(at, TRIES_MS);
            if failures >= FAILURES_MIN {
                let (count, limit) = (failures as f64, FAILURES_MIN as f64);
                let why = format!("{failures} failed sign-ins in 10 min");
                tell(Kind::BruteForce, score(count, limit), count, limit, why);
            }
            nobody = user.as_ref().filter(|_| *is_unknown);
        }
        Did::NameNobody { user } => nobody = Some(user),
        Did::SignIn { user } => {
            let failures = attempts.failures(at, SUCCESS_MS);
            if failures >= FAILURES_BEFORE_SUCCESS_MIN {
                let user = user.as_deref().unwrap_or("somebody");
                let why = format!("{user} signed in after {failures} failures within 1 h");
                let limit = FAILURES_BEFORE_SUCCESS_MIN as f64;
                tell(Kind::Compromised, 0.95, failures as f64, limit, why);
            }
            // Told once: who signs in again and again is no new intruder.
            attempts.failures.clear();
        }
        Did::Miss { path } => {
            let paths = remember(&mut attempts.paths, at, path, PATHS_MS);
            if paths >= PATHS_MIN {
                let (count, limit) = (paths as f64, PATHS_MIN as f64);
                let why = format!("{paths} different missing paths in 1 min");
                tell(Kind::PathScan, score(count, limit), count, limit, why);
            }
        }
        Did::BreakIn => {
            let why = "sshd calls it a possible break-in attempt".to_owned();
            tell(Kind::BreakIn, 0.6, 1.0, 1.0, why);
        }
    }
    if let Some(user) = nobody {
        let users = remember(&mut attempts.users, at, user, TRIES_MS);
        if users >= USERS_MIN {
            let (count, limit) = (users as f64, USERS_MIN as f64);
            let why = format!("{users} different unknown users in 10 min");
            tell(Kind::UserScan, score(count, limit), count, limit, why);
        }
    }
    told
}

impl Processor<String, Act> for Watch {
    type KOut = String;
    type VOut = Signal;

    fn process(
        &mut self,
        record: Record<String, Act>,
        ctx: &mut Context<'_, String, Signal>,
    ) -> Result<(), BoxError> {
        let Record { key: address, value: act, timestamp: Timestamp(at), .. } = record;
        let mut attempts = self.0.get(&address)?.unwrap_or_default();
        for signal in judge(&mut attempts, &address, &act, at) {
            ctx.forward(Record::new(signal.key(), signal, Timestamp(at)));
        }
        if act.did != Did::BreakIn {
            self.0.put(address, attempts)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(acts: &[(i64, Did, u32)]) -> Vec<(i64, Kind)> {
        let mut attempts = Attempts::default();
        let mut told = Vec::new();
        for (at, did, times) in acts {
            let (service, sample) = ("sshd".to_owned(), "line".to_owned());
            let act = Act { did: did.clone(), times: *times, service, sample };
            let signals = judge(&mut attempts, "10.0.0.1", &act, *at);
            told.extend(signals.iter().map(|signal| (*at, signal.kind)));
        }
        told
    }

    fn fail() -> Did {
        Did::Fail { user: Some("root".to_owned()), is_unknown: false }
    }

    #[test]
    fn ten_failures_within_ten_minutes_are_brute_force() {
        let slow: Vec<_> = (0..50).map(|n| (n * 67_000, fail(), 1)).collect();
        assert_eq!(kinds(&slow), [], "one a minute and a little more");
        let fast: Vec<_> = (0..11).map(|n| (n * 60_000, fail(), 1)).collect();
        assert_eq!(kinds(&fast), [(540_000, Kind::BruteForce), (600_000, Kind::BruteForce)]);
        assert_eq!(kinds(&[(0, fail(), 5), (1, fail(), 5)]), [(1, Kind::BruteForce)]);
        // An order that is not that of time.
        let mut mixed: Vec<_> = (0..9).map(|n| (700_000 + n, fail(), 1)).collect();
        mixed.push((690_000, fail(), 1));
        mixed.push((700_010, fail(), 1));
        assert_eq!(kinds(&mixed), [(700_010, Kind::BruteForce)]);
    }

    #[test]
    fn a_success_after_five_failures_is_critical_once() {
        let success = || Did::SignIn { user: Some("root".to_owned()) };
        let mut acts: Vec<_> = (0..5).map(|n| (n * 600_000, fail(), 1)).collect();
        acts.push((2_500_000, success(), 1));
        acts.push((2_600_000, success(), 1));
        assert_eq!(kinds(&acts), [(2_500_000, Kind::Compromised)]);
        // Too few, and too long ago.
        assert_eq!(kinds(&[(0, fail(), 4), (1, success(), 1)]), []);
        assert_eq!(kinds(&[(0, fail(), 9), (3_600_000, success(), 1)]), []);
    }

    #[test]
    fn unknown_users_and_missing_paths_count_once_each() {
        let nobody = |n: i64| Did::NameNobody { user: format!("u{n}") };
        let same: Vec<_> = (0..20).map(|n| (n, nobody(n % 4), 1)).collect();
        assert_eq!(kinds(&same), []);
        let other: Vec<_> = (0..5).map(|n| (n * 149_000, nobody(n), 1)).collect();
        assert_eq!(kinds(&other), [(596_000, Kind::UserScan)]);
        let slow: Vec<_> = (0..5).map(|n| (n * 151_000, nobody(n), 1)).collect();
        assert_eq!(kinds(&slow), []);
        let miss = |n: i64| Did::Miss { path: format!("/{n}") };
        let scan: Vec<_> = (0..20).map(|n| (n * 3_000, miss(n), 1)).collect();
        assert_eq!(kinds(&scan), [(57_000, Kind::PathScan)]);
        let again: Vec<_> = (0..100).map(|n| (n, miss(n % 19), 1)).collect();
        assert_eq!(kinds(&again), []);
    }

    #[test]
    fn an_attack_that_goes_on_is_remembered_within_bounds() {
        let mut attempts = Attempts::default();
        for n in 0..5_000 {
            attempts.fail(n, 1);
            remember(&mut attempts.users, n, &n.to_string(), TRIES_MS);
        }
        assert_eq!((attempts.failures.len(), attempts.users.len()), (FAILURES_MAX, NAMES_MAX));
    }
}
