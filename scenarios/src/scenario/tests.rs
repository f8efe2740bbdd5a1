//! Which scenario files are refused and with which error, and what a seed draws.

use super::*;
use metanode_core::{config::LIMITS, env::CrashPoint};
use metanode_sim::{
    faults::{Fault, ProcessFault},
    plan::{Topology as PlannedTopology, WORLD_LIMITS},
    trace::ProcessId,
};

fn parse(text: &str) -> Result<Scenario, InputError> {
    Scenario::parse("s.toml", &format!("story = \"x\"\n{text}"))
}

fn draw(text: &str, seed: u64) -> Plan {
    parse(text)
        .expect("a scenario")
        .draw("s", seed, Backend::Memory)
}

/// Scenarios and their errors. Line 1 is the story.
const REFUSED: &[(&str, &str)] = &[
    (
        "dura_ms = 1",
        "s.toml:2: `dura_ms`: unknown field `dura_ms`",
    ),
    (
        "\n[node]\nwindow = 8",
        "s.toml:4: `node.window`: unknown field `window`",
    ),
    (
        "duration_ms = \"long\"",
        "s.toml:2: `duration_ms`: invalid type: string \"long\", expected a whole number",
    ),
    (
        "duration_ms = 1.5",
        "s.toml:2: `duration_ms`: invalid type: floating point",
    ),
    (
        "duration_ms = -5",
        "s.toml:2: `duration_ms`: -5 is out of range",
    ),
    (
        "duration_ms = 0",
        "s.toml:2: `duration_ms`: 0 is too low: expected at least 1",
    ),
    (
        "[network]\nlatency_ms = [40, 5]",
        "s.toml:3: `network.latency_ms`: the range [40, 5] is empty",
    ),
    (
        "[network]\nlatency_ms = [-5, 5]",
        "s.toml:3: `network.latency_ms`: -5 is out of range",
    ),
    (
        "[network]\nlatency_ms = [1, 2, 3]",
        "s.toml:3: `network.latency_ms`: invalid length 3, expected a whole number, or a range [low, high]",
    ),
    (
        "[node]\nwindow_blocks = 8",
        "s.toml:3: `node.window_blocks`: unknown field `window_blocks`, expected one of `consensus`",
    ),
    (
        "[node.delivery]\nwindow_blocks = 5_000_000_000",
        "s.toml:3: `node.delivery.window_blocks`: 5000000000 is out of range",
    ),
    (
        "[node.delivery]\nrecovery_batch_commits = [0, 4]",
        "s.toml:3: `node.delivery.recovery_batch_commits`: is 0: expected 1 to 1000000",
    ),
    (
        "[network]\nbacklog = 0",
        "s.toml:3: `network.backlog`: is 0: expected 1 to 1000000000",
    ),
    (
        "[topology]\nvalidators = 0",
        "s.toml:3: `topology.validators`: 0 is too low: expected at least 4",
    ),
    (
        "[topology]\nvalidators = [3, 7]",
        "s.toml:3: `topology.validators`: 3 is too low: expected at least 4",
    ),
    (
        "[topology]\nvalidators = 101",
        "s.toml:3: `topology.validators`: is too high",
    ),
    (
        "[topology]\ndelivery = \"nobody\"",
        "s.toml:3: `topology.delivery`: unknown variant `nobody`, expected one of `single-master`",
    ),
    (
        "[executor.odd]\nwhich = \"any-node\"",
        "s.toml:3: `executor.odd.which`: `any-node` does not fit here: expected executor-N or any-executor",
    ),
    (
        "[executor.odd]\nwhich = \"executor-1\"",
        "s.toml:3: `executor.odd.which`: `executor-1` does not exist in every run",
    ),
    (
        "[[fault]]\ndo = \"kill\"",
        "s.toml:2: `fault.0`: missing field `targets`",
    ),
    (
        "[[fault]]\ndo = \"explode\"\ntargets = [\"node-0\"]",
        "s.toml:3: `fault.0.do`: unknown variant `explode`",
    ),
    (
        "[[fault]]\ndo = \"kill\"\ntargets = []",
        "s.toml:4: `fault.0.targets`: is empty",
    ),
    (
        "[[fault]]\ndo = \"kill\"\ntargets = [\"node0\"]",
        "s.toml:4: `fault.0.targets`: `node0` is not a target",
    ),
    (
        "[[fault]]\ndo = \"kill\"\ntargets = [\"node-0\", \"node-9\"]",
        "s.toml:4: `fault.0.targets.1`: `node-9` does not exist in every run of this scenario: expected node-0 to node-3",
    ),
    (
        "[topology]\ndelivery = \"single-master\"\n[[fault]]\ndo = \"stall\"\ntargets = [\"executor-1\"]",
        "s.toml:6: `fault.0.targets.0`: `executor-1` does not exist in every run of this scenario: expected executor-0",
    ),
    (
        "[[fault]]\ndo = \"partition\"\ntargets = [\"node-0\"]",
        "s.toml:4: `fault.0.targets.0`: `node-0` is not a target of this fault: expected host",
    ),
    (
        "[[fault]]\ndo = \"partition\"\ntargets = [\"all-hosts\"]",
        "s.toml:4: `fault.0.targets.0`: includes every host",
    ),
    (
        "[[fault]]\ndo = \"kill\"\ntargets = [\"node-0\"]\nfor_ms = 5",
        "s.toml:5: `fault.0.for_ms`: does not apply to this fault: expected `down_ms`",
    ),
    (
        "[[fault]]\ndo = \"pause\"\ntargets = [\"node-0\"]\ndown_ms = 5",
        "s.toml:5: `fault.0.down_ms`: does not apply to this fault: expected `for_ms`",
    ),
    (
        "[[fault]]\ndo = \"start-late\"\ntargets = [\"node-0\"]",
        "s.toml:2: `fault.0.for_ms`: is missing",
    ),
    (
        "[[fault]]\ndo = \"start-late\"\ntargets = [\"node-0\"]\nfor_ms = 5\nwhen = { at_ms = 5 }",
        "s.toml:6: `fault.0.when`: does not apply to this fault, which begins with the run",
    ),
    (
        "[[fault]]\nwhen = { stored = { node = \"executor-0\", commit = 1 } }\ndo = \"kill\"\ntargets = [\"node-0\"]",
        "s.toml:3: `fault.0.when.stored.node`: `executor-0` does not fit here: expected node-N or any-node",
    ),
    (
        "[[fault]]\nwhen = { durable = { executor = \"all-executors\", gei = 1 } }\ndo = \"kill\"\ntargets = [\"node-0\"]",
        "s.toml:3: `fault.0.when.durable.executor`: `all-executors` does not fit here",
    ),
    (
        "[[fault]]\nwhen = { reached = { process = \"node-0\", point = \"executor.received\", times = 1 } }\ndo = \"kill\"\ntargets = [\"node-0\"]",
        "s.toml:3: `fault.0.when.reached.point`: `executor.received` is not a crash point of node-0",
    ),
    (
        "[[fault]]\nwhen = { reached = { process = \"node-0\", point = \"any\", times = 0 } }\ndo = \"kill\"\ntargets = [\"node-0\"]",
        "s.toml:3: `fault.0.when.reached.times`: 0 is too low: expected at least 1",
    ),
    (
        "[[fault]]\ndo = \"kill\"\ntargets = [\"node-0\"]\nrepeat = { times = 3 }",
        "s.toml:5: `fault.0.repeat.every_ms`: is 0: expected at least 1",
    ),
    (
        "[[fault]]\ndo = \"kill\"\ntargets = [\"node-0\"]\nrepeat = { times = 0, every_ms = 5 }",
        "s.toml:5: `fault.0.repeat.times`: is out of range: expected 1 to 1000",
    ),
    (
        "[[fault]]\nwhen = { stored = { node = \"node-0\", commit = 1 } }\ndo = \"kill\"\ntargets = [\"node-0\"]\nrepeat = { times = 3, every_ms = 5 }",
        "s.toml:6: `fault.0.repeat`: needs a time or a crash point",
    ),
    (
        "[[expect]]\nnode = \"node-4\"\nframes_after_restart = [8]",
        "s.toml:3: `expect.0.node`: is node-4: expected node-0 to node-3",
    ),
    (
        "[[expect]]\nnode = \"any-node\"\nframes_after_restart = [8]",
        "s.toml:3: `expect.0.node`: `any-node` is not a process",
    ),
    (
        "[[expect]]\nnode = \"node-0\"\nframes_after_restart = []",
        "s.toml:4: `expect.0.frames_after_restart`: is empty",
    ),
    (
        "[byzantine]\ncount = [1, 2]",
        "s.toml:3: `byzantine.count`: is too high: 4 validators tolerate at most 1",
    ),
    (
        "[byzantine]\nstrategies = [\"rude\"]",
        "s.toml:3: `byzantine.strategies.0`: unknown variant `rude`, expected one of `equivocating`",
    ),
    (
        "[byzantine]\nstrategies = []",
        "s.toml:3: `byzantine.strategies`: is empty",
    ),
    (
        "[byzantine]\none_in = 0",
        "s.toml:3: `byzantine.one_in`: 0 is too low",
    ),
    (
        "[byzantine]\n[[byzantine.each]]\nvalidator = 0\nstrategy = \"silent\"",
        "s.toml:4: `byzantine.each.0.validator`: is 0: expected 1 to 3",
    ),
    (
        "[topology]\nvalidators = 7\n[byzantine]\neach = [\n{ validator = 5, strategy = \"silent\" },\n{ validator = 5, strategy = \"lying\" }]",
        "s.toml:7: `byzantine.each.1.validator`: is 5, which is listed already",
    ),
    (
        "[topology]\nvalidators = [4, 7]\n[byzantine]\neach = [{ validator = 1, strategy = \"silent\" }, { validator = 2, strategy = \"silent\" }]",
        "s.toml:5: `byzantine.each`: has 2 entries: 4 validators tolerate at most 1",
    ),
    ("duration_ms = = 1", "s.toml:2: "),
];

#[test]
fn bad_scenarios_are_refused_with_file_line_and_key() {
    for (text, expected) in REFUSED {
        let error = parse(text).expect_err(text).to_string();
        assert!(
            error.starts_with(expected),
            "\nexpected {expected}\nfound    {error}"
        );
    }
    let error = Scenario::parse("s.toml", "").expect_err("no story");
    assert!(
        error
            .to_string()
            .starts_with("s.toml:1: `story`: is missing"),
        "{error}"
    );
}

#[test]
fn every_limit_can_be_set_within_its_range() {
    let node = LIMITS.iter().map(|limit| {
        let section = format!("node.{}", limit.group);
        (section, limit.key, limit.range.clone())
    });
    let world = WORLD_LIMITS.iter();
    let world = world.map(|limit| (limit.group.to_owned(), limit.key, limit.range.clone()));
    for (section, key, range) in node.chain(world) {
        let (low, high) = range.into_inner();
        let set = |value: String| parse(&format!("[{section}]\n{key} = {value}"));
        set(format!("[{low}, {high}]")).unwrap_or_else(|e| panic!("{e}"));
        for beyond in [i128::from(low) - 1, i128::from(high) + 1] {
            let error = set(beyond.to_string()).expect_err(key).to_string();
            let problem = if (0..=1_000_000_000).contains(&beyond) {
                format!("is {beyond}: expected {low} to {high}")
            } else {
                format!("{beyond} is out of range for this key")
            };
            assert_eq!(error, format!("s.toml:3: `{section}.{key}`: {problem}"));
        }
    }
}

#[test]
fn a_seed_draws_the_recorded_values() {
    let plan = draw("", 42);
    let drawn = (
        plan.duration_ms,
        plan.network.latency_ms,
        plan.node.delivery.window_blocks,
        &plan.clock_skew_ms[..],
    );
    assert_eq!(drawn, PINNED);
}

/// A change of these values means that existing seeds draw other runs.
const PINNED: (u64, plan::Span, u32, &[i64]) = (
    10_351,
    plan::Span { low: 29, high: 35 },
    35,
    &[-445, -244, 266, 59],
);

#[test]
fn keys_draw_independently() {
    let fault =
        "[[fault]]\nwhen = { at_ms = [1, 9000] }\ndo = \"kill\"\ntargets = [\"any-node\"]\n";
    for seed in 0..20 {
        let (plain, fixed) = (draw("", seed), draw("[network]\nlatency_ms = 7\n", seed));
        assert_eq!(fixed.network.latency_ms, plan::Span { low: 7, high: 7 });
        assert_eq!(plain.node, fixed.node);
        assert_eq!(plain.clock_skew_ms, fixed.clock_skew_ms);

        let once = draw(fault, seed);
        let repeated = format!("{fault}repeat = {{ times = [2, 5], every_ms = [1, 99] }}\n");
        let repeated = draw(&repeated, seed);
        assert_eq!(
            once.faults[0], repeated.faults[0],
            "repetitions do not change the first"
        );
        assert!((2..=5).contains(&repeated.faults.len()));

        let seven = draw("[topology]\nvalidators = 7\n", seed);
        assert_eq!(seven.clock_skew_ms[..4], plain.clock_skew_ms);
    }
}

#[test]
fn either_alternates_between_the_topologies() {
    let topologies: Vec<_> = (0..4).map(|seed| draw("", seed)).collect();
    for (seed, plan) in topologies.iter().enumerate() {
        let (topology, executors) = match seed % 2 {
            0 => (PlannedTopology::MasterPerNode, 4),
            _ => (PlannedTopology::SingleMaster, 1),
        };
        assert_eq!(plan.topology, topology);
        assert_eq!(plan.executors.len(), executors);
    }
}

#[test]
fn all_any_targets_of_a_fault_are_one_validator() {
    let text = "[[fault]]\n\
        when = { reached = { process = \"any-executor\", point = \"any\", times = [1, 9] } }\n\
        do = \"kill\"\ntargets = [\"any-node\", \"any-executor\"]\n";
    let mut chosen = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let plan = draw(text, seed);
        let [fault] = &plan.faults[..] else {
            panic!("one fault: {:?}", plan.faults)
        };
        let reached = fault.trigger.reached.as_ref().expect("the moment");
        let ProcessId::Executor(number) = reached.process else {
            panic!("an executor: {reached:?}")
        };
        assert!(reached.point >= CrashPoint::ExecutorReceived);
        assert_eq!(
            fault.fault,
            Fault::Process(ProcessFault::Kill {
                processes: vec![ProcessId::Node(number), ProcessId::Executor(number)],
                down_ms: None
            })
        );
        assert!(usize::from(number) < plan.executors.len());
        chosen.insert(number);
    }
    assert_eq!(
        chosen.len(),
        4,
        "every validator is chosen by some seed: {chosen:?}"
    );
}

#[test]
fn a_host_is_its_node_its_executor_and_its_sub() {
    let text = "[topology]\ndelivery = \"single-master\"\n[[fault]]\n\
        do = \"kill\"\ntargets = [\"host-0\", \"host-1\"]\n";
    let expected = vec![
        ProcessId::Node(0),
        ProcessId::Node(1),
        ProcessId::Executor(0),
        ProcessId::Sub(0),
        ProcessId::Sub(1),
    ];
    assert_eq!(
        draw(text, 0).faults[0].fault,
        Fault::Process(ProcessFault::Kill {
            processes: expected,
            down_ms: None
        })
    );
}

#[test]
fn repetitions_are_later_or_wait_for_further_occurrences() {
    let timed = "[[fault]]\nwhen = { at_ms = 100 }\ndo = \"kill\"\ntargets = [\"node-0\"]\n\
        repeat = { times = 3, every_ms = 50 }\n";
    let times: Vec<_> = draw(timed, 1)
        .faults
        .iter()
        .map(|f| f.trigger.at_ms)
        .collect();
    assert_eq!(times, [100, 150, 200]);

    let counted = "[[fault]]\n\
        when = { reached = { process = \"node-0\", point = \"node.after-store\", times = 4 } }\n\
        do = \"kill\"\ntargets = [\"node-0\"]\nrepeat = { times = 3 }\n";
    let plan = draw(counted, 1);
    let reached = plan
        .faults
        .iter()
        .filter_map(|f| f.trigger.reached.as_ref());
    assert_eq!(reached.map(|r| r.times).collect::<Vec<_>>(), [4, 8, 12]);
}

#[test]
fn one_executor_may_differ() {
    let text = "[executor]\nexecute_us = [1, 9]\n[executor.odd]\nwhich = \"any-executor\"\nexecute_us = 5000\n";
    for seed in 0..20 {
        let plan = draw(text, seed);
        let slow = plan.executors.iter().filter(|e| e.execute_us.low == 5000);
        assert_eq!(slow.count(), 1);
    }
}

#[test]
fn byzantine_and_faulty_validators_are_no_more_than_the_committee_tolerates() {
    for (text, most) in [
        ("", Some(1)),
        ("max_faulty = 2\n", Some(1)),
        ("max_faulty = \"all\"\n", None),
    ] {
        let text = format!("{text}[topology]\nvalidators = 7\n[byzantine]\n");
        let plan = draw(&text, 3);
        assert_eq!((plan.byzantine.len(), plan.max_faulty), (1, most), "{text}");
    }
    let honest = draw("max_faulty = 3\n", 3);
    assert_eq!((honest.byzantine.len(), honest.max_faulty), (0, Some(3)));
}
