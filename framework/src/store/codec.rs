//! The serdes of a store, with the place they are told and the errors they lead to.

use std::fmt;
use std::sync::Arc;

use crate::error::{BoxError, Error, Result};
use crate::record::Headers;
use crate::serde::{Null, Part, Place, Serde};

/// One serde of a store, for its keys or for its values.
pub(crate) struct Codec<T> {
    serde: Arc<dyn Serde<T>>,
    store: Arc<str>,
    topic: Arc<str>,
    part: Part,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        Self {
            serde: Arc::clone(&self.serde),
            store: Arc::clone(&self.store),
            topic: Arc::clone(&self.topic),
            part: self.part,
        }
    }
}

impl<T> fmt::Debug for Codec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").field("topic", &self.topic).field("part", &self.part).finish()
    }
}

impl<T: 'static> Codec<T> {
    /// `topic` is what the serde is told: the changelog's name, also if the store is not logged.
    pub(crate) fn new(
        serde: Arc<dyn Serde<T>>,
        part: Part,
        store: Arc<str>,
        topic: Arc<str>,
    ) -> Self {
        Self { serde, store, topic, part }
    }

    /// What the serde is told: the changelog's name.
    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Appends the bytes of a value.
    #[inline]
    pub(crate) fn encode(&self, value: &T, into: &mut Vec<u8>) -> Result<Null> {
        let mut headers = Headers::default();
        let mut place = Place { topic: &self.topic, part: self.part, headers: &mut headers };
        self.serde.serialize(&mut place, value, into).map_err(|error| self.unwritable(error))
    }

    /// Writes a key in place of what was in `into`; a null key has no place in a store.
    #[inline]
    pub(crate) fn encode_key(&self, key: &T, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        match self.encode(key, into)? {
            Null::No => Ok(()),
            Null::Yes => Err(self.unwritable("it is null".into())),
        }
    }

    /// Reads what was written before.
    #[inline]
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<T> {
        let mut headers = Headers::default();
        let mut place = Place { topic: &self.topic, part: self.part, headers: &mut headers };
        self.serde.deserialize(&mut place, Some(bytes)).map_err(|error| Error::Fatal {
            what: format!("reading a {} of store {}", self.part.label(), self.store),
            reason: format!("{error}; was its serde changed?"),
        })
    }

    fn unwritable(&self, cause: BoxError) -> Error {
        Error::Unwritable { store: self.store.to_string(), part: self.part.label(), cause }
    }
}
