//! From a plan back to a readable scenario file from which every seed draws this plan.

mod executors;

use super::{
    Byzantine, Epochs, FaultSection, Followers, MaxFaulty, Network, Node, Scenario, Share,
    Topology, Workload,
};
use crate::{sampling::Sampled, seed::Seed};
use metanode_sim::plan::Plan;
use std::fmt::Write;
use toml::{Table, Value};

/// One skew for all hosts, or one for each.
fn skews(clock_skew_ms: &[i64]) -> (i64, Vec<i64>) {
    match clock_skew_ms {
        [first, others @ ..] if others.iter().all(|skew| skew == first) => (*first, vec![]),
        all => (0, all.to_vec()),
    }
}

impl Scenario {
    /// The scenario with fixed values only. Every seed draws this plan from it, except for the seed and the name of the
    /// scenario.
    #[must_use]
    pub fn explicit(plan: &Plan, story: String) -> Self {
        // Exhaustive, so that a new field cannot be forgotten.
        let Plan {
            scenario: _,
            seed,
            topology,
            validators,
            store,
            signatures,
            encryption,
            start_policy,
            watermark_source,
            manners,
            duration_ms,
            settle_ms,
            network,
            node,
            own_limits,
            executors,
            clock_skew_ms,
            clock_drift_ppm,
            max_faulty,
            workload,
            followers,
            asks_peers,
            epochs,
            byzantine,
            stays_down,
            faults,
            expect,
            finds,
            bugs,
            buggy_validators,
        } = plan;
        let (clock_skew_ms, clock_skew_ms_by_host) = skews(clock_skew_ms);
        Self {
            story,
            seed: Some(Seed(*seed)),
            store: Some(*store),
            duration_ms: Sampled::fixed(*duration_ms),
            settle_ms: Sampled::fixed(*settle_ms),
            signatures: *signatures,
            encryption: Some(*encryption),
            start_policy: *start_policy,
            watermark_source: Some(*watermark_source),
            clock_skew_ms: Sampled::fixed(clock_skew_ms),
            clock_skew_ms_by_host,
            clock_drift_ppm: Sampled::fixed(0),
            clock_drift_ppm_by_host: clock_drift_ppm.clone(),
            max_faulty: max_faulty.map_or(MaxFaulty::Share(Share::All), MaxFaulty::Number),
            topology: Topology::fixed(*topology, *validators),
            network: Network::fixed(network),
            node: Node::fixed(node),
            own_limits: own_limits.clone(),
            executor: executors::fixed(executors, manners),
            workload: Workload::fixed(workload),
            followers: Followers::fixed(followers),
            asks_peers: *asks_peers,
            epochs: Epochs::fixed(epochs),
            byzantine: (!byzantine.is_empty()).then(|| Byzantine {
                each: byzantine.clone(),
                ..Byzantine::default()
            }),
            stays_down: stays_down.clone(),
            swarm: None,
            faults: faults.iter().map(FaultSection::explicit).collect(),
            expect: expect.clone(),
            finds: finds.clone(),
            bugs: bugs.clone(),
            buggy_validators: buggy_validators.clone(),
        }
    }

    /// The text of the scenario file, which [`Scenario::parse`] reads.
    #[must_use]
    pub fn text(&self) -> String {
        #[allow(clippy::expect_used)]
        let table = Table::try_from(self).expect("scenarios are plain data");
        let (mut head, mut sections) = (String::new(), String::new());
        for (key, value) in &table {
            match value {
                Value::String(story) if key == "story" => {
                    let story = story
                        .trim_end()
                        .replace('\\', "\\\\")
                        .replace("\"\"\"", "\\\"\"\"");
                    let _ = writeln!(head, "story = \"\"\"\n{story}\n\"\"\"");
                }
                Value::Table(parts) if !parts.is_empty() && parts.values().all(Value::is_table) => {
                    for (part, section) in parts {
                        if let Some(section) = section.as_table() {
                            write_section(&mut sections, &format!("[{key}.{part}]"), section);
                        }
                    }
                }
                Value::Table(section) => write_section(&mut sections, &format!("[{key}]"), section),
                Value::Array(items) if items.iter().all(Value::is_table) => {
                    for section in items.iter().filter_map(Value::as_table) {
                        write_section(&mut sections, &format!("[[{key}]]"), section);
                    }
                }
                value => {
                    let _ = writeln!(head, "{key} = {value}");
                }
            }
        }
        head + &sections
    }
}

/// Writes a head and keys; inner tables are inline.
fn write_section(out: &mut String, head: &str, section: &Table) {
    let _ = writeln!(out, "\n{head}");
    for (key, value) in section {
        let _ = writeln!(out, "{key} = {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SCENARIOS;
    use metanode_sim::{
        faults::{PlannedFault, ProcessFault, StoredAt, Trigger},
        plan::{Backend, Guard, Span},
        trace::ProcessId,
    };

    /// Asserts that the text of the explicit scenario draws the same plan, with any seed. Returns the text.
    fn assert_drawn_again(plan: &Plan) -> String {
        let text = Scenario::explicit(plan, "A story.".into()).text();
        let scenario =
            Scenario::parse("fixed.toml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let drawn = scenario.draw(&plan.scenario, plan.seed, scenario.store.expect("fixed"));
        assert_eq!(drawn, *plan, "\n{text}");
        assert_eq!(scenario.seed, Some(Seed(plan.seed)));
        let elsewhere = scenario.draw(&plan.scenario, 99, plan.store);
        assert_eq!(
            elsewhere,
            Plan { seed: 99, ..drawn },
            "nothing is left open"
        );
        text
    }

    /// A scenario with all sections and keys.
    const EVERYTHING: &str = include_str!("everything.toml");

    #[test]
    fn every_plan_is_drawn_again_from_its_scenario() {
        let everything =
            Scenario::parse("everything.toml", EVERYTHING).unwrap_or_else(|e| panic!("{e}"));
        for seed in 0..200 {
            let _ = assert_drawn_again(&everything.draw("everything", seed, Backend::Rocksdb));
        }
        for entry in SCENARIOS {
            let scenario =
                Scenario::parse(entry.path, entry.text).unwrap_or_else(|e| panic!("{e}"));
            for seed in 0..20 {
                let _ = assert_drawn_again(&scenario.draw(entry.name, seed, Backend::Memory));
            }
        }
    }

    #[test]
    fn the_largest_seed_is_read_back() {
        let plan = Plan {
            seed: u64::MAX,
            ..Plan::example()
        };
        let _ = assert_drawn_again(&plan);
    }

    #[test]
    fn the_text_is_readable() {
        let mut plan = Plan::example();
        plan.executors[2].guard = Guard::Naive;
        plan.clock_skew_ms[1] = -40;
        plan.network.latency_ms = Span { low: 7, high: 7 };
        plan.faults.push(PlannedFault {
            trigger: Trigger {
                at_ms: 900,
                stored: Some(StoredAt {
                    node: 3,
                    commit: metanode_core::types::CommitIndex(10),
                }),
                ..Trigger::default()
            },
            fault: ProcessFault::Kill {
                processes: vec![ProcessId::Node(3), ProcessId::Executor(3)],
                down_ms: Some(200),
            }
            .into(),
        });
        let text = assert_drawn_again(&plan);
        for part in [
            "story = \"\"\"\nA story.\n\"\"\"\nseed = 0\nstore = \"memory\"\nduration_ms = 10000\n",
            "clock_skew_ms_by_host = [0, -40, 0, 0]\n",
            "\n[network]\nlatency_ms = 7\n",
            "\n[node.consensus]\nmin_round_delay_ms = 20\n",
            "\n[node.rpc]\ntimeout_ms = 1000\n",
            "execute_us = { low = 100, high = 500 }\n",
            "odd = { which = \"executor-2\", guard = \"naive\" }\n",
            "\n[[fault]]\nwhen = { at_ms = 900, stored = { node = \"node-3\", commit = 10 } }\ndo = \"kill\"\n\
             targets = [\"node-3\", \"executor-3\"]\ndown_ms = 200\n",
        ] {
            assert!(text.contains(part), "expected {part}in\n{text}");
        }
    }
}
