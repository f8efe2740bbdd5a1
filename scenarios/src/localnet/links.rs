//! Proxies between nodes: latency, and validators that are cut off.
//!
//! Nodes dial the proxy of a peer. Who dials is known from the first message, which names the sender's authority.

use crate::live::now_ms;
use metanode_core::{
    consensus::protocol::{FRAMING, parse},
    framing::Decoder,
    peers::Hello,
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// One member of the committee.
#[derive(Clone, Debug)]
pub struct Member {
    /// Defines its authority index.
    pub authority_key: Vec<u8>,
    /// Where its node listens.
    pub listens: SocketAddr,
    /// Where others dial it.
    pub dialled: SocketAddr,
}

/// The state of one node's links, in both directions.
#[derive(Default)]
struct Link {
    is_cut: AtomicBool,
    latency_ms: AtomicU64,
    /// Connections from before the newest reset are dead.
    resets: AtomicU64,
}

/// All links. Clones are the same.
#[derive(Clone)]
pub struct Links {
    links: Arc<[Link]>,
    /// Nodes by authority index.
    authorities: Arc<[usize]>,
}

/// How often a silent connection looks whether it is still cut.
const LOOK: Duration = Duration::from_millis(20);
const CHUNK_BYTES: usize = 64 * 1024;

impl Links {
    /// Begins to listen for all members.
    ///
    /// # Errors
    /// If an address is taken.
    pub fn begin(members: &[Member]) -> io::Result<Self> {
        let mut by_key: Vec<usize> = (0..members.len()).collect();
        by_key.sort_by_key(|n| &members[*n].authority_key);
        let links = Self {
            links: members.iter().map(|_| Link::default()).collect(),
            authorities: by_key.into(),
        };
        for (node, member) in members.iter().enumerate() {
            let listener = TcpListener::bind(member.dialled)?;
            let (links, target) = (links.clone(), member.listens);
            thread::spawn(move || links.accept(&listener, node, target));
        }
        Ok(links)
    }

    /// Cuts a node off, or connects it again.
    pub fn cut(&self, node: usize, is_cut: bool) {
        self.links[node].is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// Resets all connections of a node.
    pub fn reset(&self, node: usize) {
        self.links[node].resets.fetch_add(1, Ordering::Relaxed);
    }

    /// What passes a node's links arrives so much later.
    pub fn delay(&self, node: usize, latency_ms: u64) {
        let latency = &self.links[node].latency_ms;
        latency.store(latency_ms, Ordering::Relaxed);
    }

    fn accept(&self, listener: &TcpListener, node: usize, target: SocketAddr) {
        while let Ok((client, _)) = listener.accept() {
            let links = self.clone();
            thread::spawn(move || {
                // A connection that cannot be made is closed, as by a node that is down.
                let _ = links.connect(client, node, target);
            });
        }
    }

    fn connect(&self, mut client: TcpStream, node: usize, target: SocketAddr) -> io::Result<()> {
        let (hello, from) = self.hello(&mut client)?;
        let ends = Ends {
            links: self.clone(),
            nodes: [from, node],
            resets: [from, node].map(|n| self.links[n].resets.load(Ordering::Relaxed)),
        };
        ends.wait()?;
        let mut server = TcpStream::connect(target)?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LOOK))?;
        }
        server.write_all(&hello)?;
        let (back_from, back_to) = (server.try_clone()?, client.try_clone()?);
        let back = ends.clone();
        thread::spawn(move || back.copy(back_from, back_to));
        ends.copy(client, server);
        Ok(())
    }

    /// The bytes of the first message, and whose it is.
    fn hello(&self, client: &mut TcpStream) -> io::Result<(Vec<u8>, usize)> {
        client.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut decoder = Decoder::new(FRAMING);
        let mut bytes = vec![];
        let mut buffer = [0; 1024];
        loop {
            let read = client.read(&mut buffer)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&buffer[..read]);
            decoder.push(&buffer[..read]);
            if let Some(body) = decoder.next_frame().map_err(io::Error::other)? {
                let hello: Hello = parse(&body).map_err(io::Error::other)?;
                let authority = hello.from.map(|from| usize::from(from.0));
                let from = authority.and_then(|index| self.authorities.get(index));
                let from = from.ok_or_else(|| io::Error::other("not a member"))?;
                return Ok((bytes, *from));
            }
        }
    }
}

/// One connection between two nodes.
#[derive(Clone)]
struct Ends {
    links: Links,
    nodes: [usize; 2],
    resets: [u64; 2],
}

impl Ends {
    fn copy(&self, from: TcpStream, to: TcpStream) {
        let _ = self.copy_until_closed(&from, &to); // however it ends, both are closed
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both); // the other direction may have closed it
        }
    }

    fn copy_until_closed(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    0
                }
                Err(e) => return Err(e),
            };
            let arrives_ms = now_ms() + self.latency_ms();
            self.wait()?;
            if read > 0 {
                let left_ms = arrives_ms.saturating_sub(now_ms());
                thread::sleep(Duration::from_millis(left_ms));
                to.write_all(&buffer[..read])?;
            }
        }
    }

    fn latency_ms(&self) -> u64 {
        let of = |n: usize| self.links.links[n].latency_ms.load(Ordering::Relaxed);
        self.nodes.map(of).into_iter().sum()
    }

    /// Waits until neither end is cut off.
    ///
    /// # Errors
    /// If the connection was reset.
    fn wait(&self) -> io::Result<()> {
        loop {
            let links = self.nodes.map(|n| &self.links.links[n]);
            let resets = links.map(|link| link.resets.load(Ordering::Relaxed));
            if resets != self.resets {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if links
                .iter()
                .all(|link| !link.is_cut.load(Ordering::Relaxed))
            {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
    }
}
