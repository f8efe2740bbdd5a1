//! Seed in, outcome out: one run in two phases. First safety under faults; then everything heals, and progress is
//! demanded within a bound.

use crate::{
    allocator,
    disk::Disks,
    net::Kernel,
    oracles::Violation,
    plan::Plan,
    recorder::{ExecutorReport, NodeReport, Recorder},
    trace::{Entry, ProcessId, SimTime, TraceHash, What, WorldEvent},
    world::{Job, Workload, World, lock},
};
use metanode_core::env::{CrashPoint, Event};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// New commits that the second phase demands beyond the tip at its start, so that a chain that stands still fails.
const NEW_COMMITS: u64 = 3;

/// A run whose simulated time does not move for so long outside is given up.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Stack of a simulation's thread: futures of a whole cluster are polled on it.
const STACK_BYTES: usize = 8 << 20;

/// How a run is done, apart from what decides it.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// The newest entries that are kept for the report.
    pub keep_entries: usize,
}

impl RunOptions {
    /// Everything that happened is kept.
    pub const KEEP_ALL: Self = Self {
        keep_entries: usize::MAX,
    };
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Passed,
    SafetyViolated,
    LivenessViolated,
    /// A process panicked, or the simulation itself.
    Panicked,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub plan: Plan,
    pub verdict: Verdict,
    /// The run ends at the first.
    pub violations: Vec<Violation>,
    /// The message, if something panicked.
    pub panic: Option<String>,
    pub trace_hash: TraceHash,
    pub events: u64,
    pub simulated: SimTime,
    pub nodes: Vec<NodeReport>,
    pub executors: Vec<ExecutorReport>,
    /// All probes with how often each was reached.
    pub probes: BTreeMap<String, u64>,
    /// How often each process was at each of its crash points.
    #[serde(skip)]
    pub reached: BTreeMap<(ProcessId, CrashPoint), u32>,
    /// The newest entries of the trace, oldest first.
    pub entries: Vec<Entry>,
}

/// Runs a plan on a thread of its own and waits for the outcome, or until simulated time has stood still for so long
/// that it will not go on. The thread is then left behind: nothing can end it from outside.
#[must_use]
pub fn run(plan: Plan, options: &RunOptions) -> Outcome {
    allocator::keep_freed_memory();
    let recorder = Arc::new(Mutex::new(Recorder::new(&plan, options.keep_entries)));
    let now_ns = Arc::new(AtomicU64::new(0));
    let panic = {
        let (sender, ended) = std::sync::mpsc::channel();
        #[allow(clippy::disallowed_methods)] // one simulation = one fresh thread
        let thread = std::thread::Builder::new()
            .name(format!("{}/{}", plan.scenario, plan.seed))
            .stack_size(STACK_BYTES)
            .spawn({
                let (plan, recorder) = (plan.clone(), recorder.clone());
                let now_ns = now_ns.clone();
                move || {
                    let simulated = AssertUnwindSafe(|| simulate(plan, recorder, now_ns));
                    // Nobody listens any more to a run that was given up.
                    let _ = sender.send(std::panic::catch_unwind(simulated));
                }
            });
        match thread.map(|_| wait_for(&ended, &now_ns, STANDSTILL)) {
            Ok(Ok(Ok(Ok(())))) => None,
            Ok(Ok(Ok(Err(e)))) => Some(format!("the simulation could not begin: {e}")),
            Ok(Ok(Err(payload))) => Some(message(payload.as_ref())),
            Ok(Err(stuck)) => Some(format!("{stuck}; {}", last_words(&lock(&recorder)))),
            Err(e) => Some(format!("the simulation's thread could not begin: {e}")),
        }
    };
    let recorder = lock(&recorder);
    let violation = recorder.violation().cloned();
    let verdict = match (&panic, &violation) {
        (Some(_), _) => Verdict::Panicked,
        (None, Some(violation)) if violation.invariant.is_liveness() => Verdict::LivenessViolated,
        (None, Some(_)) => Verdict::SafetyViolated,
        (None, None) => Verdict::Passed,
    };
    Outcome {
        plan,
        verdict,
        violations: violation.into_iter().collect(),
        panic,
        trace_hash: recorder.hash(),
        events: recorder.events(),
        simulated: recorder.end(),
        nodes: recorder.nodes().to_vec(),
        executors: recorder.executors().to_vec(),
        probes: recorder.probes().counts(),
        reached: recorder.reached().clone(),
        entries: recorder.entries().cloned().collect(),
    }
}

type Simulated = std::thread::Result<std::io::Result<()>>;

/// Waits for the end of a simulation whose time is `now_ns`.
fn wait_for(
    ended: &Receiver<Simulated>,
    now_ns: &AtomicU64,
    standstill: Duration,
) -> Result<Simulated, String> {
    let mut last_ns = 0;
    loop {
        match ended.recv_timeout(standstill) {
            Ok(simulated) => return Ok(simulated),
            Err(RecvTimeoutError::Disconnected) => {
                return Err("the simulation's thread is gone".to_owned());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let ns = now_ns.load(Ordering::Relaxed);
        if ns == last_ns {
            return Err(format!(
                "simulated time stood still at {} for {} s: some task goes round without waiting for anything",
                SimTime { ns }.to_string().trim_start(),
                standstill.as_secs()
            ));
        }
        last_ns = ns;
    }
}

/// Who reported something last, and what.
fn last_words(recorder: &Recorder) -> String {
    let Some(last) = recorder.entries().last() else {
        return "nobody has reported anything".to_owned();
    };
    let said = match &last.what {
        What::Process(Event::Node(event)) => event.to_string(),
        What::Process(Event::Executor(event)) => event.to_string(),
        What::Process(Event::Crashed(point)) => format!("reached {point}"),
        What::World(event) => format!("{event:?}"),
    };
    format!("the last report came from {}: {said}", last.process)
}

fn simulate(
    plan: Plan,
    recorder: Arc<Mutex<Recorder>>,
    now_ns: Arc<AtomicU64>,
) -> std::io::Result<()> {
    metanode_core::bugs::enable(&plan.bugs);
    let disks = Disks::start(plan.store)?;
    let runtime =
        madsim::runtime::Runtime::with_seed_and_config(plan.seed, madsim::Config::default());
    runtime.add_simulator::<Kernel>();
    runtime.block_on(async {
        let (sender, jobs) = mpsc::unbounded_channel();
        let world = World::new(plan, recorder.clone(), &disks, sender);
        Supervisor::new(world.clone(), jobs, now_ns)
            .supervise()
            .await;
        lock(&recorder).finish(world.now(), world.reached());
        world.close().await;
    });
    Ok(())
}

/// Drives the world through its two phases, doing at each moment what the calendar says.
struct Supervisor {
    world: Arc<World>,
    jobs: mpsc::UnboundedReceiver<(SimTime, Job)>,
    /// In order of time; ties in the order in which they were entered.
    calendar: BTreeMap<(SimTime, u64), Job>,
    entered: u64,
    workload: Workload,
    next_send: SimTime,
    /// Told to whoever watches from outside.
    now_ns: Arc<AtomicU64>,
}

impl Supervisor {
    fn new(
        world: Arc<World>,
        jobs: mpsc::UnboundedReceiver<(SimTime, Job)>,
        now_ns: Arc<AtomicU64>,
    ) -> Self {
        let workload = Workload::new(&world);
        Self {
            next_send: SimTime::from_ms(workload.interval_ms()),
            world,
            jobs,
            calendar: BTreeMap::new(),
            entered: 0,
            workload,
            now_ns,
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
        self.world.emit(ProcessId::World, WorldEvent::FaultsEnded);
        self.world.set_goal(NEW_COMMITS);
        self.pass_until(end).await;
    }

    /// Lets time pass until `end`, or until the world is decided.
    async fn pass_until(&mut self, end: SimTime) -> Pass {
        loop {
            while let Ok((at, job)) = self.jobs.try_recv() {
                self.calendar.insert((at, self.entered), job);
                self.entered += 1;
            }
            let now = self.world.now();
            self.now_ns.store(now.ns, Ordering::Relaxed);
            while let Some(entry) = self.calendar.first_entry()
                && entry.key().0 <= now
            {
                self.world.perform(entry.remove());
            }
            if now >= self.next_send {
                self.workload.send(&self.world);
                self.next_send.ns = now.ns + self.workload.interval_ms() * 1_000_000;
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

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Backend;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn a_run_whose_time_stands_still_is_given_up() {
        let (_running, ended) = std::sync::mpsc::channel();
        let now_ns = AtomicU64::new(1_500_000_000);
        let Err(stuck) = wait_for(&ended, &now_ns, MOMENT) else {
            panic!("it never ends")
        };
        assert!(stuck.contains("stood still at 1.500s"), "{stuck}");
    }

    #[test]
    fn a_run_that_ends_is_waited_for() {
        let (running, ended) = std::sync::mpsc::channel();
        running.send(Ok(Ok(()))).unwrap();
        assert!(wait_for(&ended, &AtomicU64::new(0), MOMENT).is_ok());
    }

    /// The world holds the recorder, its tasks hold the world: if one of them were left, so would be a reference.
    #[test]
    #[allow(clippy::disallowed_methods)] // one simulation = one fresh thread
    fn nothing_of_a_world_outlives_its_run() {
        for store in [Backend::Memory, Backend::Rocksdb] {
            let plan = Plan {
                store,
                duration_ms: 500,
                ..Plan::example()
            };
            let recorder = Arc::new(Mutex::new(Recorder::new(&plan, 0)));
            let of_run = recorder.clone();
            let run = std::thread::spawn(move || simulate(plan, of_run, Arc::default()));
            run.join().unwrap().unwrap();
            assert!(lock(&recorder).events() > 0);
            assert_eq!(Arc::strong_count(&recorder), 1, "{store:?}");
        }
    }
}
