//! The two sockets of the stand-in: a thread for each listener and each connection.

use super::{
    judge::Judge,
    memory_chain::{Genesis, MemoryChain, Taken},
};
use crate::{
    clauses::Judgement,
    live::{ListenError, LiveListener, LiveSocket, Polled, pause},
};
use bytes::Bytes;
use metanode_core::{
    executor::wire::{Response, ResponsePayload},
    framing::{Decoder, Framing},
    types::{Address, Epoch, GlobalExecIndex},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Where the stand-in listens, and what it does wrong.
#[derive(Clone, Debug)]
pub struct Config {
    pub block_stream: Address,
    pub rpc: Address,
    pub genesis: Genesis,
    pub misbehaviour: Misbehaviour,
}

/// What a node has to bear with from a Go Master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misbehaviour {
    /// Each answer comes so late.
    pub answers_after: Duration,
    /// W stays so many blocks behind what is executed.
    pub blocks_behind: u64,
    /// The block stream is closed once, when this block is executed.
    pub disconnects_at: Option<GlobalExecIndex>,
}

/// How long one look at a quiet connection takes, and with it how soon it ends with the stand-in.
const POLL: Duration = Duration::from_millis(100);
/// For the write of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

struct Shared {
    misbehaviour: Misbehaviour,
    is_over: AtomicBool,
    state: Mutex<State>,
}

struct State {
    chain: MemoryChain,
    judge: Judge,
    /// The newest connection of the block stream, from 1.
    stream: u64,
    disconnected: bool,
    /// The last W that was answered.
    answered: GlobalExecIndex,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

impl State {
    /// W, which never falls.
    fn watermark(&self, misbehaviour: Misbehaviour) -> GlobalExecIndex {
        let executed = self.chain.executed().0;
        let behind = executed.saturating_sub(misbehaviour.blocks_behind);
        GlobalExecIndex(behind).max(self.answered)
    }

    /// The answer to the request in this frame; `None` if it is invalid.
    fn answer(&mut self, body: &[u8], misbehaviour: Misbehaviour) -> Option<ResponsePayload> {
        let request = self.judge.request(body)?;
        let watermark = self.watermark(misbehaviour);
        self.judge.asked(&request, watermark, &self.chain);
        let answer = self.chain.answer(&request, watermark);
        if let ResponsePayload::LastBlockNumber(_) = &answer {
            self.answered = watermark;
            self.judge.answered(watermark);
        }
        Some(answer)
    }
}

/// A running stand-in.
pub struct StandIn {
    shared: Arc<Shared>,
    addresses: [Address; 2],
    listeners: Vec<JoinHandle<()>>,
}

impl StandIn {
    /// Listens.
    ///
    /// # Errors
    /// If an address cannot be used.
    pub fn start(config: Config) -> Result<Self, ListenError> {
        let state = State {
            judge: Judge::new(&config.genesis.validators),
            chain: MemoryChain::new(config.genesis),
            stream: 0,
            disconnected: false,
            answered: GlobalExecIndex(0),
        };
        let shared = Arc::new(Shared {
            misbehaviour: config.misbehaviour,
            is_over: AtomicBool::new(false),
            state: Mutex::new(state),
        });
        let addresses = [config.block_stream, config.rpc];
        let kinds: [fn(&Shared, LiveSocket); 2] = [serve_blocks, serve_requests];
        let bound: Vec<_> = addresses
            .iter()
            .map(LiveListener::bind)
            .collect::<Result<_, _>>()?;
        let mut listeners = vec![];
        for ((listener, serve), address) in bound.into_iter().zip(kinds).zip(&addresses) {
            let shared = Arc::clone(&shared);
            let listening = thread::Builder::new().spawn(move || listen(&shared, &listener, serve));
            listeners.push(listening.map_err(|source| ListenError {
                address: address.clone(),
                source,
            })?);
        }
        Ok(Self {
            shared,
            addresses,
            listeners,
        })
    }

    /// The last block that was executed.
    #[must_use]
    pub fn executed(&self) -> GlobalExecIndex {
        self.shared.state().chain.executed()
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.state().chain.base().epoch
    }

    /// Closes everything. The verdict on what was seen.
    #[must_use]
    pub fn finish(self) -> Judgement {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for address in &self.addresses {
            // Wakes the thread that accepts. If nobody listens any more, it is over already.
            let _ = LiveSocket::connect(address, POLL);
        }
        for listener in self.listeners {
            // One that panicked has said so.
            let _ = listener.join();
        }
        let state = self.shared.state();
        let mut judgement = state.judge.judgement("the node did nothing that shows it");
        judgement.observations.push(format!(
            "{} blocks, epoch {}, {} connections of the block stream",
            state.chain.executed(),
            state.chain.base().epoch,
            state.stream
        ));
        judgement
    }
}

fn listen(shared: &Arc<Shared>, listener: &LiveListener, serve: fn(&Shared, LiveSocket)) {
    while !shared.is_over() {
        let Ok(socket) = listener.accept() else {
            pause(POLL);
            continue;
        };
        if shared.is_over() {
            return;
        }
        let connection = Arc::clone(shared);
        // Without a thread the connection is closed, and the node connects again.
        let _ = thread::Builder::new().spawn(move || serve(&connection, socket));
    }
}

/// Calls `frame` for every frame, until it says that the connection ends. Returns why a length is invalid, if one is.
fn read_frames(
    shared: &Shared,
    socket: &mut LiveSocket,
    framing: Framing,
    mut frame: impl FnMut(&mut LiveSocket, Bytes) -> bool,
) -> Option<String> {
    let mut decoder = Decoder::new(framing);
    while !shared.is_over() {
        match socket.poll(POLL) {
            Polled::Nothing => {}
            Polled::Closed => return None,
            Polled::Bytes(bytes) => decoder.push(&bytes),
        }
        loop {
            match decoder.next_frame() {
                Ok(Some(body)) => {
                    if !frame(socket, body) {
                        return None;
                    }
                }
                Ok(None) => break,
                Err(error) => return Some(error.to_string()),
            }
        }
    }
    None
}

/// Reads one block stream, until a newer one supersedes it.
fn serve_blocks(shared: &Shared, mut socket: LiveSocket) {
    let number = {
        let mut state = shared.state();
        state.stream += 1;
        let number = state.stream;
        state.judge.opened(number);
        number
    };
    let error = read_frames(shared, &mut socket, Framing::BLOCK_STREAM, |_, body| {
        let state = &mut *shared.state();
        let is_superseded = state.stream != number;
        if is_superseded {
            return false;
        }
        let Some(block) = state.judge.block(number, &body, &state.chain) else {
            return false;
        };
        if state.chain.execute(&block, body) == Taken::Refused {
            return false;
        }
        let ends = shared.misbehaviour.disconnects_at;
        let ends = ends.is_some_and(|at| at <= state.chain.executed()) && !state.disconnected;
        state.disconnected |= ends;
        !ends
    });
    let mut state = shared.state();
    if let Some(error) = error {
        state.judge.no_frame(&error);
    }
    state.judge.closed(number);
    socket.close();
}

/// Answers the requests of one connection, in order.
fn serve_requests(shared: &Shared, mut socket: LiveSocket) {
    let misbehaviour = shared.misbehaviour;
    let error = read_frames(shared, &mut socket, Framing::RPC, |socket, body| {
        // Before anything is looked at, so that a late answer is no old one.
        if !misbehaviour.answers_after.is_zero() {
            pause(misbehaviour.answers_after);
        }
        let Some(answer) = shared.state().answer(&body, misbehaviour) else {
            return false;
        };
        let frame = Framing::RPC.encode(&Response::from(answer));
        frame.is_ok_and(|frame| socket.write(&frame, WRITE_TIMEOUT).is_ok())
    });
    if let Some(error) = error {
        shared.state().judge.no_request(&error);
    }
    socket.close();
}
