//! What is said again and again: the first of a kind at once, then held back and counted.
//!
//! A broker that is away makes each client of each worker complain, every few seconds, for as long
//! as it is away. One line says it, one in a while says how often it was repeated meanwhile, and a
//! last one that it has ended.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So long a message of the same kind is held back.
pub(super) const HELD_BACK: Duration = Duration::from_secs(30);

/// More kinds at once than any trouble has; what was said longest ago is forgotten first. Smaller:
/// repetitions slip through. Larger: memory.
const KINDS_MAX: usize = 256;

const WANTS_TLS: &str = "it may want TLS or a login: see kafka.security.protocol";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Debug,
    Info,
    Warning,
    Error,
}

/// One message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) severity: Severity,
    /// The client's word for what it is about (`FAIL`, `REQTMOUT`).
    pub(super) facility: String,
    pub(super) message: String,
}

impl Line {
    /// A message without the name of the client's thread, which repeats the broker's.
    pub(super) fn new(severity: Severity, facility: &str, message: &str) -> Self {
        let message = match message.strip_prefix("[thrd:").and_then(|it| it.split_once("]: ")) {
            Some((_, message)) => message,
            None => message,
        };
        let line = Self { severity, facility: facility.to_owned(), message: message.to_owned() };
        if line.is_hanging_up() {
            let message = format!("{}; {WANTS_TLS}", line.message);
            return Self { severity: Severity::Warning, message, ..line };
        }
        line
    }

    /// The broker closed the connection at the first word: so do those that wait for TLS.
    fn is_hanging_up(&self) -> bool {
        self.message.contains("Disconnected") && self.message.contains("in state APIVERSION_QUERY")
    }

    /// What makes two messages the same: times and counts stand in parentheses.
    fn kind(&self) -> String {
        let mut depth = 0_u32;
        let mut kind = String::with_capacity(self.message.len());
        for c in self.message.chars() {
            match c {
                '(' => depth += 1,
                ')' if depth > 0 => depth -= 1,
                _ if depth == 0 => kind.push(c),
                _ => {}
            }
        }
        kind.trim_end().to_owned()
    }

    fn with(&self, more: &str) -> Self {
        Self { message: format!("{}; {more}", self.message), ..self.clone() }
    }
}

/// What was said of each kind.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kinds: HashMap<String, Kind>,
}

#[derive(Debug)]
struct Kind {
    said: Instant,
    heard: Instant,
    held: u32,
    line: Line,
}

impl Repeats {
    /// The line to be written for this one, if any.
    pub(super) fn hear(&mut self, now: Instant, line: Line) -> Option<Line> {
        if line.severity == Severity::Debug {
            return Some(line);
        }
        let key = line.kind();
        if let Some(kind) = self.kinds.get_mut(&key) {
            kind.heard = now;
            if now.saturating_duration_since(kind.said) < HELD_BACK {
                kind.held = kind.held.saturating_add(1);
                return None;
            }
            kind.said = now;
            let held = std::mem::take(&mut kind.held);
            kind.line = line.clone();
            return Some(if held > 0 {
                line.with(&format!("{held} more meanwhile"))
            } else {
                line
            });
        }
        if self.kinds.len() >= KINDS_MAX {
            let oldest = self.kinds.iter().min_by_key(|(_, kind)| kind.heard);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.kinds.remove(&oldest);
            }
        }
        self.kinds.insert(key, Kind { said: now, heard: now, held: 0, line: line.clone() });
        Some(line)
    }

    /// Last lines of what has not been heard for a while, in the order of their beginnings.
    pub(super) fn over(&mut self, now: Instant) -> Vec<Line> {
        let quiet = |kind: &Kind| now.saturating_duration_since(kind.heard) >= HELD_BACK;
        let mut ended: Vec<Kind> =
            self.kinds.extract_if(|_, kind| quiet(kind)).map(|it| it.1).collect();
        ended.sort_by_key(|kind| kind.said);
        let said = ended.into_iter().filter(|kind| kind.held > 0).map(|kind| {
            let (held, quiet_s) = (kind.held, now.saturating_duration_since(kind.heard).as_secs());
            let line = kind.line.with(&format!("{held} more, but none for {quiet_s} s"));
            Line { severity: Severity::Info, ..line }
        });
        said.collect()
    }

    /// True if something is to be said by `over` some time.
    pub(super) fn holds(&self) -> bool {
        !self.kinds.is_empty()
    }
}

#[cfg(test)]
impl Repeats {
    /// How many were held back of the kinds that begin so.
    pub(super) fn held(&self, beginning: &str) -> u32 {
        let all = self.kinds.iter().filter(|(key, _)| key.starts_with(beginning));
        all.map(|(_, kind)| kind.held).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::deadline::now;

    fn failure(milliseconds: u32) -> Line {
        let message = format!(
            "[thrd:k:9092/1]: k:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused \
             (after {milliseconds}ms in state CONNECT, {milliseconds} identical error(s) suppressed)"
        );
        Line::new(Severity::Error, "FAIL", &message)
    }

    #[test]
    fn a_failure_is_said_at_once_then_held_back_and_counted() {
        let (mut repeats, start) = (Repeats::default(), now());
        let first = repeats.hear(start, failure(0)).expect("at once");
        assert!(first.message.starts_with("k:9092/1: Connect to"), "{first:?}");
        for second in 1..30 {
            let heard = repeats.hear(start + Duration::from_secs(second), failure(7));
            assert_eq!(heard, None, "after {second} s");
        }
        let again = repeats.hear(start + HELD_BACK, failure(9)).expect("after a while");
        assert!(again.message.ends_with("; 29 more meanwhile"), "{again:?}");
        assert_eq!(again.severity, Severity::Error);
        assert_eq!(repeats.hear(start + HELD_BACK, failure(9)), None);
    }

    #[test]
    fn its_end_is_said_once() {
        let (mut repeats, start) = (Repeats::default(), now());
        repeats.hear(start, failure(0));
        repeats.hear(start + Duration::from_secs(10), failure(0));
        let end = start + Duration::from_secs(10) + HELD_BACK;
        assert_eq!(repeats.over(end - Duration::from_millis(1)), []);
        let over = repeats.over(end);
        assert_eq!(over.len(), 1);
        assert!(over[0].message.ends_with("; 1 more, but none for 30 s"), "{over:?}");
        assert_eq!(over[0].severity, Severity::Info);
        assert!(!repeats.holds());
        assert_eq!(repeats.over(end), []);
        assert!(repeats.hear(end, failure(0)).is_some(), "a new beginning is said at once");
        assert_eq!(repeats.over(end + HELD_BACK), [], "nothing was held back");
    }

    #[test]
    fn other_brokers_and_other_reasons_are_of_another_kind() {
        let (mut repeats, start) = (Repeats::default(), now());
        for message in [
            "k:9092/1: Connection refused (after 1ms)",
            "k:9092/2: Connection refused (after 1ms)",
            "k:9092/1: Timed out",
        ] {
            assert!(repeats.hear(start, Line::new(Severity::Warning, "FAIL", message)).is_some());
        }
        let debug = Line::new(Severity::Debug, "BROKER", "the same");
        for _ in 0..2 {
            assert_eq!(repeats.hear(start, debug.clone()), Some(debug.clone()), "never held back");
        }
    }

    #[test]
    fn a_broker_that_hangs_up_at_the_greeting_may_want_tls() {
        let line = |state: &str| {
            let message =
                format!("k:9092/1: Disconnected: closed by peer (after 12ms in state {state})");
            Line::new(Severity::Info, "FAIL", &message)
        };
        let greeting = line("APIVERSION_QUERY");
        assert!(greeting.message.ends_with("see kafka.security.protocol"), "{greeting:?}");
        assert_eq!(greeting.severity, Severity::Warning);
        let later = line("UP");
        assert!(later.message.ends_with("in state UP)"), "{later:?}");
        assert_eq!(later.severity, Severity::Info);
    }

    #[test]
    fn kinds_are_bounded_and_the_oldest_goes_first() {
        let (mut repeats, start) = (Repeats::default(), now());
        let line = |number: usize| Line::new(Severity::Info, "X", &format!("kind {number}"));
        let at = |number: u64| start + Duration::from_millis(number);
        for number in 0..KINDS_MAX {
            assert!(repeats.hear(at(number as u64), line(number)).is_some());
        }
        assert_eq!(repeats.hear(at(300), line(0)), None, "all of them are known");
        assert!(repeats.hear(at(301), line(KINDS_MAX)).is_some());
        assert_eq!(repeats.kinds.len(), KINDS_MAX);
        assert_eq!(repeats.hear(at(302), line(0)), None, "heard lately");
        assert!(
            repeats.hear(at(303), line(1)).is_some(),
            "the one heard longest ago was forgotten"
        );
    }
}
