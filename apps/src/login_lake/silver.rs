//! `silver`: what of `logins` counts.
//!
//! | | |
//! |---|---|
//! | emits | each sign-in once |
//! | drops | repetitions (the same token, or the same person in the same second, within 24 h), and what was erased; nulls and what is no sign-in (`Failed`, by policy) |
//! | key | the person |
//! | time | that of the record |
//! | state | `seen-logins`, a day; `erased`, until when a person's sign-ins are erased |

use std::collections::HashMap;

use millstream::{
    BoxError, Counter, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, KeyValueStore,
};

use super::forget::is_erased;
use super::pseudonym::pseudonym;
use super::reading::{BadSignIn, read};
use super::seen::Seen;
use super::sign_in::SignIn;

const SIGN_INS: (&str, &str) =
    ("login_lake_sign_ins_total", "Sign-ins, by what came of them in the topology.");
const COUNTED: &str = "counted";
const REPEATED: &str = "repeated";
const ERASED: &str = "erased";

/// Takes nulls and repetitions out.
#[derive(Debug)]
pub(super) struct Silver {
    seen: Seen,
    erased: KeyValueStore<String, i64>,
    outcomes: HashMap<&'static str, Counter>,
}

impl Silver {
    pub(super) fn new(seen: Seen, erased: KeyValueStore<String, i64>) -> Self {
        Self { seen, erased, outcomes: HashMap::new() }
    }

    fn count(&self, outcome: &str) {
        if let Some(counter) = self.outcomes.get(outcome) {
            counter.inc();
        }
    }
}

type Bytes = Option<Vec<u8>>;

impl FixedKeyProcessor<String, Bytes> for Silver {
    type VOut = SignIn;

    fn init(&mut self, ctx: &mut FixedKeyContext<'_, String, SignIn>) -> Result<(), BoxError> {
        let all = [COUNTED, REPEATED, ERASED].into_iter().chain(BadSignIn::OUTCOMES);
        for outcome in all {
            let labels = [("outcome", outcome)];
            let counter = ctx.metrics().counter(SIGN_INS.0, SIGN_INS.1, &labels)?;
            self.outcomes.insert(outcome, counter);
        }
        Ok(())
    }

    fn process(
        &mut self,
        record: FixedKeyRecord<String, Bytes>,
        ctx: &mut FixedKeyContext<'_, String, SignIn>,
    ) -> Result<(), BoxError> {
        let bytes = record.value.as_deref().unwrap_or_default();
        let sign_in = read(record.key(), bytes, record.timestamp)
            .inspect_err(|bad| self.count(bad.outcome()))?;
        let person = pseudonym(&sign_in.sub);
        if is_erased(self.erased.get(&person)?, sign_in.signed_in_at) {
            self.count(ERASED);
        } else if self.seen.is_new(&person, &sign_in, ctx.stream_time())? {
            self.count(COUNTED);
            ctx.forward(record.with_value(sign_in));
        } else {
            self.count(REPEATED);
        }
        Ok(())
    }
}
