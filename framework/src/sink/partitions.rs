//! What a partitioner answers: by key, here, in several places, or nowhere.

use crate::error::BoxError;

/// To which partitions a record goes, as the partitioner of a sink says: see [`Produced::partitioner`](crate::Produced::partitioner).
///
/// `Some(partition)` and `None` stand for [`Self::One`] and [`Self::ByKey`], a list for [`Self::Several`]. A partition that
/// the topic has not is an error that names it; a record that goes nowhere is counted as dropped (`NoPartition`).
///
/// ```
/// use millstream::{DropReason, Partitions, Produced};
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
///
/// # let builder = StreamsBuilder::new();
/// # let stream = builder.stream::<String, String>("in");
/// stream.to(Produced::from("out").partitioner(|_topic, _key, value: &String, partitions| match value.as_str() {
///     "secret" => Partitions::Nowhere,
///     "for all" => Partitions::Several((0..partitions).collect()),
///     "first" => Partitions::One(0),
///     _ => Partitions::ByKey,
/// }));
/// # let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for value in ["secret", "for all", "first", "other"] {
///     driver.pipe("in", &text("k", value, 1))?;
/// }
/// assert_eq!(driver.read::<String, String>("out")?.len(), 3);
/// assert_eq!(driver.dropped(DropReason::NoPartition), 1);
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Partitions {
    /// Where Java's default partitioner puts the key; records without one go round.
    #[default]
    ByKey,
    /// To this one.
    One(i32),
    /// One record to each of these, each once.
    Several(Vec<i32>),
    /// To none: the record is dropped and counted.
    Nowhere,
}

impl From<Option<i32>> for Partitions {
    fn from(chosen: Option<i32>) -> Self {
        chosen.map_or(Self::ByKey, Self::One)
    }
}

impl From<Vec<i32>> for Partitions {
    /// An empty list is nowhere, as in Kafka Streams.
    fn from(chosen: Vec<i32>) -> Self {
        match chosen.as_slice() {
            [] => Self::Nowhere,
            [one] => Self::One(*one),
            _ => Self::Several(chosen),
        }
    }
}

impl Partitions {
    /// The same with each partition once, if the topic has all of them.
    ///
    /// # Errors
    /// The first one that it has not.
    pub(super) fn checked(self, topic: &str, partitions: i32) -> Result<Self, BoxError> {
        let chosen = match &self {
            Self::ByKey | Self::Nowhere => &[],
            Self::One(chosen) => std::slice::from_ref(chosen),
            Self::Several(chosen) => chosen.as_slice(),
        };
        if let Some(chosen) = chosen.iter().find(|chosen| !(0..partitions).contains(*chosen)) {
            return Err(format!(
                "the partitioner chose partition {chosen}, and topic {topic} has {partitions}"
            )
            .into());
        }
        Ok(match self {
            Self::Several(mut chosen) => {
                let mut seen = Vec::with_capacity(chosen.len());
                chosen.retain(|one| {
                    let is_new = !seen.contains(one);
                    if is_new {
                        seen.push(*one);
                    }
                    is_new
                });
                Self::from(chosen)
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_once_and_none_that_the_topic_has_not() {
        let checked = |chosen: Vec<i32>| Partitions::from(chosen).checked("out", 3);
        assert_eq!(checked(vec![2, 0, 2]).unwrap(), Partitions::Several(vec![2, 0]));
        assert_eq!(checked(vec![1, 1]).unwrap(), Partitions::One(1));
        assert_eq!(checked(vec![]).unwrap(), Partitions::Nowhere);
        for (chosen, named) in [(vec![0, 3], "partition 3"), (vec![-1], "partition -1")] {
            let error = checked(chosen).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("topic out has 3"), "{error}");
        }
        assert_eq!(Partitions::from(None), Partitions::ByKey);
        assert_eq!(Partitions::from(Some(7)).checked("out", 8).unwrap(), Partitions::One(7));
    }
}
