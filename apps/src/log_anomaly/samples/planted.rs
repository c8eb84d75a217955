//! What is planted: episodes of anomalies, each of one kind, with lines over some time.

use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::usual::{self, Request, syslog};
use crate::log_anomaly::anomalies::Kind;

/// What a planted line is part of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Label {
    /// The episode: its lines belong together.
    pub(in crate::log_anomaly) episode: u32,
    pub(in crate::log_anomaly) kind: Kind,
    pub(in crate::log_anomaly) service: String,
    /// The address, where it is about one.
    pub(in crate::log_anomaly) address: Option<String>,
}

/// The kinds, in the order in which they are planted: those of few lines more often.
const KINDS: [Kind; 16] = [
    Kind::NewTemplate,
    Kind::BruteForce,
    Kind::RareValue,
    Kind::ErrorBurst,
    Kind::Outlier,
    Kind::PathScan,
    Kind::Compromised,
    Kind::RateSpike,
    Kind::NewTemplate,
    Kind::UserScan,
    Kind::BreakIn,
    Kind::TemplateBurst,
    Kind::Outlier,
    Kind::BruteForce,
    Kind::RareValue,
    Kind::LatencyShift,
];

/// Writes a line at a time.
pub(super) type Write = Box<dyn Fn(i64) -> String>;

/// An episode: its label, and its lines with how long after its beginning they come.
pub(super) struct Episode {
    pub(super) label: Label,
    pub(super) lines: Vec<(i64, Write)>,
    /// The usual lines of the shop are so many times slower for so long.
    pub(super) slower: Option<(f64, i64)>,
}

impl Episode {
    /// The next one.
    pub(super) fn next(number: u32, random: &mut StdRng) -> Self {
        let place = usize::try_from(number).unwrap_or_default() % KINDS.len();
        let kind = KINDS.get(place).copied().unwrap_or(Kind::NewTemplate);
        let address = format!("198.51.{}.{}", number / 250 % 250, number % 250 + 1);
        let service = match kind {
            Kind::NewTemplate | Kind::TemplateBurst | Kind::RateSpike => "billing",
            Kind::BruteForce | Kind::UserScan | Kind::Compromised | Kind::BreakIn => "sshd",
            _ => "shop",
        };
        let is_by_address = kind.category() == "security";
        let label = Label {
            episode: number,
            kind,
            service: service.to_owned(),
            address: is_by_address.then(|| address.clone()),
        };
        let mut episode = Self { label, lines: Vec::new(), slower: None };
        episode.fill(number, &address, random);
        episode
    }

    fn push(&mut self, after_ms: i64, line: impl Fn(i64) -> String + 'static) {
        self.lines.push((after_ms, Box::new(line)));
    }

    /// So many lines, one each so often.
    fn each(
        &mut self,
        count: i64,
        every_ms: i64,
        line: impl Fn(i64, i64) -> String + Clone + 'static,
    ) {
        for nth in 0..count {
            let line = line.clone();
            self.push(nth * every_ms, move |at| line(nth, at));
        }
    }

    fn fill(&mut self, number: u32, address: &str, random: &mut StdRng) {
        let address = address.to_owned();
        match self.label.kind {
            Kind::BruteForce => self.each(15, 4_000, move |nth, at| {
                let port = 30_000 + nth;
                syslog(at, &format!("Failed password for root from {address} port {port} ssh2"))
            }),
            Kind::UserScan => self.each(7, 9_000, move |nth, at| {
                syslog(at, &format!("Invalid user guest{nth} from {address}"))
            }),
            Kind::Compromised => self.each(7, 20_000, move |nth, at| {
                let what = if nth < 6 { "Failed" } else { "Accepted" };
                syslog(at, &format!("{what} password for backup from {address} port 5{nth} ssh2"))
            }),
            Kind::BreakIn => self.push(0, move |at| {
                let text = format!("reverse mapping checking getaddrinfo for h{number}.example");
                syslog(at, &format!("{text} [{address}] failed - POSSIBLE BREAK-IN ATTEMPT!"))
            }),
            Kind::PathScan => self.each(26, 1_500, move |nth, at| {
                let line = json!({
                    "timestamp": usual::text(at), "level": "info", "service": "shop",
                    "message": format!("view of an unknown product {nth}"), "ip": address,
                    "method": "GET", "path": format!("/old/admin{nth}.php"), "status": 404,
                    "latency_ms": 20.5, "user_agent": "curl/8.5.0", "action": "view",
                });
                line.to_string()
            }),
            Kind::NewTemplate => {
                let words = news(number);
                self.push(0, move |at| billing(at, "warning", &words));
            }
            Kind::TemplateBurst => {
                self.each(60, 500, |nth, at| billing(at, "info", &usual::loaded(nth)))
            }
            Kind::RateSpike => self.each(240, 150, |nth, at| {
                let client = nth % 97;
                billing(at, "info", &format!("invoice {nth} was written for client {client}"))
            }),
            Kind::ErrorBurst => {
                let requests: Vec<Request> = (0..40).map(|_| usual::request(random)).collect();
                for (nth, mut request) in (0..).zip(requests) {
                    request.status = 500;
                    request.message = usual::failed(request.user);
                    self.push(nth * 500, move |at| request.line(&mut calm(), at));
                }
            }
            Kind::RareValue => {
                let mut request = usual::request(random);
                request.status = 200;
                request.action = "view";
                request.method = ["PATCH", "OPTIONS", "TRACE", "PROPFIND", "MOVE"]
                    .get(usize::try_from(number).unwrap_or_default() / KINDS.len() % 5)
                    .unwrap_or(&"LOCK");
                if usize::try_from(number).unwrap_or_default() % KINDS.len() > 5 {
                    request.status = 206 + u16::try_from(number % 20).unwrap_or_default();
                }
                request.message = format!("view of user u{} done in 40 ms", request.user);
                self.push(0, move |at| request.line(&mut calm(), at));
            }
            Kind::Outlier => {
                let mut request = usual::request(random);
                (request.status, request.latency_ms) = (200, 30_000.0);
                request.action = "view";
                request.message = format!("view of user u{} done in 30000 ms", request.user);
                self.push(0, move |at| request.line(&mut calm(), at));
            }
            // The shop's own lines become slow.
            _ => self.slower = Some((4.0, 40_000)),
        }
    }
}

/// Chance has no part in what is planted.
fn calm() -> StdRng {
    rand::SeedableRng::seed_from_u64(1)
}

/// A line unlike all others: no two begin alike.
fn news(number: u32) -> String {
    let what = [
        "lost its lease and gave up",
        "has no room left on its disk for the journal",
        "answered with a certificate that ended yesterday",
        "cannot be parsed",
    ];
    let nth = usize::try_from(number).unwrap_or_default() / 8;
    let what = what.get(nth % what.len()).unwrap_or(&"");
    format!("{} {} {what}", word(number), word(number + 1))
}

/// A word of letters only.
fn word(number: u32) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'k')).collect()
}

fn billing(at: i64, level: &str, message: &str) -> String {
    let at = usual::text(at);
    json!({"timestamp": at, "level": level, "service": "billing", "message": message}).to_string()
}
