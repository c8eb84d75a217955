//! What is usual: a shop, its web server, its billing and the machine that they run on.

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::json;

use crate::log_anomaly::clock_text::utc_text;

const USERS: u32 = 400;
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
    "Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Mobile/15E148 Safari/604.1",
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A request of a user of the shop.
pub(super) struct Request {
    pub(super) user: u32,
    pub(super) action: &'static str,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) status: u16,
    pub(super) latency_ms: f64,
    pub(super) message: String,
}

/// An address of a user: always the same.
pub(super) fn address(user: u32) -> String {
    format!("10.{}.{}.{}", user / 250 % 250, user / 7 % 250, user % 250 + 1)
}

/// Somebody does something usual in the shop.
pub(super) fn request(random: &mut StdRng) -> Request {
    let user = random.random_range(0..USERS);
    let item = random.random_range(1..5_000);
    let (action, method, path, usual_ms) = match random.random_range(0..100) {
        0..45 => ("view", "GET", format!("/products/{item}"), 40.0),
        45..65 => ("search", "GET", format!("/search?q=w{item}"), 90.0),
        65..80 => ("add_to_cart", "POST", format!("/cart/{user}/items"), 60.0),
        80..88 => ("checkout", "POST", "/checkout".to_owned(), 150.0),
        88..94 => ("login", "POST", "/login".to_owned(), 70.0),
        _ => ("logout", "POST", "/logout".to_owned(), 20.0),
    };
    let status = match (action, random.random_range(0..1_000)) {
        (_, 0..5) => 500,
        ("login", 5..25) => 401,
        ("view", 5..15) => 404,
        ("login" | "logout", _) => 302,
        _ => 200,
    };
    // Most are near the usual, a few take three times as long.
    let spread: f64 = (0..4).map(|_| random.random_range(-1.0..1.0)).sum();
    let latency_ms = usual_ms * (spread * 0.3_f64).exp();
    let message = match status {
        500 => failed(user),
        401 => format!("{action} refused for user u{user}: wrong password"),
        404 => format!("{action} of an unknown product {item}"),
        _ => format!("{action} of user u{user} done in {latency_ms:.0} ms"),
    };
    Request { user, action, method, path, status, latency_ms, message }
}

impl Request {
    /// The line of the shop.
    pub(super) fn line(&self, random: &mut StdRng, at: i64) -> String {
        let agent = AGENTS.get(self.user as usize % AGENTS.len());
        let mut line = json!({
            "timestamp": text(at),
            "level": if self.status >= 500 { "error" } else { "info" },
            "service": "shop",
            "message": self.message,
            "user_id": format!("u{}", self.user),
            "ip": address(self.user),
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "latency_ms": (self.latency_ms * 10.0).round() / 10.0,
            "user_agent": agent,
            "action": self.action,
        });
        if let Some(fields) = line.as_object_mut() {
            if self.action == "view" {
                fields.insert("product_id".to_owned(), json!(self.path.rsplit('/').next()));
            }
            if self.action == "add_to_cart" {
                fields.insert("cart_size".to_owned(), json!(random.random_range(1..6)));
            }
            if self.action == "checkout" {
                let status = if random.random_range(0..10) == 0 { "refused" } else { "paid" };
                fields.insert("checkout_status".to_owned(), json!(status));
            }
            if self.action == "login" {
                fields.insert("auth_method".to_owned(), json!("password"));
            }
        }
        line.to_string()
    }
}

/// A usual line of any of the four, and whether it is one of the shop's, which takes so many times as long.
pub(super) fn line(random: &mut StdRng, at: i64, slower: f64) -> (String, bool) {
    match random.random_range(0..1_000) {
        0..600 => {
            let mut request = request(random);
            request.latency_ms *= slower;
            (request.line(random, at), true)
        }
        600..840 => (access(random, at), false),
        840..990 => (billing(random, at), false),
        _ => (sshd(random, at), false),
    }
}

/// The web server, for pictures and the like.
fn access(random: &mut StdRng, at: i64) -> String {
    let user = random.random_range(0..USERS);
    let path = ["/static/app.js", "/static/app.css", "/static/logo.png", "/favicon.ico"];
    let path = path.get(random.random_range(0..path.len())).unwrap_or(&"/");
    let status = if random.random_range(0..5) == 0 { 304 } else { 200 };
    let bytes = random.random_range(200..90_000);
    let agent = AGENTS.get(user as usize % AGENTS.len()).unwrap_or(&"-");
    let time = common(at);
    let address = address(user);
    format!(r#"{address} - - [{time}] "GET {path} HTTP/1.1" {status} {bytes} "-" "{agent}""#)
}

/// The billing writes what it does.
pub(super) fn billing(random: &mut StdRng, at: i64) -> String {
    let number = random.random_range(1..1_000_000);
    let message = match random.random_range(0..100) {
        0..50 => format!("invoice {number} was written for client {}", number % 97),
        50 => loaded(number % 300),
        51..80 => format!("payment of invoice {number} arrived after {} days", number % 40),
        _ => format!("reminder {} of invoice {number} was sent", number % 3),
    };
    let line =
        json!({"timestamp": text(at), "level": "info", "service": "billing", "message": message});
    line.to_string()
}

/// What the shop writes when it is its own fault.
pub(super) fn failed(user: u32) -> String {
    format!("request of user u{user} failed: internal error")
}

/// What the billing writes now and then.
pub(super) fn loaded(took_ms: i64) -> String {
    format!("rates of all currencies were loaded from the bank in {took_ms} ms")
}

/// An administrator signs in with a key.
fn sshd(random: &mut StdRng, at: i64) -> String {
    let port = random.random_range(1_024..65_000);
    let message = match random.random_range(0..2) {
        0 => format!("Accepted publickey for admin from 10.0.0.9 port {port} ssh2"),
        _ => "pam_unix(sshd:session): session opened for user admin by (uid=0)".to_owned(),
    };
    syslog(at, &message)
}

/// A line of sshd.
pub(super) fn syslog(at: i64, message: &str) -> String {
    let time = civil(at);
    let month = usize::try_from(time.month()).ok().and_then(|month| MONTHS.get(month - 1));
    let (day, clock) = (time.day(), time.time());
    format!(
        "{} {day:>2} {:02}:{:02}:{:02} web1 sshd[{}]: {message}",
        month.unwrap_or(&"Jan"),
        clock.hour(),
        clock.minute(),
        clock.second(),
        1_000 + at.rem_euclid(30_000)
    )
}

/// `22/Nov/2026:10:00:00 +0000`.
fn common(at: i64) -> String {
    let time = civil(at);
    let month = usize::try_from(time.month()).ok().and_then(|month| MONTHS.get(month - 1));
    let (day, year, clock) = (time.day(), time.year(), time.time());
    let month = month.unwrap_or(&"Jan");
    let (hour, minute, second) = (clock.hour(), clock.minute(), clock.second());
    format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
}

fn civil(at: i64) -> jiff::civil::DateTime {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    at.to_zoned(jiff::tz::TimeZone::UTC).datetime()
}

pub(super) fn text(at: i64) -> String {
    utc_text(at).unwrap_or_default()
}
