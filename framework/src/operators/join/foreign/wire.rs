//! What the two sides of a join by foreign key send each other: Java's bytes.
//!
//! ```text
//!  subscription   version u8 ‖ instruction u8 ‖ hash ‖ key of the left row ‖ its partition i32
//!  answer         version u8 ‖ hash ‖ right row; without one no bytes follow
//! ```
//!
//! Subscriptions are of version 1, or of 0, which has no partition; answers are of version 0. The highest bit of the
//! version says that there is no hash: the left row is deleted. A right row of no bytes looks like none, as in Java.

use std::sync::{Arc, OnceLock};

use crate::error::BoxError;
use crate::operators::join::foreign::hash::{Hash, hash_of};
use crate::record::Headers;
use crate::serde::{Null, Part, Place, Serde};

const NO_HASH: u8 = 0x80;

/// What the right side does with a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// Ends it.
    DeleteKeyNoPropagate,
    /// Ends it and answers without a row.
    DeleteKeyAndPropagate,
    /// Keeps it and answers, with or without a row.
    PropagateNullIfNoForeignValue,
    /// Keeps it and answers if there is a row.
    PropagateOnlyIfForeignValue,
}

impl Instruction {
    fn number(self) -> u8 {
        match self {
            Self::DeleteKeyNoPropagate => 0,
            Self::DeleteKeyAndPropagate => 1,
            Self::PropagateNullIfNoForeignValue => 2,
            Self::PropagateOnlyIfForeignValue => 3,
        }
    }

    fn numbered(number: u8) -> Result<Self, BoxError> {
        Ok(match number {
            0 => Self::DeleteKeyNoPropagate,
            1 => Self::DeleteKeyAndPropagate,
            2 => Self::PropagateNullIfNoForeignValue,
            3 => Self::PropagateOnlyIfForeignValue,
            other => {
                return Err(format!("a subscription has instruction {other}, not 0 to 3").into());
            }
        })
    }
}

/// A left row wants to hear of a right one, or no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscription<K> {
    pub(super) instruction: Instruction,
    /// Of the left row as it is now; none if it is deleted.
    pub(super) hash: Option<Hash>,
    /// The key of the left row.
    pub(super) key: K,
    /// The partition of the left row; none in version 0.
    pub(super) partition: Option<i32>,
}

impl<K> Subscription<K> {
    /// The bytes before the key.
    fn begin(&self, into: &mut Vec<u8>) {
        let version = u8::from(self.partition.is_some());
        into.push(version | if self.hash.is_none() { NO_HASH } else { 0 });
        into.push(self.instruction.number());
        into.extend_from_slice(self.hash.as_ref().map_or(&[], <[u8; 16]>::as_slice));
    }

    /// The bytes after the key.
    fn end(&self, into: &mut Vec<u8>) {
        if let Some(partition) = self.partition {
            into.extend_from_slice(&partition.to_be_bytes());
        }
    }

    /// All bytes, around those of the key.
    pub(super) fn encoded(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + size_of::<Hash>() + key.len() + size_of::<i32>());
        self.begin(&mut bytes);
        bytes.extend_from_slice(key);
        self.end(&mut bytes);
        bytes
    }

    fn with_key<K2>(self, key: K2) -> Subscription<K2> {
        let Self { instruction, hash, partition, .. } = self;
        Subscription { instruction, hash, key, partition }
    }
}

impl<'b> Subscription<&'b [u8]> {
    fn of(bytes: &'b [u8]) -> Result<Self, BoxError> {
        let (version, is_hashed, rest) = versioned(bytes, "a subscription", 1)?;
        let (instruction, rest) = rest.split_first().ok_or("a subscription has no instruction")?;
        let instruction = Instruction::numbered(*instruction)?;
        let (hash, rest) = hash_in(is_hashed, rest)?;
        if version == 0 {
            return Ok(Self { instruction, hash, key: rest, partition: None });
        }
        let (key, partition) =
            rest.split_last_chunk::<4>().ok_or("a subscription has no partition")?;
        let partition = i32::from_be_bytes(*partition);
        if partition < 0 {
            return Err(format!("a subscription is of partition {partition}").into());
        }
        Ok(Self { instruction, hash, key, partition: Some(partition) })
    }
}

/// What the left side hears of a right row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer<R> {
    /// Of the left row as it was when it subscribed.
    pub(super) hash: Option<Hash>,
    /// The right row, if there is one.
    pub(super) row: Option<R>,
    /// Where the left row is; not in the bytes.
    pub(super) partition: Option<i32>,
}

/// The version, whether there is a hash, and what follows.
fn versioned<'b>(
    bytes: &'b [u8],
    what: &str,
    latest: u8,
) -> Result<(u8, bool, &'b [u8]), BoxError> {
    let (first, rest) = bytes.split_first().ok_or_else(|| format!("{what} has no bytes"))?;
    let version = first & !NO_HASH;
    if version > latest {
        return Err(format!("{what} has version {version}: {latest} is the latest known").into());
    }
    Ok((version, first & NO_HASH == 0, rest))
}

fn hash_in(is_there: bool, bytes: &[u8]) -> Result<(Option<Hash>, &[u8]), BoxError> {
    if !is_there {
        return Ok((None, bytes));
    }
    let (hash, rest) = bytes.split_first_chunk().ok_or("it is shorter than its hash")?;
    Ok((Some(*hash), rest))
}

/// A serde that is told a name of its own instead of the topic: Java's `<subscription topic>-fk`, `-pk`, `-vh`.
pub(super) struct Coder<T> {
    serde: Arc<dyn Serde<T>>,
    part: Part,
    topic: Arc<str>,
}

impl<T: 'static> Coder<T> {
    pub(super) fn new(serde: &Arc<dyn Serde<T>>, part: Part, topic: String) -> Self {
        Self { serde: Arc::clone(serde), part, topic: topic.into() }
    }

    /// Writes a value in place of what was in `into`.
    pub(super) fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<Null, BoxError> {
        into.clear();
        let mut headers = Headers::default();
        let mut place = Place { topic: &self.topic, part: self.part, headers: &mut headers };
        self.serde.serialize(&mut place, value, into)
    }

    /// The hash of what is written for a value; none if that is null.
    pub(super) fn hash(&self, value: &T, into: &mut Vec<u8>) -> Result<Option<Hash>, BoxError> {
        Ok((self.encode(value, into)? == Null::No).then(|| hash_of(into)))
    }

    /// A subscription by a key that this reads.
    pub(super) fn subscription(&self, bytes: &[u8]) -> Result<Subscription<T>, BoxError> {
        let raw = Subscription::of(bytes)?;
        let mut headers = Headers::default();
        let mut place = Place { topic: &self.topic, part: self.part, headers: &mut headers };
        let key = self.serde.deserialize(&mut place, Some(raw.key))?;
        Ok(raw.with_key(key))
    }
}

/// The serde of subscriptions, around that of the left rows' keys.
pub(super) struct SubscriptionSerde<K> {
    key: Arc<dyn Serde<K>>,
    /// A topic, and what the serde of keys is told in it.
    told: OnceLock<(String, String)>,
}

impl<K: 'static> SubscriptionSerde<K> {
    pub(super) fn new(key: &Arc<dyn Serde<K>>) -> Self {
        Self { key: Arc::clone(key), told: OnceLock::new() }
    }

    fn with_place<T>(&self, outer: &mut Place<'_>, f: impl FnOnce(&mut Place<'_>) -> T) -> T {
        let told = |topic: &str| format!("{topic}-pk");
        let known = self.told.get_or_init(|| (outer.topic.to_owned(), told(outer.topic)));
        let other = (known.0 != outer.topic).then(|| told(outer.topic));
        let topic = other.as_deref().unwrap_or(&known.1);
        f(&mut Place { topic, part: Part::Key, headers: outer.headers })
    }
}

impl<K: 'static> Serde<Subscription<K>> for SubscriptionSerde<K> {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &Subscription<K>,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        value.begin(into);
        match self.with_place(place, |place| self.key.serialize(place, &value.key, into))? {
            Null::No => value.end(into),
            Null::Yes => return Err("a row whose key is null follows no other".into()),
        }
        Ok(Null::No)
    }

    fn deserialize(
        &self,
        place: &mut Place<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<Subscription<K>, BoxError> {
        let raw = Subscription::of(bytes.ok_or("a subscription is null")?)?;
        let key = self.with_place(place, |place| self.key.deserialize(place, Some(raw.key)))?;
        Ok(raw.with_key(key))
    }
}

/// The serde of answers, around that of right rows.
pub(super) struct AnswerSerde<R>(pub(super) Arc<dyn Serde<R>>);

impl<R: 'static> Serde<Answer<R>> for AnswerSerde<R> {
    fn serialize(
        &self,
        place: &mut Place<'_>,
        value: &Answer<R>,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        into.push(if value.hash.is_none() { NO_HASH } else { 0 });
        into.extend_from_slice(value.hash.as_ref().map_or(&[], <[u8; 16]>::as_slice));
        if let Some(row) = &value.row {
            // A row that is null is none: it has no bytes.
            self.0.serialize(place, row, into)?;
        }
        Ok(Null::No)
    }

    fn deserialize(
        &self,
        place: &mut Place<'_>,
        bytes: Option<&[u8]>,
    ) -> Result<Answer<R>, BoxError> {
        let (_, is_hashed, rest) = versioned(bytes.ok_or("an answer is null")?, "an answer", 0)?;
        let (hash, rest) = hash_in(is_hashed, rest)?;
        let row = match rest {
            [] => None,
            row => Some(self.0.deserialize(place, Some(row))?),
        };
        Ok(Answer { hash, row, partition: None })
    }
}

#[cfg(any(test, feature = "fuzzing"))]
/// Reads any bytes as a subscription and as an answer; what was read is read again after it was written.
pub(crate) fn any_message(bytes: &[u8]) {
    use crate::serde::Plain;
    let key: Arc<dyn Serde<String>> = Arc::new(Plain);
    let coder = Coder::new(&key, Part::Key, "topic".to_owned());
    let subscriptions = SubscriptionSerde::new(&key);
    let mut headers = Headers::default();
    let mut place = Place { topic: "topic", part: Part::Value, headers: &mut headers };
    if let Ok(read) = subscriptions.deserialize(&mut place, Some(bytes)) {
        assert_eq!(read.encoded(read.key.as_bytes()), bytes);
        assert!(coder.subscription(bytes).is_ok_and(|other| other == read));
    }
    let answers = AnswerSerde(key);
    if let Ok(read) = answers.deserialize(&mut place, Some(bytes)) {
        let mut written = Vec::new();
        let is_written = answers.serialize(&mut place, &read, &mut written).is_ok();
        assert!(is_written && written == bytes, "{written:?} after {bytes:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::serde::Plain;
    use crate::serde::tests::{bytes_of, read, refusal_of, refusal_to_write};

    fn subscriptions() -> SubscriptionSerde<String> {
        let key: Arc<dyn Serde<String>> = Arc::new(Plain);
        SubscriptionSerde::new(&key)
    }

    fn answers() -> AnswerSerde<String> {
        AnswerSerde(Arc::new(Plain))
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn hash() -> Option<Hash> {
        Some(0xd7f9_a543_6aed_e827_01c9_956f_06f4_f6a5_u128.to_be_bytes())
    }

    fn subscription(instruction: Instruction, partition: Option<i32>) -> Subscription<String> {
        Subscription { instruction, hash: hash(), key: "c".to_owned(), partition }
    }

    /// Bytes of the recording, and one of version 0.
    #[test]
    fn the_bytes_are_javas() {
        use Instruction::{DeleteKeyAndPropagate, PropagateOnlyIfForeignValue};
        let same = |value: &Subscription<String>, hex: &str| {
            assert_eq!(bytes_of(&subscriptions(), value), Some(unhex(hex)));
            assert_eq!(read(&subscriptions(), Some(&unhex(hex))), *value);
        };
        let first = subscription(PropagateOnlyIfForeignValue, Some(0));
        same(&first, "0103d7f9a5436aede82701c9956f06f4f6a56300000000");
        let older = Subscription { partition: None, ..first.clone() };
        same(&older, "0003d7f9a5436aede82701c9956f06f4f6a563");
        let gone = Subscription { hash: None, ..subscription(DeleteKeyAndPropagate, Some(258)) };
        same(&gone, "81016300000102");
        let answer =
            |hash, row: Option<&str>| Answer { hash, row: row.map(str::to_owned), partition: None };
        for (answer, hex) in [
            (answer(hash(), Some("r2")), "00d7f9a5436aede82701c9956f06f4f6a57232"),
            (answer(hash(), None), "00d7f9a5436aede82701c9956f06f4f6a5"),
            (answer(None, None), "80"),
        ] {
            assert_eq!(bytes_of(&answers(), &answer), Some(unhex(hex)));
            assert_eq!(read(&answers(), Some(&unhex(hex))), answer);
        }
    }

    #[test]
    fn the_serde_of_keys_is_told_javas_name() {
        #[derive(Clone)]
        struct Tells;
        impl Serde<String> for Tells {
            fn serialize(
                &self,
                place: &mut Place<'_>,
                _: &String,
                into: &mut Vec<u8>,
            ) -> Result<Null, BoxError> {
                into.extend_from_slice(format!("{} {:?}", place.topic, place.part).as_bytes());
                Ok(Null::No)
            }

            fn deserialize(
                &self,
                place: &mut Place<'_>,
                _: Option<&[u8]>,
            ) -> Result<String, BoxError> {
                Ok(place.topic.to_owned())
            }
        }
        let key: Arc<dyn Serde<String>> = Arc::new(Tells);
        let serde = SubscriptionSerde::new(&key);
        for topic in [
            "app-j-subscription-registration-topic",
            "other-j",
            "app-j-subscription-registration-topic",
        ] {
            let mut headers = Headers::default();
            let mut place = Place { topic, part: Part::Value, headers: &mut headers };
            let (value, mut bytes) =
                (subscription(Instruction::DeleteKeyNoPropagate, None), Vec::new());
            serde.serialize(&mut place, &value, &mut bytes).unwrap();
            assert_eq!(String::from_utf8_lossy(&bytes[18..]), format!("{topic}-pk Key"));
            assert_eq!(
                serde.deserialize(&mut place, Some(&bytes)).unwrap().key,
                format!("{topic}-pk")
            );
        }
    }

    #[test]
    fn what_is_no_subscription_and_no_answer_is_refused_with_what_is_wrong() {
        let hashed = "d7f9a5436aede82701c9956f06f4f6a5";
        for (hex, wrong) in [
            ("".to_owned(), "no bytes"),
            ("0203".to_owned(), "version 2: 1 is the latest"),
            ("ff03".to_owned(), "version 127"),
            ("01".to_owned(), "no instruction"),
            ("0104".to_owned(), "instruction 4"),
            ("0103d7f9".to_owned(), "shorter than its hash"),
            (format!("0103{hashed}000000"), "no partition"),
            (format!("0103{hashed}63ffffffff"), "partition -1"),
        ] {
            let refusal = refusal_of(&subscriptions(), Some(&unhex(&hex)));
            assert!(refusal.contains(wrong), "{hex}: {refusal}");
        }
        for (hex, wrong) in
            [("", "no bytes"), ("01", "version 1: 0 is the latest"), ("00d7", "its hash")]
        {
            let refusal = refusal_of(&answers(), Some(&unhex(hex)));
            assert!(refusal.contains(wrong), "{hex}: {refusal}");
        }
        assert!(refusal_of(&subscriptions(), None).contains("null"));
        assert!(refusal_of(&answers(), None).contains("null"));
    }

    #[test]
    fn a_key_that_is_null_cannot_subscribe() {
        let key: Arc<dyn Serde<Option<String>>> = Arc::new(crate::serde::Nullable(Plain));
        let serde = SubscriptionSerde::new(&key);
        let value = Subscription {
            instruction: Instruction::DeleteKeyNoPropagate,
            hash: None,
            key: None,
            partition: None,
        };
        assert!(refusal_to_write(&serde, &value).contains("null"));
    }

    fn instruction() -> impl Strategy<Value = Instruction> {
        (0..4_u8).prop_map(|number| Instruction::numbered(number).unwrap())
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..40), head in 0..8_u8) {
            // Half of them begin as they should.
            if let [first, second, ..] = bytes.as_mut_slice() && head < 4 {
                (*first, *second) = ([0, 1, 0x80, 0x81][usize::from(head)], *second % 5);
            }
            let mut headers = Headers::default();
            let mut place = Place { topic: "t", part: Part::Value, headers: &mut headers };
            if let Ok(value) = subscriptions().deserialize(&mut place, Some(&bytes)) {
                assert_eq!(bytes_of(&subscriptions(), &value), Some(bytes.clone()));
            }
            let mut place = Place { topic: "t", part: Part::Value, headers: &mut headers };
            if let Ok(value) = answers().deserialize(&mut place, Some(&bytes)) {
                assert_eq!(bytes_of(&answers(), &value), Some(bytes));
            }
        }

        #[test]
        fn what_is_written_is_read_again(
            instruction in instruction(),
            hash: Option<[u8; 16]>,
            key: String,
            partition in proptest::option::of(0..=i32::MAX),
            row in proptest::option::of(".+"),
        ) {
            let value = Subscription { instruction, hash, key: key.clone(), partition };
            let bytes = bytes_of(&subscriptions(), &value).unwrap();
            assert_eq!(value.encoded(key.as_bytes()), bytes);
            assert_eq!(read(&subscriptions(), Some(&bytes)), value);
            let answer = Answer { hash, row, partition: None };
            assert_eq!(read(&answers(), bytes_of(&answers(), &answer).as_deref()), answer);
        }
    }
}
