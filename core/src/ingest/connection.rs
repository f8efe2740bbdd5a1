//! One client of the transaction socket: frames in, replies out, in order. Several frames may be under way, so that one
//! write of the journal can store what they contain.

use super::{Answer, Submitter, bug_switches, intake::Intake, reply};
use crate::{
    config::IngestParameters,
    deadline::timeout,
    env::BoxStream,
    framing::{Decoder, FrameError, Framing, ReadError, read_frame, read_more, write_frame},
};
use bytes::Bytes;
use std::{future::Future, io, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
};
use tracing::debug;

/// Frames up to this size do without the common memory, so that larger ones of others cannot hold them up: of each client
/// one that arrives and one that waits for the intake, and those in the intake's channel.
const SMALL_FRAME_BYTES: usize = 64 * 1024;

/// What connections share.
pub(super) struct Shared {
    pub intake: Intake,
    pub submitter: Submitter,
    pub framing: Framing,
    /// Bytes of larger frames that are not stored yet.
    pub memory: Arc<Semaphore>,
    pub parameters: IngestParameters,
}

/// Why no further frame is read.
#[derive(Debug, Error)]
pub(super) enum End {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("expected the whole frame within {timeout_ms} ms")]
    TooSlow { timeout_ms: u64 },
    #[error(
        "no memory for a frame of {bytes} bytes within {timeout_ms} ms: others send too many large ones, try again later"
    )]
    NoMemory { bytes: usize, timeout_ms: u64 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Frame(error) => Self::Frame(error),
            ReadError::Io(error) => Self::Io(error),
        }
    }
}

/// What is written next.
enum Reply {
    To(oneshot::Receiver<Answer>),
    /// The last one.
    Closing(End),
}

impl End {
    /// Whether the same frame may be sent again.
    pub const fn is_temporary(&self) -> bool {
        !matches!(self, Self::Frame(_))
    }
}

/// Serves a client until it closes the connection, sends what is no frame, or takes no reply.
pub(super) async fn serve(shared: Arc<Shared>, stream: BoxStream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let limit = shared.limit();
    {
        let in_flight = shared.parameters.max_frames_in_flight as usize;
        let (replies, next) = mpsc::channel(in_flight.max(1));
        let mut writing = std::pin::pin!(shared.write_replies(&mut writer, next));
        tokio::select! {
            biased;
            ended = &mut writing => return ended.unwrap_or_else(log_end),
            () = shared.read_frames(&mut reader, replies) => {}
        }
        if let Err(error) = writing.await {
            return log_end(error);
        }
    }
    let _ = writer.shutdown().await;
    timeout(limit, discard(&mut reader)).await;
}

/// Refuses a client.
pub(super) async fn refuse(mut stream: BoxStream, error: impl ToString, limit: Duration) {
    if let Ok(frame) = Framing::TRANSACTIONS.encode_body(&reply::closing(error, true)) {
        timeout(limit, write_frame(&mut stream, &frame)).await;
    }
}

impl Shared {
    pub const fn limit(&self) -> Duration {
        Duration::from_millis(self.parameters.frame_timeout_ms)
    }

    async fn read_frames(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        replies: mpsc::Sender<Reply>,
    ) {
        let mut decoder = Decoder::new(self.framing);
        let end = loop {
            match self.next_frame(reader, &mut decoder).await {
                Ok(Some((body, memory))) => {
                    let answered = self.intake.submit(body, self.submitter, memory).await;
                    if replies.send(Reply::To(answered)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(End::Frame(error)) if bug_switches::goes_on_after(&error) => {
                    decoder = Decoder::new(self.framing);
                    let _ = replies.send(Reply::Closing(End::Frame(error))).await;
                }
                Err(end) => break end,
            }
        };
        let _ = replies.send(Reply::Closing(end)).await; // an error means that the writer has ended
    }

    /// The next frame, whose memory is reserved before it is read. `None` is the end of the stream between two frames,
    /// which a client may keep open for as long as it likes.
    async fn next_frame(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        decoder: &mut Decoder,
    ) -> Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>, End> {
        while decoder.is_between_frames() {
            if !read_more(reader, decoder).await? {
                return Ok(None);
            }
        }
        let limit = self.limit();
        match in_time(limit, announced(reader, decoder)).await? {
            Some(bytes) => self.body(bytes, reader, decoder).await,
            None => Ok(None),
        }
    }

    /// The body of the frame whose length was read last, with the memory that is reserved for it.
    pub async fn body(
        &self,
        bytes: usize,
        reader: &mut (impl AsyncRead + Unpin),
        decoder: &mut Decoder,
    ) -> Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>, End> {
        let memory = match bytes > SMALL_FRAME_BYTES {
            true => Some(self.memory_of(bytes).await?),
            false => None,
        };
        decoder.allocate_announced();
        let body = async { Ok(read_frame(reader, decoder).await?) };
        let body = in_time(self.limit(), body).await?;
        Ok(body.map(|body| (body, memory)))
    }

    async fn memory_of(&self, bytes: usize) -> Result<OwnedSemaphorePermit, End> {
        let timeout_ms = self.parameters.frame_timeout_ms;
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        let memory = self.memory.clone().acquire_many_owned(count);
        match timeout(self.limit(), memory).await {
            Some(memory) => Ok(memory.map_err(io::Error::other)?),
            None => Err(End::NoMemory { bytes, timeout_ms }),
        }
    }

    async fn write_replies(
        &self,
        writer: &mut (impl AsyncWrite + Unpin),
        mut replies: mpsc::Receiver<Reply>,
    ) -> io::Result<()> {
        while let Some(next) = replies.recv().await {
            let body = match next {
                Reply::To(answered) => match answered.await {
                    Ok(answer) if bug_switches::is_silent(&answer) => std::future::pending().await,
                    Ok(answer) => reply::reply(&answer),
                    Err(_) => return Err(io::Error::other("the node ends")),
                },
                Reply::Closing(End::Io(error)) => return Err(error),
                Reply::Closing(end) => {
                    debug!(%end, "closes a connection of the transaction socket");
                    let is_temporary = end.is_temporary();
                    reply::closing(end, is_temporary)
                }
            };
            let frame = Framing::TRANSACTIONS.encode_body(&body);
            let frame = frame.map_err(io::Error::other)?;
            let written = timeout(self.limit(), write_frame(writer, &frame)).await;
            written.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        }
        Ok(())
    }
}

/// What is read within this time.
pub(super) async fn in_time<T>(
    limit: Duration,
    read: impl Future<Output = Result<T, End>>,
) -> Result<T, End> {
    let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let read = timeout(limit, read).await;
    read.unwrap_or(Err(End::TooSlow { timeout_ms }))
}

/// The length of the next frame; `None` if the stream ends before it begins.
pub(super) async fn announced(
    reader: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
) -> Result<Option<usize>, End> {
    loop {
        match decoder.announced_bytes()? {
            Some(length) => return Ok(Some(length)),
            None if read_more(reader, decoder).await? => {}
            None => return Ok(None),
        }
    }
}

/// Reads until the client closes the connection. One that is closed with unread bytes resets the client, which may not
/// have read the last reply.
pub(super) async fn discard(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = [0; 4 * 1024];
    while reader.read(&mut buffer).await? > 0 {}
    Ok(())
}

pub(super) fn log_end(error: io::Error) {
    debug!(%error, "a connection of the transaction socket ended");
}
