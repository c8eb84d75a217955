//! Parts between ` | `: the first eight by their place, the others by their label, in any order.

use super::clock;
use super::fields::{Found, FoundTime, given};

const BETWEEN: &str = " | ";

/// Labels, longest first where one begins another.
const LABELS: [&str; 15] = [
    "Referrer",
    "IP",
    "Agent",
    "Response Time",
    "Product ID",
    "Cart Size",
    "Checkout Status",
    "Token",
    "Auth Method",
    "Auth Level",
    "Correlation ID",
    "Server IP",
    "Port",
    "Protocol",
    "Detail",
];

/// Reads a line; `None` if it is of another format.
pub(super) fn read(line: &str) -> Option<Found> {
    let (time, _) = line.split_once(BETWEEN)?;
    let time = clock::iso(time);
    if time == FoundTime::Absurd {
        return None;
    }
    let parts = joined(line);
    let mut found = Found { time, ..Found::default() };
    let mut placed = 0;
    for part in parts.iter().skip(1) {
        match labelled(part) {
            Some((label, value)) => take_labelled(&mut found, label, value),
            None if placed < 7 => {
                take_placed(&mut found, placed, part);
                placed += 1;
            }
            None => take_status(&mut found, part),
        }
    }
    if found.message.is_empty() {
        let said = [&found.action, &found.method, &found.path];
        found.message = said.into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    }
    Some(found)
}

/// The parts. What stands behind a separator within `Agent` or `Detail` belongs to it: it has no label of its
/// own and is no status.
fn joined(line: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in line.split(BETWEEN) {
        let continues = parts.last().is_some_and(|last| {
            matches!(labelled(last), Some(("Agent" | "Detail", _)))
                && labelled(part).is_none()
                && status_of(part).is_none()
        });
        match parts.last_mut().filter(|_| continues) {
            Some(last) => {
                last.push_str(BETWEEN);
                last.push_str(part);
            }
            None => parts.push(part.to_owned()),
        }
    }
    parts
}

fn labelled(part: &str) -> Option<(&'static str, &str)> {
    let (label, value) = part.trim().split_once(": ").or_else(|| {
        let part = part.trim();
        part.strip_suffix(':').map(|label| (label, ""))
    })?;
    LABELS.iter().find(|known| **known == label).map(|known| (*known, value))
}

fn take_placed(found: &mut Found, place: usize, part: &str) {
    let value = given(part);
    match place {
        0 => found.level = value,
        1 => found.request_id = value,
        2 => found.session_id = value,
        3 => found.user_id = value,
        4 => found.action = value,
        5 => found.method = value,
        _ => found.path = value,
    }
}

fn take_labelled(found: &mut Found, label: &str, value: &str) {
    let text = given(value);
    match label {
        "Referrer" => found.referrer = text.filter(|referrer| referrer != "Direct Entry"),
        "IP" => found.ip = text,
        "Agent" => found.user_agent = text,
        "Response Time" => found.latency_ms = text.as_deref().and_then(seconds),
        "Product ID" => found.product_id = text,
        "Cart Size" => found.cart_size = text.and_then(|size| size.parse().ok()),
        "Checkout Status" => found.checkout_status = text,
        "Token" => found.token = text,
        "Auth Method" => found.auth_method = text,
        "Auth Level" => found.auth_level = text,
        "Correlation ID" => found.correlation_id = text,
        "Detail" => found.message = text.unwrap_or_default(),
        // Which server, on which port and by which protocol: nobody asks.
        _ => {}
    }
}

/// `0.84s`, in milliseconds.
fn seconds(text: &str) -> Option<f64> {
    Some(text.trim_end_matches('s').trim().parse::<f64>().unwrap_or(f64::NAN) * 1_000.0)
}

/// `401 Unauthorized`.
fn take_status(found: &mut Found, part: &str) {
    found.status = status_of(part).or(found.status);
}

fn status_of(part: &str) -> Option<i64> {
    let number = part.trim().split(' ').next().unwrap_or_default();
    let is_one =
        number.len() <= 4 && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|_| is_one)
}
