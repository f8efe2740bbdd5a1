//! From a plan back to a scenario file: one from which every seed draws this plan, and which a person can read.

mod executors;

use super::{
    Byzantine, Delivery, DurableTrigger, Epochs, FaultKind, FaultSection, Kind, MaxFaulty, Network,
    Node, Peers, ReachedTrigger, Scenario, Selector, Share, StoredTrigger, Target, Topology,
    TriggerSection, Workload,
};
use crate::{
    sampling::{Number, Sampled},
    seed::Seed,
};
use metanode_sim::{
    disk::DiskFailure,
    faults::{
        ClockFault, DiskFault, ExecutorFault, Fault, NetworkFault, PlannedFault, ProcessFault,
        Replies, SocketFault, Trigger,
    },
    plan::{self, NetworkPlan, NodePlan, Plan, WorkloadPlan},
    trace::ProcessId,
};
use std::fmt::Write;
use toml::{Table, Value};

impl Scenario {
    /// The scenario that leaves nothing open. Whatever the seed, it draws this plan again, but for the names of seed
    /// and scenario.
    #[must_use]
    pub fn explicit(plan: &Plan, story: String) -> Self {
        // Nothing of a plan may be forgotten here.
        let Plan {
            scenario: _,
            seed,
            topology,
            validators,
            store,
            signatures,
            duration_ms,
            settle_ms,
            network,
            node,
            executors,
            clock_skew_ms,
            clock_drift_ppm,
            max_faulty,
            workload,
            epochs,
            byzantine,
            faults,
            expect,
            bugs,
        } = plan;
        let (clock_skew_ms, clock_skew_ms_by_host) = match &clock_skew_ms[..] {
            [first, others @ ..] if others.iter().all(|skew| skew == first) => (*first, vec![]),
            all => (0, all.to_vec()),
        };
        Self {
            story,
            seed: Some(Seed(*seed)),
            store: Some(*store),
            duration_ms: Sampled::fixed(*duration_ms),
            settle_ms: Sampled::fixed(*settle_ms),
            signatures: *signatures,
            clock_skew_ms: Sampled::fixed(clock_skew_ms),
            clock_skew_ms_by_host,
            clock_drift_ppm: Sampled::fixed(0),
            clock_drift_ppm_by_host: clock_drift_ppm.clone(),
            max_faulty: match max_faulty {
                Some(most) => MaxFaulty::Number(*most),
                None => MaxFaulty::Share(Share::All),
            },
            topology: Topology {
                delivery: match topology {
                    plan::Topology::SingleMaster => Delivery::SingleMaster,
                    plan::Topology::MasterPerNode => Delivery::MasterPerNode,
                },
                validators: Sampled::fixed(*validators),
            },
            network: explicit_network(network),
            node: explicit_node(node),
            executor: executors::fixed(executors),
            workload: explicit_workload(workload),
            epochs: Epochs::fixed(epochs),
            byzantine: (!byzantine.is_empty()).then(|| Byzantine {
                each: byzantine.clone(),
                ..Byzantine::default()
            }),
            swarm: None,
            faults: faults.iter().map(explicit_fault).collect(),
            expect: expect.clone(),
            bugs: bugs.clone(),
        }
    }

    /// The text of its file: what [`Scenario::parse`] reads.
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

/// Head and keys; tables in it stay on one line.
fn write_section(out: &mut String, head: &str, section: &Table) {
    let _ = writeln!(out, "\n{head}");
    for (key, value) in section {
        let _ = writeln!(out, "{key} = {value}");
    }
}

fn explicit_network(network: &NetworkPlan) -> Network {
    let NetworkPlan {
        latency_ms,
        unix_buffer_bytes,
        tcp_buffer_bytes,
        backlog,
    } = network;
    Network {
        latency_ms: (*latency_ms).into(),
        unix_buffer_bytes: Sampled::fixed(*unix_buffer_bytes),
        tcp_buffer_bytes: Sampled::fixed(*tcp_buffer_bytes),
        backlog: Sampled::fixed(*backlog),
    }
}

fn explicit_node(node: &NodePlan) -> Node {
    let NodePlan {
        window_blocks,
        recovery_batch_commits,
        min_round_delay_ms,
        leader_timeout_ms,
        leaders_per_round,
        gc_depth_rounds,
        watermark_poll_ms,
        rpc_timeout_ms,
        write_timeout_ms,
        peers,
    } = node;
    Node {
        window_blocks: Sampled::fixed(*window_blocks),
        recovery_batch_commits: Sampled::fixed(*recovery_batch_commits),
        min_round_delay_ms: Sampled::fixed(*min_round_delay_ms),
        leader_timeout_ms: Sampled::fixed(*leader_timeout_ms),
        leaders_per_round: Sampled::fixed(*leaders_per_round),
        gc_depth_rounds: Sampled::fixed(*gc_depth_rounds),
        watermark_poll_ms: Sampled::fixed(*watermark_poll_ms),
        rpc_timeout_ms: Sampled::fixed(*rpc_timeout_ms),
        write_timeout_ms: Sampled::fixed(*write_timeout_ms),
        peers: Peers::fixed(peers),
    }
}

fn explicit_workload(workload: &WorkloadPlan) -> Workload {
    let WorkloadPlan {
        transactions_per_second,
        accounts,
    } = workload;
    Workload {
        transactions_per_second: Sampled::fixed(*transactions_per_second),
        accounts: Sampled::fixed(*accounts),
    }
}

const fn numbered(kind: Kind, number: u16) -> Target {
    Target {
        kind,
        which: Selector::Number(number),
    }
}

/// The world is nobody's target, and waits at no crash point.
const fn process(id: ProcessId) -> Target {
    match id {
        ProcessId::Node(number) => numbered(Kind::Node, number),
        ProcessId::Executor(number) => numbered(Kind::Executor, number),
        ProcessId::World => numbered(Kind::Host, 0),
    }
}

fn lasting<T: Number>(ms: Option<T>) -> Option<Sampled<T>> {
    ms.map(Sampled::fixed)
}

fn explicit_fault(fault: &PlannedFault) -> FaultSection {
    let processes = |list: &[ProcessId]| list.iter().map(|id| process(*id)).collect::<Vec<_>>();
    let all = |kind, list: &[u16]| list.iter().map(|n| numbered(kind, *n)).collect::<Vec<_>>();
    let hosts = |list: &[u16]| all(Kind::Host, list);
    let executors = |list: &[u16]| all(Kind::Executor, list);
    let of = |kind, targets, for_ms: Option<u64>| FaultSection {
        for_ms: lasting(for_ms),
        ..FaultSection::new(explicit_trigger(&fault.trigger), kind, targets)
    };
    let down = |kind, targets, down_ms: Option<u64>| FaultSection {
        down_ms: lasting(down_ms),
        ..of(kind, targets, None)
    };
    match &fault.fault {
        Fault::Process(ProcessFault::Kill {
            processes: list,
            down_ms,
        }) => down(FaultKind::Kill, processes(list), *down_ms),
        Fault::Process(ProcessFault::PowerLoss {
            hosts: list,
            torn,
            down_ms,
        }) => FaultSection {
            torn: torn.then_some(true),
            ..down(FaultKind::PowerLoss, hosts(list), *down_ms)
        },
        Fault::Process(ProcessFault::Pause {
            processes: list,
            for_ms,
        }) => of(FaultKind::Pause, processes(list), *for_ms),
        Fault::Process(ProcessFault::StartLate {
            processes: list,
            for_ms,
        }) => of(FaultKind::StartLate, processes(list), Some(*for_ms)),
        Fault::Executor(ExecutorFault::Stall {
            executors: list,
            for_ms,
        }) => of(FaultKind::Stall, executors(list), *for_ms),
        Fault::Executor(ExecutorFault::StopReading {
            executors: list,
            for_ms,
        }) => of(FaultKind::StopReading, executors(list), *for_ms),
        Fault::Executor(ExecutorFault::ServeBoth {
            executors: list,
            for_ms,
        }) => of(FaultKind::ServeBoth, executors(list), *for_ms),
        Fault::Socket(SocketFault::HijackSocket {
            executors: list,
            channel,
            how,
            for_ms,
        }) => FaultSection {
            channel: Some(*channel),
            how: Some(*how),
            ..of(FaultKind::HijackSocket, executors(list), *for_ms)
        },
        Fault::Socket(SocketFault::HalfClose {
            hosts: list,
            channel,
            side,
        }) => FaultSection {
            channel: Some(*channel),
            side: Some(*side),
            ..of(FaultKind::HalfClose, hosts(list), None)
        },
        Fault::Executor(ExecutorFault::Replies {
            executors: list,
            how,
            for_ms,
        }) => match how {
            Replies::Late { ms } => FaultSection {
                extra_ms: Some(Sampled::fixed(*ms)),
                ..of(FaultKind::SlowReplies, executors(list), *for_ms)
            },
            Replies::Silent => of(FaultKind::SilentReplies, executors(list), *for_ms),
            Replies::Refused => of(FaultKind::ErrorReplies, executors(list), *for_ms),
        },
        Fault::Disk(DiskFault::Restore {
            executors: list,
            taken_ms,
            down_ms,
        }) => FaultSection {
            taken_ms: Some(Sampled::fixed(*taken_ms)),
            ..down(FaultKind::Restore, executors(list), *down_ms)
        },
        Fault::Network(NetworkFault::Partition {
            hosts: list,
            cut,
            for_ms,
        }) => FaultSection {
            cut: Some(*cut),
            ..of(FaultKind::Partition, hosts(list), *for_ms)
        },
        Fault::Network(NetworkFault::SlowLinks {
            hosts: list,
            extra_ms,
            for_ms,
        }) => FaultSection {
            extra_ms: Some(Sampled::fixed(*extra_ms)),
            ..of(FaultKind::SlowLinks, hosts(list), *for_ms)
        },
        Fault::Socket(SocketFault::ShortWrites {
            hosts: list,
            max_bytes,
            for_ms,
        }) => FaultSection {
            max_bytes: Some(Sampled::fixed(*max_bytes)),
            ..of(FaultKind::ShortWrites, hosts(list), *for_ms)
        },
        Fault::Socket(SocketFault::Reset {
            hosts: list,
            channel,
        }) => FaultSection {
            channel: Some(*channel),
            ..of(FaultKind::Reset, hosts(list), None)
        },
        Fault::Socket(SocketFault::Truncate {
            hosts: list,
            channel,
            after_bytes,
        }) => FaultSection {
            channel: Some(*channel),
            after_bytes: Some(Sampled::fixed(*after_bytes)),
            ..of(FaultKind::Truncate, hosts(list), None)
        },
        Fault::Socket(SocketFault::DelayReply {
            hosts: list,
            channel,
            extra_ms,
        }) => FaultSection {
            channel: Some(*channel),
            extra_ms: Some(Sampled::fixed(*extra_ms)),
            ..of(FaultKind::DelayReply, hosts(list), None)
        },
        Fault::Disk(DiskFault::DiskFails {
            processes: list,
            how,
            for_ms,
        }) => {
            let kind = match how {
                DiskFailure::Sync => FaultKind::FailSync,
                DiskFailure::Full => FaultKind::DiskFull,
            };
            of(kind, processes(list), *for_ms)
        }
        Fault::Disk(DiskFault::FlipBits {
            nodes: list,
            blocks,
            commits,
        }) => FaultSection {
            blocks: Some(Sampled::fixed(*blocks)),
            commits: (*commits > 0).then_some(Sampled::fixed(*commits)),
            ..of(FaultKind::FlipBits, all(Kind::Node, list), None)
        },
        Fault::Clock(ClockFault::JumpClock { hosts: list, by_ms }) => FaultSection {
            by_ms: Some(Sampled::fixed(*by_ms)),
            ..of(FaultKind::JumpClock, hosts(list), None)
        },
    }
}

fn explicit_trigger(trigger: &Trigger) -> TriggerSection {
    let Trigger {
        at_ms,
        stored,
        durable,
        reached,
    } = trigger;
    TriggerSection {
        at_ms: (*at_ms > 0).then_some(Sampled::fixed(*at_ms)),
        stored: stored.as_ref().map(|at| StoredTrigger {
            node: numbered(Kind::Node, at.node),
            commit: Sampled::fixed(at.commit.0),
        }),
        durable: durable.as_ref().map(|at| DurableTrigger {
            executor: numbered(Kind::Executor, at.executor),
            gei: Sampled::fixed(at.gei.0),
        }),
        reached: reached.as_ref().map(|at| ReachedTrigger {
            process: process(at.process),
            point: at.point.name().to_owned(),
            times: Sampled::fixed(at.times),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SCENARIOS;
    use metanode_sim::plan::{Backend, Guard, Span};

    /// Drawn from the text of the fixed scenario by a seed of its own choice, the same plan.
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

    /// Everything that a scenario can say.
    const EVERYTHING: &str = include_str!("everything.toml");

    #[test]
    fn every_plan_can_be_said_by_a_scenario() {
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
    fn the_largest_seed_fits() {
        let plan = Plan {
            seed: u64::MAX,
            ..Plan::example()
        };
        let _ = assert_drawn_again(&plan);
    }

    #[test]
    fn a_person_can_read_it() {
        let mut plan = Plan::example();
        plan.executors[2].guard = Guard::Naive;
        plan.clock_skew_ms[1] = -40;
        plan.network.latency_ms = Span { low: 7, high: 7 };
        plan.faults.push(PlannedFault {
            trigger: Trigger {
                at_ms: 900,
                stored: Some(metanode_sim::faults::StoredAt {
                    node: 3,
                    commit: metanode_core::types::CommitIndex(10),
                }),
                ..Trigger::default()
            },
            fault: Fault::Process(ProcessFault::Kill {
                processes: vec![ProcessId::Node(3), ProcessId::Executor(3)],
                down_ms: Some(200),
            }),
        });
        let text = assert_drawn_again(&plan);
        for part in [
            "story = \"\"\"\nA story.\n\"\"\"\nseed = 0\nstore = \"memory\"\nduration_ms = 10000\n",
            "clock_skew_ms_by_host = [0, -40, 0, 0]\n",
            "\n[network]\nlatency_ms = 7\n",
            "execute_us = { low = 100, high = 500 }\n",
            "odd = { which = \"executor-2\", guard = \"naive\" }\n",
            "\n[[fault]]\nwhen = { at_ms = 900, stored = { node = \"node-3\", commit = 10 } }\ndo = \"kill\"\n\
             targets = [\"node-3\", \"executor-3\"]\ndown_ms = 200\n",
        ] {
            assert!(text.contains(part), "expected {part}in\n{text}");
        }
    }
}
