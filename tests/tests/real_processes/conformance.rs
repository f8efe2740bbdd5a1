//! `metasim conformance` against executors that keep the contract, and against one for each clause of a few that do not.

use crate::{
    faulty_master::{Fault, FaultyMaster},
    interop::{build, start_master},
    process::Process,
    validator::{Validator, validators},
};
use metasim::{
    clauses::{Judgement, Verdict},
    conformance::{Restart, Target, Times, check},
};
use mock_go_executor::Guard;
use std::time::Duration;
use tempfile::TempDir;

/// Only failing clauses wait for the first; what must not happen is waited for in the second.
const TIMES: Times = Times {
    timeout: Duration::from_secs(10),
    settle: Duration::from_millis(200),
};

/// A process of a validator, and how it is started.
struct Restarted<'a> {
    validator: &'a mut Validator,
    process: Option<Process>,
    start: &'a dyn Fn(&mut Validator) -> Process,
}

impl<'a> Restarted<'a> {
    fn start(validator: &'a mut Validator, start: &'a dyn Fn(&mut Validator) -> Process) -> Self {
        let process = Some(start(validator));
        Self {
            validator,
            process,
            start,
        }
    }
}

impl Restart for Restarted<'_> {
    fn restart(&mut self) -> Result<(), String> {
        self.process = None; // killed when dropped
        self.process = Some((self.start)(self.validator));
        Ok(())
    }
}

fn target(validator: &Validator) -> Target {
    Target {
        block_stream: validator.executor.block_stream_address.clone(),
        rpc: validator.executor.rpc_address.clone(),
    }
}

fn assert_all_held(judgement: &Judgement) {
    for judged in &judgement.clauses {
        assert_eq!(judged.verdict, Verdict::Held, "{}", judged.clause.id);
    }
}

/// Twice: the second time it is neither in epoch 0 nor at block 0.
async fn keeps_the_contract(validator: &mut Validator, start: &dyn Fn(&mut Validator) -> Process) {
    let target = target(validator);
    let mut restarted = Restarted::start(validator, start);
    restarted.validator.answers().await;
    for _ in 0..2 {
        assert_all_held(&check(&target, TIMES, Some(&mut restarted)));
    }
}

#[tokio::test]
async fn the_mock_keeps_every_clause() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 4);
    all[0].executor.flush_every_blocks = [1, 7];
    keeps_the_contract(&mut all[0], &Validator::start_executor).await;
}

#[tokio::test]
async fn the_mock_keeps_every_clause_although_it_keeps_seconds_and_skips_silently() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 1);
    all[0].executor.epoch_start_granularity_ms = 1_000;
    all[0].executor.guard = Guard::SkipLow;
    keeps_the_contract(&mut all[0], &Validator::start_executor).await;
}

#[tokio::test]
async fn the_go_master_keeps_every_clause() {
    let root = TempDir::new().unwrap();
    let Some(programs) = build(root.path()) else {
        return;
    };
    let mut all = validators(root.path(), 4);
    let start = |validator: &mut Validator| start_master(&programs, validator);
    keeps_the_contract(&mut all[0], &start).await;
}

#[tokio::test]
async fn a_guard_that_executes_everything_is_found() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 1);
    all[0].executor.guard = Guard::Naive;
    let _executor = all[0].start_executor();
    all[0].answers().await;
    let judgement = check(&target(&all[0]), TIMES, None);
    for clause in ["order-duplicate", "order-gap", "order-epoch"] {
        assert_broken(&judgement, clause);
    }
}

fn assert_broken(judgement: &Judgement, clause: &str) {
    let broken: Vec<_> = judgement.violations().map(|(it, _)| it.id).collect();
    assert!(broken.contains(&clause), "{clause} in {judgement:#?}");
}

/// Clauses that this fault breaks, against one that keeps them without the fault.
fn finds(fault: Fault, clauses: &[&str]) {
    // A fault that stops everything ends a wait with each clause.
    let times = Times {
        timeout: Duration::from_secs(2),
        ..TIMES
    };
    for (fault, is_broken) in [(None, false), (Some(fault), true)] {
        let root = TempDir::new().unwrap();
        let mut master = FaultyMaster::start(root.path(), fault);
        let judgement = check(&master.target(), times, Some(&mut master));
        for clause in clauses {
            if is_broken {
                assert_broken(&judgement, clause);
            } else {
                let found = judgement.clauses.iter().find(|it| it.clause.id == *clause);
                assert_eq!(found.unwrap().verdict, Verdict::Held, "{judgement:#?}");
            }
        }
    }
}

#[test]
fn a_watermark_that_is_stored_before_the_state_is_found() {
    finds(Fault::WatermarkBeforeState, &["kill-state"]);
}

#[test]
fn a_watermark_of_what_is_in_memory_is_found() {
    finds(Fault::WatermarkInMemory, &["kill-watermark"]);
}

#[test]
fn a_swallowed_frame_is_found() {
    finds(Fault::SwallowsThirdFrameOfAWrite, &["stream-several"]);
}

#[test]
fn a_reply_out_of_order_is_found() {
    finds(Fault::SwapsAnswersToPipelinedRequests, &["rpc-order"]);
}

#[test]
fn a_watermark_that_falls_is_found() {
    finds(Fault::WatermarkFallsOnce, &["watermark-falls"]);
}
