//! `split`: one stream into named branches.
//!
//! | | |
//! |---|---|
//! | emits | each record to the first branch whose predicate holds, else to the default branch |
//! | drops | records without a branch, silently, if there is no default branch |
//! | key, time, headers | kept |
//! | state | none |

use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chain::{Children, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::stream::handle::KStream;
use crate::operators::stream::merge::Pass;
use crate::operators::stream::placed::{InPlace, Placing};
use crate::record::{Data, Record, Shared};

type Predicate<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// The predicates of the branches, in order; none takes all that is left.
type Rules<K, V> = Vec<Option<Predicate<K, V>>>;

impl<K: Data, V: Data, P: Placing> KStream<K, V, P> {
    /// Splits the stream: each record goes to the first of the branches declared on the result that takes it.
    ///
    /// The node is named `name`, and each branch `name` followed by its own name, as in Kafka Streams.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let levels = builder.stream::<String, String>("logs").split("level-");
    /// let errors = levels.branch("errors", |_, line| line.contains("ERROR"));
    /// let rest = levels.default_branch("rest");
    /// errors.to("errors");
    /// rest.to("others");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("logs", &text("a", "ERROR disk", 1))?;
    /// driver.pipe("logs", &text("a", "fine", 2))?;
    /// assert_eq!(driver.read::<String, String>("errors")?, [text("a", "ERROR disk", 1)]);
    /// assert_eq!(driver.read::<String, String>("others")?, [text("a", "fine", 2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split(&self, name: &str) -> Split<K, V, P> {
        let rules: Arc<Mutex<Rules<K, V>>> = Arc::default();
        let declared = Arc::clone(&rules);
        let splitter = self
            .child("KSTREAM-BRANCH-", move |linker| {
                let children = linker.children::<K, V>()?;
                let rules = declared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                linker.add(Splitter { rules, children });
                Ok(())
            })
            .named(name);
        Split { name: name.to_owned(), splitter, rules }
    }
}

/// A stream that is being split; see [`KStream::split`].
///
/// ```
/// # use millstream::{Split, StreamsBuilder};
/// # let builder = StreamsBuilder::new();
/// let split: Split<String, String> = builder.stream("in").split("by-length-");
/// split.branch("short", |_, value| value.len() < 3).to("short");
/// split.default_branch("long").to("long");
/// let description = builder.build()?.describe();
/// assert!(description.contains("by-length-short") && description.contains("by-length-long"));
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[must_use = "a split without branches drops all records"]
pub struct Split<K, V, P = InPlace> {
    name: String,
    splitter: KStream<K, V, P>,
    rules: Arc<Mutex<Rules<K, V>>>,
}

impl<K, V, P> fmt::Debug for Split<K, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data, P: Placing> Split<K, V, P> {
    /// A branch for the records that no branch declared before took and for which `when` is true.
    #[must_use]
    pub fn branch(&self, name: &str, when: impl Fn(&K, &V) -> bool + Shared) -> KStream<K, V, P> {
        self.add(name, Some(Arc::new(when)))
    }

    /// A branch for all other records. Without it they are dropped, silently.
    #[must_use]
    pub fn default_branch(self, name: &str) -> KStream<K, V, P> {
        self.add(name, None)
    }

    fn add(&self, name: &str, when: Option<Predicate<K, V>>) -> KStream<K, V, P> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(when);
        let branch: KStream<K, V, P> = self.splitter.child("KSTREAM-BRANCH-", |linker| {
            let children = linker.children::<K, V>()?;
            linker.add(Pass { children });
            Ok(())
        });
        branch.named(&format!("{}{name}", self.name))
    }
}

struct Splitter<K, V> {
    rules: Rules<K, V>,
    children: Children<K, V>,
}

impl<K, V> Node for Splitter<K, V> {}

impl<K: Data, V: Data> Operator<K, V> for Splitter<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let takes = |when: &Option<Predicate<K, V>>| {
            when.as_ref().is_none_or(|when| when(&record.key, &record.value))
        };
        let chosen = self.rules.iter().position(takes);
        match chosen.and_then(|index| self.children.get(index)) {
            Some(branch) => Rc::clone(branch).borrow_mut().process(record, ctx),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{TopologyDriver, text};
    use crate::topology::{StreamsBuilder, TopologyFault};

    #[test]
    fn the_first_branch_that_holds_takes_the_record() {
        let builder = StreamsBuilder::new();
        let split = builder.stream::<String, String>("in").split("by-");
        let a = split.branch("a", |_, value| value.starts_with('a'));
        let ab = split.branch("ab", |_, value| value.starts_with("ab"));
        a.to("a");
        ab.to("ab");
        let topology = builder.build().unwrap();
        assert!(topology.describe().contains("Processor: by-ab (stores: [])"));
        let mut driver = TopologyDriver::new(&topology).unwrap();
        for value in ["ab", "b"] {
            driver.pipe("in", &text("k", value, 1)).unwrap();
        }
        assert_eq!(driver.read::<String, String>("a").unwrap(), [text("k", "ab", 1)]);
        assert_eq!(driver.read::<String, String>("ab").unwrap(), []);
    }

    #[test]
    fn the_default_branch_takes_what_is_left() {
        let builder = StreamsBuilder::new();
        let split = builder.stream::<String, String>("in").split("by-");
        let a = split.branch("a", |_, value| value.starts_with('a'));
        let rest = split.default_branch("rest");
        a.to("a");
        rest.to("rest");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for value in ["a", "b"] {
            driver.pipe("in", &text("k", value, 1)).unwrap();
        }
        assert_eq!(driver.read::<String, String>("a").unwrap(), [text("k", "a", 1)]);
        assert_eq!(driver.read::<String, String>("rest").unwrap(), [text("k", "b", 1)]);
    }

    #[test]
    fn two_branches_of_one_name_are_a_fault() {
        let builder = StreamsBuilder::new();
        let split = builder.stream::<String, String>("in").split("by-");
        split.branch("a", |_, _| true).merge(&split.branch("a", |_, _| true)).to("out");
        let faults = builder.build().unwrap_err();
        assert!(
            matches!(faults.faults(), [TopologyFault::DuplicateNode { name, .. }] if name == "by-a"),
            "{faults}"
        );
    }
}
