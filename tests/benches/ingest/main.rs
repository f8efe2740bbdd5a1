//! How fast transactions come in: a Sub in one process, the node's ingest server with its journal on RocksDB in another,
//! over the sockets of this machine. Compares the transaction socket with the transport before it.
//!
//! The node's process runs the listener, the intake and the journal, and nothing else: consensus and executor would
//! compete for the same cores. Nothing is executed, so the journal grows for as long as a case lasts.
//!
//! Only in the build without `--cfg madsim`; `make bench` runs it.

#[cfg(madsim)]
fn main() {}

#[cfg(not(madsim))]
mod case;
#[cfg(not(madsim))]
mod client;
#[cfg(not(madsim))]
mod machine;
#[cfg(not(madsim))]
mod measured;
#[cfg(not(madsim))]
mod server;
#[cfg(not(madsim))]
mod stamped;
#[cfg(not(madsim))]
mod table;
#[cfg(not(madsim))]
mod transaction;

/// The process is started again as both sides of every case; their first argument says which.
#[cfg(not(madsim))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", folder, case] => server::run(folder.as_ref(), &case.parse()?),
        ["client", folder, case] => client::run(folder.as_ref(), &case.parse()?),
        _ => table::print_all(),
    }
}
