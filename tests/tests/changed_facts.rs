//! Every oracle accepts a real trace, and fires when one fact of its world is changed, left out or added. What processes
//! say of themselves stays as it was. Where an oracle judges at the end of a run or when the time is up, a change moves
//! that time, too; the unchanged trace is accepted with it.
#![cfg(madsim)]

use metanode_core::{
    env::{Event, NodeEvent},
    types::{BlockDigest, CommitDigest, TransactionHash},
};
use metanode_sim::{
    oracles::Invariant,
    plan::{Backend, Plan},
    run::{RunOptions, Verdict, judge, run},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{Durability, Fact, Reply, Request, SeenBlock, SeenCommit, StateRoot},
};
use std::{collections::BTreeMap, sync::Arc};

/// Seeds in which a place for the change must be found.
const SEEDS: u64 = 20;

/// A run that passed.
#[derive(Clone)]
struct Run {
    plan: Plan,
    trace: Vec<Entry>,
    end: SimTime,
}

/// Changes one fact of a trace, if it has a suitable one.
type Change = fn(&mut Run) -> Option<()>;

/// A scenario, and the change that must violate the invariant in it.
const fn change_for(invariant: Invariant) -> (&'static str, Change) {
    match invariant {
        Invariant::Exec1 => ("executor_crash", a_durable_block_is_written_again),
        Invariant::Gap0 => ("slow_executor", a_durable_block_is_missing),
        Invariant::Wire => ("happy_path", a_frame_is_sent_twice),
        Invariant::Mono => ("executor_crash", a_reply_reports_less_than_was_found),
        Invariant::Agree => ("happy_path", a_second_node_stores_another_commit),
        Invariant::Root => ("happy_path", the_last_state_is_another),
        Invariant::Bound => ("happy_path", a_node_forgets_what_is_durable),
        Invariant::Backp => ("stalled_executor", an_own_block_is_stored_at_a_full_window),
        Invariant::Durable => ("happy_path", a_reply_reports_what_is_not_durable),
        Invariant::Epoch => ("epoch_change", an_epoch_starts_a_millisecond_later),
        Invariant::Noequiv => ("happy_path", a_block_has_a_second_digest),
        Invariant::Noloss => (
            "happy_path",
            a_transaction_is_promised_that_is_not_in_the_journal,
        ),
        Invariant::Start => ("happy_path", a_start_does_not_end),
        Invariant::Live => ("happy_path", faults_end_after_everything_else),
        Invariant::Rpc => ("happy_path", a_reply_answers_another_request),
        Invariant::Quorum => ("happy_path", the_first_node_stores_another_commit),
        Invariant::Truth => ("happy_path", a_node_reads_another_watermark),
        Invariant::Expect => ("resume_at_8_of_10", a_restart_is_a_first_start),
    }
}

fn a_durable_block_is_written_again(Run { trace, .. }: &mut Run) -> Option<()> {
    let (at, frame) = find(trace, |entry| match fact(entry)? {
        Fact::Durable { blocks, .. } => blocks.first().cloned(),
        _ => None,
    })?;
    let what = What::Seen(Fact::BlockRewritten { block: frame });
    let again = Entry {
        what,
        ..trace[at].clone()
    };
    trace.insert(at + 1, again);
    Some(())
}

fn a_durable_block_is_missing(Run { trace, .. }: &mut Run) -> Option<()> {
    trace.iter_mut().find_map(|entry| match fact_mut(entry)? {
        Fact::Durable { blocks, .. } if blocks.len() > 1 => blocks.pop().map(drop),
        _ => None,
    })
}

fn a_frame_is_sent_twice(Run { trace, .. }: &mut Run) -> Option<()> {
    let (at, ()) = find(trace, |entry| {
        matches!(fact(entry)?, Fact::FrameSent { .. }).then_some(())
    })?;
    trace.insert(at + 1, trace[at].clone());
    Some(())
}

fn a_reply_reports_less_than_was_found(Run { trace, .. }: &mut Run) -> Option<()> {
    let (at, executor) = find(trace, |entry| match fact(entry)? {
        Fact::ExecutorFound { watermark, .. } if watermark.0 > 0 => Some(entry.process),
        _ => None,
    })?;
    let of_executor = trace[at..]
        .iter_mut()
        .filter(|entry| entry.process == executor);
    of_executor
        .into_iter()
        .find_map(|entry| match fact_mut(entry)? {
            Fact::ReplySent { reply, .. } => less(reply),
            _ => None,
        })
}

fn a_second_node_stores_another_commit(Run { trace, .. }: &mut Run) -> Option<()> {
    let (at, first) = find(trace, |entry| stored_commit(entry).cloned())?;
    let commit = trace[at + 1..].iter_mut().find_map(|entry| {
        let is_second = stored_commit(entry)?.index == first.index;
        is_second.then(|| stored_commit_mut(entry))?
    })?;
    commit.digest = CommitDigest([9; 32]);
    Some(())
}

fn the_last_state_is_another(Run { trace, .. }: &mut Run) -> Option<()> {
    trace
        .iter_mut()
        .rev()
        .find_map(|entry| match fact_mut(entry)? {
            Fact::Durable { state_root, .. } => {
                *state_root = StateRoot([9; 32]);
                Some(())
            }
            _ => None,
        })
}

fn a_node_forgets_what_is_durable(Run { plan, trace, .. }: &mut Run) -> Option<()> {
    let capacity = u64::from(plan.node.delivery.window_blocks);
    let (at, ()) = find(trace, |entry| match &entry.what {
        What::Process(Event::Node(NodeEvent::WindowLoaded { last, .. })) => {
            (last.0 > capacity).then_some(())
        }
        _ => None,
    })?;
    let what = What::World(WorldEvent::Started { start: 2 });
    let started = Entry {
        what,
        ..trace[at].clone()
    };
    trace.insert(at, started);
    Some(())
}

/// In the middle of the longest time without an own block.
fn an_own_block_is_stored_at_a_full_window(Run { trace, .. }: &mut Run) -> Option<()> {
    let node = ProcessId::Node(0);
    let own = trace.iter().filter(|entry| match fact(entry) {
        Some(Fact::BlockStored { durability, .. }) => {
            entry.process == node && *durability == Durability::Synced
        }
        _ => false,
    });
    let own: Vec<_> = own.collect();
    let longest = own
        .windows(2)
        .max_by_key(|pair| pair[1].at.since(pair[0].at).ns)?;
    let mut between = longest[0].clone();
    between.at.ns += longest[1].at.since(longest[0].at).ns / 2;
    let at = trace.iter().position(|entry| entry.at > between.at)?;
    trace.insert(at, between);
    Some(())
}

fn a_reply_reports_what_is_not_durable(Run { trace, .. }: &mut Run) -> Option<()> {
    trace.iter_mut().find_map(|entry| match fact_mut(entry)? {
        Fact::ReplySent { reply, .. } => match Arc::make_mut(reply) {
            Reply::LastBlockNumber(watermark) => {
                watermark.0 += 1_000;
                Some(())
            }
            _ => None,
        },
        _ => None,
    })
}

fn an_epoch_starts_a_millisecond_later(Run { trace, .. }: &mut Run) -> Option<()> {
    trace
        .iter_mut()
        .rev()
        .find_map(|entry| match fact_mut(entry)? {
            Fact::EpochRecorded { record } => {
                Arc::make_mut(record).start_ms.0 += 1;
                Some(())
            }
            _ => None,
        })
}

fn a_block_has_a_second_digest(Run { trace, .. }: &mut Run) -> Option<()> {
    trace.iter_mut().find_map(|entry| match fact_mut(entry)? {
        Fact::BlockSent { block } => {
            let block: &mut SeenBlock = Arc::make_mut(block);
            block.reference.digest = BlockDigest([9; 32]);
            Some(())
        }
        _ => None,
    })
}

fn a_transaction_is_promised_that_is_not_in_the_journal(run: &mut Run) -> Option<()> {
    run.trace
        .iter_mut()
        .find_map(|entry| match &mut entry.what {
            What::Seen(Fact::BatchAnswered { taken, .. }) if !taken.is_empty() => {
                Arc::make_mut(taken)[0].hash = TransactionHash([9; 32]);
                Some(())
            }
            _ => None,
        })
}

fn a_start_does_not_end(Run { plan, trace, end }: &mut Run) -> Option<()> {
    trace.push(Entry {
        at: *end,
        process: ProcessId::Node(0),
        what: What::World(WorldEvent::Started { start: 2 }),
    });
    end.ns += SimTime::from_ms(2 * plan.settle_ms).ns;
    Some(())
}

fn faults_end_after_everything_else(Run { plan, trace, end }: &mut Run) -> Option<()> {
    let (at, ()) = find(trace, |entry| {
        (entry.what == What::World(WorldEvent::FaultsEnded)).then_some(())
    })?;
    let ended = trace.remove(at);
    trace.push(Entry { at: *end, ..ended });
    end.ns += SimTime::from_ms(plan.settle_ms).ns;
    // What was promised last would stay in journals for too long, which is another violation.
    let late = end
        .ns
        .saturating_sub(SimTime::from_ms(plan.settle_ms + 2_000).ns);
    trace.retain(|entry| {
        let is_promise = matches!(
            entry.what,
            What::Seen(Fact::JournalWritten { .. } | Fact::BatchAnswered { .. })
        );
        entry.at.ns < late || !is_promise
    });
    Some(())
}

fn a_reply_answers_another_request(Run { trace, .. }: &mut Run) -> Option<()> {
    trace.iter_mut().find_map(|entry| match fact_mut(entry)? {
        Fact::RequestSent { request, .. } if *request == Request::GetLastBlockNumber => {
            *request = Request::GetCurrentEpoch;
            Some(())
        }
        _ => None,
    })
}

fn the_first_node_stores_another_commit(Run { trace, .. }: &mut Run) -> Option<()> {
    let commit = trace.iter_mut().find_map(stored_commit_mut)?;
    commit.timestamp_ms.0 += 1;
    Some(())
}

fn a_node_reads_another_watermark(Run { trace, .. }: &mut Run) -> Option<()> {
    trace.iter_mut().find_map(|entry| match fact_mut(entry)? {
        Fact::ReplyRead { reply, .. } => less(reply),
        _ => None,
    })
}

fn a_restart_is_a_first_start(Run { plan, trace, .. }: &mut Run) -> Option<()> {
    let node = plan.expect.first()?.node;
    let of_node = trace.iter_mut().filter(|entry| entry.process == node);
    of_node.into_iter().find_map(|entry| match &mut entry.what {
        What::World(WorldEvent::Started { start }) if *start > 1 => {
            *start = 1;
            Some(())
        }
        _ => None,
    })
}

/// The first entry for which this gives something.
fn find<T>(trace: &[Entry], of: impl FnMut(&Entry) -> Option<T>) -> Option<(usize, T)> {
    let mut found = trace.iter().map(of).enumerate();
    found.find_map(|(at, found)| Some((at, found?)))
}

const fn fact(entry: &Entry) -> Option<&Fact> {
    match &entry.what {
        What::Seen(fact) => Some(fact),
        _ => None,
    }
}

const fn fact_mut(entry: &mut Entry) -> Option<&mut Fact> {
    match &mut entry.what {
        What::Seen(fact) => Some(fact),
        _ => None,
    }
}

fn stored_commit(entry: &Entry) -> Option<&SeenCommit> {
    match fact(entry)? {
        Fact::CommitStored { commit, .. } => Some(commit),
        _ => None,
    }
}

fn stored_commit_mut(entry: &mut Entry) -> Option<&mut SeenCommit> {
    match fact_mut(entry)? {
        Fact::CommitStored { commit, .. } => Some(Arc::make_mut(commit)),
        _ => None,
    }
}

/// Makes a reply report a watermark that is one lower.
fn less(reply: &mut Arc<Reply>) -> Option<()> {
    match Arc::make_mut(reply) {
        Reply::LastBlockNumber(watermark) if watermark.0 > 0 => {
            watermark.0 -= 1;
            Some(())
        }
        _ => None,
    }
}

/// A run of a built-in scenario, with its whole trace.
fn run_of(scenario: &'static str, seed: u64) -> Run {
    let named = metasim::catalog::scenario(scenario).expect("it is built in");
    let plan = named.scenario.draw(scenario, seed, Backend::Memory);
    let outcome = run(plan, &RunOptions::KEEP_ALL);
    assert_eq!(outcome.verdict, Verdict::Passed, "{scenario}, seed {seed}");
    let (plan, end) = (outcome.plan, outcome.simulated);
    let judged = judge(&plan, outcome.entries.clone(), end);
    assert_eq!(judged.violation, None, "{scenario}, seed {seed}: unchanged");
    assert_eq!(
        judged.trace_hash, outcome.trace_hash,
        "{scenario}, seed {seed}"
    );
    Run {
        plan,
        trace: outcome.entries,
        end,
    }
}

#[test]
fn every_oracle_fires_when_one_fact_is_changed() {
    let mut runs: BTreeMap<(&'static str, u64), Run> = BTreeMap::new();
    let mut unexpected = vec![];
    for invariant in Invariant::ALL {
        let (scenario, change) = change_for(invariant);
        let changed = (0..SEEDS).find_map(|seed| {
            let key = (scenario, seed);
            let run = runs.entry(key).or_insert_with(|| run_of(scenario, seed));
            let mut changed = run.clone();
            change(&mut changed)?;
            let Run { plan, trace, end } = changed;
            let unchanged = judge(&plan, run.trace.clone(), end);
            assert_eq!(unchanged.violation, None, "{invariant}: without the change");
            Some(judge(&plan, trace, end).violation)
        });
        match changed {
            Some(Some(violation)) if violation.invariant == invariant => {}
            Some(violation) => {
                unexpected.push(format!("{invariant} in {scenario}: {violation:#?}"))
            }
            None => unexpected.push(format!("{invariant}: no run of {scenario} has such a fact")),
        }
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}
