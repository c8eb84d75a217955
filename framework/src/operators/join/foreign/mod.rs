//! `join_foreign`, `left_join_foreign` of two tables: a row here names the row there by its key.
//!
//! | | |
//! |---|---|
//! | emits | the change of the result, at each change of a left row and, for each left row that names it, of a right one; a deletion where there is none any more, also where it cannot be known whether there was one. `join_foreign`: nothing for a left row whose right one is missing, if it is new or names the same one as before |
//! | drops | `join_foreign`: left rows that name none (`NullKey`); what they named before is left. Answers to a left row that has changed since (`Stale`): another one follows |
//! | key | of the left row. The tables need not be partitioned alike |
//! | time | when the left row changed: the later one of the two rows; when the right row changed: its own |
//! | headers | of the record that changed a row |
//! | state | a key-value store of who follows which right row (`<name>-subscription-store`); both tables keep their rows from now on. The results are kept if they are [`materialized`](crate::KTable::materialized), as what groups them or looks them up needs them to be |
//!
//! ```text
//!  left ──► subscribe ══ registration topic ══► receive ──► answer ─┐        keyed by the foreign key
//!    ┆                                             ┆                │
//!    ┆                              right ──────► answer all ───────┤
//!    ▼                                                              │
//!  result ◄── resolve ◄════════════ response topic ═════════════════┘        to the left row's partition
//! ```
//!
//! Unlike in Kafka Streams, an inner join keeps no result too long: where a left row has changed while an answer that
//! deletes its result was on its way, that answer is stale, and of the row as it is now there may be none. So it is
//! asked for once more, or the result is deleted at once if the row names none.
//!
//! The topics carry Java's bytes. One thing they cannot say: a right row of no bytes (an empty text) counts as missing.

mod hash;
mod wire;
mod subscribe;
mod subscriptions;
mod answer;
mod resolve;
mod drawing;

#[cfg(test)]
mod tests;

use crate::operators::join::foreign::drawing::Meeting;
use crate::operators::join::options::TableJoined;
use crate::operators::table::KTable;
use crate::record::{Data, Shared};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use wire::any_message;

impl<K: Data, V: Data> KTable<K, V> {
    /// A row for each row of this table and the row of the other one whose key it names.
    ///
    /// The name is part of the names of two topics and of a store: it must not change. To look the results up or to
    /// group them, keep them: `.materialized("name")`.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<String, String>("orders", "orders"); // customer, by order
    /// let names = builder.table::<String, String>("names", "names"); // name, by customer
    /// let customer_of = |_: &String, customer: &String| Some(customer.clone());
    /// orders.join_foreign("order-customer", &names, customer_of, |_, name| name.clone()).updates().to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &text("order 1", "c7", 1))?;
    /// driver.pipe("orders", &text("order 2", "c7", 2))?;
    /// driver.pipe("names", &text("c7", "Ada", 3))?;
    /// let named = driver.read::<String, String>("out")?;
    /// assert_eq!(named, [text("order 1", "Ada", 3), text("order 2", "Ada", 3)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn join_foreign<FK: Data, R: Data, VO: Data>(
        &self,
        how: impl Into<TableJoined<FK, V, R>>,
        other: &KTable<FK, R>,
        foreign_key: impl Fn(&K, &V) -> Option<FK> + Shared,
        f: impl Fn(&V, &R) -> VO + Shared,
    ) -> KTable<K, VO> {
        let join = move |left: &V, right: Option<&R>| Some(f(left, right?));
        Meeting::of(self, other, how.into(), false).draw((self, other), foreign_key, join)
    }

    /// A row for each row of this table, with the row of the other one whose key it names, if there is one.
    ///
    /// As [`Self::join_foreign`], which says more; a row may also name none.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<String, String>("orders", "orders"); // customer, by order
    /// let names = builder.table::<String, String>("names", "names"); // name, by customer
    /// let named = orders.left_join_foreign(
    ///     "order-customer",
    ///     &names,
    ///     |_, customer| (customer != "nobody").then(|| customer.clone()),
    ///     |customer, name| name.unwrap_or(customer).clone(),
    /// );
    /// named.updates().to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &text("order 1", "nobody", 1))?;
    /// driver.pipe("orders", &text("order 2", "c7", 2))?;
    /// driver.pipe("names", &text("c7", "Ada", 3))?;
    /// let named: Vec<_> = driver.read::<String, String>("out")?.into_iter().map(|row| row.value).collect();
    /// assert_eq!(named, ["nobody", "c7", "Ada"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn left_join_foreign<FK: Data, R: Data, VO: Data>(
        &self,
        how: impl Into<TableJoined<FK, V, R>>,
        other: &KTable<FK, R>,
        foreign_key: impl Fn(&K, &V) -> Option<FK> + Shared,
        f: impl Fn(&V, Option<&R>) -> VO + Shared,
    ) -> KTable<K, VO> {
        let join = move |left: &V, right: Option<&R>| Some(f(left, right));
        Meeting::of(self, other, how.into(), true).draw((self, other), foreign_key, join)
    }
}
