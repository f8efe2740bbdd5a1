//! One simulation: a world on its own runtime, driven through two phases. First safety under faults; then all faults
//! end, and progress is demanded within a bound.

use crate::{
    disk::Disks,
    net::Kernel,
    plan::Plan,
    recorder::Recorder,
    trace::SimTime,
    world::{Job, Status, Workload, World, lock},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;

const LOOK_AT_MEMORY_EVERY: SimTime = SimTime::from_ms(1_000);

/// The panic of a simulation, or its result.
pub(super) type Simulated = std::thread::Result<std::io::Result<()>>;

/// Runs a plan on this thread, which must be a new one.
///
/// # Errors
/// If it cannot start.
pub(super) fn simulate(
    plan: Plan,
    recorder: Arc<Mutex<Recorder>>,
    status: Arc<Status>,
) -> std::io::Result<()> {
    if plan.buggy_validators.is_empty() {
        metanode_core::bugs::enable(&plan.bugs);
    }
    let disks = Disks::start(plan.store)?;
    let runtime =
        madsim::runtime::Runtime::with_seed_and_config(plan.seed, madsim::Config::default());
    runtime.add_simulator::<Kernel>();
    runtime.block_on(async {
        let (sender, jobs) = mpsc::unbounded_channel();
        let world = World::new(plan, recorder.clone(), status.clone(), &disks, sender);
        Supervisor::new(world.clone(), jobs, status)
            .supervise()
            .await;
        if !lock(&recorder).is_over() {
            world.read_disks();
        }
        lock(&recorder).finish(world.now(), world.reached());
        world.close().await;
    });
    Ok(())
}

/// Drives the world through its two phases and performs the jobs of the calendar.
struct Supervisor {
    world: Arc<World>,
    jobs: mpsc::UnboundedReceiver<(SimTime, Job)>,
    /// By time; ties in the order of insertion.
    calendar: BTreeMap<(SimTime, u64), Job>,
    entered: u64,
    workload: Workload,
    next_send: SimTime,
    /// When the memory of the processes is looked at next.
    next_look: SimTime,
    status: Arc<Status>,
}

impl Supervisor {
    fn new(
        world: Arc<World>,
        jobs: mpsc::UnboundedReceiver<(SimTime, Job)>,
        status: Arc<Status>,
    ) -> Self {
        let workload = Workload::new(&world);
        Self {
            next_send: SimTime::from_ms(workload.interval_ms()),
            next_look: SimTime::default(),
            world,
            jobs,
            calendar: BTreeMap::new(),
            entered: 0,
            workload,
            status,
        }
    }

    async fn supervise(mut self) {
        let plan = self.world.plan();
        let faults_end = SimTime::from_ms(plan.duration_ms);
        let end = SimTime::from_ms(plan.duration_ms + plan.settle_ms);
        self.world.begin();
        if self.pass_until(faults_end).await == Pass::Decided {
            return;
        }
        self.world.heal();
        self.world.demand_progress();
        self.pass_until(end).await;
    }

    /// Advances time until `end`, or until the run is decided.
    async fn pass_until(&mut self, end: SimTime) -> Pass {
        loop {
            while let Ok((at, job)) = self.jobs.try_recv() {
                self.calendar.insert((at, self.entered), job);
                self.entered += 1;
            }
            let now = self.world.now();
            self.status.set_now(now);
            if self.status.is_abandoned() {
                return Pass::Decided;
            }
            while let Some(entry) = self.calendar.first_entry()
                && entry.key().0 <= now
            {
                self.world.perform(entry.remove());
            }
            if now >= self.next_send {
                self.workload.send(&self.world);
                self.next_send.ns = now.ns + self.workload.interval_ms() * 1_000_000;
            }
            if now >= self.next_look {
                self.world.look_at_memory();
                self.next_look.ns = now.ns + LOOK_AT_MEMORY_EVERY.ns;
            }
            if now >= end {
                return Pass::TimeIsUp;
            }
            let next_job = self.calendar.first_key_value().map(|((at, _), _)| *at);
            let until = next_job.unwrap_or(end).min(end).min(self.next_send);
            tokio::select! {
                biased;
                () = self.world.decided.notified() => return Pass::Decided,
                Some((at, job)) = self.jobs.recv() => {
                    self.calendar.insert((at, self.entered), job);
                    self.entered += 1;
                }
                () = tokio::time::sleep(Duration::from_nanos(until.since(self.world.now()).ns)) => {}
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    TimeIsUp,
    Decided,
}
