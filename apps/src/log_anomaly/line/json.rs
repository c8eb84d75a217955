//! A JSON object with known names; others are left alone.

use serde::Deserialize;

use super::clock;
use super::fields::{Found, FoundTime, given};

/// The names; numbers may be texts and texts numbers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    timestamp: Option<Scalar>,
    level: Option<Scalar>,
    service: Option<Scalar>,
    message: Option<Scalar>,
    user_id: Option<Scalar>,
    session_id: Option<Scalar>,
    request_id: Option<Scalar>,
    correlation_id: Option<Scalar>,
    ip: Option<Scalar>,
    method: Option<Scalar>,
    path: Option<Scalar>,
    status: Option<Scalar>,
    latency_ms: Option<Scalar>,
    user_agent: Option<Scalar>,
    referrer: Option<Scalar>,
    action: Option<Scalar>,
    product_id: Option<Scalar>,
    cart_size: Option<Scalar>,
    checkout_status: Option<Scalar>,
    auth_method: Option<Scalar>,
    auth_level: Option<Scalar>,
    token: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Whole(i64),
    Number(f64),
    Yes(bool),
    /// Lists and objects say nothing here.
    Other(serde::de::IgnoredAny),
}

impl Scalar {
    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => given(text),
            Self::Whole(number) => Some(number.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::Yes(yes) => Some(yes.to_string()),
            Self::Other(_) => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => Some(text.trim().parse().unwrap_or(f64::NAN)),
            Self::Whole(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Yes(_) | Self::Other(_) => None,
        }
    }

    fn time(&self) -> FoundTime {
        match self {
            Self::Text(text) => clock::iso(text),
            // Milliseconds, or seconds where milliseconds would be in 1970.
            Self::Whole(number) if number.unsigned_abs() < 100_000_000_000 => {
                number.checked_mul(1_000).map_or(FoundTime::Absurd, FoundTime::Exact)
            }
            Self::Whole(number) => FoundTime::Exact(*number),
            Self::Number(seconds) => FoundTime::Exact((seconds * 1_000.0) as i64),
            Self::Yes(_) | Self::Other(_) => FoundTime::Absurd,
        }
    }
}

/// Reads an object.
///
/// # Errors
/// What is wrong with it as JSON.
pub(super) fn read(line: &str) -> Result<Found, String> {
    let object: Object = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |value: Option<Scalar>| value.as_ref().and_then(Scalar::text);
    let number = |value: &Option<Scalar>| value.as_ref().and_then(Scalar::number);
    Ok(Found {
        time: object.timestamp.as_ref().map_or(FoundTime::None, Scalar::time),
        status: number(&object.status).map(|status| status as i64),
        latency_ms: number(&object.latency_ms),
        cart_size: number(&object.cart_size).filter(|size| *size >= 0.0).map(|size| size as u32),
        level: text(object.level),
        service: text(object.service),
        message: text(object.message).unwrap_or_default(),
        user_id: text(object.user_id),
        session_id: text(object.session_id),
        request_id: text(object.request_id),
        correlation_id: text(object.correlation_id),
        ip: text(object.ip),
        method: text(object.method),
        path: text(object.path),
        user_agent: text(object.user_agent),
        referrer: text(object.referrer),
        action: text(object.action),
        product_id: text(object.product_id),
        checkout_status: text(object.checkout_status),
        auth_method: text(object.auth_method),
        auth_level: text(object.auth_level),
        token: text(object.token),
    })
}
