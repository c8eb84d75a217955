//! The builder: where a topology begins and where its faults come to light.

use crate::topology::fault::TopologyErrors;
use crate::topology::graph::{Graph, SharedGraph};
use crate::topology::options::TopologyOptions;
use crate::topology::passes;
use crate::topology::plan::Topology;
use crate::topology::sub_topology::divide;

/// Draws a topology. Streams and tables that come from it are handles into the same drawing, so a
/// topology reads from top to bottom and nothing is moved or borrowed mutably.
///
/// ```
/// # use millstream::testing::{TopologyDriver, text};
/// use millstream::{NodeName, StreamsBuilder};
///
/// let builder = StreamsBuilder::new().allow_generated_names();
/// builder.stream::<String, String>("in").map_values(|value| value.to_uppercase()).to("out");
/// let topology = builder.build()?;
///
/// let mut driver = TopologyDriver::new(&topology)?;
/// driver.pipe("in", &text("k", "v", 1))?;
/// assert_eq!(driver.read::<String, String>("out")?, [text("k", "V", 1)]);
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Debug, Default)]
pub struct StreamsBuilder {
    pub(crate) graph: SharedGraph,
}

impl StreamsBuilder {
    /// A builder without any node.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows processors, tables, joins and buffers without a name of their own ([`crate::NodeName::generated`],
    /// [`crate::Materialized::generated`] and the like): they get Java's names with Java's numbers.
    #[must_use]
    pub fn allow_generated_names(self) -> Self {
        self.graph.borrow_mut().generated_names_allowed = true;
        self
    }

    /// Checks the topology as a whole and makes it ready to run.
    ///
    /// # Errors
    /// All its faults at once.
    pub fn build(self) -> Result<Topology, TopologyErrors> {
        self.build_with(&TopologyOptions::default())
    }

    /// The same with options that save topics or stores.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, TopologyOptions};
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").to("out");
    /// let topology = builder.build_with(&TopologyOptions::default().self_join())?;
    /// # Ok::<(), millstream::BoxError>(())
    /// ```
    ///
    /// # Errors
    /// All its faults at once.
    pub fn build_with(self, options: &TopologyOptions) -> Result<Topology, TopologyErrors> {
        let mut graph: Graph = self.graph.take();
        if options.merge_repartitions {
            passes::merge_repartitions(&mut graph);
        }
        if options.reuse_table_source_topics {
            passes::restore_from_source_topics(&mut graph);
        }
        if options.self_join {
            passes::join_with_one_store(&mut graph);
        }
        passes::let_null_keys_pass(&mut graph);
        let faults = graph.all_faults();
        if !faults.is_empty() {
            return Err(TopologyErrors::new(faults));
        }
        let sub_topologies = divide(&graph);
        Ok(Topology::new(graph, sub_topologies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BoxError;
    use crate::operators::{Context, KeyValue, Processor};
    use crate::record::Record;
    use crate::source::Consumed;
    use crate::store::KeyValueStore;
    use crate::time::TimeWindows;
    use crate::topology::fault::TopologyFault;
    use crate::topology::name::NodeName;
    use std::sync::Arc;
    use std::time::Duration;

    struct Keep(
        #[expect(dead_code, reason = "the store is only connected")] KeyValueStore<String, i64>,
    );

    impl Processor<String, String> for Keep {
        type KOut = String;
        type VOut = String;

        fn process(
            &mut self,
            record: Record<String, String>,
            ctx: &mut Context<'_, String, String>,
        ) -> Result<(), BoxError> {
            ctx.forward(record);
            Ok(())
        }
    }

    #[test]
    fn what_is_named_twice_is_told_with_both_places() {
        let builder = StreamsBuilder::new();
        for topic in ["a", "b"] {
            let stream = builder.stream::<String, String>(topic);
            let kept = stream.filter(|_, _| true).named("kept");
            kept.group_by_key().count("n");
        }
        let text = builder.build().unwrap_err().to_string();
        for part in [
            "two nodes are named kept: one is behind KSTREAM-SOURCE-0000000000 and one is behind KSTREAM-SOURCE-",
            "two stores are named n: one of KSTREAM-AGGREGATE-0000000002 and one of KSTREAM-AGGREGATE-",
            "give one of them another name",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_store_without_a_name_says_who_may_be_without() {
        let builder = StreamsBuilder::new().allow_generated_names();
        let grouped = builder.stream::<String, String>("in").group_by_key();
        grouped.count(crate::store::Materialized::generated());
        let text = builder.build().unwrap_err().to_string();
        assert!(text.contains("a store has no name: name it"), "{text}");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let builder = StreamsBuilder::new();
        builder.store(KeyValue::<String, i64>::named("unused"));
        let seen = builder.store(KeyValue::<String, i64>::named("seen"));
        let stream = builder.stream::<String, String>("in");
        stream.process(NodeName::generated(), &seen, Keep).to("out");
        stream.group_by_key().count("a b");
        let windows = TimeWindows::of(Duration::from_millis(10)).no_grace();
        let grouped = stream.group_by(|_, value| value.clone());
        grouped.windowed_by(windows.advance_by(Duration::from_millis(11))).count("w");
        grouped.count("seen");
        let faults = builder.build().unwrap_err();
        let text = faults.to_string();
        for part in [
            "store unused is used by no node",
            "KSTREAM-PROCESSOR-0000000001 has no name of its own",
            "a store is named \"a b\"",
            "the windows of w: they advance by 11 ms",
            "two stores are named seen",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(faults.faults().len(), 5, "{text}");
    }

    #[test]
    fn a_topic_has_one_source() {
        let builder = StreamsBuilder::new();
        builder.stream::<String, String>("in").to("a");
        builder.stream::<String, String>("in").to("b");
        let faults = builder.build().unwrap_err();
        assert!(faults.to_string().contains("topic in is read by KSTREAM-SOURCE-0000000000 and"));
        assert_eq!(StreamsBuilder::new().build().unwrap_err().faults(), [TopologyFault::Empty]);
    }

    #[test]
    fn patterns_that_are_none_or_overlap_are_faults() {
        let builder = StreamsBuilder::new();
        let pattern = |text: &str| Consumed::<String, String>::pattern(text);
        builder.stream(pattern("in-.*")).to("a");
        builder.stream::<String, String>("in-1").to("b");
        builder.stream(pattern("in-.*").named("again")).to("c");
        builder.stream(pattern("in-(")).to("d");
        builder.table(pattern("rows-.*"), "rows").updates().to("e");
        let faults = builder.build().unwrap_err();
        let text = faults.to_string();
        for part in [
            "the pattern in-.* of KSTREAM-SOURCE-0000000000 matches in-1, which KSTREAM-SOURCE-0000000002 reads",
            "the pattern in-.* of again matches in-1",
            "the pattern in-.* of again matches in-.*, which KSTREAM-SOURCE-0000000000 reads",
            "the pattern \"in-(\" of KSTREAM-SOURCE-0000000006",
            "KSTREAM-SOURCE-0000000008 cannot make a table of a pattern",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(faults.faults().len(), 5, "{text}");
    }

    #[test]
    fn a_pattern_prints_as_itself() {
        let builder = StreamsBuilder::new();
        builder.stream(Consumed::<String, String>::pattern("in-.*")).to("out");
        let topology = builder.build().unwrap();
        let source = "    Source: KSTREAM-SOURCE-0000000000 (topics: in-.*)\n";
        assert!(topology.describe().contains(source), "{}", topology.describe());
        assert!(topology.mermaid().contains("[\"in-.*\"]"), "{}", topology.mermaid());
    }

    #[test]
    fn a_name_takes_its_number_and_topologies_print_as_text_and_mermaid() {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .map_values(|value| value)
            .named("same")
            .filter(|_, _| true)
            .to("out");
        let topology = builder.build().unwrap();
        let text = topology.describe();
        assert!(
            text.contains(
                "    Processor: same (stores: [])\n      --> KSTREAM-FILTER-0000000002\n"
            )
        );
        assert!(topology.mermaid().contains("n1[\"same\"]"), "{}", topology.mermaid());
    }

    #[test]
    fn a_shared_store_joins_two_streams_that_must_be_partitioned_alike() {
        let builder = StreamsBuilder::new();
        let seen = builder.store(KeyValue::<String, i64>::named("seen"));
        builder.stream::<String, String>("left").process("l", &seen, Keep).to("out");
        builder.stream::<String, String>("right").process("r", &seen, Keep).to("out");
        let topology = builder.build().unwrap();
        let [sub] = topology.sub_topologies() else { panic!("{topology:?}") };
        let together: Vec<_> = sub.copartitioned[0].iter().map(|s| s.in_log("").unwrap()).collect();
        assert_eq!(together, [Arc::from("left"), Arc::from("right")]);
    }
}
