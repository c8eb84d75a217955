//! Where the records of a stream are, as a type: what a join needs is checked by the compiler.

/// Records of one key are in one place: in the partition of their key, as they came from a topic or out of a
/// repartition topic.
///
/// ```
/// use millstream::{InPlace, KStream, Placed, Placing, Rekeyed, StreamsBuilder};
///
/// # let builder = StreamsBuilder::new();
/// let orders: KStream<String, String, InPlace> = builder.stream("orders");
/// let by_item: KStream<String, String, Rekeyed> = orders.select_key(|_, item| item.clone());
/// let again: KStream<String, String> = by_item.repartition("by-item");
///
/// /// Takes any stream.
/// fn loud<P: Placing>(stream: &KStream<String, String, P>) -> KStream<String, String, P> {
///     stream.map_values(|text| text.to_uppercase())
/// }
///
/// /// Takes only one whose records are in place, such as for a join.
/// fn joins<P: Placed>(_: &KStream<String, String, P>) {}
/// joins(&loud(&again));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InPlace;

/// The key may have changed since the records were partitioned: those of one key may be in several places.
///
/// Groupings send such a stream through a repartition topic by themselves; before a join, write
/// `.repartition("name")`.
#[derive(Clone, Copy, Debug)]
pub struct Rekeyed;

/// Streams whose records of one key are in one place: [`InPlace`].
///
/// A join of a re-keyed stream does not compile, on either side, and the compiler says what to write:
///
/// ```compile_fail,E0277
/// # let builder = millstream::StreamsBuilder::new();
/// # let names = builder.table::<String, String>("names", "names");
/// # let orders = builder.stream::<String, String>("orders");
/// let by_name = orders.select_key(|_, order| order.clone());
/// by_name.join_table(&names, |order, name| format!("{name}: {order}")).to("lines");
/// ```
///
/// ```compile_fail,E0277
/// # use std::time::Duration;
/// # let builder = millstream::StreamsBuilder::new();
/// # let (orders, paid) = (builder.stream::<String, String>("orders"), builder.stream::<String, String>("paid"));
/// let by_name = orders.select_key(|_, order| order.clone());
/// let minute = millstream::JoinWindows::within(Duration::from_secs(60)).no_grace();
/// paid.join("both", &by_name, minute, |paid, order| format!("{order}: {paid}")).to("both");
/// ```
///
/// With the topic between them it does:
///
/// ```
/// # use std::time::Duration;
/// # let builder = millstream::StreamsBuilder::new();
/// # let names = builder.table::<String, String>("names", "names");
/// # let (orders, paid) = (builder.stream::<String, String>("orders"), builder.stream::<String, String>("paid"));
/// let by_name = orders.select_key(|_, order| order.clone()).repartition("by-name");
/// by_name.join_table(&names, |order, name| format!("{name}: {order}")).to("lines");
/// let minute = millstream::JoinWindows::within(Duration::from_secs(60)).no_grace();
/// paid.join("both", &by_name, minute, |paid, order| format!("{order}: {paid}")).to("both");
/// # builder.build()?;
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "this stream was re-keyed: its records of one key may be in several places, and a join would miss them",
    label = "needs records of one key in one place",
    note = "send it through a topic first: `.repartition(\"name\")`"
)]
pub trait Placed: Placing {}

impl Placed for InPlace {}

/// [`InPlace`] or [`Rekeyed`].
pub trait Placing: sealed::Sealed + 'static {
    /// Whether the key may have changed.
    #[doc(hidden)]
    const REKEYED: bool;
}

impl Placing for InPlace {
    const REKEYED: bool = false;
}

impl Placing for Rekeyed {
    const REKEYED: bool = true;
}

/// Where the records of two streams are that are merged: in place if both are.
///
/// ```
/// use millstream::{And, KStream, Placing};
///
/// /// What is merged is in place only if both are.
/// fn both<P: And<Q>, Q: Placing>(
///     one: &KStream<String, String, P>,
///     other: &KStream<String, String, Q>,
/// ) -> KStream<String, String, P::Both> {
///     one.merge(other)
/// }
/// ```
pub trait And<P: Placing>: Placing {
    /// Of both together.
    type Both: Placing;
}

impl<P: Placing> And<P> for InPlace {
    type Both = P;
}

impl<P: Placing> And<P> for Rekeyed {
    type Both = Rekeyed;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::InPlace {}
    impl Sealed for super::Rekeyed {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::KStream;
    use crate::topology::StreamsBuilder;

    fn is_placed<P: Placed>(_: &KStream<String, String, P>) -> bool {
        true
    }

    fn is_rekeyed(_: &KStream<String, String, Rekeyed>) -> bool {
        true
    }

    #[test]
    fn the_type_says_where_records_are() {
        let builder = StreamsBuilder::new();
        let placed = builder.stream::<String, String>("in");
        let rekeyed = placed.select_key(|_, value| value.clone());
        assert!(is_placed(&placed.filter(|_, _| true).map_values(|value| value)));
        assert!(is_rekeyed(&rekeyed.filter(|_, _| true).map_values(|value| value)));
        assert!(is_rekeyed(&placed.map(|key, value| (value, key))));
        assert!(is_rekeyed(&placed.merge(&rekeyed)) && is_rekeyed(&rekeyed.merge(&placed)));
        assert!(is_placed(&placed.merge(&placed.peek(|_, _| {}))));
        assert!(is_placed(&rekeyed.repartition("again")));
    }
}
