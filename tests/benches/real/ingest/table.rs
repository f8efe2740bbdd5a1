//! Runs the cases and prints what they measured. A full cross product would take an hour: these are the slices in which
//! workers, size of batches and size of the channel show their influence one at a time.

use super::{
    case::{Case, Replies, Way},
    measured::{Measured, measure},
    transaction::BYTES,
};
use crate::machine::syncs_per_second;
use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
};
use tempfile::TempDir;

/// What deployments waited after a write.
const DEPLOYED: Way = Way::OldPool {
    pause_after_write_ms: 1,
};
const WITHOUT_PAUSE: Way = Way::OldPool {
    pause_after_write_ms: 0,
};

/// The pace at which no way is overloaded, so that times are those of the way and not of a queue.
const PACE_PER_SECOND: u32 = 200;

/// Cases that differ in one thing.
struct Slice {
    name: &'static str,
    cases: Vec<Case>,
}

/// Prints all slices.
pub fn print_all() -> Result<(), Box<dyn Error>> {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let syncs = syncs_per_second(folder.path(), BYTES)?;
    println!(
        "transactions in: {BYTES} bytes each, a Sub and the node's ingest server as two processes\n\
        this disk syncs {syncs:.0} times per second in a bare loop; one sync stores a group of up to 256 frames"
    );
    println!(
        "\nfire and forget; tx/s until the node has read the last one, ratio to the old pool with its pause"
    );
    print(Replies::Forgotten, syncs)?;
    println!(
        "\nreplies awaited: `success` after the sync; up to 16 frames of a connection under way; ratio to the old pool \
        with a client that waits"
    );
    print(Replies::Awaited, syncs)
}

fn slices(replies: Replies, ways: &[Way]) -> Vec<Slice> {
    let case = |way| Case {
        way,
        replies,
        workers: 1,
        queue: 1_000,
        batch: 1,
        per_second: 0,
        tcp: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let by_way = |name, change: &dyn Fn(Case) -> Case| Slice {
        name,
        cases: ways.iter().map(|way| change(case(*way))).collect(),
    };
    let workers =
        [1, 4, 10].map(|workers| by_way("workers", &move |case| Case { workers, ..case }));
    let batches = [10, 100].map(|batch| {
        by_way("size of batches", &move |case| Case {
            batch,
            workers: 4,
            ..case
        })
    });
    let channel = Slice {
        name: "size of the channel",
        cases: [10, 100]
            .map(|queue| Case {
                queue,
                ..case(Way::Unix)
            })
            .into(),
    };
    let paced = by_way("at a pace of 200 batches/s", &|case| Case {
        per_second: PACE_PER_SECOND,
        ..case
    });
    let mut all = Vec::from(workers);
    all.extend(batches);
    all.extend([channel, paced]);
    all
}

/// All slices of one kind of replies. A ratio is to the reference with as many workers, transactions and batches per
/// second.
fn print(replies: Replies, syncs: f64) -> Result<(), Box<dyn Error>> {
    let (ways, reference): (&[Way], Way) = match replies {
        Replies::Forgotten => (&[DEPLOYED, WITHOUT_PAUSE, Way::Unix, Way::Tcp], DEPLOYED),
        Replies::Awaited => (&[WITHOUT_PAUSE, Way::Unix, Way::Tcp], WITHOUT_PAUSE),
    };
    println!(
        "  {:<22} {:>7} {:>5} {:>5} {:>7} {:>6} {:>7} {:>7} {:>13} {:>15} {:>15} {:>11} {:>9}",
        "milliseconds: half/99 %",
        "workers",
        "queue",
        "batch",
        "tx/s",
        "ratio",
        "tx/sync",
        "lost",
        "hand-over",
        "until read",
        "until reply",
        "CPU s",
        "peak MiB"
    );
    let (mut named, mut bases) = ("", vec![]);
    for Slice { name, cases } in slices(replies, ways) {
        if name != named {
            println!(" {name}");
            named = name;
        }
        for case in cases {
            let measured = measure(case)?;
            let of = (case.workers, case.batch, case.per_second);
            if case.way == reference {
                bases.push((of, measured.transactions_per_second()));
            }
            let base = bases.iter().find(|(alike, _)| *alike == of);
            println!("  {}", row(&measured, base.map(|(_, base)| *base), syncs));
        }
    }
    Ok(())
}

fn row(of: &Measured, base: Option<f64>, syncs: f64) -> String {
    let (name, queue) = match of.case.way {
        Way::Unix => ("channel, Unix socket".to_owned(), of.case.queue.to_string()),
        Way::Tcp => ("channel, TCP".to_owned(), of.case.queue.to_string()),
        Way::OldPool {
            pause_after_write_ms: 0,
        } => ("old pool".to_owned(), "-".to_owned()),
        Way::OldPool {
            pause_after_write_ms,
        } => (
            format!("old pool, pause {pause_after_write_ms} ms"),
            "-".to_owned(),
        ),
    };
    let per_second = of.transactions_per_second();
    let ratio = base.map_or_else(String::new, |base| format!("x{:.1}", per_second / base));
    let (per_sync, replied) = match of.case.replies {
        Replies::Forgotten => ("-".to_owned(), "-".to_owned()),
        Replies::Awaited => (format!("{:.1}", per_second / syncs), ms(of.replied_ns)),
    };
    let lost = of.sent.saturating_sub(of.read) * u64::from(of.case.batch);
    let seconds = |ms: u64| ms as f64 / 1e3;
    let cpu = format!(
        "{:.2}/{:.2}",
        seconds(of.client.cpu_ms),
        seconds(of.node.cpu_ms)
    );
    let peak = format!("{}/{}", of.client.peak_kib >> 10, of.node.peak_kib >> 10);
    format!(
        "{name:<23} {:>7} {queue:>5} {:>5} {per_second:>7.0} {ratio:>6} {per_sync:>7} {lost:>7} {:>13} {:>15} {replied:>15} \
        {cpu:>11} {peak:>9}",
        of.case.workers,
        of.case.batch,
        ms(of.handed_over_ns),
        ms(of.until_read_ns),
    )
}

fn ms([half, most]: [u64; 2]) -> String {
    format!("{:.3}/{:.3}", half as f64 / 1e6, most as f64 / 1e6)
}
