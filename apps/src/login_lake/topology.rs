//! The topology: the same on the test driver, the embedded log and Kafka.

use millstream::{
    Consumed, KStream, KeyValue, OnError, Store, StreamsBuilder, Topology, TopologyErrors, Window,
};

use super::days::{DayDocument, OfDay};
use super::forget::{self, Forget};
use super::moment::Moment;
use super::seen::{self, Seen};
use super::silver::Silver;
use super::topics;
use super::users::{self, Counted, User, UserDocument, Users};

/// Rows that were taken back go from the topics behind the stores within a day. Left to itself a broker may keep them
/// for ever: it compacts what is dirty enough, and never the segment that it writes.
const COMPACTED_WITHIN: (&str, &str) = ("max.compaction.lag.ms", "86400000");

/// A record whose time no sign-in can have.
#[derive(Debug, thiserror::Error)]
#[error("the record's time is {0} ms: before 1970 or after the year 9998")]
struct BadRecordTime(i64);

/// What is kept of persons.
struct Kept {
    users: Store<KeyValue<String, User>>,
    seen: Store<Window<String, i64>>,
    erased: Store<KeyValue<String, i64>>,
}

impl Kept {
    fn in_builder(builder: &StreamsBuilder) -> Self {
        let (name, value) = COMPACTED_WITHIN;
        let users = KeyValue::named(users::STORE).changelog_config(name, value);
        let erased = KeyValue::named(forget::STORE);
        Self {
            users: builder.store(users),
            seen: builder.store(seen::kind().changelog_config(name, value)),
            erased: builder.store(erased),
        }
    }
}

/// All of it.
///
/// # Errors
/// All faults of the topology.
pub fn topology() -> Result<Topology, TopologyErrors> {
    let builder = StreamsBuilder::new();
    let kept = Kept::in_builder(&builder);
    let silver = raw(&builder, topics::LOGINS)
        .process_values("silver", (&kept.seen, &kept.erased), |(seen, erased)| {
            Silver::new(Seen::of(seen), erased)
        })
        .on_error(dead_letter());
    silver.to(topics::SILVER);
    let counted = silver.process_values("users", &kept.users, Users);
    counted
        .map(|sub, counted| (user_key(&sub), Some(UserDocument::of(&sub, counted.user))))
        .to(topics::GOLD);
    days(&counted);
    raw(&builder, topics::ERASURES)
        .process_values(
            "forget",
            (&kept.users, &kept.seen, &kept.erased),
            |(users, seen, erased)| Forget::new(users, Seen::of(seen), erased),
        )
        .map(|sub, ()| (user_key(&sub), None::<UserDocument>))
        .to(topics::GOLD);
    builder.build()
}

fn dead_letter() -> OnError {
    OnError::dead_letter(topics::DEAD_LETTERS)
}

/// Bytes by person, at times that topics can have.
fn raw(builder: &StreamsBuilder, topic: &str) -> KStream<String, Option<Vec<u8>>> {
    builder.stream(
        Consumed::from(topic)
            .try_timestamp(|record, _| match Moment::of_ms(record.timestamp.0) {
                Ok(_) => Ok(record.timestamp),
                Err(_) => Err(BadRecordTime(record.timestamp.0)),
            })
            .on_error(dead_letter()),
    )
}

/// The key of a person's document. The prefix says in which collection it is: a person's id may look like a day.
fn user_key(sub: &str) -> String {
    format!("users/{sub}")
}

fn days(counted: &KStream<String, Counted>) {
    let by_day = counted
        .map(|_, counted| (counted.day.to_string(), OfDay { is_first: counted.is_first_of_day }))
        .repartition("by-day");
    let active = by_day.filter(|_, of_day| of_day.is_first);
    let sign_ins = by_day.group_by_key().count(topics::SIGN_INS_PER_DAY);
    let active = active.group_by_key().count(topics::ACTIVE_USERS_PER_DAY);
    sign_ins
        .join(&active, |sign_ins, active_users| (*sign_ins, *active_users))
        .updates()
        .map(|day, (sign_ins, active_users)| {
            let key = format!("days/{day}");
            (key, DayDocument { id: day, active_users, sign_ins })
        })
        .to(topics::GOLD);
}

#[cfg(test)]
mod tests;
