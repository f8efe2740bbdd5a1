//! Shrinking any plan for any failure terminates with a simple plan that fails.

use super::{limits::Number, *};
use crate::{
    byzantine::most_byzantine,
    faults::{
        Channel, DurableAt, ExecutorFault, Fault, NetworkFault, ProcessFault, Reached, SocketFault,
        StoredAt, Trigger,
    },
    net::{Cut, Hijack, Side},
    plan::{
        Ancestors, Answers, Backend, ByzantinePlan, ByzantineStrategy, ExecutorPlan, Guard, Move,
        Span, Topology,
    },
    trace::ProcessId,
};
use metanode_core::{
    env::CrashPoint,
    types::{CommitIndex, GlobalExecIndex, SignatureScheme},
};
use proptest::{collection::vec, option, prelude::*};

/// Judges plans without running them.
struct Pure<F> {
    fails: F,
    tried: usize,
    most: usize,
}

impl<F: Fn(&Plan) -> bool> Trial for Pure<F> {
    fn first_failing(
        &mut self,
        _: &'static str,
        candidates: &[Plan],
    ) -> Result<Option<usize>, Stopped> {
        self.tried += candidates.len();
        if self.tried > self.most {
            return Err(Stopped);
        }
        Ok(candidates.iter().position(|plan| (self.fails)(plan)))
    }
}

fn shrunk(plan: Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut trial = Pure {
        fails,
        tried: 0,
        most: 1_000_000,
    };
    let (plan, ended) = shrink(plan, false, &mut trial);
    assert_eq!(ended, Ok(()));
    plan
}

fn span() -> impl Strategy<Value = Span> {
    (0_u64..5_000, 0_u64..5_000).prop_map(|(a, b)| Span {
        low: a.min(b),
        high: a.max(b),
    })
}

fn executor() -> impl Strategy<Value = ExecutorPlan> {
    let guard = prop_oneof![
        Just(Guard::Strict),
        Just(Guard::SkipLow),
        Just(Guard::Naive)
    ];
    (guard, span(), span()).prop_map(|(guard, execute_us, flush_every_blocks)| ExecutorPlan {
        guard,
        execute_us,
        flush_every_blocks,
    })
}

fn process() -> impl Strategy<Value = ProcessId> {
    prop_oneof![
        (0_u16..4).prop_map(ProcessId::Node),
        Just(ProcessId::Executor(0))
    ]
}

fn trigger() -> impl Strategy<Value = Trigger> {
    let stored = (0_u16..4, 0_u32..99).prop_map(|(node, commit)| StoredAt {
        node,
        commit: CommitIndex(commit),
    });
    let durable = (0_u64..99).prop_map(|gei| DurableAt {
        executor: 0,
        gei: GlobalExecIndex(gei),
    });
    let point = prop::sample::select(CrashPoint::ALL);
    let reached = (process(), point, 1_u32..99).prop_map(|(process, point, times)| Reached {
        process,
        point,
        times,
    });
    let conditions = (option::of(stored), option::of(durable), option::of(reached));
    (0_u64..20_000, conditions).prop_map(|(at_ms, (stored, durable, reached))| Trigger {
        at_ms,
        stored,
        durable,
        reached,
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    let ms = || option::of(0_u64..9_000);
    let processes = || vec(process(), 1..4);
    let hosts = || vec(0_u16..4, 1..4);
    prop_oneof![
        (processes(), ms()).prop_map(|(processes, down_ms)| Fault::Process(ProcessFault::Kill {
            processes,
            down_ms
        })),
        (hosts(), ms()).prop_map(|(hosts, down_ms)| Fault::Process(ProcessFault::PowerLoss {
            hosts,
            torn: down_ms.is_none(),
            down_ms
        })),
        (processes(), ms()).prop_map(|(processes, for_ms)| Fault::Process(ProcessFault::Pause {
            processes,
            for_ms
        })),
        (processes(), 0_u64..99).prop_map(|(processes, for_ms)| Fault::Process(
            ProcessFault::StartLate { processes, for_ms }
        )),
        ms().prop_map(|for_ms| Fault::Executor(ExecutorFault::ServeBoth {
            executors: vec![0],
            for_ms
        })),
        ms().prop_map(|for_ms| Fault::Socket(SocketFault::HijackSocket {
            executors: vec![0],
            channel: Channel::Rpc,
            how: Hijack::Silent,
            for_ms
        })),
        hosts().prop_map(|hosts| Fault::Socket(SocketFault::HalfClose {
            hosts,
            channel: Channel::Any,
            side: Side::Client
        })),
        ms().prop_map(|for_ms| Fault::Executor(ExecutorFault::Stall {
            executors: vec![0],
            for_ms
        })),
        (hosts(), ms()).prop_map(|(hosts, for_ms)| Fault::Network(NetworkFault::Partition {
            hosts,
            cut: Cut::Both,
            for_ms
        })),
    ]
}

/// A move of a Byzantine program.
fn step() -> impl Strategy<Value = Move> {
    let (ancestors, answers) = (Ancestors::ALL, Answers::ALL);
    let choices = (
        prop::sample::select(ancestors),
        prop::sample::select(answers),
    );
    (1_u16..20, 1_u16..4, choices).prop_map(|(rounds, twins, (ancestors, answers))| Move {
        rounds,
        twins,
        ancestors,
        answers,
        ..Move::default()
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let fault = (trigger(), fault()).prop_map(|(trigger, fault)| PlannedFault { trigger, fault });
    let times = (1_u64..30_000, 1_u64..60_000);
    let topology = (4_u16..8, any::<bool>(), any::<bool>());
    let lists = (vec(executor(), 8), vec(-999_i64..999, 8), vec(fault, 0..6));
    let byzantine = (
        0_usize..3,
        1_u16..3,
        prop::sample::select(ByzantineStrategy::ALL),
        vec(step(), 0..3),
    );
    let numbers = (span(), vec(1_u64..3_000, Number::all().count()));
    let parts = (times, topology, lists, byzantine, numbers);
    parts.prop_map(
        |(times, topology, lists, byzantine, (latency_ms, numbers))| {
            let mut plan = Plan::example();
            (plan.duration_ms, plan.settle_ms) = times;
            let (validators, single, rough) = topology;
            plan.validators = validators;
            (plan.executors, plan.clock_skew_ms, plan.faults) = lists;
            plan.executors.truncate(usize::from(validators));
            plan.clock_skew_ms.truncate(usize::from(validators));
            let (count, first, strategy, program) = byzantine;
            let validator = |n| ByzantinePlan {
                validator: first + n,
                strategy,
                program: program.clone(),
            };
            plan.byzantine = (0..2).map(validator).collect();
            let most = usize::from(most_byzantine(validators));
            plan.byzantine.truncate(count.min(most));
            if single {
                plan.topology = Topology::SingleMaster;
                plan.executors.truncate(1);
            }
            if rough {
                plan.store = Backend::Rocksdb;
                plan.signatures = SignatureScheme::Ed25519;
            }
            plan.network.latency_ms = latency_ms;
            for (limit, value) in Number::all().zip(numbers) {
                limit.set(&mut plan, value);
            }
            plan
        },
    )
}

/// The distance of a plan from the simplest. A sum of parts of which no step increases any.
fn size(plan: &Plan) -> u64 {
    const RANGE: u64 = 1 << 32;
    let span = |span: Span, simplest: u64| {
        let range = if span.low == span.high { 0 } else { RANGE };
        range + span.low.abs_diff(simplest) + span.high.abs_diff(simplest)
    };
    let mut size = plan.duration_ms + plan.settle_ms + u64::from(plan.validators);
    size += u64::from(plan.topology == Topology::MasterPerNode);
    size += u64::from(plan.store != Backend::Memory);
    size += u64::from(plan.signatures != SignatureScheme::KeyedHash);
    size += plan.bugs.len() as u64;
    let loud = |b: &&ByzantinePlan| b.strategy != ByzantineStrategy::Silent;
    size += (plan.byzantine.len() + plan.byzantine.iter().filter(loud).count()) as u64;
    for step in plan.byzantine.iter().flat_map(|b| &b.program) {
        size += u64::from(step.rounds + step.twins);
        size += u64::from(step.ancestors != Ancestors::Newest);
        size += u64::from(step.answers != Answers::Truthful);
    }
    size += span(plan.network.latency_ms, 1);
    for executor in &plan.executors {
        size += 1 + u64::from(executor.guard != Guard::Strict);
        size += span(executor.execute_us, 100) + span(executor.flush_every_blocks, 1);
    }
    let skews = plan.clock_skew_ms.iter();
    size += skews.map(|skew| 1 + skew.unsigned_abs()).sum::<u64>();
    let simplest = limits::simplest();
    let distance = |number: Number| number.get(plan).abs_diff(number.get(&simplest));
    size += Number::all().map(distance).sum::<u64>();
    size + plan.faults.iter().map(size_of_fault).sum::<u64>()
}

fn size_of_fault(fault: &PlannedFault) -> u64 {
    let Trigger {
        at_ms,
        stored,
        durable,
        reached,
    } = &fault.trigger;
    // A condition weighs more than any number in it.
    let mut size = 1 + at_ms;
    size += stored
        .as_ref()
        .map_or(0, |at| 1_000 + u64::from(at.commit.0.abs_diff(1)));
    size += durable
        .as_ref()
        .map_or(0, |at| 1_000 + at.gei.0.abs_diff(1));
    size += reached.as_ref().map_or(0, |at| 1_000 + u64::from(at.times));
    let mut fault = fault.fault.clone();
    let parts = fault.parts();
    size += parts.targets.count() as u64;
    size += parts.lasting_ms.and_then(|ms| *ms).map_or(0, |ms| 1 + ms);
    size + parts.amount.map_or(0, |amount| *amount)
}

/// Checks that only existing processes are named, and that every fault has a target.
fn assert_coherent(plan: &Plan) {
    assert_eq!(plan.clock_skew_ms.len(), usize::from(plan.validators));
    let executors = match plan.topology {
        Topology::SingleMaster => 1,
        Topology::MasterPerNode => plan.validators,
    };
    assert_eq!(plan.executors.len(), usize::from(executors));
    let exists = |id: ProcessId| match id {
        ProcessId::Node(n) | ProcessId::Sub(n) => n < plan.validators,
        ProcessId::Executor(n) => n < executors,
        ProcessId::World => false,
    };
    assert!(plan.byzantine.len() <= usize::from(most_byzantine(plan.validators)));
    for byzantine in &plan.byzantine {
        assert!(byzantine.validator < plan.validators);
        assert!(byzantine.validator > 0 || plan.topology == Topology::MasterPerNode);
    }
    for fault in &plan.faults {
        let kept = fault::renumbered(fault, &|id| exists(id).then_some(id));
        let kept = kept.expect("it has a target, and waits for a process that exists");
        assert_eq!(size_of_fault(&kept), size_of_fault(fault), "{fault:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_candidate_is_strictly_simpler_and_coherent(plan in plan()) {
        assert_coherent(&plan);
        for step in steps(&plan, false) {
            for candidate in step.candidates(&plan) {
                prop_assert!(size(&candidate) < size(&plan), "{}: {candidate:?}", step.name);
                assert_coherent(&candidate);
            }
        }
    }

    #[test]
    fn if_every_plan_fails_the_simplest_is_left(plan in plan()) {
        let left = shrunk(plan.clone(), |_| true);
        prop_assert_eq!(left.faults.len(), 0);
        prop_assert_eq!(left.byzantine.len(), 0);
        prop_assert_eq!(left.validators, 4);
        prop_assert_eq!(left.executors.len(), 1);
        prop_assert_eq!(left.seed, plan.seed);
        prop_assert!(steps(&left, false).iter().all(|step| step.candidates(&left).is_empty()));
    }

    #[test]
    fn the_result_fails_and_nothing_simpler_does(plan in plan(), numbers in 0_u64..9_000) {
        let fails = |plan: &Plan| {
            plan.duration_ms * 3 + plan.settle_ms >= numbers
                && plan.faults.iter().map(size_of_fault).sum::<u64>() >= numbers
        };
        prop_assume!(fails(&plan));
        let left = shrunk(plan, fails);
        prop_assert!(fails(&left));
        for step in steps(&left, false) {
            prop_assert!(!step.candidates(&left).iter().any(fails), "{}", step.name);
        }
    }
}

#[test]
fn a_stopped_search_returns_the_best_so_far() {
    let plan = Plan {
        duration_ms: 20_000,
        ..Plan::example()
    };
    let mut trial = Pure {
        fails: |plan: &Plan| plan.duration_ms > 5_000,
        tried: 0,
        most: 6,
    };
    let (left, ended) = shrink(plan, false, &mut trial);
    assert_eq!(ended, Err(Stopped));
    assert!((5_001..20_000).contains(&left.duration_ms), "{left:?}");
}

#[test]
fn the_time_until_a_deadline_is_kept() {
    let mut trial = Pure {
        fails: |_: &Plan| true,
        tried: 0,
        most: 1_000,
    };
    let (left, _) = shrink(Plan::example(), true, &mut trial);
    assert_eq!(left.settle_ms, Plan::example().settle_ms);
}

#[test]
fn a_validator_that_matters_keeps_its_settings() {
    let mut plan = Plan::example();
    plan.validators = 7;
    plan.executors = (0..7).map(|_| plan.executors[0].clone()).collect();
    plan.executors[5].guard = Guard::Naive;
    plan.clock_skew_ms = vec![0, 0, 0, 0, 0, 77, 0];
    plan.faults = vec![PlannedFault {
        trigger: Trigger::default(),
        fault: Fault::Process(ProcessFault::Kill {
            processes: vec![
                ProcessId::Node(2),
                ProcessId::Node(5),
                ProcessId::Executor(5),
            ],
            down_ms: Some(500),
        }),
    }];
    // The naive executor is killed, and its host's clock is wrong.
    let fails = |plan: &Plan| {
        let killed = plan.faults.iter().any(|fault| match &fault.fault {
            Fault::Process(ProcessFault::Kill { processes, .. }) => {
                processes.iter().any(|id| match id {
                    ProcessId::Executor(n) => plan.executors[usize::from(*n)].guard == Guard::Naive,
                    _ => false,
                })
            }
            _ => false,
        });
        killed && plan.clock_skew_ms.contains(&77)
    };
    assert!(fails(&plan));
    let left = shrunk(plan, fails);
    assert_eq!((left.validators, left.executors.len()), (4, 1));
    assert_eq!(left.clock_skew_ms, [77, 0, 0, 0]);
    assert_eq!(
        left.faults[0].fault,
        Fault::Process(ProcessFault::Kill {
            processes: vec![ProcessId::Executor(0)],
            down_ms: None
        })
    );
}

#[test]
fn a_byzantine_validator_that_matters_keeps_its_number_in_the_committee() {
    let mut plan = Plan::example();
    plan.validators = 7;
    plan.executors = (0..7).map(|_| plan.executors[0].clone()).collect();
    plan.clock_skew_ms = vec![0, 0, 0, 0, 77, 0, 0];
    let byzantine = |validator, strategy| ByzantinePlan {
        validator,
        strategy,
        program: vec![],
    };
    plan.byzantine = vec![
        byzantine(1, ByzantineStrategy::Flooding),
        byzantine(4, ByzantineStrategy::Lying),
    ];
    // Of the two only the one with the wrong clock matters, with any strategy.
    let fails = |plan: &Plan| {
        let wrong = |b: &ByzantinePlan| plan.clock_skew_ms[usize::from(b.validator)] == 77;
        plan.byzantine.iter().any(wrong)
    };
    assert!(fails(&plan));
    let left = shrunk(plan, fails);
    assert_eq!(
        (left.validators, left.topology),
        (4, Topology::SingleMaster)
    );
    let [of_byzantine] = &left.byzantine[..] else {
        panic!("{:?}", left.byzantine)
    };
    assert_eq!(of_byzantine.strategy, ByzantineStrategy::Silent);
    assert!(of_byzantine.validator > 0);
}

/// As in the check of scenarios: Byzantine validators and those that faults take down are together at most as many as
/// the committee tolerates.
#[test]
fn faulty_and_byzantine_validators_are_counted_together() {
    let mut plan = Plan::example();
    plan.validators = 7;
    plan.executors = (0..7).map(|_| plan.executors[0].clone()).collect();
    plan.clock_skew_ms = vec![0; 7];
    plan.max_faulty = Some(1);
    plan.byzantine = vec![ByzantinePlan {
        validator: 6,
        strategy: ByzantineStrategy::Silent,
        program: vec![],
    }];
    let left = shrunk(plan, |plan: &Plan| !plan.byzantine.is_empty());
    assert_eq!((left.validators, left.max_faulty), (4, Some(0)));
}
