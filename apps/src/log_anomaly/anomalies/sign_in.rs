//! What lines say of an address: sign-ins that failed or not, paths that are not there, break-ins.

use millstream::serde::{Bincode, HasSerde};
use serde::{Deserialize, Serialize};

use crate::log_anomaly::line::LogLine;

/// What an address did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::log_anomaly) enum Did {
    /// A sign-in failed; perhaps since nobody has this name.
    Fail { user: Option<String>, is_unknown: bool },
    /// It named somebody who does not exist, and that is all.
    NameNobody { user: String },
    /// It signed in.
    SignIn { user: Option<String> },
    /// It asked for a path that is not there.
    Miss { path: String },
    /// sshd says so.
    BreakIn,
}

/// What a line says of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Act {
    pub(in crate::log_anomaly) did: Did,
    pub(in crate::log_anomaly) times: u32,
    pub(in crate::log_anomaly) service: String,
    pub(in crate::log_anomaly) sample: String,
}

impl HasSerde for Act {
    type Serde = Bincode;
}

/// The address and what it did, if the line says so.
pub(in crate::log_anomaly) fn act_of(line: &LogLine) -> Option<(String, Act)> {
    let (address, did) = of_sshd(&line.message).or_else(|| of_request(line))?;
    let sample = line.message.clone();
    let act = Act { did, times: line.repeated, service: line.service.clone(), sample };
    Some((address, act))
}

/// `Failed password for invalid user a b from 10.0.0.1 port 22 ssh2` and its like.
fn of_sshd(message: &str) -> Option<(String, Did)> {
    if message.ends_with("POSSIBLE BREAK-IN ATTEMPT!") {
        let address = match message.strip_prefix("Address ") {
            Some(rest) => rest.split(' ').next(),
            None => message.split_once('[').and_then(|(_, rest)| rest.split(']').next()),
        };
        return Some((address.filter(|it| is_address(it))?.to_owned(), Did::BreakIn));
    }
    if let Some(rest) = message.strip_prefix("Invalid user ") {
        let (user, from) = rest.rsplit_once("from ")?;
        return Some((address(from)?, Did::NameNobody { user: user.trim().to_owned() }));
    }
    let is_failure = message.starts_with("Failed ");
    if !is_failure && !message.starts_with("Accepted ") {
        return None;
    }
    let (_, rest) = message.split_once(" for ")?;
    let (user, from) = rest.rsplit_once(" from ")?;
    let nobody = user.strip_prefix("invalid user");
    let user = Some(nobody.unwrap_or(user).trim().to_owned());
    let did = match is_failure {
        true => Did::Fail { user, is_unknown: nobody.is_some() },
        false => Did::SignIn { user },
    };
    Some((address(from)?, did))
}

/// The address that stands first.
fn address(text: &str) -> Option<String> {
    text.split(' ').next().filter(|it| is_address(it)).map(str::to_owned)
}

/// An IP address; names are too many.
fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

/// A request to sign in, or for what is not there.
fn of_request(line: &LogLine) -> Option<(String, Did)> {
    let address = line.ip.clone()?;
    if is_sign_in(line) {
        let message = line.message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let user = line.user_id.clone();
        let failed = match line.status {
            Some(status) => matches!(status, 401 | 403 | 429),
            None => says(&["fail", "invalid", "denied", "wrong"]),
        };
        let is_unknown = says(&["unknown user", "no such user", "invalid user", "user not found"]);
        if failed {
            return Some((address, Did::Fail { user, is_unknown }));
        }
        let succeeded = line.status.map_or_else(
            || says(&["succe", "signed in", "logged in"]),
            |status| (200..400).contains(&status),
        );
        return succeeded.then_some((address, Did::SignIn { user }));
    }
    let path = line.path.as_ref().filter(|_| line.status == Some(404))?;
    Some((address, Did::Miss { path: path.split('?').next().unwrap_or_default().to_owned() }))
}

fn is_sign_in(line: &LogLine) -> bool {
    let action = line.action.as_deref().unwrap_or_default();
    let is_action = ["login", "signin", "sign_in", "sign-in", "authenticate"].contains(&action);
    let route = line.route.as_deref().unwrap_or_default();
    let is_route = ["login", "signin", "sign-in", "sign_in", "token", "sessions"]
        .contains(&route.rsplit('/').next().unwrap_or_default());
    is_action || (is_route && line.method.as_deref() == Some("POST"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_anomaly::line::{Reader, ReaderSettings};

    fn act(text: &str) -> Option<(String, Did, u32)> {
        let reader = Reader::new(ReaderSettings::default());
        let line = reader.read(text.as_bytes(), 1_800_000_000_000).unwrap().line;
        act_of(&line).map(|(address, act)| (address, act.did, act.times))
    }

    fn sshd(message: &str) -> Option<(String, Did, u32)> {
        act(&format!("Dec 10 06:55:48 LabSZ sshd[1]: {message}"))
    }

    fn found(address: &str, did: Did, times: u32) -> Option<(String, Did, u32)> {
        Some((address.to_owned(), did, times))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn sshd_is_understood() {
        let fail = |user: &str, is_unknown| Did::Fail { user: some(user), is_unknown };
        for (message, wanted) in [
            (
                "Failed password for invalid user a from b from 10.0.0.1 port 7 ssh2",
                found("10.0.0.1", fail("a from b", true), 1),
            ),
            ("Failed password for root from ::1 port 7 ssh2", found("::1", fail("root", false), 1)),
            (
                "message repeated 5 times: [ Failed password for root from 10.0.0.1 port 7 ssh2]",
                found("10.0.0.1", fail("root", false), 5),
            ),
            (
                "Accepted publickey for fztu from 10.0.0.1 port 7 ssh2",
                found("10.0.0.1", Did::SignIn { user: some("fztu") }, 1),
            ),
            (
                "Invalid user  from 10.0.0.1",
                found("10.0.0.1", Did::NameNobody { user: String::new() }, 1),
            ),
            (
                "reverse mapping checking getaddrinfo for a.b [10.0.0.1] failed - POSSIBLE BREAK-IN ATTEMPT!",
                found("10.0.0.1", Did::BreakIn, 1),
            ),
            (
                "Address 10.0.0.1 maps to a.b, but this does not map back to the address - POSSIBLE BREAK-IN ATTEMPT!",
                found("10.0.0.1", Did::BreakIn, 1),
            ),
            ("Failed password for root from somewhere port 7 ssh2", None),
            ("Connection closed by 10.0.0.1 [preauth]", None),
            ("POSSIBLE BREAK-IN ATTEMPT!", None),
        ] {
            assert_eq!(sshd(message), wanted, "{message}");
        }
    }

    #[test]
    fn so_are_requests() {
        let request = |fields: &str| act(&format!(r#"{{"message":"m","ip":"10.0.0.1",{fields}}}"#));
        let fail =
            |user: Option<String>, is_unknown| found("10.0.0.1", Did::Fail { user, is_unknown }, 1);
        assert_eq!(
            request(r#""action":"login","status":401,"user_id":"a""#),
            fail(some("a"), false)
        );
        assert_eq!(
            request(r#""path":"/api/login","method":"POST","status":403"#),
            fail(None, false)
        );
        assert_eq!(
            request(r#""action":"login","status":302"#),
            found("10.0.0.1", Did::SignIn { user: None }, 1)
        );
        assert_eq!(request(r#""action":"login","status":500"#), None);
        assert_eq!(
            request(r#""path":"/wp-admin?x=1","method":"GET","status":404"#),
            found("10.0.0.1", Did::Miss { path: "/wp-admin".to_owned() }, 1)
        );
        assert_eq!(request(r#""path":"/login","method":"GET","status":200"#), None);
        let nobody = r#"{"message":"no such user","ip":"10.0.0.1","action":"login","status":401}"#;
        assert_eq!(act(nobody), fail(None, true));
        assert_eq!(act(r#"{"message":"no address","action":"login","status":401}"#), None);
    }
}
