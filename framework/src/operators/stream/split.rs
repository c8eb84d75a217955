//! `split`: one stream into named branches.
//!
//! | | |
//! |---|---|
//! | emits | each record to the first branch whose predicate holds, else to the default branch |
//! | drops | records without a branch, silently, if there is no default branch |
//! | key, time, headers | kept |
//! | state | none |

use std::collections::HashMap;
use std::fmt;
use std::ops::Index;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use crate::chain::{Children, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::stream::handle::{KStream, Key};
use crate::operators::stream::merge::Pass;
use crate::record::{Data, Record};
use crate::topology::TopologyFault;

type Predicate<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// What a split knows once all its branches are declared: the predicates in order; the default
/// branch comes last and has none.
struct Rules<K, V> {
    predicates: Vec<Predicate<K, V>>,
    default: bool,
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Begins to split the stream. The node is named `name`, and each branch `name` followed by
    /// its own name, as in Kafka Streams.
    pub fn split(&self, name: &str) -> Split<K, V> {
        let rules: Arc<OnceLock<Rules<K, V>>> = Arc::default();
        let made = Arc::clone(&rules);
        let splitter = self
            .child("KSTREAM-BRANCH-", Key::Kept, move |linker| {
                let children = linker.children::<K, V>()?;
                let (predicates, default) = match made.get() {
                    Some(rules) => (rules.predicates.clone(), rules.default),
                    None => (Vec::new(), false),
                };
                linker.add(Splitter { predicates, default, children });
                Ok(())
            })
            .named(name);
        Split {
            name: name.to_owned(),
            splitter,
            rules,
            predicates: Vec::new(),
            branches: HashMap::new(),
        }
    }
}

/// A split whose branches are being declared; it ends with [`Split::default_branch`] or
/// [`Split::no_default_branch`].
#[must_use = "a split ends with default_branch or no_default_branch"]
pub struct Split<K, V> {
    name: String,
    splitter: KStream<K, V>,
    rules: Arc<OnceLock<Rules<K, V>>>,
    predicates: Vec<Predicate<K, V>>,
    branches: HashMap<String, KStream<K, V>>,
}

impl<K, V> fmt::Debug for Split<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<K: Data, V: Data> Split<K, V> {
    /// A branch for the records that no earlier branch took and for which `when` is true.
    pub fn branch(
        mut self,
        name: &str,
        when: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.predicates.push(Arc::new(when));
        self.add_branch(name);
        self
    }

    /// A branch for all other records.
    pub fn default_branch(mut self, name: &str) -> Branches<K, V> {
        self.add_branch(name);
        self.finish(true)
    }

    /// All other records are dropped.
    pub fn no_default_branch(self) -> Branches<K, V> {
        self.finish(false)
    }

    fn add_branch(&mut self, name: &str) {
        let branch: KStream<K, V> = self.splitter.child("KSTREAM-BRANCH-", Key::Kept, |linker| {
            let children = linker.children::<K, V>()?;
            linker.add(Pass { children });
            Ok(())
        });
        let branch = branch.named(&format!("{}{name}", self.name));
        self.branches.insert(name.to_owned(), branch);
    }

    fn finish(self, default: bool) -> Branches<K, V> {
        // Nobody else can have set it: `finish` takes the split.
        let _ = self.rules.set(Rules { predicates: self.predicates, default });
        Branches { name: self.name, splitter: self.splitter, branches: self.branches }
    }
}

/// The branches of a split, by their names.
pub struct Branches<K, V> {
    name: String,
    /// What an unknown branch is answered with: `build` refuses the topology then.
    splitter: KStream<K, V>,
    branches: HashMap<String, KStream<K, V>>,
}

impl<K, V> fmt::Debug for Branches<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Branches").field(&self.branches.keys().collect::<Vec<_>>()).finish()
    }
}

impl<K: Data, V: Data> Index<&str> for Branches<K, V> {
    type Output = KStream<K, V>;

    /// The branch of this name. A name that no branch has is a fault of the topology: `build`
    /// reports it.
    fn index(&self, name: &str) -> &KStream<K, V> {
        self.branches.get(name).unwrap_or_else(|| {
            self.splitter.graph.borrow_mut().fault(TopologyFault::NoSuchBranch {
                split: self.name.clone(),
                branch: name.to_owned(),
            });
            &self.splitter
        })
    }
}

struct Splitter<K, V> {
    predicates: Vec<Predicate<K, V>>,
    default: bool,
    children: Children<K, V>,
}

impl<K, V> Node for Splitter<K, V> {}

impl<K: Data, V: Data> Operator<K, V> for Splitter<K, V> {
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let first = self.predicates.iter().position(|when| when(&record.key, &record.value));
        let chosen = first.or(self.default.then_some(self.predicates.len()));
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
        let branches = builder
            .stream::<String, String>("in")
            .split("by-")
            .branch("a", |_, value| value.starts_with('a'))
            .branch("ab", |_, value| value.starts_with("ab"))
            .no_default_branch();
        branches["a"].to("a");
        branches["ab"].to("ab");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        for value in ["ab", "c"] {
            driver.pipe("in", &text("k", value, 1)).unwrap();
        }
        assert_eq!(driver.read::<String, String>("a").unwrap(), [text("k", "ab", 1)]);
        assert!(driver.read::<String, String>("ab").unwrap().is_empty());
    }

    #[test]
    fn an_unknown_branch_is_a_fault_of_the_topology() {
        let builder = StreamsBuilder::new();
        let branches = builder.stream::<String, String>("in").split("by-").default_branch("rest");
        branches["ret"].to("out");
        let faults = builder.build().unwrap_err();
        let fault =
            TopologyFault::NoSuchBranch { split: "by-".to_owned(), branch: "ret".to_owned() };
        assert_eq!(faults.faults(), [fault]);
    }
}
