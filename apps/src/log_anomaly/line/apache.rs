//! Common and Combined Log Format, and the Apache error log.

use super::clock;
use super::fields::{Format, Found, FoundTime, given};

/// `[Sun Dec 04 04:47:44 2005] [error] [client 1.2.3.4] message`; `None` if it is of another format.
pub(super) fn read_error(line: &str) -> Option<Found> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    let time = clock::apache(time);
    if time == FoundTime::Absurd {
        return None;
    }
    let mut found = Found { time, service: Some("httpd".to_owned()), ..Found::default() };
    let mut rest = rest.trim_start();
    // `[module:level] [pid 1:tid 2] [client 1.2.3.4:5]`, of which the first has the level.
    let mut is_first = true;
    while let Some((about, behind)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        if is_first {
            found.level = given(about.rsplit(':').next().unwrap_or(about));
        } else if let Some(client) = about.strip_prefix("client ") {
            found.ip = given(without_port(client));
        } else if !about.starts_with("pid ") {
            break;
        }
        is_first = false;
        rest = behind.trim_start();
    }
    found.message = rest.to_owned();
    Some(found)
}

/// `10.0.0.1:5000` without the port; an IPv6 address has more than one colon.
fn without_port(client: &str) -> &str {
    match client.split_once(':') {
        Some((address, port)) if !port.contains(':') => address,
        _ => client,
    }
}

/// `127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326`, with `"referrer" "agent"` in the
/// Combined form; `None` if it is of another format.
pub(super) fn read_access(line: &str) -> Option<(Format, Found)> {
    let (who, rest) = line.split_once(" [")?;
    let mut who = who.split(' ');
    let (client, _, user) = (who.next()?, who.next()?, who.next()?);
    let (time, rest) = rest.split_once("] \"")?;
    let time = clock::common(time);
    if time == FoundTime::Absurd || who.next().is_some() {
        return None;
    }
    let (request, rest) = quoted(rest)?;
    let mut numbers = rest.trim_start().splitn(3, ' ');
    let status = numbers.next()?.parse().ok();
    let _bytes = numbers.next();
    let mut found = Found {
        time,
        ip: given(client),
        user_id: given(user),
        status,
        service: Some("httpd".to_owned()),
        message: request.clone(),
        ..Found::default()
    };
    let mut words = request.split(' ');
    if let (Some(method), Some(path)) = (words.next(), words.next()) {
        (found.method, found.path) = (given(method), given(path));
    }
    let behind = numbers.next().unwrap_or_default().trim_start();
    let Some((referrer, behind)) = behind.strip_prefix('"').and_then(quoted) else {
        return Some((Format::Common, found));
    };
    found.referrer = given(&referrer);
    let agent = behind.trim_start().strip_prefix('"').and_then(quoted);
    found.user_agent = agent.and_then(|(agent, _)| given(&agent));
    Some((Format::Combined, found))
}

/// What stands before the closing quote, and what behind it; `\"` is a quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut inside, mut escaped) = (String::new(), false);
    for (at, char) in text.char_indices() {
        match char {
            '"' if !escaped => return Some((inside, text.get(at + 1..).unwrap_or_default())),
            '\\' if !escaped => escaped = true,
            _ => {
                inside.push(char);
                escaped = false;
            }
        }
    }
    None
}
