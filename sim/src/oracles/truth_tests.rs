//! TRUTH on constructed traces: each violation, and the nearest legal trace.

use super::{
    Violation,
    facts::{proposes, seen},
    testing::{judge, judge_facts},
    truth::Truth,
    truthful::with_facts,
};
use crate::{
    plan::{Authorities, ByzantinePlan, ByzantineStrategy, Plan},
    trace::{
        Entry, ProcessId, SimTime, What, WorldEvent,
        testing::{
            boundary_committed, durable, entered, executed, executor, found, gei, learned, node,
            opened, power_lost, stored, world_event, written,
        },
    },
    witness::{Fact, Reply, StateRoot},
};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::{AuthorityIndex, CommitIndex, Epoch, Round, Slot},
};
use std::sync::Arc;

const NODE: ProcessId = ProcessId::Node(0);
const EXECUTOR: ProcessId = ProcessId::Executor(0);

fn verdict(trace: &[Entry]) -> Option<Box<Violation>> {
    judge_facts(Truth::new(&Plan::example()), trace)
}

fn clause(trace: &[Entry]) -> Option<&'static str> {
    verdict(trace).map(|violation| violation.clause)
}

/// Node 0 proposes in round 1, and says so.
fn proposal() -> [Entry; 2] {
    proposal_of(1)
}

/// Node 0 proposes in this round, and says so.
fn proposal_of(round: u32) -> [Entry; 2] {
    let fact = proposes(100, &Plan::example(), 0, round, 0);
    let What::Seen(Fact::BlockStored { block, .. }) = &fact.what else {
        panic!("a block")
    };
    let event = NodeEvent::Proposed {
        epoch: Epoch(0),
        block: block.reference,
        transactions: 0,
        payload_bytes: 0,
    };
    [fact, node(100, 0, event)]
}

/// The last fact of this report, and the report.
fn reported(event: Entry) -> [Entry; 2] {
    let before = match &event.what {
        What::Process(Event::Node(NodeEvent::ChangeRecorded { .. })) => {
            vec![node(100, 0, opened(0, 0)), event]
        }
        _ => vec![event],
    };
    let all = with_facts(&before);
    all[all.len() - 2..].to_vec().try_into().unwrap()
}

/// Facts with their reports, and another report of the same kind.
fn reports() -> Vec<([Entry; 2], Entry)> {
    let [_, other_proposal] = proposal();
    let mut other_proposal = other_proposal;
    if let What::Process(Event::Node(NodeEvent::Proposed { block, .. })) = &mut other_proposal.what
    {
        block.round.0 += 1;
    }
    let removed = |epoch| {
        node(
            100,
            0,
            NodeEvent::EpochRemoved {
                epoch: Epoch(epoch),
            },
        )
    };
    vec![
        (proposal(), other_proposal),
        (reported(node(100, 0, stored(1))), node(100, 0, stored(2))),
        (
            reported(node(100, 0, written(1, 1))),
            node(100, 0, written(1, 2)),
        ),
        (
            reported(node(100, 0, opened(0, 0))),
            node(100, 0, opened(0, 1)),
        ),
        (
            reported(node(100, 0, boundary_committed(0, 10))),
            node(100, 0, boundary_committed(0, 11)),
        ),
        (reported(removed(1)), removed(2)),
        (
            reported(executor(100, 0, durable(1))),
            executor(100, 0, durable(2)),
        ),
        (
            reported(executor(100, 0, entered(1, 10))),
            executor(100, 0, entered(1, 11)),
        ),
    ]
}

/// The run lasts until then.
fn at(at_ms: u64) -> Entry {
    world_event(at_ms, ProcessId::World, WorldEvent::FaultsEnded)
}

#[test]
fn what_is_done_is_reported_as_it_is() {
    for ([fact, report], other) in reports() {
        assert_eq!(verdict(&[fact.clone(), report]), None);
        let violation = verdict(&[fact.clone(), other.clone()]).unwrap();
        assert_eq!(violation.clause, "reported-otherwise");
        assert_eq!(violation.evidence, [fact, other]);
    }
}

#[test]
fn nothing_is_reported_that_is_not_done() {
    for ([fact, report], _) in reports() {
        assert_eq!(
            clause(std::slice::from_ref(&report)),
            Some("reported-without-a-fact")
        );
        assert_eq!(
            clause(&[report.clone(), fact.clone()]),
            Some("reported-without-a-fact")
        );
        let twice = [fact, report.clone(), report];
        // The same record may be reported again: the epoch is entered again.
        let is_record = matches!(&twice[0].what, What::Seen(Fact::EpochRecorded { .. }));
        let expected = (!is_record).then_some("reported-without-a-fact");
        assert_eq!(clause(&twice), expected);
    }
}

#[test]
fn what_is_done_is_reported_soon() {
    for ([fact, report], _) in reports() {
        assert_eq!(clause(&[fact.clone(), at(1_100)]), None);
        let violation = verdict(&[fact.clone(), at(1_101)]).unwrap();
        assert_eq!(violation.clause, "not-reported");
        assert_eq!(violation.evidence, std::slice::from_ref(&fact));
        assert_eq!(clause(&[fact, report, at(1_101)]), None);
    }
}

#[test]
fn what_a_process_did_just_before_its_end_need_not_be_reported() {
    for ([fact, report], _) in reports() {
        let process = fact.process;
        for end in [
            WorldEvent::Killed,
            power_lost(1),
            WorldEvent::Started { start: 2 },
        ] {
            let ended = |at_ms| world_event(at_ms, process, end.clone());
            assert_eq!(clause(&[fact.clone(), ended(101), at(5_000)]), None);
            assert_eq!(
                clause(&[fact.clone(), ended(1_101), at(5_000)]),
                Some("not-reported")
            );
        }
        let of_another = world_event(101, ProcessId::Node(3), WorldEvent::Killed);
        assert_eq!(
            clause(&[fact.clone(), of_another, at(5_000)]),
            Some("not-reported")
        );
        // The disk keeps records.
        let is_record = matches!(&fact.what, What::Seen(Fact::EpochRecorded { .. }));
        let killed = world_event(101, process, WorldEvent::Killed);
        let expected = (!is_record).then_some("reported-without-a-fact");
        assert_eq!(clause(&[fact, killed, report]), expected);
    }
}

#[test]
fn a_restored_node_need_not_report_what_it_had_proposed_before() {
    let of_rounds = |rounds: [u32; 3]| rounds.map(proposal_of);
    let [[fact, report], [fetched, _], [next, next_report]] = of_rounds([2, 1, 3]);
    let taken = SimTime::from_ms(0);
    let restored = world_event(
        100,
        NODE,
        WorldEvent::DiskRestored {
            taken,
            copied_from: None,
        },
    );
    let trace = |fetched: &Entry, ends: [Entry; 2]| {
        let [next, report_of_next] = ends;
        let before = [fact.clone(), report.clone(), restored.clone()];
        let after = [fetched.clone(), next, report_of_next, at(5_000)];
        [&before[..], &after].concat()
    };
    let ends = [next.clone(), next_report.clone()];
    assert_eq!(clause(&trace(&fetched, ends)), None);
    // It may also sign a round again, and then says so.
    assert_eq!(
        clause(&trace(&fetched, [fact.clone(), report.clone()])),
        None
    );
    let later = proposes(100, &Plan::example(), 0, 4, 0);
    let otherwise = [later, next_report];
    assert_eq!(
        clause(&trace(&fetched, otherwise)),
        Some("reported-otherwise")
    );
    let without_restore = [fetched, next];
    assert_eq!(
        clause(&[&without_restore[..], &[report]].concat()),
        Some("reported-otherwise")
    );
}

#[test]
fn a_process_that_stops_or_fails_reports_nothing_more() {
    let reason = || "no space left".to_owned();
    let ends = [
        (NodeEvent::Stopped, ExecutorEvent::Stopped),
        (
            NodeEvent::Failed { reason: reason() },
            ExecutorEvent::Failed { reason: reason() },
        ),
    ];
    for ([fact, _], _) in reports() {
        for (of_node, of_executor) in ends.clone() {
            let end = match fact.process {
                ProcessId::Node(n) => node(101, n, of_node),
                _ => executor(101, 0, of_executor),
            };
            assert_eq!(clause(&[fact.clone(), end, at(5_000)]), None);
        }
    }
}

#[test]
fn a_paused_process_reports_later() {
    for ([fact, report], _) in reports() {
        let paused = world_event(101, fact.process, WorldEvent::Paused);
        let resumed = world_event(5_000, fact.process, WorldEvent::Resumed);
        let pause = [fact, paused, at(4_000), resumed];
        assert_eq!(clause(&pause[..3]), None);
        assert_eq!(clause(&[&pause[..], &[at(6_000)]].concat()), None);
        assert_eq!(
            clause(&[&pause[..], &[at(6_001)]].concat()),
            Some("not-reported")
        );
        assert_eq!(clause(&[&pause[..], &[report, at(9_000)]].concat()), None);
    }
}

#[test]
fn a_frame_of_a_connection_that_was_given_up_is_not_reported() {
    let [frame, report] = reported(node(100, 0, written(1, 1)));
    let [next, next_report] = reported(node(400, 0, written(2, 2)));
    let opened = seen(300, NODE, Fact::StreamOpened { connection: 2 });
    let lost = NodeEvent::StreamLost {
        connection: 1,
        reason: String::new(),
    };
    let lost = node(200, 0, lost);
    let later = [next, next_report, at(5_000)];
    let then = |earlier: &[Entry]| clause(&[earlier, &later].concat());
    assert_eq!(then(&[frame.clone(), opened]), None);
    assert_eq!(then(&[frame.clone(), lost]), None);
    assert_eq!(then(&[frame.clone(), report]), None);
    assert_eq!(then(&[frame]), Some("reported-otherwise"));
}

#[test]
fn reports_follow_the_order_of_facts() {
    let [first, first_report] = reported(node(100, 0, stored(1)));
    let [second, second_report] = reported(node(100, 0, stored(2)));
    let ordered = [&first, &second, &first_report, &second_report].map(Clone::clone);
    assert_eq!(clause(&ordered), None);
    assert_eq!(
        clause(&[first, second, second_report]),
        Some("reported-otherwise")
    );
}

#[test]
fn a_commit_is_reported_as_it_is_stored() {
    let [fact, report] = reported(node(100, 0, stored(1)));
    let epoch = reported(node(100, 0, opened(0, 0)));
    for change in 0..6 {
        let mut other = report.clone();
        if let What::Process(Event::Node(NodeEvent::CommitStored {
            epoch,
            commit,
            gei,
            leader,
            blocks,
            ..
        })) = &mut other.what
        {
            match change {
                0 => epoch.0 += 1,
                1 => commit.index.0 += 1,
                2 => commit.digest.0[0] ^= 1,
                3 => gei.0 += 1,
                4 => leader.round.0 += 1,
                _ => *blocks += 1,
            }
        }
        let trace = [&epoch[..], &[fact.clone(), other]].concat();
        assert_eq!(clause(&trace), Some("reported-otherwise"));
    }
    let repaired = |index| {
        let index = CommitIndex(index);
        node(100, 0, NodeEvent::CommitRepaired { index })
    };
    assert_eq!(clause(&[fact.clone(), repaired(1)]), None);
    assert_eq!(clause(&[fact, repaired(2)]), Some("reported-otherwise"));
}

#[test]
fn a_learned_watermark_is_in_a_reply() {
    let replies = |watermarks: &[u64]| -> Vec<Entry> {
        let numbered = watermarks.iter().zip(1..);
        let read = numbered.map(|(watermark, number)| {
            let reply = Arc::new(Reply::LastBlockNumber(gei(*watermark)));
            let connection = 1;
            seen(
                100,
                NODE,
                Fact::ReplyRead {
                    connection,
                    number,
                    reply,
                },
            )
        });
        read.collect()
    };
    let learns = |replies: Vec<Entry>, watermark| {
        clause(&[replies, vec![node(100, 0, learned(watermark))]].concat())
    };
    let lie = Some("watermark-in-no-reply");
    assert_eq!(learns(replies(&[7]), 7), None);
    assert_eq!(learns(replies(&[7]), 8), lie);
    assert_eq!(learns(replies(&[7, 8]), 7), None);
    assert_eq!(learns(vec![], 7), lie);
    let many: Vec<u64> = (7..=7 + 16).collect();
    assert_eq!(learns(replies(&many[..16]), 7), None);
    assert_eq!(learns(replies(&many), 7), lie);
    let queries = |watermark| {
        let event = NodeEvent::ExecutorQueried {
            epoch: Epoch(0),
            watermark: gei(watermark),
        };
        [replies(&[7]), vec![node(100, 0, event)]].concat()
    };
    assert_eq!(clause(&queries(7)), None);
    assert_eq!(clause(&queries(0)), lie);
    assert_eq!(learns(queries(7), 7), lie, "before the query");
    let assumed = NodeEvent::GenesisAssumed {
        epoch: Epoch(0),
        watermark: gei(0),
        reason: "silence".to_owned(),
    };
    assert_eq!(clause(&[node(0, 0, assumed)]), Some("genesis-assumed"));
    // Read by an earlier incarnation, by another node, or not read at all.
    let restarted = world_event(100, NODE, WorldEvent::Started { start: 2 });
    assert_eq!(learns([replies(&[7]), vec![restarted]].concat(), 7), lie);
    let mut of_another = replies(&[7]);
    of_another[0].process = ProcessId::Node(1);
    assert_eq!(learns(of_another, 7), lie);
    let mut not_read = replies(&[7]);
    if let What::Seen(Fact::ReplyRead {
        connection,
        number,
        reply,
    }) = not_read[0].what.clone()
    {
        not_read[0].what = What::Seen(Fact::ReplySent {
            connection,
            number,
            reply,
        });
    }
    assert_eq!(learns(not_read, 7), lie);
}

#[test]
fn a_start_of_an_executor_finds_what_its_disk_holds() {
    let [fact, start] = reported(executor(100, 0, found(5)));
    assert_eq!(clause(&[fact.clone(), start.clone()]), None);
    let [_, other] = reported(executor(100, 0, found(4)));
    assert_eq!(clause(&[fact.clone(), other]), Some("reported-otherwise"));
    let other_root = ExecutorEvent::Started {
        watermark: gei(5),
        state_root: [9; 32],
    };
    let other_root = executor(100, 0, other_root);
    assert_eq!(clause(&[fact, other_root]), Some("reported-otherwise"));
    assert_eq!(clause(&[start]), Some("reported-without-a-fact"));
}

#[test]
fn a_reported_root_is_on_the_disk() {
    let trace = [executor(100, 0, executed(1)), executor(100, 0, durable(1))];
    assert_eq!(judge(Truth::new(&Plan::example()), &trace), None);
    let mut lied = with_facts(&trace);
    for entry in &mut lied {
        if let What::Seen(Fact::Durable { state_root, .. }) = &mut entry.what {
            *state_root = StateRoot([9; 32]);
        }
    }
    let violation = verdict(&lied).unwrap();
    assert_eq!(violation.clause, "root-not-on-disk");
    assert_eq!(violation.process, EXECUTOR);
    // An earlier incarnation has executed it.
    lied.insert(1, world_event(100, EXECUTOR, WorldEvent::Killed));
    assert_eq!(verdict(&lied), None);
}

#[test]
fn only_own_blocks_of_honest_nodes_are_reported() {
    let [mut fact, _] = proposal();
    let late = at(5_000);
    assert!(verdict(&[fact.clone(), late.clone()]).is_some());
    let mut plan = Plan::example();
    plan.byzantine.push(ByzantinePlan {
        validator: 0,
        strategy: ByzantineStrategy::Lying,
        program: vec![],
    });
    let trace = [fact.clone(), late.clone()];
    assert_eq!(judge_facts(Truth::new(&plan), &trace), None);
    fact.process = ProcessId::Node(1);
    assert_eq!(verdict(&[fact, late]), None);
}

#[test]
fn an_honest_author_is_not_accused() {
    let accused = |validator| {
        let mut authorities = Authorities::new(&Plan::example());
        let mut indexes = (0..4).map(AuthorityIndex);
        let author =
            indexes.find(|index| authorities.validator(Epoch(0), *index) == Some(validator));
        let equivocation = NodeEvent::Equivocation {
            epoch: Epoch(0),
            slot: Slot {
                round: Round(1),
                author: author.unwrap(),
            },
        };
        [node(100, 0, equivocation)]
    };
    assert_eq!(
        clause(&accused(1)),
        Some("equivocation-of-an-honest-author")
    );
    let byzantine = ByzantinePlan {
        validator: 1,
        strategy: ByzantineStrategy::Equivocating,
        program: vec![],
    };
    let plan = Plan {
        byzantine: vec![byzantine],
        ..Plan::example()
    };
    assert_eq!(judge_facts(Truth::new(&plan), &accused(1)), None);
}
