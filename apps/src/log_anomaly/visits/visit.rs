//! One visit: what lines add to it, how two become one, and how it is written.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use millstream::BoxError;
use millstream::serde::{Bincode, HasSerde, Json};
use serde::{Deserialize, Serialize};

use crate::log_anomaly::clock_text::utc_text;
use crate::log_anomaly::line::{LogLine, UserAgentClass};

/// Bytes of a name that is part of a key, and of a page.
const NAME_BYTES_MAX: usize = 256;

/// What a visit needs of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct View {
    at: i64,
    page: Option<String>,
    is_action: bool,
    is_error: bool,
    device: Option<UserAgentClass>,
}

impl HasSerde for View {
    type Serde = Bincode;
}

/// Who it was (the user, else the session, else a hash of address and user agent) and what was looked at; none for a
/// line that is nobody's.
pub(in crate::log_anomaly) fn view_of(line: &LogLine) -> Option<(String, View)> {
    let by_address = || {
        let (ip, agent) = line.ip.as_ref().zip(line.user_agent.as_ref())?;
        let mut hasher = DefaultHasher::new();
        (ip, agent).hash(&mut hasher);
        Some(format!("{:016x}", hasher.finish()))
    };
    let named = line.user_id.clone().or_else(|| line.session_id.clone());
    let mut user = named.or_else(by_address)?;
    user.truncate(user.floor_char_boundary(NAME_BYTES_MAX));
    let mut page = line.route.clone();
    if let Some(page) = &mut page {
        page.truncate(page.floor_char_boundary(NAME_BYTES_MAX));
    }
    let view = View {
        at: line.timestamp,
        page,
        is_action: line.action.is_some(),
        is_error: line.is_error() || line.status.is_some_and(|status| status >= 400),
        device: line.user_agent_class,
    };
    Some((user, view))
}

/// A visit in the making.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::log_anomaly) struct Visit {
    pub(in crate::log_anomaly) pages: u64,
    pub(in crate::log_anomaly) actions: u64,
    pub(in crate::log_anomaly) errors: u64,
    entry: Option<(i64, String)>,
    exit: Option<(i64, String)>,
    pub(in crate::log_anomaly) device: Option<UserAgentClass>,
}

impl HasSerde for Visit {
    type Serde = Bincode;
}

impl Visit {
    /// Takes in a line, in whatever order.
    pub(in crate::log_anomaly) fn add(&mut self, view: View) {
        self.actions += u64::from(view.is_action);
        self.errors += u64::from(view.is_error);
        self.device = self.device.or(view.device);
        if let Some(page) = view.page {
            self.pages += 1;
            if self.entry.as_ref().is_none_or(|(at, _)| view.at < *at) {
                self.entry = Some((view.at, page.clone()));
            }
            if self.exit.as_ref().is_none_or(|(at, _)| view.at >= *at) {
                self.exit = Some((view.at, page));
            }
        }
    }

    /// Takes in a later visit, which a line between them made the same.
    pub(in crate::log_anomaly) fn merge(&mut self, later: Self) {
        self.pages += later.pages;
        self.actions += later.actions;
        self.errors += later.errors;
        self.entry = self.entry.take().or(later.entry);
        self.exit = later.exit.or(self.exit.take());
        self.device = self.device.or(later.device);
    }

    pub(in crate::log_anomaly) fn is_bot(&self) -> bool {
        self.device == Some(UserAgentClass::Bot)
    }
}

/// A visit, as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are those of the contract")]
pub struct Session {
    pub user: String,
    pub from: String,
    pub to: String,
    /// Milliseconds.
    pub duration: i64,
    pub pages: u64,
    pub actions: u64,
    pub entry: Option<String>,
    pub exit: Option<String>,
    pub errors: u64,
    pub device: UserAgentClass,
    pub is_bot: bool,
    /// True once, when the visit is over.
    pub closed: bool,
}

impl HasSerde for Session {
    type Serde = Json;
}

impl Session {
    /// Of a visit.
    ///
    /// # Errors
    /// If it lies beyond the year 9999.
    pub(in crate::log_anomaly) fn of(
        user: String,
        (from, to): (i64, i64),
        visit: Visit,
        closed: bool,
    ) -> Result<Self, BoxError> {
        let is_bot = visit.is_bot();
        Ok(Self {
            user,
            from: utc_text(from)?,
            to: utc_text(to)?,
            duration: to - from,
            pages: visit.pages,
            actions: visit.actions,
            entry: visit.entry.map(|(_, page)| page),
            exit: visit.exit.map(|(_, page)| page),
            errors: visit.errors,
            device: visit.device.unwrap_or(UserAgentClass::Other),
            is_bot,
            closed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(at: i64, page: &str) -> View {
        let page = Some(page.to_owned());
        View { at, page, is_action: true, is_error: false, device: Some(UserAgentClass::Phone) }
    }

    #[test]
    fn entry_and_exit_do_not_depend_on_the_order() {
        let mut visit = Visit::default();
        for (at, page) in [(5, "/b"), (9, "/c"), (1, "/a"), (7, "/x")] {
            visit.add(view(at, page));
        }
        let mut later = Visit::default();
        later.add(view(20, "/z"));
        visit.merge(later);
        let session = Session::of("ada".to_owned(), (1, 20), visit, true).unwrap();
        assert_eq!((session.entry.as_deref(), session.exit.as_deref()), (Some("/a"), Some("/z")));
        assert_eq!((session.pages, session.actions, session.duration), (5, 5, 19));
        assert_eq!((session.device, session.is_bot), (UserAgentClass::Phone, false));
    }
}
