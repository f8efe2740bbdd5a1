//! Work for benchmarks. The caller measures: a simulation has no clock of the outside.

use super::{HostId, Kernel, SimNetwork};
use madsim::runtime::Runtime;
use metanode_core::{
    env::{BoxListener, BoxStream, Network},
    types::Address,
};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The path between the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Unix,
    /// Between two hosts, without latency.
    Tcp,
    /// Between two hosts, with this latency.
    Link(Duration),
}

const MESSAGE_BYTES: usize = 64;

/// Runs a simulation in which 64 bytes travel there and back `count` times. One round trip is two chunks.
///
/// # Errors
/// Errors of the simulated sockets; none are expected.
pub fn round_trips(path: Path, count: u64) -> io::Result<()> {
    let runtime = Runtime::new();
    runtime.add_simulator::<Kernel>();
    runtime.block_on(async move {
        let kernel = Kernel::current();
        let (client, server) = match path {
            Path::Unix => (HostId(1), HostId(1)),
            Path::Tcp | Path::Link(_) => (HostId(1), HostId(2)),
        };
        let address = match path {
            Path::Unix => Address::Unix("/bench.sock".into()),
            Path::Tcp | Path::Link(_) => Address::Tcp((server.ip(), 1).into()),
        };
        if let Path::Link(latency) = path {
            kernel.set_link(client, server, latency..=latency);
            kernel.set_link(server, client, latency..=latency);
        }
        let network = SimNetwork::new(kernel.clone(), server);
        let listener = network.listen(&address).await?;
        madsim::task::spawn(echo(listener));
        let stream = SimNetwork::new(kernel, client).connect(&address).await?;
        exchange(stream, count).await
    })
}

async fn echo(listener: BoxListener) -> io::Result<()> {
    let mut stream = listener.accept().await?;
    let mut buffer = [0; MESSAGE_BYTES];
    while stream.read_exact(&mut buffer).await.is_ok() {
        stream.write_all(&buffer).await?;
    }
    Ok(())
}

async fn exchange(mut stream: BoxStream, count: u64) -> io::Result<()> {
    let mut buffer = [0; MESSAGE_BYTES];
    for _ in 0..count {
        stream.write_all(&buffer).await?;
        stream.read_exact(&mut buffer).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_carries_the_messages() {
        for path in [Path::Unix, Path::Tcp, Path::Link(Duration::from_millis(20))] {
            round_trips(path, 10).unwrap();
        }
    }
}
