//! `metasim conformance`: drives a live executor through the contract, clause by clause.
//!
//! Starts from whatever W and epoch the executor reports, and delivers blocks and epochs of its own: it is for executors
//! whose chain has no value. Decides by what the executor answers alone.
//!
//! | module | content |
//! |---|---|
//! | `clause` | the clauses |
//! | `chain` | the blocks that are delivered (pure) |
//! | `watermarks` | what the answers about W say together (pure) |
//! | `rpc_client` | the executor RPC as a client |
//! | `session` | the conversation |
//! | `rpc`, `framing`, `order`, `blocks`, `epochs`, `kill` | how the clauses of each subject are tried |
//! | `restart` | how the executor is killed |
//!
//! Decodes with the node's own messages: what is judged here are other people's encoders.

mod blocks;
mod chain;
pub mod clause;
mod epochs;
mod framing;
mod kill;
mod order;
mod restart;
mod rpc;
mod rpc_client;
mod session;
mod watermarks;

use crate::clauses::{Judgement, Verdict, Verdicts, abbreviated_hex as hex};
use metanode_core::types::Address;
pub use restart::{Restart, RestartByHand, RestartCommand};
use session::{Probe, Session};
use std::time::Duration;

/// The executor.
#[derive(Clone, Debug)]
pub struct Target {
    pub block_stream: Address,
    pub rpc: Address,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For an answer, and for W to move.
    pub timeout: Duration,
    /// For something that must not happen.
    pub settle: Duration,
}

/// Tries every clause. Without `restart` those of a kill are not testable.
#[must_use]
pub fn check(target: &Target, times: Times, restart: Option<&mut dyn Restart>) -> Judgement {
    let mut session = match Session::begin(target, times) {
        Ok(session) => session,
        Err(violation) => {
            let why = "the executor did not say where it is";
            let mut verdicts = Verdicts::default();
            verdicts.add(clause::RPC_KINDS, Verdict::Broken(violation));
            return verdicts.judgement(clause::ALL, why);
        }
    };
    let started = session.chain.base();
    let watermark = session.watermarks.last().unwrap_or_default();
    session.verdicts.observe(format!(
        "the executor was in epoch {} with base {} and W = {watermark}",
        started.epoch, started.base
    ));
    for (clause, probe) in PROBES {
        session.judge(*clause, probe);
    }
    // It is no clause, and what it breaks shows in those that follow.
    if session.ended.is_none() {
        let _ = session.observe_granularity();
    }
    match restart {
        Some(restart) => session.kills(restart),
        None => {
            for clause in [
                clause::KILL_WATERMARK,
                clause::KILL_STATE,
                clause::KILL_RESUME,
                clause::KILL_EPOCH,
            ] {
                let why = "no --restart-command".to_owned();
                session.verdicts.add(clause, Verdict::NotTestable { why });
            }
        }
    }
    judgement(session)
}

/// A clause and how it is tried.
type Entry = (crate::clauses::Clause, fn(&mut Session) -> Probe);

const PROBES: &[Entry] = &[
    (clause::RPC_KINDS, Session::rpc_kinds),
    (clause::RPC_ORDER, Session::rpc_order),
    (clause::RPC_SPLIT, Session::rpc_split),
    (clause::RPC_UNKNOWN, Session::rpc_unknown),
    (clause::RPC_LENGTH, Session::rpc_length),
    (clause::BOUNDARY_DATA, Session::boundary_data_is_consistent),
    (clause::BOUNDARY_FUTURE, Session::boundary_future),
    (clause::STREAM_FRAME, Session::stream_frame),
    (clause::STREAM_SPLIT, Session::stream_split),
    (clause::STREAM_SEVERAL, Session::stream_several),
    (clause::STREAM_UVARINT, Session::stream_uvarint),
    (clause::STREAM_LARGE, Session::stream_large),
    (clause::STREAM_PARTIAL, Session::stream_partial),
    (clause::STREAM_LENGTH, Session::stream_length),
    (clause::ORDER_DUPLICATE, Session::order_duplicate),
    (clause::ORDER_GAP, Session::order_gap),
    (clause::ORDER_EPOCH, Session::order_epoch),
    (clause::BLOCKS_RANGE, Session::blocks_range),
    (clause::BLOCKS_MISSING, Session::blocks_missing),
    (clause::BLOCKS_LIMIT, Session::blocks_limit),
    (clause::WATERMARK_STATE, Session::watermark_state),
    (clause::ADVANCE_REFUSED, Session::advance_refused),
    (clause::ADVANCE, Session::advance),
    (clause::ADVANCE_AGAIN, Session::advance_again),
    (clause::ADVANCE_CHANGED, Session::advance_changed),
    (clause::ADVANCE_BLOCKS, Session::advance_blocks),
];

/// The verdicts, with those that only the whole conversation gives.
fn judgement(mut session: Session) -> Judgement {
    let watermarks = session.watermarks;
    let has_delivered = watermarks.has_delivered();
    for (clause, violation) in [
        (clause::WATERMARK_FALLS, watermarks.fell),
        (clause::WATERMARK_BEYOND, watermarks.beyond),
        (clause::STREAM_ONE_WAY, None),
    ] {
        let verdict = match violation {
            Some(violation) => Verdict::Broken(violation),
            None if has_delivered => Verdict::Held,
            None => Verdict::NotTestable {
                why: "no block was delivered".to_owned(),
            },
        };
        session.verdicts.add(clause, verdict);
    }
    let why = session.ended.unwrap_or_default();
    session.verdicts.judgement(clause::ALL, &why)
}
