//! An executor that reads blocks and forgets them. They count as durable at once, or never.

use metanode_core::{
    executor::wire::{
        CurrentEpoch, EpochBoundaryData, EpochStartTimestamp, LastBlockNumber, Request,
        RequestPayload, Response, ResponsePayload, ValidatorInfo, ValidatorInfoList,
    },
    framing::{Decoder, Framing},
};
use prost::Message;
use std::{
    fs,
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Without a block for so long there comes none any more.
const PATIENCE: Duration = Duration::from_secs(20);

pub const READ_BYTES: usize = 256 << 10;

/// What was read.
#[derive(Default)]
struct Seen {
    blocks: u64,
    bytes: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    /// When blocks came that the node has not heard to be durable.
    unheard: Vec<Instant>,
    heard_after: Vec<Duration>,
    frames: Vec<u8>,
    stream: Option<UnixStream>,
}

/// Whether blocks count as durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    AtOnce,
    Never,
    /// The frames are kept, too.
    NeverButKept,
}

/// The sink. Its threads end with the process.
pub struct Sink {
    seen: Arc<Mutex<Seen>>,
}

/// What a sink has read.
#[derive(Clone, Copy)]
pub struct Delivered {
    pub blocks: u64,
    pub bytes: u64,
    /// From the first byte to the last one.
    pub elapsed: Duration,
}

impl Delivered {
    #[allow(clippy::cast_precision_loss)] // of what was counted in seconds
    pub fn bytes_per_second(self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }
}

impl Sink {
    /// Listens at `blocks.sock` and `rpc.sock` of the folder.
    pub fn listen(folder: &Path, validator: &ValidatorInfo, durable: Durable) -> io::Result<Self> {
        let seen = Arc::<Mutex<Seen>>::default();
        let blocks = bind(&folder.join("blocks.sock"))?;
        let rpc = bind(&folder.join("rpc.sock"))?;
        let reader = seen.clone();
        spawn(move || {
            for stream in blocks.incoming().flatten() {
                read_blocks(stream, &reader, durable == Durable::NeverButKept);
            }
        });
        let (answerer, validator) = (seen.clone(), validator.clone());
        spawn(move || {
            for stream in rpc.incoming().flatten() {
                let (seen, validator) = (answerer.clone(), validator.clone());
                spawn(move || answer(stream, &seen, &validator, durable));
            }
        });
        Ok(Self { seen })
    }

    /// Waits until so many blocks have come.
    ///
    /// # Errors
    /// If none has come for a while.
    pub fn reaches(&self, blocks: u64) -> io::Result<Delivered> {
        let begin = now();
        loop {
            {
                let seen = lock(&self.seen);
                if let (true, Some(first), Some(last)) =
                    (seen.blocks >= blocks, seen.first, seen.last)
                {
                    return Ok(Delivered {
                        blocks: seen.blocks,
                        bytes: seen.bytes,
                        elapsed: last - first,
                    });
                }
                if seen.last.unwrap_or(begin).max(begin).elapsed() > PATIENCE {
                    let error = format!("expected {blocks} blocks, {} have come", seen.blocks);
                    return Err(io::Error::new(io::ErrorKind::TimedOut, error));
                }
            }
            pause(Duration::from_millis(1));
        }
    }

    /// How many blocks have come.
    pub fn blocks(&self) -> u64 {
        lock(&self.seen).blocks
    }

    /// Closes the stream, and forgets what has come.
    pub fn close(&self) -> io::Result<()> {
        let mut seen = lock(&self.seen);
        let stream = seen.stream.take();
        *seen = Seen::default();
        stream.map_or(Ok(()), |stream| stream.shutdown(Shutdown::Both))
    }

    /// The frames of all blocks, of a sink that was to keep them.
    pub fn frames(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.seen).frames)
    }

    /// How long after each block the node has heard that it is durable.
    pub fn heard_after(&self) -> Vec<Duration> {
        lock(&self.seen).heard_after.clone()
    }
}

fn read_blocks(mut stream: UnixStream, seen: &Mutex<Seen>, keeps: bool) {
    lock(seen).stream = stream.try_clone().ok();
    let mut decoder = Decoder::new(Framing::BLOCK_STREAM);
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let now = now();
        decoder.push(&buffer[..read]);
        let mut blocks = 0;
        while let Ok(Some(_)) = decoder.next_frame() {
            blocks += 1;
        }
        let mut seen = lock(seen);
        seen.first.get_or_insert(now);
        seen.last = Some(now);
        seen.bytes += read as u64;
        seen.blocks += blocks;
        seen.unheard.extend((0..blocks).map(|_| now));
        if keeps {
            seen.frames.extend_from_slice(&buffer[..read]);
        }
    }
}

fn answer(mut stream: UnixStream, seen: &Mutex<Seen>, validator: &ValidatorInfo, durable: Durable) {
    let mut decoder = Decoder::new(Framing::RPC);
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        decoder.push(&buffer[..read]);
        while let Ok(Some(body)) = decoder.next_frame() {
            let request = Request::decode(body).ok().and_then(|it| it.payload);
            let answer = answer_to(request, seen, validator, durable);
            let frame = Framing::RPC.encode(&Response::from(answer));
            if !frame.is_ok_and(|frame| stream.write_all(&frame).is_ok()) {
                return;
            }
        }
    }
}

fn answer_to(
    request: Option<RequestPayload>,
    seen: &Mutex<Seen>,
    validator: &ValidatorInfo,
    durable: Durable,
) -> ResponsePayload {
    let validators = vec![validator.clone()];
    match request {
        Some(RequestPayload::GetLastBlockNumber(_)) if durable != Durable::AtOnce => {
            ResponsePayload::LastBlockNumber(LastBlockNumber::default())
        }
        Some(RequestPayload::GetLastBlockNumber(_)) => {
            let (now, mut seen) = (now(), lock(seen));
            let heard: Vec<_> = seen.unheard.drain(..).map(|came| now - came).collect();
            seen.heard_after.extend(heard);
            let last_block_number = seen.blocks;
            ResponsePayload::LastBlockNumber(LastBlockNumber { last_block_number })
        }
        Some(RequestPayload::GetCurrentEpoch(_)) => {
            ResponsePayload::CurrentEpoch(CurrentEpoch { epoch: 0 })
        }
        Some(RequestPayload::GetEpochStartTimestamp(_)) => {
            ResponsePayload::EpochStartTimestamp(EpochStartTimestamp {
                timestamp_ms: super::node::GENESIS_MS,
            })
        }
        Some(RequestPayload::GetEpochBoundaryData(_)) => {
            ResponsePayload::EpochBoundaryData(EpochBoundaryData {
                epoch: 0,
                epoch_start_timestamp_ms: super::node::GENESIS_MS,
                boundary_block: 0,
                validators,
            })
        }
        Some(RequestPayload::GetActiveValidators(_) | RequestPayload::GetValidatorsAtBlock(_)) => {
            ResponsePayload::ValidatorInfoList(ValidatorInfoList {
                validators,
                epoch_timestamp_ms: super::node::GENESIS_MS,
                last_global_exec_index: 0,
            })
        }
        _ => ResponsePayload::Error("not a request of a node that delivers".to_owned()),
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[allow(clippy::disallowed_methods)] // the bench measures real time
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods)] // the reader is no part of a node
fn spawn(work: impl FnOnce() + Send + 'static) {
    thread::spawn(work);
}

#[allow(clippy::disallowed_methods)]
pub fn pause(duration: Duration) {
    thread::sleep(duration);
}
