//! The serdes of a store, and the bytes that they make.

use std::sync::Arc;

use crate::collector::Written;
use crate::record::{Data, Headers, Record};
use crate::serde::{HasSerde, Null, Part, Place, Serde};
use crate::store::changelog::changelog_topic;
use crate::store::codec::Codec;
use crate::store::place::StorePlace;

/// The serdes of a store.
pub(crate) struct Serdes<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
    /// They are those of the types: nobody gave others.
    of_types: bool,
}

impl<K, V> Serdes<K, V> {
    /// These, which somebody gave.
    pub(crate) fn given(key: Arc<dyn Serde<K>>, value: Arc<dyn Serde<V>>) -> Self {
        Self { key, value, of_types: false }
    }

    /// True if all that have keys and values of these types and this answer are the same.
    pub(crate) fn are_of_types(&self) -> bool {
        self.of_types
    }
}

impl<K, V> Clone for Serdes<K, V> {
    fn clone(&self) -> Self {
        let (key, value) = (Arc::clone(&self.key), Arc::clone(&self.value));
        Self { key, value, of_types: self.of_types }
    }
}

impl<K: HasSerde, V: HasSerde> Default for Serdes<K, V> {
    fn default() -> Self {
        let (key, value) = (Arc::new(K::Serde::default()), Arc::new(V::Serde::default()));
        Self { key, value, of_types: true }
    }
}

/// What a serde makes of a key or value; none of a null, and of what it refuses.
pub(crate) fn written_by<T: 'static>(
    serde: &dyn Serde<T>,
    part: Part,
    value: &T,
) -> Option<Vec<u8>> {
    let (mut bytes, mut headers) = (Vec::new(), Headers::default());
    let mut place = Place { topic: "", part, headers: &mut headers };
    let null = serde.serialize(&mut place, value, &mut bytes);
    matches!(null, Ok(Null::No)).then_some(bytes)
}

impl<K: Data, V: Data> Serdes<K, V> {
    /// A key and a value as they would be written.
    pub(crate) fn bytes(&self, key: &K, value: &V) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        (written_by(&*self.key, Part::Key, key), written_by(&*self.value, Part::Value, value))
    }

    /// A record as it would be written.
    pub(crate) fn written(&self, record: &Record<K, V>) -> Written {
        let bytes = self.bytes(&record.key, &record.value);
        Written::new(bytes, record.timestamp, &record.headers)
    }

    pub(super) fn codecs(&self, name: &Arc<str>, place: &StorePlace) -> (Codec<K>, Codec<V>) {
        self.codecs_of(name, &changelog_topic(&place.application_id, name).into())
    }

    /// The codecs of a store, whose serdes are told this topic.
    pub(super) fn codecs_of(&self, store: &Arc<str>, topic: &Arc<str>) -> (Codec<K>, Codec<V>) {
        let (of_key, of_value) = (Arc::clone(store), Arc::clone(store));
        let key = Codec::new(Arc::clone(&self.key), Part::Key, of_key, Arc::clone(topic));
        let value = Codec::new(Arc::clone(&self.value), Part::Value, of_value, Arc::clone(topic));
        (key, value)
    }
}
