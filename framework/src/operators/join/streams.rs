//! `join`, `left_join`, `outer_join` of two streams: records of one key that are close in time meet.
//!
//! | | |
//! |---|---|
//! | emits | a record for each pair whose times are in the [`JoinWindows`], when the later one of the two comes. `left_join`: also each left record that met nobody; `outer_join`: each of either side. Those are given out when a later record comes after the window of the record and its grace are over, in the order of their times. One that comes when its window is over already (grace or not) is given out at once; another late one may still meet it |
//! | drops | null keys (`NullKey`) and null values (`NullValue`); on a side that is given out alone, a record with a null key is given out at once. Records that are too late to be remembered (`Expired`) |
//! | key | kept; both streams must be partitioned alike |
//! | time | the later one of the two; of a record that met nobody, its own |
//! | headers | of the record that came later; of one that met nobody, those of the record that gave it out |
//! | state | a window store for each side; for left and outer joins one for those that met nobody yet, and the stream time, noted with the committed offsets |
//!
//! Unlike Kafka Streams, it looks for such records as soon as time has passed (Java: at most once a second), and a restart
//! changes nothing (Java forgets the stream time of a join).

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use crate::operators::join::options::StreamJoined;
use crate::operators::join::stream_side::{JoinTime, OnLeft, OnRight, Remember, Side, StreamSide};
use crate::operators::join::stream_with_itself::WithItself;
use crate::operators::stream::{KStream, Pass, Placed, Placing};
use crate::policy::DropReason;
use crate::record::{Data, Shared};
use crate::serde::Serde;
use crate::store::{Serdes, StoreOptions, Unmatched, UnmatchedSpec, WindowSpec, WindowState};
use crate::time::{JoinWindows, StatedGrace};
use crate::topology::{
    Graph, Linker, NodeDraft, NodeId, NodeKind, SharedGraph, StoreIndex, StreamJoin, TopologyFault,
};

impl<K: Data, L: Data, P: Placing> KStream<K, L, P> {
    /// A record for each pair of records of one key that are close in time. Re-keyed streams go through
    /// [`repartition`](Self::repartition) first.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{JoinWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("orders");
    /// let payments = builder.stream::<String, String>("payments");
    /// let hour = JoinWindows::within(Duration::from_secs(3600)).grace(Duration::from_secs(60));
    /// orders.join("paid", &payments, hour, |order, payment| format!("{order} by {payment}")).to("paid");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &text("7", "pens", 1_000))?;
    /// driver.pipe("payments", &text("7", "card", 5_000))?;
    /// assert_eq!(driver.read::<String, String>("paid")?, [text("7", "pens by card", 5_000)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn join<R: Data, P2: Placed, VO: Data>(
        &self,
        how: impl Into<StreamJoined<K, L, R>>,
        other: &KStream<K, R, P2>,
        within: impl StatedGrace,
        f: impl Fn(&L, &R) -> VO + Shared,
    ) -> KStream<K, VO>
    where
        P: Placed,
    {
        let alone = Alone { left: false, right: false };
        meet((self, other), how.into(), (within.windows(), alone), move |l, r| Some(f(l?, r?)))
    }

    /// The same, and each record of this stream that met none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{JoinWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, String>("orders");
    /// let payments = builder.stream::<String, String>("payments");
    /// let minute = JoinWindows::within(Duration::from_secs(60)).no_grace();
    /// let orders = orders.left_join("paid", &payments, minute, |order, payment| {
    ///     format!("{order}: {}", if payment.is_some() { "paid" } else { "open" })
    /// });
    /// orders.to("out");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &text("7", "pens", 1_000))?;
    /// driver.pipe("orders", &text("8", "ink", 90_000))?; // a minute has passed since the pens
    /// assert_eq!(driver.read::<String, String>("out")?, [text("7", "pens: open", 1_000)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn left_join<R: Data, P2: Placed, VO: Data>(
        &self,
        how: impl Into<StreamJoined<K, L, R>>,
        other: &KStream<K, R, P2>,
        within: impl StatedGrace,
        f: impl Fn(&L, Option<&R>) -> VO + Shared,
    ) -> KStream<K, VO>
    where
        P: Placed,
    {
        let alone = Alone { left: true, right: false };
        meet((self, other), how.into(), (within.windows(), alone), move |l, r| Some(f(l?, r)))
    }

    /// The same, and each record of either stream that met none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millstream::{JoinWindows, StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let sent = builder.stream::<String, String>("sent");
    /// let seen = builder.stream::<String, String>("seen");
    /// let second = JoinWindows::within(Duration::from_secs(1)).no_grace();
    /// sent.outer_join("checked", &seen, second, |sent, seen| sent.is_some() && seen.is_some()).to("checked");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("sent", &text("a", "x", 1_000))?;
    /// driver.pipe("seen", &text("b", "y", 3_000))?;
    /// driver.pipe("sent", &text("b", "y", 3_500))?;
    /// let checked = driver.read::<String, bool>("checked")?;
    /// let checked: Vec<_> = checked.iter().map(|record| (record.key.as_str(), record.value)).collect();
    /// assert_eq!(checked, [("a", false), ("b", true)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn outer_join<R: Data, P2: Placed, VO: Data>(
        &self,
        how: impl Into<StreamJoined<K, L, R>>,
        other: &KStream<K, R, P2>,
        within: impl StatedGrace,
        f: impl Fn(Option<&L>, Option<&R>) -> VO + Shared,
    ) -> KStream<K, VO>
    where
        P: Placed,
    {
        let alone = Alone { left: true, right: true };
        meet((self, other), how.into(), (within.windows(), alone), move |l, r| Some(f(l, r)))
    }
}

/// On which side a record that matched none is emitted.
#[derive(Clone, Copy)]
struct Alone {
    left: bool,
    right: bool,
}

/// The names of the nodes of a join, and of its stores.
struct Names {
    windowed: [String; 2],
    sides: [String; 2],
    merge: String,
    stores: [String; 2],
    unmatched: String,
}

impl Names {
    /// Takes Java's five numbers whatever the names.
    fn of(graph: &mut Graph, name: Option<&str>, store: Option<&str>, alone: Alone) -> Self {
        let windowed = [graph.generate("KSTREAM-WINDOWED-"), graph.generate("KSTREAM-WINDOWED-")];
        let (this, this_suffix) = match alone.right {
            true => (graph.generate("KSTREAM-OUTERTHIS-"), "outer-this-join"),
            false => (graph.generate("KSTREAM-JOINTHIS-"), "this-join"),
        };
        let (other, other_suffix) = match alone.left {
            true => (graph.generate("KSTREAM-OUTEROTHER-"), "outer-other-join"),
            false => (graph.generate("KSTREAM-JOINOTHER-"), "other-join"),
        };
        let merge = graph.generate("KSTREAM-MERGE-");
        let shared = if alone.right { "outer-shared-join" } else { "left-shared-join" };
        let number = this.rsplit('-').next().unwrap_or_default();
        let (stores, unmatched) = match store.or(name) {
            Some(base) => (
                [format!("{base}-{this_suffix}-store"), format!("{base}-{other_suffix}-store")],
                format!("{base}-{shared}-store"),
            ),
            None => (
                [format!("{this}-store"), format!("{other}-store")],
                format!("KSTREAM-OUTERSHARED-{number}-store"),
            ),
        };
        let Some(name) = name else {
            return Self { windowed, sides: [this, other], merge, stores, unmatched };
        };
        Self {
            windowed: [format!("{name}-this-windowed"), format!("{name}-other-windowed")],
            sides: [format!("{name}-{this_suffix}"), format!("{name}-{other_suffix}")],
            merge: format!("{name}-merge"),
            stores,
            unmatched,
        }
    }
}

/// What both sides of a join are made from.
struct Meeting<K, L, R, F> {
    graph: SharedGraph,
    how: StreamJoined<K, L, R>,
    within: JoinWindows,
    /// The stores of left and right, and of those that met nobody yet.
    stores: [StoreIndex; 2],
    unmatched: Option<StoreIndex>,
    both_sides: bool,
    f: Arc<F>,
}

fn meet<K: Data, L: Data, R: Data, VO: Data, P: Placing, P2: Placing, F>(
    (left, right): (&KStream<K, L, P>, &KStream<K, R, P2>),
    how: StreamJoined<K, L, R>,
    (within, alone): (JoinWindows, Alone),
    f: F,
) -> KStream<K, VO>
where
    F: Fn(Option<&L>, Option<&R>) -> Option<VO> + Shared,
{
    let mut graph = left.graph.borrow_mut();
    let names = Names::of(&mut graph, how.name.as_deref(), how.store.as_deref(), alone);
    if let Some(name) = how.name.as_deref() {
        graph.check_name("a join", name);
    }
    if let Some(reason) = within.refusal() {
        graph.fault(TopologyFault::BadWindows { node: names.merge.clone(), reason });
    }
    if !Rc::ptr_eq(&left.graph, &right.graph) {
        graph.fault(TopologyFault::OtherBuilder(names.merge));
        drop(graph);
        // The fault was noted and `build` reports it. The caller needs a stream all the same.
        return KStream::new(Rc::clone(&left.graph), left.node);
    }
    let [this_store, other_store] = &names.stores;
    let stores = [
        graph.add_store(remembered(&how, (this_store, &how.left), within)),
        graph.add_store(remembered(&how, (other_store, &how.right), within)),
    ];
    let unmatched = alone.left.then(|| {
        graph.add_store(Arc::new(UnmatchedSpec {
            options: options(&how, &names.unmatched),
            key: Arc::clone(&how.key),
            left: Arc::clone(&how.left),
            right: Arc::clone(&how.right),
        }))
    });
    drop(graph);
    let (graph, f) = (Rc::clone(&left.graph), Arc::new(f));
    let both_sides = alone.left && alone.right;
    let meeting = Meeting { graph, how, within, stores, unmatched, both_sides, f };
    let [this_windowed, other_windowed] = names.windowed;
    let [this, other] = names.sides;
    let values = (Arc::clone(&meeting.how.left), Arc::clone(&meeting.how.right));
    let (from_left, from_right) = (
        meeting.remember(left.node, this_windowed, (stores[0], &values.0)),
        meeting.remember(right.node, other_windowed, (stores[1], &values.1)),
    );
    let time = from_left;
    let (this, other) = (
        meeting.side::<VO, OnLeft>((this, from_left), time, (alone.left, values.0)),
        meeting.side::<VO, OnRight>((other, from_right), time, (alone.right, values.1)),
    );
    let node = meeting.met::<VO>(names.merge, [this, other]);
    meeting.note(([from_left, from_right], [this, other]), node, alone);
    KStream::new(Rc::clone(&left.graph), node)
}

fn options<K, L, R>(how: &StreamJoined<K, L, R>, store: &str) -> StoreOptions {
    let (in_memory, logged) = (how.in_memory, how.logged);
    StoreOptions {
        in_memory,
        logged,
        topic_config: how.changelog.clone(),
        ..StoreOptions::named(store)
    }
}

/// The store of one side, as long as its records can meet others.
fn remembered<K: Data, L, R, V: Data>(
    how: &StreamJoined<K, L, R>,
    (store, value): (&str, &Arc<dyn Serde<V>>),
    within: JoinWindows,
) -> Arc<WindowSpec<K, V>> {
    let mut options = options(how, store);
    // Each record is there once, so there is nothing to compact.
    options.topic_config.insert(0, ("cleanup.policy".to_owned(), "delete".to_owned()));
    Arc::new(WindowSpec {
        options,
        serdes: Serdes::given(Arc::clone(&how.key), Arc::clone(value)),
        retention_ms: within.size_ms().max(0).saturating_add(within.grace_ms()),
        window_size_ms: within.size_ms().max(0),
        duplicates: true,
        kept_ms: Some(within.before_ms().max(within.after_ms()).max(0)),
    })
}

impl<K: Data, L: Data, R: Data, F> Meeting<K, L, R, F> {
    fn remember<V: Data>(
        &self,
        parent: NodeId,
        name: String,
        (store, _): (StoreIndex, &Arc<dyn Serde<V>>),
    ) -> NodeId {
        let key = Arc::clone(&self.how.key);
        self.graph.borrow_mut().add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![parent],
            stores: vec![store],
            make: Box::new(move |linker: &mut Linker<'_>| {
                linker.may_drop(&[DropReason::Expired])?;
                let node = Remember {
                    key: Arc::clone(&key),
                    store: linker.store(store)?.typed::<WindowState<K, V>>()?,
                    children: linker.children::<K, V>()?,
                    faults: linker.faults()?,
                };
                linker.add(node);
                Ok(())
            }),
        })
    }

    /// Adds the node in which both sides end, or in which a stream meets itself.
    fn met<VO: Data>(&self, name: String, sides: [NodeId; 2]) -> NodeId
    where
        F: Fn(Option<&L>, Option<&R>) -> Option<VO> + Shared,
    {
        let (f, within, [kept, _]) = (Arc::clone(&self.f), self.within, self.stores);
        let serdes = Serdes::given(Arc::clone(&self.how.key), Arc::clone(&self.how.left));
        self.graph.borrow_mut().add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: sides.to_vec(),
            stores: Vec::new(),
            make: Box::new(move |linker: &mut Linker<'_>| {
                let children = linker.children::<K, VO>()?;
                if !linker.joins_itself() {
                    linker.add(Pass { children });
                    return Ok(());
                }
                linker.may_drop(&[DropReason::NullKey, DropReason::NullValue])?;
                let node = WithItself::<K, L, R, VO, F> {
                    f: Arc::clone(&f),
                    windows: within,
                    serdes: serdes.clone(),
                    store: linker.store(kept)?.typed::<WindowState<K, L>>()?,
                    children,
                    faults: linker.faults()?,
                    right: PhantomData,
                };
                linker.add::<K, L, _>(node);
                Ok(())
            }),
        })
    }

    /// Writes into the drawing what others may have to know of the join.
    fn note(&self, (windowed, sides): ([NodeId; 2], [NodeId; 2]), met: NodeId, alone: Alone) {
        let mut graph = self.graph.borrow_mut();
        graph.drop_for(met, windowed.into_iter().chain(sides));
        if alone.left || alone.right {
            graph.take_null_keys(met);
        }
        // Where a record does not meet itself two stores make a difference.
        if self.within.before_ms() >= 0 && self.within.after_ms() >= 0 {
            let stores = self.stores.into_iter().chain(self.unmatched).collect();
            graph.add_stream_join(StreamJoin { windowed, sides, met, stores });
        }
    }

    fn side<VO: Data, S: Side<L, R>>(
        &self,
        (name, parent): (String, NodeId),
        time: NodeId,
        (outer, value): (bool, Arc<dyn Serde<S::This>>),
    ) -> NodeId
    where
        F: Fn(Option<&L>, Option<&R>) -> Option<VO> + Shared,
    {
        let [of_left, of_right] = self.stores;
        let others = if S::LEFT { of_right } else { of_left };
        let (unmatched, windows, both_sides) = (self.unmatched, self.within, self.both_sides);
        let (f, key) = (Arc::clone(&self.f), Arc::clone(&self.how.key));
        let stores = std::iter::once(others).chain(unmatched).collect();
        self.graph.borrow_mut().add(NodeDraft {
            name,
            kind: NodeKind::Processor,
            parents: vec![parent],
            stores,
            make: Box::new(move |linker: &mut Linker<'_>| {
                linker.may_drop(&[DropReason::NullKey, DropReason::NullValue])?;
                let unmatched = match unmatched {
                    Some(store) => Some(linker.store(store)?.typed::<Unmatched<K, L, R>>()?),
                    None => None,
                };
                let node = StreamSide::<K, L, R, VO, F, S> {
                    f: Arc::clone(&f),
                    windows,
                    outer,
                    both_sides,
                    key: Arc::clone(&key),
                    value: Arc::clone(&value),
                    others: linker.store(others)?.typed::<WindowState<K, S::Other>>()?,
                    unmatched,
                    time: linker.shared::<JoinTime>(time)?,
                    children: linker.children::<K, VO>()?,
                    faults: linker.faults()?,
                    side: PhantomData,
                };
                linker.add::<K, S::This, _>(node);
                Ok(())
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use proptest::prelude::*;

    use crate::operators::{KStream, StreamJoined};
    use crate::policy::DropReason;
    use crate::record::{Record, Timestamp};
    use crate::testing::{DriverOptions, TopologyDriver, text};
    use crate::time::JoinWindows;
    use crate::topology::{StreamsBuilder, Topology, TopologyFault};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Join {
        Inner,
        Left,
        Outer,
    }

    fn topology(how: Join, within: JoinWindows) -> Topology {
        let builder = StreamsBuilder::new();
        let (l, r): (KStream<String, i64>, KStream<String, i64>) =
            (builder.stream("l"), builder.stream("r"));
        let text = |l: Option<&i64>, r: Option<&i64>| format!("{l:?} {r:?}");
        let joined = match how {
            Join::Inner => l.join("j", &r, within, move |l, r| text(Some(l), Some(r))),
            Join::Left => l.left_join("j", &r, within, move |l, r| text(Some(l), r)),
            Join::Outer => l.outer_join("j", &r, within, text),
        };
        joined.to("out");
        builder.build().unwrap()
    }

    /// One record: on the left, key, time.
    type Came = (bool, u8, i64);

    fn run(topology: &Topology, came: &[Came], restart: Option<&(usize, PathBuf)>) -> Vec<String> {
        let options = || DriverOptions {
            state_dir: restart.map(|(_, dir)| dir.clone()),
            ..DriverOptions::default()
        };
        let mut driver = TopologyDriver::with_options(topology, &options()).unwrap();
        let mut out = Vec::new();
        for (n, (left, key, at)) in came.iter().enumerate() {
            if restart.is_some_and(|(when, _)| *when == n) {
                drop(driver);
                driver = TopologyDriver::with_options(topology, &options()).unwrap();
            }
            let record = Record::new(key.to_string(), n as i64, Timestamp(*at));
            driver.pipe(if *left { "l" } else { "r" }, &record).unwrap();
            let read = driver.read::<String, String>("out").unwrap();
            out.extend(read.iter().map(|it| format!("{} {} {}", it.key, it.value, it.timestamp.0)));
        }
        out
    }

    /// All pairs, and whoever met nobody: by the end of time, or when it came after its window was over.
    fn expected(how: Join, (before, after): (i64, i64), came: &[Came]) -> Vec<String> {
        let meets = |(left, key, at): &Came, (other, other_key, other_at): &Came| {
            let (l, r) = if *left { (at, other_at) } else { (other_at, at) };
            left != other && key == other_key && (l - before..=l + after).contains(r)
        };
        let mut all = Vec::new();
        let mut stream = -1;
        for (n, one) in came.iter().enumerate() {
            let (left, key, at) = *one;
            stream = stream.max(at);
            let met = |others: &[Came]| others.iter().any(|other| meets(one, other));
            for (m, other) in came.iter().enumerate().take(n).filter(|(_, other)| meets(one, other))
            {
                let (l, r) = if left { (n, m) } else { (m, n) };
                all.push(format!("{key} Some({l}) Some({r}) {}", at.max(other.2)));
            }
            let is_over = (at + if left { after } else { before }).max(0) < stream;
            let later = came.get(n + 1..).unwrap_or_default();
            if met(came.get(..n).unwrap_or_default()) || (met(later) && !is_over) {
                continue;
            }
            match (left, how) {
                (true, Join::Left | Join::Outer) => all.push(format!("{key} Some({n}) None {at}")),
                (false, Join::Outer) => all.push(format!("{key} None Some({n}) {at}")),
                _ => {}
            }
        }
        all.sort();
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the order in which they come, within the grace; time goes on, so that some are given out
        /// while others still wait.
        #[test]
        fn each_pair_meets_once_and_who_meets_nobody_is_given_out_once(
            came in proptest::collection::vec((any::<bool>(), 0..3_u8, 0..20_i64), 1..40),
            before in -5..8_i64,
            length in 0..12_i64,
            restart in proptest::option::of(0..40_usize),
        ) {
            let later = |(n, (left, key, jitter)): (i64, Came)| (left, key, 100 + 7 * n + jitter);
            let came: Vec<Came> = (0..).zip(came).map(later).collect();
            let after = length - before;
            let at = |ms: i64| MS(ms.unsigned_abs());
            let within = JoinWindows::within(MS(0));
            let within = if before < 0 { within.at_least_after(at(before)) } else { within.before(at(before)) };
            let within = if after < 0 { within.at_least_before(at(after)) } else { within.after(at(after)) };
            for how in [Join::Inner, Join::Left, Join::Outer] {
                let topology = topology(how, within.grace(MS(30)));
                // Both sides of another key bring everything to its end.
                let mut all = came.clone();
                all.extend([(true, 9, 1_000_000), (false, 9, 1_000_000 + after), (true, 9, 1_000_001)]);
                all.extend([(false, 8, 2_000_000), (true, 8, 2_000_000 - after)]);
                let dir = tempfile::tempdir().unwrap();
                let restart = restart.map(|when| (when, dir.path().to_owned()));
                let mut out = run(&topology, &all, restart.as_ref());
                out.retain(|line| !line.starts_with('9') && !line.starts_with('8'));
                out.sort();
                prop_assert_eq!(out, expected(how, (before, after), &came), "{:?}", how);
            }
        }
    }

    #[test]
    fn who_met_nobody_is_given_out_when_window_and_grace_are_over() {
        let topology = topology(Join::Left, JoinWindows::within(MS(10)).grace(MS(5)));
        let mut driver = TopologyDriver::new(&topology).unwrap();
        let mut pipe = |topic: &str, key: &str, at: i64| {
            driver.pipe(topic, &Record::new(key.to_owned(), at, Timestamp(at))).unwrap();
            driver.read::<String, String>("out").unwrap().len()
        };
        assert_eq!(pipe("l", "a", 100), 0);
        // Up to 115 somebody may come.
        assert_eq!(pipe("r", "b", 115), 0);
        assert_eq!(pipe("r", "b", 116), 1);
        // A late one that nobody can meet is given out at once.
        assert_eq!(pipe("l", "late", 105), 1);
        assert_eq!(pipe("l", "not too late", 106), 0);
    }

    #[test]
    fn nulls_meet_nobody() {
        type Nullable = Option<String>;
        for (outer, out, dropped) in [(false, 1, [2, 2]), (true, 3, [0, 2])] {
            let builder = StreamsBuilder::new();
            let (l, r): (KStream<Nullable, Nullable>, KStream<Nullable, Nullable>) =
                (builder.stream("l"), builder.stream("r"));
            let within = JoinWindows::within(MS(10)).no_grace();
            if outer {
                l.outer_join("j", &r, within, |_, _| 1_i64).to("out");
            } else {
                l.join("j", &r, within, |_, _| 1_i64).to("out");
            }
            let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
            for topic in ["l", "r"] {
                for (key, value) in [(None, Some("v")), (Some("k"), None), (Some("k"), Some("v"))] {
                    let (key, value) = (key.map(str::to_owned), value.map(str::to_owned));
                    driver.pipe(topic, &Record::new(key, value, Timestamp(5))).unwrap();
                }
            }
            assert_eq!(driver.read::<Nullable, i64>("out").unwrap().len(), out);
            assert_eq!(driver.dropped(DropReason::NullKey), dropped[0], "outer: {outer}");
            assert_eq!(driver.dropped(DropReason::NullValue), dropped[1], "outer: {outer}");
        }
    }

    #[test]
    fn names_are_those_of_the_join_or_of_its_stores() {
        let topology = topology(Join::Left, JoinWindows::within(MS(1)).no_grace());
        let driver = TopologyDriver::new(&topology).unwrap();
        let mut names = driver.store_names();
        names.sort();
        let all = ["j-left-shared-join-store", "j-outer-other-join-store", "j-this-join-store"];
        assert_eq!(names, all);
        assert!(topology.describe().contains("Processor: j-merge"));
    }

    #[test]
    fn impossible_windows_and_other_builders_are_refused() {
        let (one, other) = (StreamsBuilder::new(), StreamsBuilder::new());
        let (l, r) = (one.stream::<String, String>("l"), one.stream::<String, String>("r"));
        let elsewhere = other.stream::<String, String>("r");
        let never = JoinWindows::within(MS(1)).at_least_after(MS(2)).no_grace();
        let join = |l: &String, r: &String| format!("{l}{r}");
        l.join("never", &r, never, join).to("a");
        let how = StreamJoined::named("elsewhere").in_memory().without_changelog();
        l.join(how, &elsewhere, JoinWindows::within(MS(1)).no_grace(), join).to("b");
        let faults = one.build().unwrap_err();
        let faults = faults.faults();
        assert!(
            matches!(&faults[0], TopologyFault::BadWindows { node, .. } if node == "never-merge")
        );
        assert_eq!(faults[1], TopologyFault::OtherBuilder("elsewhere-merge".to_owned()));
    }

    #[test]
    fn a_stream_may_meet_itself() {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        let within = JoinWindows::within(MS(10)).no_grace();
        stream.join("j", &stream, within, |l, r| format!("{l}{r}")).to("out");
        let mut driver = TopologyDriver::new(&builder.build().unwrap()).unwrap();
        driver.pipe("in", &text("k", "a", 1)).unwrap();
        driver.pipe("in", &text("k", "b", 2)).unwrap();
        let out = driver.read::<String, String>("out").unwrap();
        let out: Vec<_> = out.iter().map(|record| record.value.as_str()).collect();
        assert_eq!(out, ["aa", "ba", "ab", "bb"]);
    }
}
