//! `map_values`, `map_values_with_key` and their `try_` forms: one value into one.
//!
//! | | |
//! |---|---|
//! | emits | one record for each |
//! | drops | `try_`: a failed one by policy (`Failed`) |
//! | key, time, headers | kept; no repartition |
//! | state | none |

use std::convert::Infallible;
use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::stream::handle::KStream;
use crate::operators::stream::placed::Placing;
use crate::policy::DropReason;
use crate::record::{Data, Record, Shared};

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Makes another value of each.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<String, String>("in");
    /// stream.map_values(|value| value.to_uppercase()).to("loud");
    /// stream.map_values_with_key(|key, value| format!("{key}: {value}")).to("labelled");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("in", &text("k", "v", 1))?;
    /// assert_eq!(driver.read::<String, String>("loud")?, [text("k", "V", 1)]);
    /// assert_eq!(driver.read::<String, String>("labelled")?, [text("k", "k: v", 1)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn map_values<V2: Data>(&self, f: impl Fn(V) -> V2 + Shared) -> KStream<K, V2, P> {
        self.try_map_values_with_key(move |_, value| Ok::<_, Infallible>(f(value)))
            .infallible("try_map_values")
    }

    /// Makes another value of each, seeing its key.
    #[must_use]
    pub fn map_values_with_key<V2: Data>(
        &self,
        f: impl Fn(&K, V) -> V2 + Shared,
    ) -> KStream<K, V2, P> {
        self.try_map_values_with_key(move |key, value| Ok::<_, Infallible>(f(key, value)))
            .infallible("try_map_values_with_key")
    }

    /// As [`Self::map_values`]; an error follows the node's policy ([`Self::on_error`]): fail, skip
    /// or dead letter, with the record's coordinates.
    ///
    /// ```
    /// # use millstream::{OnError, StreamsBuilder, testing::{TopologyDriver, text}};
    /// # let builder = StreamsBuilder::new();
    /// let stream = builder.stream::<String, String>("in");
    /// let numbers = stream.try_map_values(|text| text.parse::<i64>());
    /// numbers.on_error(OnError::dead_letter("refused")).to("numbers");
    /// let checked = stream.try_map_values_with_key(|key, value| {
    ///     if key == &value { Err("key and value are the same") } else { Ok(value) }
    /// });
    /// checked.on_error(OnError::Skip).to("checked");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// for (key, value) in [("k", "7"), ("x", "x")] {
    ///     driver.pipe("in", &text(key, value, 1))?;
    /// }
    /// assert_eq!(driver.read::<String, i64>("numbers")?.len(), 1);
    /// assert_eq!(driver.read::<String, String>("refused")?[0].value, "x");
    /// assert_eq!(driver.read::<String, String>("checked")?, [text("k", "7", 1)]);
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    #[must_use]
    pub fn try_map_values<V2: Data, E: Into<BoxError>>(
        &self,
        f: impl Fn(V) -> Result<V2, E> + Shared,
    ) -> KStream<K, V2, P> {
        self.try_map_values_with_key(move |_, value| f(value))
    }

    /// As [`Self::map_values_with_key`]; an error follows the node's policy ([`Self::on_error`]).
    #[must_use]
    pub fn try_map_values_with_key<V2: Data, E: Into<BoxError>>(
        &self,
        f: impl Fn(&K, V) -> Result<V2, E> + Shared,
    ) -> KStream<K, V2, P> {
        let f = Arc::new(f);
        self.child("KSTREAM-MAPVALUES-", move |linker| {
            let (children, faults) = (linker.children::<K, V2>()?, linker.faults()?);
            linker.add::<K, V, _>(MapValues { f: Arc::clone(&f), children, faults });
            Ok(())
        })
    }
}

struct MapValues<K, V2, F> {
    f: Arc<F>,
    children: Children<K, V2>,
    faults: Faults,
}

impl<K, V2, F> Node for MapValues<K, V2, F> {}

impl<K, V, V2, E, F> Operator<K, V> for MapValues<K, V2, F>
where
    K: Data,
    V2: Data,
    E: Into<BoxError>,
    F: Fn(&K, V) -> Result<V2, E>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        match (self.f)(&key, value) {
            Ok(value) => self.children.forward(Record { key, value, timestamp, headers }, ctx),
            Err(error) => self.faults.apply(DropReason::Failed, error.into(), ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Error;
    use crate::policy::OnError;
    use crate::testing::{TopologyDriver, text};
    use crate::topology::StreamsBuilder;

    #[test]
    fn the_key_is_kept_and_no_topic_is_needed_before_grouping() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .map_values_with_key(|key, value| key.clone() + &value)
            .group_by_key()
            .count("counts");
        assert_eq!(builder.build().unwrap().sub_topologies().len(), 1);
    }

    #[test]
    fn without_a_policy_a_failure_stops_and_names_the_record() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .try_map_values(|value| value.parse::<i64>())
            .named("numbers")
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        match driver.pipe("in", &text("k", "x", 1)) {
            Err(Error::BadRecord { at, node, .. }) => {
                assert_eq!((at.to_string().as_str(), node.as_str()), ("in-0@0", "numbers"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_policy_where_nothing_can_fail_is_a_fault() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        let mapped = stream.map_values(|it| it).on_error(OnError::Skip).named("mapped");
        mapped.filter(|_, _| true).to("out");
        let text = builder.build().unwrap_err().to_string();
        assert!(
            text.ends_with("nothing can fail in mapped, so it has no policy: use try_map_values"),
            "{text}"
        );
    }

    #[test]
    fn what_stopped_it_says_how_to_go_on() {
        let builder = StreamsBuilder::new();
        let numbers = builder.stream::<String, String>("in").try_map_values(|it| it.parse::<i64>());
        numbers.named("numbers").to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        let error = format!("{:?}", driver.pipe("in", &text("k", "x", 1)).unwrap_err());
        assert!(
            error
                .contains("in numbers: invalid digit found in string; to go on, skip such records")
                && error.ends_with("`.on_error(..)` behind it"),
            "{error}"
        );
    }

    #[test]
    fn a_dead_letter_carries_the_bytes_as_they_came() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .try_map_values(|value| value.parse::<i64>())
            .on_error(OnError::DeadLetter("bad".into()))
            .to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &text("k", "x", 7)).unwrap();
        let letters = driver.read::<String, String>("bad").unwrap();
        assert_eq!((letters[0].key.as_str(), letters[0].value.as_str()), ("k", "x"));
        assert_eq!(letters[0].headers.last("__streams.errors.topic"), Some(&b"in"[..]));
        assert!(driver.read::<String, i64>("out").unwrap().is_empty());
    }
}
