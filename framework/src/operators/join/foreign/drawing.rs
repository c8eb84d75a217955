//! The nodes of a join by foreign key, in Java's order and with its names.

use std::rc::Rc;
use std::sync::Arc;

use crate::error::Result;
use crate::operators::join::foreign::answer::{AnswerChange, AnswerSubscription};
use crate::operators::join::foreign::resolve::Resolve;
use crate::operators::join::foreign::subscribe::{Asking, Subscribe};
use crate::operators::join::foreign::subscriptions::{Followers, Receive, store_of_followers};
use crate::operators::join::foreign::wire::{
    Answer, AnswerSerde, Coder, Subscription, SubscriptionSerde,
};
use crate::operators::join::options::TableJoined;
use crate::operators::join::table_side::Merge;
use crate::operators::stream::{SinkDraft, SourceDraft};
use crate::operators::table::KTable;
use crate::policy::{DropReason, Reset};
use crate::record::{Change, Data, Shared};
use crate::serde::{Nullable, Part, Serde};
use crate::sink::Produced;
use crate::source::Reading;
use crate::store::StoreOptions;
use crate::topology::{
    Graph, Linker, NodeDraft, NodeId, NodeKind, SharedGraph, StoreIndex, TableTraits,
    TopologyFault, topic_in_log,
};

/// The names of topics, nodes and the store of a join.
struct Names {
    registration_topic: Arc<str>,
    subscribe: String,
    registration_sink: String,
    registration_source: String,
    store: String,
    receive: String,
    answer: String,
    answer_change: String,
    response_topic: Arc<str>,
    response_sink: String,
    response_source: String,
    resolve: String,
    result: String,
}

impl Names {
    /// Takes Java's thirteen numbers whatever the name.
    fn of(graph: &mut Graph, name: Option<&str>) -> Self {
        let mut next = |prefix: &str, suffix: &str| {
            let generated = graph.generate(prefix);
            name.map_or(generated, |name| format!("{name}-{suffix}"))
        };
        let registration = "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-";
        let processor = "KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR-";
        let response = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-";
        let resolver = "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR-";
        let topic = |name: String| format!("{name}-topic").into();
        Self {
            registration_topic: topic(next(registration, "subscription-registration")),
            subscribe: next(registration, "subscription-registration-processor"),
            registration_sink: next("KTABLE-SINK-", "subscription-registration-sink"),
            registration_source: next("KTABLE-SOURCE-", "subscription-registration-source"),
            store: next("KTABLE-FK-JOIN-SUBSCRIPTION-STATE-STORE-", "subscription-store"),
            receive: next(processor, "subscription-receive"),
            answer: next(processor, "subscription-join-foreign"),
            answer_change: next(processor, "foreign-join-subscription"),
            response_topic: topic(next(response, "subscription-response")),
            response_sink: next("KTABLE-SINK-", "subscription-response-sink"),
            response_source: next("KTABLE-SOURCE-", "subscription-response-source"),
            resolve: next(resolver, "subscription-response-resolver"),
            result: next("KTABLE-FK-JOIN-OUTPUT-", "result"),
        }
    }
}

/// What the nodes of a join are made from.
pub(super) struct Meeting<K, FK, V, R> {
    graph: SharedGraph,
    names: Names,
    how: TableJoined<FK, V, R>,
    primary: Arc<dyn Serde<K>>,
    foreign: Arc<dyn Serde<FK>>,
    left: bool,
}

impl<K: Data, FK: Data, V: Data, R: Data> Meeting<K, FK, V, R> {
    /// Takes the names, and asks both tables for old values in Java's order.
    pub(super) fn of(
        table: &KTable<K, V>,
        other: &KTable<FK, R>,
        how: TableJoined<FK, V, R>,
        left: bool,
    ) -> Self {
        let mut graph = table.graph.borrow_mut();
        let names = Names::of(&mut graph, how.name.as_deref());
        match &how.name {
            Some(name) => graph.check_name("a join", name),
            None if graph.generated_names_allowed => {}
            None => graph.fault(TopologyFault::Unnamed(names.subscribe.clone())),
        }
        if Rc::ptr_eq(&table.graph, &other.graph) {
            graph.want_old(other.node, true);
            graph.want_old(table.node, true);
        } else {
            graph.fault(TopologyFault::OtherBuilder(names.result.clone()));
        }
        let (primary, foreign) = (Arc::clone(&table.key), Arc::clone(&other.key));
        Self { graph: Rc::clone(&table.graph), names, how, primary, foreign, left }
    }

    pub(super) fn draw<VO: Data>(
        self,
        (table, other): (&KTable<K, V>, &KTable<FK, R>),
        foreign_key: impl Fn(&K, &V) -> Option<FK> + Shared,
        join: impl Fn(&V, Option<&R>) -> Option<VO> + Shared,
    ) -> KTable<K, VO> {
        if !Rc::ptr_eq(&table.graph, &other.graph) {
            // The fault was noted and `build` reports it. The caller needs a table all the same.
            return KTable::new(Rc::clone(&self.graph), table.node, self.primary);
        }
        let subscribe = self.subscribe(table, foreign_key);
        let registered = self.through_registration(subscribe);
        let store = self.store();
        let receive = self.receive(registered, store);
        let answer = self.answer(receive, other);
        let change = self.answer_change(other, store);
        let responded = self.through_response(vec![answer, change]);
        let resolve = self.resolve((responded, subscribe), table, join);
        let mut graph = self.graph.borrow_mut();
        for node in [subscribe, registered, receive, answer, change, responded, resolve] {
            graph.set_policy(node, self.how.policy.clone());
        }
        let reserved = graph.generate("KTABLE-FK-JOIN-OUTPUT-STATE-STORE-");
        let node = graph.add(NodeDraft {
            name: self.names.result.clone(),
            kind: NodeKind::Processor,
            parents: vec![resolve],
            stores: Vec::new(),
            make: Box::new(|linker: &mut Linker<'_>| {
                let rows = linker.rows::<K, VO>()?;
                linker.add::<K, Change<VO>, _>(Merge { rows });
                Ok(())
            }),
        });
        graph.drop_for(node, [subscribe, receive, answer, change, resolve]);
        graph.set_table(node, TableTraits::kept_if_said(reserved));
        drop(graph);
        KTable::new(Rc::clone(&self.graph), node, self.primary)
    }

    /// Makes the serde of keys or values that is told Java's name for what it writes.
    fn coder<T: Data>(&self, serde: &Arc<dyn Serde<T>>, part: Part, what: &'static str) -> Told<T> {
        Told {
            serde: Arc::clone(serde),
            part,
            topic: Arc::clone(&self.names.registration_topic),
            what,
        }
    }

    fn foreign_coder(&self) -> Told<FK> {
        self.coder(&self.foreign, Part::Key, "fk")
    }

    fn primary_coder(&self) -> Told<K> {
        self.coder(&self.primary, Part::Key, "pk")
    }

    fn value_coder(&self) -> Told<V> {
        self.coder(&self.how.left, Part::Value, "vh")
    }

    /// Adds a node that is no source and no sink.
    fn add(
        &self,
        name: &str,
        parent: NodeId,
        stores: Vec<StoreIndex>,
        make: impl Fn(&mut Linker<'_>) -> Result<()> + Shared,
    ) -> NodeId {
        self.graph.borrow_mut().add(NodeDraft {
            name: name.to_owned(),
            kind: NodeKind::Processor,
            parents: vec![parent],
            stores,
            make: Box::new(make),
        })
    }

    fn subscribe(
        &self,
        table: &KTable<K, V>,
        foreign_key: impl Fn(&K, &V) -> Option<FK> + Shared,
    ) -> NodeId {
        let (foreign, values, left) = (self.foreign_coder(), self.value_coder(), self.left);
        let foreign_key = Arc::new(foreign_key);
        self.add(&self.names.subscribe, table.node, Vec::new(), move |linker| {
            if !left {
                linker.may_drop(&[DropReason::NullKey])?;
            }
            let node = Subscribe {
                foreign_key: Arc::clone(&foreign_key),
                foreign: foreign.make(linker),
                values: values.make(linker),
                left,
                children: linker.children::<Option<FK>, Subscription<K>>()?,
                faults: linker.faults()?,
                scratch: Default::default(),
            };
            let asking = linker.shared::<Asking<K, V>>(linker.id())?;
            asking.borrow_mut().0 = Some(linker.add::<K, Change<V>, _>(node));
            Ok(())
        })
    }

    /// Adds sink and source of the registration topic; returns the source.
    fn through_registration(&self, parent: NodeId) -> NodeId {
        let topic = Arc::clone(&self.names.registration_topic);
        let key: Arc<dyn Serde<Option<FK>>> = Arc::new(Nullable(Arc::clone(&self.foreign)));
        let value: Arc<dyn Serde<Subscription<K>>> =
            Arc::new(SubscriptionSerde::new(&self.primary));
        let mut produced =
            Produced::to_fixed(Arc::clone(&topic), Arc::clone(&key), Arc::clone(&value));
        if let Some(choose) = self.how.partitioner.clone() {
            produced = produced.partitioner(move |_, foreign: &Option<FK>, _, partitions| {
                foreign.as_ref().and_then(|foreign| choose(foreign, partitions))
            });
        }
        let name = self.names.registration_sink.clone();
        let mut graph = self.graph.borrow_mut();
        SinkDraft { name, internal: true, partitions: None, produced }.add_to(&mut graph, parent);
        SourceDraft {
            name: self.names.registration_source.clone(),
            topics: vec![topic],
            pattern: None,
            internal: true,
            partitions: None,
            reset: Reset::Earliest,
            global: false,
            reading: Reading { key, value, timestamp: None },
        }
        .add_to(&mut graph)
    }

    fn store(&self) -> StoreIndex {
        let options = StoreOptions {
            in_memory: self.how.in_memory,
            topic_config: self.how.changelog.clone(),
            ..StoreOptions::named(self.names.store.as_str())
        };
        self.graph.borrow_mut().add_store(Arc::new(store_of_followers(options)))
    }

    fn receive(&self, parent: NodeId, store: StoreIndex) -> NodeId {
        let (foreign, primary) = (self.foreign_coder(), self.primary_coder());
        self.add(&self.names.receive, parent, vec![store], move |linker| {
            linker.may_drop(&[DropReason::NullKey])?;
            let node = Receive {
                store: linker.store(store)?.typed::<Followers>()?,
                foreign: foreign.make(linker),
                primary: primary.make(linker),
                children: linker.children::<Option<FK>, Subscription<K>>()?,
                faults: linker.faults()?,
                row: Vec::new(),
                scratch: Vec::new(),
            };
            linker.add(node);
            Ok(())
        })
    }

    fn answer(&self, parent: NodeId, other: &KTable<FK, R>) -> NodeId {
        let view = other.view();
        self.add(&self.names.answer, parent, view.stores.clone(), move |linker| {
            let children = linker.children::<K, Answer<R>>()?;
            linker.add(AnswerSubscription { rows: view.open(linker)?, children });
            Ok(())
        })
    }

    fn answer_change(&self, other: &KTable<FK, R>, store: StoreIndex) -> NodeId {
        let (foreign, primary) = (self.foreign_coder(), self.primary_coder());
        self.add(&self.names.answer_change, other.node, vec![store], move |linker| {
            let node = AnswerChange {
                store: linker.store(store)?.typed::<Followers>()?,
                foreign: foreign.make(linker),
                primary: primary.make(linker),
                children: linker.children::<K, Answer<R>>()?,
                faults: linker.faults()?,
                prefix: Vec::new(),
                scratch: Vec::new(),
            };
            linker.add::<FK, Change<R>, _>(node);
            Ok(())
        })
    }

    /// Adds sink and source of the response topic; returns the source.
    fn through_response(&self, parents: Vec<NodeId>) -> NodeId {
        let topic = Arc::clone(&self.names.response_topic);
        let key = Arc::clone(&self.primary);
        let value: Arc<dyn Serde<Answer<R>>> = Arc::new(AnswerSerde(Arc::clone(&self.how.right)));
        let produced = Produced::to_fixed(Arc::clone(&topic), Arc::clone(&key), Arc::clone(&value))
            .partitioner(|_, _, answer: &Answer<R>, _| answer.partition);
        let name = self.names.response_sink.clone();
        let mut graph = self.graph.borrow_mut();
        SinkDraft { name, internal: true, partitions: None, produced }
            .add_below(&mut graph, parents);
        SourceDraft {
            name: self.names.response_source.clone(),
            topics: vec![topic],
            pattern: None,
            internal: true,
            partitions: None,
            reset: Reset::Earliest,
            global: false,
            reading: Reading { key, value, timestamp: None },
        }
        .add_to(&mut graph)
    }

    fn resolve<VO: Data>(
        &self,
        (parent, subscribe): (NodeId, NodeId),
        table: &KTable<K, V>,
        join: impl Fn(&V, Option<&R>) -> Option<VO> + Shared,
    ) -> NodeId {
        let (view, values, join) = (table.view(), self.value_coder(), Arc::new(join));
        let left = self.left;
        self.add(&self.names.resolve, parent, view.stores.clone(), move |linker| {
            linker.may_drop(&[DropReason::Stale])?;
            let node = Resolve {
                rows: view.open(linker)?,
                values: values.make(linker),
                join: Arc::clone(&join),
                asking: (!left).then(|| linker.shared(subscribe)).transpose()?,
                children: linker.children::<K, Change<VO>>()?,
                faults: linker.faults()?,
                scratch: Vec::new(),
            };
            linker.add::<K, Answer<R>, _>(node);
            Ok(())
        })
    }
}

/// A serde with what it is to be told, as far as the drawing knows it.
struct Told<T> {
    serde: Arc<dyn Serde<T>>,
    part: Part,
    /// The registration topic, and what comes behind its name.
    topic: Arc<str>,
    what: &'static str,
}

impl<T: Data> Told<T> {
    fn make(&self, linker: &mut Linker<'_>) -> Coder<T> {
        let topic = topic_in_log(&self.topic, true, &linker.ctx().application_id);
        Coder::new(&self.serde, self.part, format!("{topic}-{}", self.what))
    }
}
