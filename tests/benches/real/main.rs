//! What is measured on the sockets and disks of this machine. Only in the build without `--cfg madsim`; `make bench` runs it.
//!
//! | module | measures |
//! |---|---|
//! | `machine` | the clock that processes share, what a process has used, the disk |
//! | `ingest` | the transaction socket and the transport before it |
//! | `links` | what encryption between nodes costs |
//! | `delivery` | the block stream of a node, and how soon the node learns the watermark |

#[cfg(madsim)]
fn main() {}

#[cfg(not(madsim))]
mod delivery;
#[cfg(not(madsim))]
mod ingest;
#[cfg(not(madsim))]
mod links;
#[cfg(not(madsim))]
mod machine;

/// The process is started again as the sides of every case; their first argument says which.
#[cfg(not(madsim))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ingest-server", folder, case] => ingest::server(folder.as_ref(), &case.parse()?),
        ["ingest-client", folder, case] => ingest::client(folder.as_ref(), &case.parse()?),
        ["bare-writer", socket, frames] => delivery::bare_writer(socket.as_ref(), frames.as_ref()),
        ["links-nodes", folder, count] => links::nodes(folder.as_ref(), count.parse()?),
        ["links", ..] => links::compare(),
        ["delivery", ..] => delivery::compare(),
        ["ingest", ..] => ingest::compare(),
        _ => {
            delivery::compare()?;
            println!();
            ingest::compare()?;
            println!();
            links::compare()
        }
    }
}
