//! What all kinds of stores are told: name, serdes, changelog.

use std::sync::Arc;

use millstream_state::{StoreKind, StoreSpec};

use crate::collector::Written;
use crate::error::Result;
use crate::record::{Data, Headers, Record};
use crate::serde::{HasSerde, Null, Part, Place, Serde};
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::place::StorePlace;

/// The serdes of a store.
pub(crate) struct Serdes<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
}

impl<K, V> Clone for Serdes<K, V> {
    fn clone(&self) -> Self {
        Self { key: Arc::clone(&self.key), value: Arc::clone(&self.value) }
    }
}

impl<K: HasSerde, V: HasSerde> Default for Serdes<K, V> {
    fn default() -> Self {
        Self { key: Arc::new(K::Serde::default()), value: Arc::new(V::Serde::default()) }
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

/// The name of a store's changelog topic.
pub(crate) fn changelog_topic(application_id: &str, store: &str) -> String {
    format!("{application_id}-{store}-changelog")
}

/// What all kinds of stores have in common.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// Unique in the topology.
    pub(crate) name: Arc<str>,
    /// Not on disk: restored from the changelog's start each time.
    pub(crate) in_memory: bool,
    /// Whether there is a changelog.
    pub(crate) logged: bool,
    /// Settings of the changelog topic that go before the ones derived here.
    pub(crate) topic_config: Vec<(String, String)>,
}

impl StoreOptions {
    /// On disk and logged.
    pub(crate) fn named(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), in_memory: false, logged: true, topic_config: Vec::new() }
    }

    pub(super) fn spec(&self, kind: StoreKind) -> StoreSpec {
        StoreSpec { name: self.name.to_string(), kind, in_memory: self.in_memory }
    }

    /// The settings of the changelog; `retention_ms` is that of a window store's topic.
    pub(super) fn changelog_config(
        &self,
        retention_ms: Option<i64>,
    ) -> Option<Vec<(String, String)>> {
        if !self.logged {
            return None;
        }
        let mut config = vec![
            ("cleanup.policy".to_owned(), "compact".to_owned()),
            ("message.timestamp.type".to_owned(), "CreateTime".to_owned()),
        ];
        if let Some(retention_ms) = retention_ms {
            set(&mut config, "cleanup.policy", "compact,delete");
            set(&mut config, "retention.ms", &retention_ms.to_string());
        }
        for (name, value) in &self.topic_config {
            set(&mut config, name, value);
        }
        Some(config)
    }

    pub(super) fn open_changelog(&self, place: &StorePlace) -> Result<Option<Changelog>> {
        if !self.logged {
            return Ok(None);
        }
        let topic = changelog_topic(&place.application_id, &self.name);
        Changelog::open(place.collector.clone(), &topic, place.partition).map(Some)
    }
}

fn set(config: &mut Vec<(String, String)>, name: &str, value: &str) {
    match config.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => config.push((name.to_owned(), value.to_owned())),
    }
}

/// `Debug` of a spec: its options, since serdes have nothing to show.
macro_rules! debug_by_options {
    ($($spec:ident),*) => { $(
        impl<K, V> std::fmt::Debug for $spec<K, V> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($spec)).field(&self.options).finish()
            }
        }
    )* };
}
pub(super) use debug_by_options;
