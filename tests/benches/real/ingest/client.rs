//! The client's side of a case: who has transactions, and the Sub's channel and workers, or its pool of connections.

use super::{
    case::{Case, Replies, Way},
    server,
    transaction::{Made, batch},
};
use crate::machine::{Usage, now_ns, quantiles};
use bytes::Bytes;
use metanode_core::{
    env::{Env, real},
    tasks::Tasks,
};
use mock_go_executor::sub::{
    OldClient, Senders, SubConfig,
    config::SubLimits,
    old_transport::{HandBack, OldTransport},
};
use std::{
    error::Error,
    io::BufRead,
    num::NonZeroU32,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::oneshot, task::JoinSet};

/// For so long batches are handed over.
const DURATION_NS: u64 = 700_000_000;

/// What callers have seen.
#[derive(Default)]
struct Seen {
    batches: u64,
    handed_over_ns: Vec<u64>,
    replied_ns: Vec<u64>,
    last_reply_ns: u64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.batches += other.batches;
        self.handed_over_ns.extend(other.handed_over_ns);
        self.replied_ns.extend(other.replied_ns);
        self.last_reply_ns = self.last_reply_ns.max(other.last_reply_ns);
    }

    fn replied(&mut self, from_ns: u64, to_ns: u64) {
        self.replied_ns.push(to_ns - from_ns);
        self.last_reply_ns = self.last_reply_ns.max(to_ns);
    }
}

/// Sends for a while and prints what was seen: batches, begin, last reply, the quantiles of the time of a hand-over and
/// of the time to a reply, and what the process used. Ends with its input, so that what is in sockets is not lost.
pub fn run(folder: &Path, case: &Case) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let env = real::env(&folder.join("client"))?;
    let config = config(folder, case);
    let begin_ns = now_ns();
    let seen = runtime.block_on(async {
        match config.old_transport {
            None => over_the_channel(&env, case, &config).await,
            Some(old) => over_the_pool(&env, case, &config, old).await,
        }
    })?;
    let [half, most] = quantiles(seen.handed_over_ns);
    let [reply_half, reply_most] = quantiles(seen.replied_ns);
    let Usage { cpu_ms, peak_kib } = Usage::own()?;
    let (batches, last) = (seen.batches, seen.last_reply_ns);
    println!(
        "{batches} {begin_ns} {last} {half} {most} {reply_half} {reply_most} {cpu_ms} {peak_kib}"
    );
    std::io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}

fn config(folder: &Path, case: &Case) -> SubConfig {
    let positive = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    SubConfig {
        transaction_socket_path: server::address(folder, case),
        listen_address: None,
        metrics_listen_address: None,
        old_transport: match case.way {
            Way::Unix | Way::Tcp => None,
            Way::OldPool {
                pause_after_write_ms,
            } => Some(OldTransport {
                pool_connections: positive(case.workers),
                hand_back: match case.replies {
                    Replies::Forgotten => HandBack::AfterWrite,
                    Replies::Awaited => HandBack::AfterExchange,
                },
                pause_after_write_ms,
            }),
        },
        limits: SubLimits {
            queue_batches: positive(case.queue),
            workers: positive(case.workers),
            max_frames_in_flight: positive(16),
            fire_and_forget: case.replies == Replies::Forgotten,
            ..SubLimits::default()
        },
        follow: None,
    }
}

/// One caller fills the channel.
async fn over_the_channel(env: &Env, case: &Case, config: &SubConfig) -> Result<Seen, String> {
    let tasks = Tasks::new(env.monitor.clone());
    let senders = Senders::start(env, config, &tasks);
    let (mut seen, mut replies) = (Seen::default(), JoinSet::new());
    let mut pace = Pace::new(case);
    let end_ns = now_ns() + DURATION_NS;
    while now_ns() < end_ns {
        pace.wait().await;
        let Made {
            batch,
            at_ns,
            reply,
        } = batch(seen.batches, case.batch, case.replies);
        seen.batches += 1;
        let handed_over = senders.batches.send(batch).await;
        handed_over.map_err(|_| "the workers have ended")?;
        seen.handed_over_ns.push(now_ns() - at_ns);
        if let Some(reply) = reply {
            replies.spawn(async move {
                let reply = success(reply).await;
                (reply, at_ns, now_ns())
            });
        }
    }
    drop(senders.batches);
    for worker in senders.tasks {
        worker.await.map_err(|e| e.to_string())?;
    }
    for (reply, from_ns, to_ns) in replies.join_all().await {
        reply?;
        seen.replied(from_ns, to_ns);
    }
    Ok(seen)
}

/// Each worker is a caller that uses the pool itself.
async fn over_the_pool(
    env: &Env,
    case: &Case,
    config: &SubConfig,
    old: OldTransport,
) -> Result<Seen, String> {
    let to = config.transaction_socket_path.clone();
    let client = Arc::new(OldClient::new(env, to, old, &config.limits));
    let numbers = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    let end_ns = now_ns() + DURATION_NS;
    for _ in 0..case.workers {
        let (client, numbers, case) = (client.clone(), numbers.clone(), *case);
        callers.spawn(async move {
            let mut seen = Seen::default();
            let mut pace = Pace::new(&case);
            while now_ns() < end_ns {
                pace.wait().await;
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let made = batch(number, case.batch, case.replies);
                client.send(made.batch).await;
                let now = now_ns();
                seen.batches += 1;
                seen.handed_over_ns.push(now - made.at_ns);
                if let Some(reply) = made.reply {
                    success(reply).await?;
                    seen.replied(made.at_ns, now);
                }
            }
            Ok::<_, String>(seen)
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = callers.join_next().await {
        all.add(seen.map_err(|e| e.to_string())??);
    }
    // Its connections stay open until the process ends.
    std::mem::forget(client);
    Ok(all)
}

async fn success(reply: oneshot::Receiver<Bytes>) -> Result<(), String> {
    let reply = reply.await.map_err(|_| "no reply")?;
    match reply.starts_with(br#"{"success":true,"#) {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&reply).into_owned()),
    }
}

/// When the next batch is handed over.
struct Pace(Option<tokio::time::Interval>);

impl Pace {
    fn new(case: &Case) -> Self {
        let seconds = (case.per_second > 0).then(|| 1.0 / f64::from(case.per_second));
        Self(seconds.map(|seconds| tokio::time::interval(Duration::from_secs_f64(seconds))))
    }

    async fn wait(&mut self) {
        if let Some(interval) = &mut self.0 {
            interval.tick().await;
        }
    }
}
