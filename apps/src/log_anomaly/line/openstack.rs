//! `nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.wsgi [req-..] 10.0.0.1 "GET /v2 HTTP/1.1" status: 200 len: 1893 time: 0.24`

use super::clock;
use super::fields::{Found, FoundTime, given};

/// Reads a line, with or without the file's name in front; `None` if it is of another format.
pub(super) fn read(line: &str) -> Option<Found> {
    let (first, behind) = line.split_once(' ')?;
    let is_file = first.contains(".log");
    let rest = if is_file { behind } else { line };
    let mut parts = rest.splitn(6, ' ');
    let (date, time, process) = (parts.next()?, parts.next()?, parts.next()?);
    let (level, component, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let time = clock::iso(&format!("{date} {time}"));
    let is_process = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    let is_level = level.bytes().all(|byte| byte.is_ascii_uppercase());
    if time == FoundTime::Absurd || !is_process || !is_level {
        return None;
    }
    let (request, message) = match rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((ids, message)) if ids.starts_with("req-") || ids == "-" => (Some(ids), message),
        _ => (None, rest),
    };
    let service = if is_file { first.split(".log").next() } else { component.split('.').next() };
    let mut found = Found {
        time,
        level: given(level),
        service: service.and_then(given),
        message: message.to_owned(),
        ..Found::default()
    };
    let mut ids = request.unwrap_or_default().split(' ');
    found.request_id = ids.next().and_then(given);
    found.user_id = ids.next().and_then(given);
    take_request(&mut found, message);
    Some(found)
}

/// `10.0.0.1 "GET /v2 HTTP/1.1" status: 200 len: 1893 time: 0.24`
fn take_request(found: &mut Found, message: &str) -> Option<()> {
    let (client, rest) = message.split_once(" \"")?;
    let (request, rest) = rest.split_once("\" status: ")?;
    let mut words = request.split(' ');
    (found.method, found.path) = (words.next().and_then(given), words.next().and_then(given));
    found.ip = client.split(',').next().and_then(given);
    found.status = rest.split(' ').next()?.parse().ok();
    let (_, seconds) = rest.split_once("time: ")?;
    found.latency_ms = Some(seconds.trim().parse::<f64>().ok()? * 1_000.0);
    Some(())
}
