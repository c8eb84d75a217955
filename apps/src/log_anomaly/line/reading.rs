//! From bytes to a [`LogLine`]: the format is found, what it holds is held to what can be.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use jiff::tz::TimeZone;

use super::fields::{Format, Found, LogLine, Oddity};
use super::secret::Secret;
use super::{apache, clock, json, openstack, piped, route, syslog};

/// The longest line.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// A day: what takes longer was not measured.
const LATENCY_MS_MAX: f64 = 86_400_000.0;

/// Why a line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It is of no known format.
    #[error("UnknownFormat: no known format begins so")]
    UnknownFormat,
    /// It begins as JSON does and is none.
    #[error("BadJson: {0}")]
    BadJson(String),
    /// There is neither a message nor a status in it.
    #[error("Empty: neither message nor status")]
    Empty,
    /// It is longer than 64 KiB.
    #[error("TooLong: {0} bytes, of at most {LINE_BYTES_MAX}")]
    TooLong(usize),
}

impl BadLine {
    /// All reasons, by name.
    pub const REASONS: [&'static str; 4] = ["UnknownFormat", "BadJson", "Empty", "TooLong"];

    /// Its name, as a label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownFormat => "UnknownFormat",
            Self::BadJson(_) => "BadJson",
            Self::Empty => "Empty",
            Self::TooLong(_) => "TooLong",
        }
    }
}

/// A line, and what was not taken of it as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// What it says.
    pub line: LogLine,
    /// What was odd about it.
    pub oddities: Vec<Oddity>,
}

/// How lines are read.
#[derive(Clone, Debug)]
pub struct ReaderSettings {
    /// The service of lines that name none.
    pub service: String,
    /// The zone of times that name none.
    pub zone: TimeZone,
    /// The key by which tokens are hashed.
    pub token_key: Vec<u8>,
}

impl Default for ReaderSettings {
    /// Times in UTC, no service's name and no key of its own: two installations mark tokens alike.
    fn default() -> Self {
        Self { service: "unknown".to_owned(), zone: TimeZone::UTC, token_key: Vec::new() }
    }
}

/// Reads lines of all formats.
#[derive(Clone)]
pub struct Reader {
    service: String,
    zone: TimeZone,
    secret: Secret,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Reader {
    /// One with these settings.
    pub fn new(settings: ReaderSettings) -> Self {
        let ReaderSettings { service, zone, token_key } = settings;
        Self { service, zone, secret: Secret::new(&token_key) }
    }

    /// Reads a line whose record has this time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`BadLine`]; the line belongs to the dead letters.
    pub fn read(&self, bytes: &[u8], record_ms: i64) -> Result<Read, BadLine> {
        if bytes.len() > LINE_BYTES_MAX {
            return Err(BadLine::TooLong(bytes.len()));
        }
        let mut oddities = Vec::new();
        let text = text_of(bytes, &mut oddities);
        let (format, found) = recognised(&text)?;
        if found.message.trim().is_empty() && found.status.is_none() {
            return Err(BadLine::Empty);
        }
        Ok(Read { line: self.held(format, found, record_ms, &mut oddities), oddities })
    }

    /// Holds what was found to what can be.
    fn held(
        &self,
        format: Format,
        found: Found,
        record_ms: i64,
        oddities: &mut Vec<Oddity>,
    ) -> LogLine {
        let mut odd = |is_odd: bool, which: Oddity| {
            if is_odd {
                oddities.push(which);
            }
        };
        let (time, is_absurd) = clock::resolve(found.time, record_ms, &self.zone);
        odd(is_absurd, Oddity::Time);
        let status = found.status.and_then(|status| u16::try_from(status).ok());
        let status = status.filter(|status| (100..600).contains(status));
        odd(found.status.is_some() && status.is_none(), Oddity::Status);
        let latency_ms = found.latency_ms.filter(|ms| (0.0..=LATENCY_MS_MAX).contains(ms));
        odd(found.latency_ms.is_some() && latency_ms.is_none(), Oddity::Latency);
        let ip = found.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        odd(found.ip.is_some() && ip.is_none(), Oddity::Address);
        let (repeated, message) = match syslog::repeated(&found.message) {
            Some((times, message)) => (times, message.to_owned()),
            None => (1, found.message),
        };
        LogLine {
            format,
            timestamp: time.unwrap_or(record_ms),
            level: found.level.map(|level| level.to_ascii_lowercase()),
            service: found.service.unwrap_or_else(|| self.service.clone()),
            message,
            user_id: found.user_id,
            session_id: found.session_id,
            request_id: found.request_id,
            correlation_id: found.correlation_id,
            ip: ip.map(|ip| ip.to_string()),
            method: found.method.map(|method| method.to_ascii_uppercase()),
            route: found.path.as_deref().map(route::route_of),
            path: found.path,
            status,
            latency_ms,
            user_agent_class: found.user_agent.as_deref().map(route::user_agent_class),
            user_agent: found.user_agent,
            referrer: found.referrer,
            action: found.action,
            product_id: found.product_id,
            cart_size: found.cart_size,
            checkout_status: found.checkout_status,
            auth_method: found.auth_method,
            auth_level: found.auth_level,
            token: found.token.map(|token| self.secret.stands_for(&token)),
            repeated,
            template_id: None,
        }
    }
}

/// The text of a line: what is no UTF-8, and NUL, is replaced.
fn text_of<'a>(bytes: &'a [u8], oddities: &mut Vec<Oddity>) -> Cow<'a, str> {
    let text = String::from_utf8_lossy(bytes);
    let replaced = matches!(text, Cow::Owned(_)) || text.contains('\0');
    if replaced {
        oddities.push(Oddity::Replaced);
        return Cow::Owned(text.replace('\0', "\u{fffd}").trim().to_owned());
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        owned @ Cow::Owned(_) => owned,
    }
}

fn recognised(text: &str) -> Result<(Format, Found), BadLine> {
    if text.is_empty() {
        return Err(BadLine::Empty);
    }
    if text.starts_with('{') {
        return json::read(text).map(|found| (Format::Json, found)).map_err(BadLine::BadJson);
    }
    let as_format = |format| move |found| (format, found);
    piped::read(text)
        .map(as_format(Format::Piped))
        .or_else(|| syslog::read_5424(text).map(as_format(Format::Rfc5424)))
        .or_else(|| syslog::read_3164(text).map(as_format(Format::Rfc3164)))
        .or_else(|| apache::read_error(text).map(as_format(Format::ApacheError)))
        .or_else(|| apache::read_access(text))
        .or_else(|| openstack::read(text).map(as_format(Format::Openstack)))
        .ok_or(BadLine::UnknownFormat)
}

/// The message of a line without its header, where it is of a known format.
pub fn message_of(bytes: &[u8]) -> Option<String> {
    let text = text_of(bytes, &mut Vec::new());
    let (_, found) = recognised(&text).ok()?;
    Some(found.message)
}

#[cfg(test)]
mod tests;
