//! The reference page of metrics, made from the registry itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::metrics::registry::{Metrics, process_families};
use crate::policy::DropReason;
use crate::policy::Dropped;
use crate::record::{TaskId, TopicPartition};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

/// A registry in which every metric has a series: those with labels show none before.
fn used() -> Metrics {
    let metrics = Metrics::new("app").unwrap();
    let task = TaskId { sub_topology: 0, partition: 0 };
    metrics.received("in", 1, 1);
    metrics.dropped(task, [Dropped { node: "node".into(), reason: DropReason::Late, records: 1 }]);
    metrics.committed(0, Some(1));
    metrics.brokers(Some(1));
    metrics.lag(&TopicPartition::new("in", 0), Some(1));
    metrics.task_states(&BTreeMap::from([(task, "running")]));
    metrics.restoring(task, 1);
    metrics.held(task, 1, 1);
    metrics.in_flight(task, 1);
    metrics.store(task, "store", 1, 1);
    metrics
}

fn page() -> String {
    let mut page = include_str!("reference_head.md").to_owned();
    let mut families = used().registry.gather();
    families.extend(process_families());
    for family in families {
        let mut labels: Vec<String> = Vec::new();
        for metric in family.get_metric() {
            labels.extend(metric.get_label().iter().map(|label| format!("`{}`", label.name())));
        }
        labels.sort();
        labels.dedup();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let _ = writeln!(page, "| `{}` | {kind} | {labels} | {} |", family.name(), family.help());
    }
    page.push_str("\n## Reasons of dropped records\n\n");
    for reason in DropReason::ALL {
        let _ = writeln!(page, "- `{}`", reason.label());
    }
    page
}

#[test]
fn the_page_says_what_the_registry_says() {
    if std::env::var_os("MILLSTREAM_TEST_UPDATE").is_some() {
        std::fs::write(PAGE, page()).unwrap();
    }
    let stands = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        stands == page(),
        "docs/metrics.md is not what the registry says: run this test with MILLSTREAM_TEST_UPDATE=1"
    );
}
