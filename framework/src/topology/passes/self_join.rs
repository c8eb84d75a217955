//! A stream that is joined with itself is remembered once, in one store.

use crate::topology::graph::{Graph, StreamJoin};
use crate::topology::ids::NodeId;

/// Puts one node in the place of the sides of each join whose streams are the same node. It takes the name of the one
/// in which they met, and the store of the left one.
pub(in crate::topology) fn join_with_one_store(graph: &mut Graph) {
    for join in graph.stream_joins().to_vec() {
        let StreamJoin { windowed: [left, right], sides: [this, other], met, stores } = join;
        let above = |id: NodeId| graph.node(id).map(|node| node.parents.clone());
        if above(left) != above(right) {
            continue;
        }
        for node in [right, this, other] {
            graph.remove(node);
        }
        graph.move_below(met, left);
        if let Some((kept, others)) = stores.split_first() {
            graph.keep_one_store(met, *kept, others);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::testing::TopologyDriver;
    use crate::time::JoinWindows;
    use crate::topology::{StreamsBuilder, Topology, TopologyOptions};

    fn at(ms: i64) -> Duration {
        Duration::from_millis(ms.unsigned_abs())
    }

    fn within(before: i64, after: i64) -> JoinWindows {
        JoinWindows::within(at(0)).before(at(before)).after(at(after)).grace(at(50))
    }

    fn topology(how: usize, within: JoinWindows, options: &TopologyOptions) -> Topology {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<Option<String>, i64>("in");
        let show = |l: Option<&i64>, r: Option<&i64>| format!("{l:?} {r:?}");
        match how {
            0 => stream.join("j", &stream, within, move |l, r| show(Some(l), Some(r))),
            1 => stream.left_join("j", &stream, within, move |l, r| show(Some(l), r)),
            _ => stream.outer_join("j", &stream, within, show),
        }
        .to("out");
        builder.build_with(options).unwrap()
    }

    fn run(topology: &Topology, records: &[(u8, i64)]) -> Vec<(Option<String>, String, i64)> {
        let mut driver = TopologyDriver::new(topology).unwrap();
        for (number, (key, at)) in (0_i64..).zip(records) {
            let record = Record::new(Some(format!("k{key}")), number, Timestamp(*at));
            driver.pipe("in", &record).unwrap();
        }
        let out = driver.read::<Option<String>, String>("out").unwrap();
        out.into_iter().map(|record| (record.key, record.value, record.timestamp.0)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Record by record, in the same order, within the grace. Each meets itself, so none is given out alone.
        #[test]
        fn one_store_gives_out_what_two_of_an_inner_join_do(
            came in proptest::collection::vec((0..3_u8, 0..20_i64), 1..30),
            (before, after) in (0..9_i64, 0..9_i64),
        ) {
            let later = |(n, (key, jitter)): (i64, (u8, i64))| (key, 100 + 3 * n + jitter);
            let records: Vec<(u8, i64)> = (0..).zip(came).map(later).collect();
            for how in 0..3 {
                let two = topology(0, within(before, after), &TopologyOptions::default());
                let one = topology(how, within(before, after), &TopologyOptions::default().self_join());
                prop_assert_eq!(run(&one, &records), run(&two, &records), "{}", how);
            }
        }
    }

    #[test]
    fn it_is_drawn_with_one_store() {
        for how in 0..3 {
            let topology = topology(how, within(1, 1), &TopologyOptions::default().self_join());
            let this = if how == 2 { "j-outer-this-join-store" } else { "j-this-join-store" };
            let wanted = format!(
                "Topologies:\n   Sub-topology: 0\n    \
                 Source: KSTREAM-SOURCE-0000000000 (topics: [in])\n      --> j-this-windowed\n    \
                 Processor: j-this-windowed (stores: [{this}])\n      --> j-merge\n      <-- KSTREAM-SOURCE-0000000000\n    \
                 Processor: j-merge (stores: [{this}])\n      --> KSTREAM-SINK-0000000006\n      <-- j-this-windowed\n    \
                 Sink: KSTREAM-SINK-0000000006 (topic: out)\n      <-- j-merge\n\n"
            );
            assert_eq!(topology.describe(), wanted);
            let driver = TopologyDriver::new(&topology).unwrap();
            assert_eq!(driver.store_names(), [this]);
        }
    }

    #[test]
    fn two_streams_keep_two_stores() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, i64>("in");
        let other = stream.filter(|_, value| *value > 0);
        stream.join("j", &other, within(1, 1), |l, r| l + r).to("out");
        let topology = builder.build_with(&TopologyOptions::default().self_join()).unwrap();
        assert_eq!(TopologyDriver::new(&topology).unwrap().store_names().len(), 2);
    }

    #[test]
    fn nulls_are_dropped_once() {
        let topology = topology(2, within(1, 1), &TopologyOptions::default().self_join());
        let mut driver = TopologyDriver::new(&topology).unwrap();
        driver.pipe("in", &Record::new(None::<String>, 1_i64, Timestamp(5))).unwrap();
        assert_eq!(driver.dropped(DropReason::NullKey), 1);
        assert_eq!(driver.read_raw("out").unwrap().len(), 0);
    }
}
