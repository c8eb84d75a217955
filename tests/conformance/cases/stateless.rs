//! Chains without state: `stateless-chain`, `split-merge`, `dynamic-sink`.

use anyhow::Result;
use millstream::{StreamsBuilder, Topology};

use crate::cases::Case;
use crate::check::Output;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "stateless-chain",
        topology: stateless_chain,
        outputs: &[("out", Output::Texts)],
        stores: &[],
    },
    Case {
        name: "split-merge",
        topology: split_merge,
        outputs: &[("merged", Output::Texts), ("b", Output::Texts)],
        stores: &[],
    },
    Case {
        name: "dynamic-sink",
        topology: dynamic_sink,
        outputs: &[("even", Output::Texts), ("odd", Output::Texts)],
        stores: &[],
    },
];

fn stateless_chain() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .filter(|_, value| value.len() % 2 == 0 || value.ends_with('3'))
        .filter_not(|key, _| key == "d")
        .map_values(|value| value + "!")
        .map(|key, value| (key.repeat(2), value))
        .flat_map(|key, value| [(key.clone(), value.clone()), (value, key)])
        .select_key(|key, _| key.chars().take(1).collect::<String>())
        .flat_map_values(|value| [value.clone(), value + "2"])
        .to("out");
    Ok(builder.build()?)
}

fn ends_in_even_digit(value: &str) -> bool {
    value.chars().last().and_then(|last| last.to_digit(10)).is_some_and(|digit| digit % 2 == 0)
}

fn split_merge() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let split = builder.stream::<String, String>("in").split("s-");
    let a = split.branch("A", |key, _| key.as_str() < "b");
    let b = split.branch("B", |_, value| ends_in_even_digit(value));
    let d = split.default_branch("D");
    let first = a.map_values(|value| format!("A{value}"));
    let rest = d.map_values(|value| format!("D{value}"));
    first.merge(&rest).to("merged");
    b.to("b");
    Ok(builder.build()?)
}

fn dynamic_sink() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("in").to_topic_of(|record| {
        if ends_in_even_digit(&record.value) { "even".into() } else { "odd".into() }
    });
    Ok(builder.build()?)
}
