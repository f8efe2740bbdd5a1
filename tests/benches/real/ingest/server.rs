//! The node's side of a case: listener, intake and journal, as in a node.

use super::{
    case::{Case, Way},
    stamped::{Observed, Reads},
};
use crate::machine::{Usage, quantiles};
use metanode_core::{
    config::IngestParameters,
    env::{
        Network,
        real::{self, OsNetwork},
    },
    ingest::{Journal, Phase, Server, Transport, intake},
    types::Address,
};
use std::{error::Error, io::BufRead, path::Path, sync::Arc, time::Duration};

/// Nothing is executed: what a case sends must find its place.
const JOURNAL_BYTES: usize = 1_000_000_000;

/// Without a further frame for this time, what is missing is lost.
const QUIET: Duration = Duration::from_millis(300);

/// Where the node of this case listens.
pub fn address(folder: &Path, case: &Case) -> Address {
    match case.way {
        Way::Unix => Address::Unix(folder.join("transactions.sock")),
        Way::Tcp | Way::OldPool { .. } => Address::Tcp(case.tcp),
    }
}

/// Serves until a line with the number of frames that were sent comes in, and prints what was read of them: frames, the
/// time of the last one, the quantiles of the time from hand-over to read, and what the process used.
pub fn run(folder: &Path, case: &Case) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let env = real::env(&folder.join("node"))?;
    let journal = Arc::new(Journal::open(env.stores.as_ref(), JOURNAL_BYTES)?);
    journal.enter(Phase::Proposing);
    let (intake, submissions) = intake();
    let server = Server::new(env.monitor.clone(), intake, IngestParameters::default());
    let transport = match case.way {
        Way::Unix | Way::Tcp => Transport::Frames,
        Way::OldPool { .. } => Transport::OneRequest,
    };
    let reads = Reads::default();
    let listener = runtime.block_on(OsNetwork.listen(&address(folder, case)))?;
    let observed = Observed {
        listener,
        transport,
        reads: reads.clone(),
    };
    runtime.spawn(server.serve(Box::new(observed), transport));
    runtime.spawn(submissions.store(env, journal));
    println!("ready");

    let mut sent = String::new();
    std::io::stdin().lock().read_line(&mut sent)?;
    let sent: usize = sent.trim().parse()?;
    runtime.block_on(async {
        let mut before = usize::MAX;
        loop {
            let read = reads.noted().latencies_ns.len();
            if read >= sent || read == before {
                return;
            }
            before = read;
            tokio::time::sleep(QUIET).await;
        }
    });
    let noted = reads.noted();
    let [half, most] = quantiles(noted.latencies_ns.clone());
    let (read, last_ns) = (noted.latencies_ns.len(), noted.last_ns);
    let Usage { cpu_ms, peak_kib } = Usage::own()?;
    println!("{read} {last_ns} {half} {most} {cpu_ms} {peak_kib}");
    Ok(())
}
