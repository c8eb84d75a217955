//! The days: how many signed in, and how often. Nobody in particular is in them, so no erasure changes them.

use millstream::serde::{Bincode, HasSerde, Json};
use serde::{Deserialize, Serialize};

/// A sign-in of a day, as it goes to that day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OfDay {
    /// The person had not signed in on that day before.
    pub(super) is_first: bool,
}

impl HasSerde for OfDay {
    type Serde = Bincode;
}

/// A day as a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DayDocument {
    #[serde(rename = "_id")]
    pub(super) id: String,
    pub(super) active_users: i64,
    pub(super) sign_ins: i64,
}

impl HasSerde for DayDocument {
    type Serde = Json;
}
