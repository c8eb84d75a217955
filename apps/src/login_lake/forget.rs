//! `forget`: a person is erased.
//!
//! | | |
//! |---|---|
//! | emits | a null for the person's document |
//! | drops | nulls (an erasure that is taken back erases nothing) |
//! | key | the person |
//! | time | that of the record |
//! | state | takes the person out of `users` and `seen-logins`; `erased` remembers until when, by pseudonym |
//!
//! Sign-ins from before an erasure that come after it, or again, are dropped by `silver`: the lake is computed anew from
//! bronze, and topics are read again. An erasure whose value cannot be read erases too: none may be lost.

use millstream::serde::{HasSerde, Json};
use millstream::{
    BoxError, Counter, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, Histogram, KeyValueStore,
};
use serde::{Deserialize, Serialize};

use super::moment::Moment;
use super::pseudonym::pseudonym;
use super::seen::Seen;
use super::users::User;

pub(super) const STORE: &str = "erased";

/// Whether a sign-in of then is erased, if the person's are erased until that time.
pub(super) fn is_erased(erased_until: Option<i64>, signed_in_at: Moment) -> bool {
    erased_until.is_some_and(|until| signed_in_at.ms() <= until)
}

/// What stands in `erasures` under a person's id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Erasure {
    pub(super) requested_at: Option<Moment>,
}

impl HasSerde for Erasure {
    type Serde = Json;
}

/// Takes persons out.
#[derive(Debug)]
pub(super) struct Forget {
    users: KeyValueStore<String, User>,
    seen: Seen,
    erased: KeyValueStore<String, i64>,
    done: Counter,
    seconds: Histogram,
}

impl Forget {
    pub(super) fn new(
        users: KeyValueStore<String, User>,
        seen: Seen,
        erased: KeyValueStore<String, i64>,
    ) -> Self {
        let (done, seconds) = (Counter::default(), Histogram::default());
        Self { users, seen, erased, done, seconds }
    }
}

type Bytes = Option<Vec<u8>>;

impl FixedKeyProcessor<String, Bytes> for Forget {
    type VOut = ();

    fn init(&mut self, ctx: &mut FixedKeyContext<'_, String, ()>) -> Result<(), BoxError> {
        let help = "Erasures that were carried out in the stores.";
        self.done = ctx.metrics().counter("login_lake_erasures_total", help, &[])?;
        let help = "From the request of an erasure until it was carried out in the stores.";
        let bounds = [0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 3_600.0];
        self.seconds = ctx.metrics().histogram("login_lake_erasure_seconds", help, &[], &bounds)?;
        Ok(())
    }

    fn process(
        &mut self,
        record: FixedKeyRecord<String, Bytes>,
        ctx: &mut FixedKeyContext<'_, String, ()>,
    ) -> Result<(), BoxError> {
        let Some(value) = &record.value else { return Ok(()) };
        let said = serde_json::from_slice::<Erasure>(value).ok().and_then(|it| it.requested_at);
        // One from the future would erase what is not there yet.
        let requested_ms = said.map_or(record.timestamp.0, Moment::ms).min(record.timestamp.0);
        let person = pseudonym(record.key());
        self.users.delete(record.key())?;
        self.seen.forget(&person)?;
        let until_ms = self.erased.get(&person)?.map_or(requested_ms, |it| it.max(requested_ms));
        self.erased.put(person, until_ms)?;
        self.done.inc();
        let waited_ms = ctx.wall_clock().0.saturating_sub(requested_ms).max(0);
        self.seconds.observe(waited_ms as f64 / 1_000.0);
        ctx.forward(record.with_value(()));
        Ok(())
    }
}
