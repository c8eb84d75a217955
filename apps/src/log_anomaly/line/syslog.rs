//! Syslog, as RFC 3164 describes it and as RFC 5424 demands it.

use super::clock;
use super::fields::{Found, FoundTime, given};

/// The levels of RFC 5424, by number.
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];

/// `<34>1 2003-10-11T22:14:15Z host app procid msgid [data] message`; `None` if it is of another format.
pub(super) fn read_5424(line: &str) -> Option<Found> {
    let (level, rest) = priority(line)?;
    let mut parts = rest.strip_prefix("1 ")?.splitn(6, ' ');
    let time = parts.next()?;
    let time = if time == "-" { FoundTime::None } else { clock::iso(time) };
    let (_host, app, _process, _message_id) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let rest = parts.next()?;
    let message = without_data(rest)?.trim_start().trim_start_matches('\u{feff}');
    Some(Found {
        time,
        level: Some(level.to_owned()),
        service: given(app),
        message: message.to_owned(),
        ..Found::default()
    })
}

/// What stands behind structured data: `-`, or `[id name="value"]` any number of times.
fn without_data(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some(rest);
    }
    let mut rest = text;
    while let Some(element) = rest.strip_prefix('[') {
        let (mut quoted, mut escaped, mut end) = (false, false, None);
        for (at, char) in element.char_indices() {
            match char {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                ']' if !quoted => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        rest = element.get(end? + 1..)?;
    }
    (rest.len() < text.len()).then_some(rest)
}

/// `<34>Oct 11 22:14:15 host tag[pid]: message`, also without `<34>`; `None` if it is of another format.
pub(super) fn read_3164(line: &str) -> Option<Found> {
    let (level, rest) = match priority(line) {
        Some((level, rest)) => (Some(level.to_owned()), rest),
        None => (None, line),
    };
    let (month, rest) = rest.split_once(' ')?;
    let (day, rest) = rest.trim_start().split_once(' ')?;
    let (time, rest) = rest.split_once(' ')?;
    let time = clock::without_year(month, day, time);
    if time == FoundTime::Absurd {
        return None;
    }
    let (_host, rest) = rest.split_once(' ')?;
    let (service, message) = tagged(rest);
    Some(Found { time, level, service, message: message.to_owned(), ..Found::default() })
}

/// `tag[pid]: message`. Without a tag all of it is the message.
fn tagged(text: &str) -> (Option<String>, &str) {
    let Some((tag, message)) = text.split_once(": ") else { return (None, text) };
    let name = tag.split('[').next().unwrap_or(tag);
    if name.is_empty() || name.contains(' ') {
        return (None, text);
    }
    (Some(name.to_owned()), message)
}

/// `<34>`: the level, and what stands behind.
fn priority(line: &str) -> Option<(&'static str, &str)> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    let number: usize = number.parse().ok().filter(|number| *number < 192)?;
    LEVELS.get(number % 8).map(|level| (*level, rest))
}

/// `message repeated N times: [ .. ]`: how often, and the message.
pub(super) fn repeated(message: &str) -> Option<(u32, &str)> {
    let (times, rest) = message.strip_prefix("message repeated ")?.split_once(" times: [")?;
    let inside = rest.trim().strip_suffix(']')?;
    Some((times.parse().ok().filter(|times| *times > 0)?, inside.trim()))
}
