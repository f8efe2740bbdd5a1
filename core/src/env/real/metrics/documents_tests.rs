//! What the documentation says of metrics, and the dashboard shows, is what is exported.

use super::{
    declared::{Metric, Program},
    registry::Metrics,
};
use crate::types::TimestampMs;
use std::collections::BTreeSet;

const TABLES: &str = include_str!("../../../../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../../../../docs/dashboard.json");

const PREFIXES: [&str; 4] = ["metanode_", "mock_executor_", "mock_sub_", "process_"];

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
        .collect()
}

fn declared() -> BTreeSet<&'static str> {
    Metric::ALL.iter().map(|metric| metric.name()).collect()
}

#[test]
fn every_metric_is_exported_with_its_type() {
    let programs = [Program::Node, Program::Executor, Program::Sub];
    let texts = programs.map(|program| Metrics::new(program, TimestampMs(0)).text());
    let mut exported = BTreeSet::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        if let Some(header) = line.strip_prefix("# TYPE ") {
            let (name, kind) = header.split_once(' ').unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            exported.insert((format!("{name}{suffix}"), kind.to_owned()));
        }
    }
    let declared = Metric::ALL.iter();
    let declared = declared.map(|it| (it.name().to_owned(), it.kind().name().to_owned()));
    assert_eq!(exported, declared.collect());
}

#[test]
fn names_follow_the_conventions() {
    for (metric, name) in Metric::ALL.iter().map(|metric| (metric, metric.name())) {
        let kind = metric.kind().name();
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        assert_eq!(kind == "info", name.ends_with("_info"), "{name}");
        let stem = name.strip_suffix("_total").unwrap_or(name);
        for unit in ["seconds", "bytes"] {
            assert_eq!(metric.unit() == unit, stem.ends_with(unit), "{name}");
        }
    }
}

#[test]
fn the_documentation_has_a_row_for_every_metric_and_no_other() {
    let rows = Metric::ALL.iter().map(|metric| {
        let unit = match metric.unit() {
            "" => "",
            unit => &format!("{unit} "),
        };
        let (name, kind, meaning) = (metric.name(), metric.kind().name(), metric.meaning());
        format!("| `{name}` | {kind} | {unit}| {meaning} |")
    });
    let rows: Vec<_> = rows.collect();
    let missing: Vec<_> = rows.iter().filter(|row| !TABLES.contains(*row)).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks\n{missing:#?}");
    let documented = TABLES.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(documented.count(), rows.len());
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            for name in named(target["expr"].as_str().unwrap()) {
                let histogram = ["_bucket", "_sum", "_count"];
                let name = histogram
                    .iter()
                    .find_map(|it| name.strip_suffix(it))
                    .unwrap_or(name);
                shown.insert(name);
            }
        }
    }
    assert_eq!(shown, declared());
}
