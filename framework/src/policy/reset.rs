//! Where reading begins where nothing is committed.

use std::time::Duration;

/// Where to begin in a partition for which the group has no committed position.
///
/// ```
/// use std::time::Duration;
/// use millstream::{Consumed, Reset};
/// # let builder = millstream::StreamsBuilder::new();
/// let news = Consumed::<String, String>::from("news").reset(Reset::Latest);
/// let day = Consumed::<String, String>::from("day").reset(Reset::Ago(Duration::from_secs(86_400)));
/// # builder.stream(news).to("a");
/// # builder.stream(day).to("b");
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reset {
    /// At the first record that is still there: the default, as in Kafka Streams.
    #[default]
    Earliest,
    /// At the end: only what comes from now on.
    Latest,
    /// At the first record not older than this, counted back from now.
    Ago(Duration),
    /// Nowhere: an error that names the partition.
    Fail,
}
