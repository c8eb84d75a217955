//! What a line says, in the same fields for all formats.

use serde::{Deserialize, Serialize};

use super::route::UserAgentClass;

/// In which format a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object.
    Json,
    /// Parts between ` | `.
    Piped,
    /// Common Log Format.
    Common,
    /// Combined Log Format: Common with referrer and user agent.
    Combined,
    /// An Apache error log.
    ApacheError,
    /// BSD syslog.
    Rfc3164,
    /// Syslog of 2009.
    Rfc5424,
    /// OpenStack's logs.
    Openstack,
}

impl Format {
    /// Its name, as a label and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Piped => "piped",
            Self::Common => "common",
            Self::Combined => "combined",
            Self::ApacheError => "apache_error",
            Self::Rfc3164 => "rfc3164",
            Self::Rfc5424 => "rfc5424",
            Self::Openstack => "openstack",
        }
    }
}

/// A line, read. What it does not say is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the fields in the logs")]
pub struct LogLine {
    pub format: Format,
    /// Milliseconds since 1970: the line's time, or that of its record.
    pub timestamp: i64,
    pub level: Option<String>,
    pub service: String,
    pub message: String,
    pub user_id: Option<String>,
    pub session_id: Option<String>,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
    pub ip: Option<String>,
    pub method: Option<String>,
    pub path: Option<String>,
    /// The path without query, ids as `{}`.
    pub route: Option<String>,
    pub status: Option<u16>,
    pub latency_ms: Option<f64>,
    pub user_agent: Option<String>,
    pub user_agent_class: Option<UserAgentClass>,
    pub referrer: Option<String>,
    pub action: Option<String>,
    pub product_id: Option<String>,
    pub cart_size: Option<u32>,
    pub checkout_status: Option<String>,
    pub auth_method: Option<String>,
    pub auth_level: Option<String>,
    /// Eight hexadecimal digits that stand for the token; the token itself is nowhere.
    pub token: Option<String>,
    /// How many lines it stands for: `message repeated N times`.
    pub repeated: u32,
    /// The template that its message is of; none before it was mined.
    pub template_id: Option<String>,
}

impl LogLine {
    /// True if it tells of a failure of the service itself.
    pub fn is_error(&self) -> bool {
        if let Some(status) = self.status {
            return status >= 500;
        }
        let level = self.level.as_deref().unwrap_or_default();
        ["error", "err", "critical", "crit", "fatal", "alert", "emerg", "severe"].contains(&level)
    }
}

/// Something in a line that was not taken as it was. Counted, and no reason to lose the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// Bytes that are no UTF-8, or NUL: replaced.
    Replaced,
    /// A time that cannot be, or is over an hour ahead of the record's: the record's was taken.
    Time,
    /// A status outside 100 to 599: none was taken.
    Status,
    /// A latency that is negative, no number, or over a day: none was taken.
    Latency,
    /// An address that is none, or has a zone: none was taken.
    Address,
}

impl Oddity {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Replaced, Self::Time, Self::Status, Self::Latency, Self::Address];

    /// Its name, as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Time => "time",
            Self::Status => "status",
            Self::Latency => "latency",
            Self::Address => "address",
        }
    }
}

/// The fields as a format finds them, before they are held to what can be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Milliseconds since 1970.
    pub(super) time: FoundTime,
    pub(super) level: Option<String>,
    pub(super) service: Option<String>,
    pub(super) message: String,
    pub(super) user_id: Option<String>,
    pub(super) session_id: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) correlation_id: Option<String>,
    pub(super) ip: Option<String>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) status: Option<i64>,
    pub(super) latency_ms: Option<f64>,
    pub(super) user_agent: Option<String>,
    pub(super) referrer: Option<String>,
    pub(super) action: Option<String>,
    pub(super) product_id: Option<String>,
    pub(super) cart_size: Option<u32>,
    pub(super) checkout_status: Option<String>,
    pub(super) auth_method: Option<String>,
    pub(super) auth_level: Option<String>,
    pub(super) token: Option<String>,
}

/// What a line says of its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FoundTime {
    /// Nothing.
    #[default]
    None,
    /// Something that is no time.
    Absurd,
    /// Milliseconds since 1970.
    Exact(i64),
    /// A time of the year, without the year and without a zone.
    WithoutYear(jiff::civil::DateTime),
    /// A time without a zone.
    WithoutZone(jiff::civil::DateTime),
}

/// `-` and nothing are no value in most formats.
pub(super) fn given(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text != "-").then(|| text.to_owned())
}
