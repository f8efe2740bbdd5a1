//! A small Go Master with one fault, in this process: each connection has a thread.

use bytes::Bytes;
use metanode_core::{
    executor::wire::{CommittedEpochData, Request, RequestPayload, Response, ResponsePayload},
    framing::{Decoder, Framing},
    types::{Address, GlobalExecIndex},
};
use metasim::{
    conformance::{Restart, Target},
    stand_in::{Genesis, MemoryChain, Taken},
};
use mock_go_executor::ExecutorConfig;
use prost::Message;
use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The watermark survives a kill, the last blocks do not.
    WatermarkBeforeState,
    /// The last blocks do not survive a kill, and the watermark counted them.
    WatermarkInMemory,
    SwallowsThirdFrameOfAWrite,
    SwapsAnswersToPipelinedRequests,
    WatermarkFallsOnce,
}

/// Blocks that a kill loses, if it loses any.
const TAIL: usize = 2;
/// The block at which the watermark falls.
const FALLS_AT: u64 = 30;

struct State {
    fault: Option<Fault>,
    chain: MemoryChain,
    /// The chain before each of the last blocks, oldest first.
    earlier: VecDeque<MemoryChain>,
    /// What a stored watermark says above the chain.
    stored: GlobalExecIndex,
    /// The last watermark that was answered.
    answered: u64,
    fell: bool,
    connections: Vec<UnixStream>,
}

pub struct FaultyMaster {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
}

impl FaultyMaster {
    pub fn start(folder: &Path, fault: Option<Fault>) -> Self {
        let example = include_str!("../../../mock-go-executor/executor.example.toml");
        let genesis = ExecutorConfig::parse(example, "the example")
            .unwrap()
            .genesis;
        let state = State {
            fault,
            chain: MemoryChain::new(Genesis {
                epoch_timestamp_ms: genesis.epoch_timestamp_ms,
                validators: genesis.validators,
            }),
            earlier: VecDeque::new(),
            stored: GlobalExecIndex(0),
            answered: 0,
            fell: false,
            connections: vec![],
        };
        let master = Self {
            folder: folder.to_owned(),
            state: Arc::new(Mutex::new(state)),
        };
        master.listen("blocks", serve_blocks);
        master.listen("rpc", serve_requests);
        master
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn target(&self) -> Target {
        Target {
            block_stream: Address::Unix(self.path("blocks")),
            rpc: Address::Unix(self.path("rpc")),
        }
    }

    fn listen(&self, name: &str, serve: fn(&Mutex<State>, UnixStream)) {
        let listener = UnixListener::bind(self.path(name)).unwrap();
        let state = Arc::clone(&self.state);
        let accept = move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let own = stream.try_clone().unwrap();
                state.lock().unwrap().connections.push(own);
                let state = Arc::clone(&state);
                thread::Builder::new()
                    .spawn(move || serve(&state, stream))
                    .unwrap();
            }
        };
        thread::Builder::new().spawn(accept).unwrap();
    }
}

impl Restart for FaultyMaster {
    fn restart(&mut self) -> Result<(), String> {
        let mut state = self.state.lock().unwrap();
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both); // it may be over
        }
        let loses = [Fault::WatermarkBeforeState, Fault::WatermarkInMemory].map(Some);
        if loses.contains(&state.fault) {
            if state.fault == loses[0] {
                state.stored = state.watermark();
            }
            if let Some(earlier) = state.earlier.pop_front() {
                state.chain = earlier;
            }
        }
        state.earlier.clear();
        Ok(())
    }
}

impl State {
    fn watermark(&self) -> GlobalExecIndex {
        self.chain.executed().max(self.stored)
    }

    /// `false` ends the connection.
    fn execute(&mut self, body: Bytes) -> bool {
        let Ok(block) = CommittedEpochData::decode(body.clone()) else {
            return false;
        };
        let before = self.chain.clone();
        match self.chain.execute(&block, body) {
            Taken::Refused => return false,
            Taken::Known => return true,
            Taken::Executed => {}
        }
        self.earlier.push_back(before);
        if self.earlier.len() > TAIL {
            self.earlier.pop_front();
        }
        true
    }

    fn answer(&mut self, request: &Request) -> ResponsePayload {
        let watermark = self.watermark();
        let answer = self.chain.answer(request, watermark);
        if let Some(RequestPayload::AdvanceEpoch(_)) = request.payload {
            // Epochs are durable at once.
            self.earlier.clear();
        }
        let falls = self.fault == Some(Fault::WatermarkFallsOnce)
            && watermark.0 >= FALLS_AT
            && watermark.0 == self.answered
            && !self.fell;
        match answer {
            ResponsePayload::LastBlockNumber(mut number) => {
                self.answered = watermark.0;
                self.fell |= falls;
                number.last_block_number -= u64::from(falls);
                ResponsePayload::LastBlockNumber(number)
            }
            answer => answer,
        }
    }
}

/// The frames that one read completes; `None` at the end of the connection.
fn read(stream: &mut UnixStream, decoder: &mut Decoder) -> Option<Vec<Bytes>> {
    let mut buffer = vec![0; 1 << 16];
    let bytes = stream.read(&mut buffer).ok().filter(|bytes| *bytes > 0)?;
    decoder.push(&buffer[..bytes]);
    let mut frames = vec![];
    while let Some(frame) = decoder.next_frame().ok()? {
        frames.push(frame);
    }
    Some(frames)
}

fn serve_blocks(state: &Mutex<State>, mut stream: UnixStream) {
    let mut decoder = Decoder::new(Framing::BLOCK_STREAM);
    while let Some(mut frames) = read(&mut stream, &mut decoder) {
        let mut state = state.lock().unwrap();
        if state.fault == Some(Fault::SwallowsThirdFrameOfAWrite) && frames.len() > 2 {
            frames.remove(2);
        }
        if !frames.into_iter().all(|frame| state.execute(frame)) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both); // it may be over
}

fn serve_requests(state: &Mutex<State>, mut stream: UnixStream) {
    let mut decoder = Decoder::new(Framing::RPC);
    while let Some(frames) = read(&mut stream, &mut decoder) {
        let mut state = state.lock().unwrap();
        let requests = frames
            .into_iter()
            .map(|body| Request::decode(body).unwrap());
        let answers = requests.map(|request| Response::from(state.answer(&request)));
        let mut answers: Vec<_> = answers.collect();
        if state.fault == Some(Fault::SwapsAnswersToPipelinedRequests) && answers.len() > 1 {
            answers.swap(0, 1);
        }
        for answer in answers {
            let frame = Framing::RPC.encode(&answer).unwrap();
            if stream.write_all(&frame).is_err() {
                return;
            }
        }
    }
    let _ = stream.shutdown(Shutdown::Both); // it may be over
}
