//! Connections: from the bytes that their ends write and read to facts.
//!
//! The facts do not depend on how the bytes are split. A direction that does not follow its protocol gives one
//! [`Fact::Malformed`] and no facts afterwards; a block that does not decode gives the same fact, but the blocks after
//! it are still decoded, because the node accepts them, too. Memory is bounded: for each direction one incomplete
//! message, and what is written and not read yet.

use super::{
    Blocks, Channel, End, Ends, Fact, Reply,
    batches::{self, Batch, Promise},
    bcs::Malformed,
    frames::{Frames, Framing},
    peers::{self, Purpose},
    rpc,
    secure::{Secret, Sessions, Unsealing},
};
use crate::process_id::ProcessId;
use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::{borrow::Cow, cell::Cell, collections::VecDeque, mem, sync::Arc};

/// All open connections.
pub struct Connections {
    /// `None` if connections between nodes are readable.
    sessions: Option<Sessions>,
    blocks: Blocks,
    /// Executors count blocks and GEIs apart.
    counts_blocks: bool,
    /// `None` for one that is not observed.
    open: FxHashMap<u64, Option<Connection>>,
}

/// Smaller ones count as nothing: a node reads one of each client.
const LARGE_FRAME_BYTES: u64 = 64 << 10;

struct Connection {
    channel: Channel,
    server: ProcessId,
    counts_blocks: bool,
    /// The name of the session between nodes, once the client has greeted.
    session: Option<[u8; 32]>,
    /// Of a connection between nodes, once the client has sent it.
    purpose: Option<Purpose>,
    /// The batches that are not answered, oldest first: of a Sub, or of a node that hands over.
    batches: VecDeque<Batch>,
    /// Of the frame of a client that is on its way, if it is large.
    announced_bytes: u64,
    /// By the end that writes.
    directions: [Direction; 2],
}

struct Direction {
    writer: ProcessId,
    /// Between nodes.
    unsealing: Unsealing,
    frames: Frames,
    /// Complete messages so far.
    messages: u64,
    /// Facts that are true when the reader has read up to these offsets, ascending.
    unread: VecDeque<(u64, Fact)>,
    is_malformed: bool,
}

/// Where the facts of what one end has written go.
struct Output<'a> {
    connection: u64,
    writer: ProcessId,
    is_malformed: &'a mut bool,
    blocks: &'a Blocks,
    facts: &'a mut Vec<(ProcessId, Fact)>,
}

impl Connections {
    /// `counts_blocks`: the number of an executor's last block is no GEI (contract §4.4).
    #[must_use]
    /// `sessions`: with what connections between nodes are encrypted, if they are.
    pub fn new(blocks: Blocks, counts_blocks: bool, sessions: Option<Sessions>) -> Self {
        Self {
            sessions,
            blocks,
            counts_blocks,
            open: FxHashMap::default(),
        }
    }

    /// `sender` has written `bytes`, after what it wrote before. `ends` is asked for a connection that is new; `None`
    /// if it is not observed.
    pub fn sent(
        &mut self,
        connection: u64,
        ends: impl FnOnce() -> Option<Ends>,
        sender: End,
        bytes: &[u8],
        facts: &mut Vec<(ProcessId, Fact)>,
    ) {
        if bytes.is_empty() {
            return;
        }
        let open = self.open.entry(connection);
        let counts_blocks = self.counts_blocks;
        let new = || ends().map(|ends| Connection::new(ends, counts_blocks));
        let Some(state) = open.or_insert_with(new) else {
            return;
        };
        let sessions = self.sessions.as_ref();
        let plain = state.plain_text(sender, bytes, sessions);
        state.sent(connection, sender, plain, &self.blocks, facts);
        state.announced(connection, facts);
    }

    /// `reader` has read everything up to this many bytes in total of what its peer sent.
    pub fn read(
        &mut self,
        connection: u64,
        reader: End,
        total_bytes: u64,
        facts: &mut Vec<(ProcessId, Fact)>,
    ) {
        let Some(Some(state)) = self.open.get_mut(&connection) else {
            return;
        };
        let process = state.directions[reader as usize].writer;
        let unread = &mut state.directions[reader.peer() as usize].unread;
        let read = unread.partition_point(|(end, _)| *end <= total_bytes);
        facts.extend(unread.drain(..read).map(|(_, fact)| (process, fact)));
    }

    /// The connection is over: its state is dropped.
    pub fn closed(&mut self, connection: u64, facts: &mut Vec<(ProcessId, Fact)>) {
        let closed = self.open.remove(&connection).flatten();
        if let Some(state) = &closed
            && state.announced_bytes > 0
        {
            let bytes = 0;
            facts.push((state.server, Fact::FrameAnnounced { connection, bytes }));
        }
        if let Some(state) = closed
            && state.channel != Channel::OldTransport
            && !state.batches.is_empty()
        {
            let client = state.directions[End::Client as usize].writer;
            let bytes = state.batches.iter().map(Batch::bytes).sum();
            facts.push((client, Fact::BatchesAbandoned { connection, bytes }));
        }
    }
}

impl Connection {
    fn new(ends: Ends, counts_blocks: bool) -> Self {
        let [client, server] = ends.channel.framings();
        Self {
            channel: ends.channel,
            server: ends.server,
            counts_blocks,
            session: None,
            purpose: None,
            batches: VecDeque::new(),
            announced_bytes: 0,
            directions: [
                Direction::new(ends.client, client),
                Direction::new(ends.server, server),
            ],
        }
    }

    /// What the bytes are without the encryption between nodes. A connection that does not greet has none.
    fn plain_text<'a>(
        &mut self,
        sender: End,
        bytes: &'a [u8],
        sessions: Option<&Sessions>,
    ) -> Result<Cow<'a, [u8]>, Malformed> {
        if self.channel != Channel::Peers {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut plain = Vec::with_capacity(bytes.len());
        let session = Cell::new(self.session);
        let unsealing = &mut self.directions[sender as usize].unsealing;
        let greeting = |greeting: &[u8]| {
            let greeting = Bytes::copy_from_slice(greeting);
            match sender {
                End::Client => session.set(Some(peers::hello(greeting)?)),
                End::Server => peers::welcome(greeting)?,
            }
            Ok(())
        };
        let secret = || match (sessions, session.get()) {
            (None, _) => Ok(Secret::None),
            (Some(sessions), Some(session)) => sessions.secret(session, sender),
            (Some(_), None) => Err("a record before the client's greeting".to_owned()),
        };
        unsealing.push(bytes, &mut plain, greeting, secret)?;
        self.session = session.get();
        Ok(Cow::Owned(plain))
    }

    fn sent(
        &mut self,
        id: u64,
        sender: End,
        plain: Result<Cow<'_, [u8]>, Malformed>,
        blocks: &Blocks,
        facts: &mut Vec<(ProcessId, Fact)>,
    ) {
        let direction = &mut self.directions[sender as usize];
        let mut output = Output {
            connection: id,
            writer: direction.writer,
            is_malformed: &mut direction.is_malformed,
            blocks,
            facts,
        };
        let (plain, sealed) = match plain {
            Ok(plain) => (plain, Ok(())),
            Err(reason) => (Cow::Borrowed(&[][..]), Err(reason)),
        };
        let split = direction.frames.push(&plain, |body, end| {
            direction.messages += 1;
            let number = direction.messages;
            let (carried, number) = match (self.purpose, sender) {
                (Some(Purpose::HandOver), End::Server) => (Channel::Transactions, number),
                // After the purpose.
                (Some(Purpose::HandOver), End::Client) => (Channel::Transactions, number - 1),
                _ => (self.channel, number),
            };
            let when_read = match (carried, sender) {
                (Channel::BlockStream, _) => Some(output.frame(body)?),
                (Channel::ExecutorRpc, End::Client) => {
                    output.request(number, body)?;
                    None
                }
                (Channel::ExecutorRpc, End::Server) => {
                    Some(output.reply(number, body, self.counts_blocks)?)
                }
                (Channel::PeerRpc, _) => {
                    let peer = self.server.validator().unwrap_or_default();
                    output.peer_rpc(sender, peer, number, body, self.counts_blocks)?
                }
                (Channel::Transactions, End::Client) => {
                    self.batches.push_back(output.batch(number, body));
                    None
                }
                (Channel::Transactions, End::Server) => {
                    let batch = self.batches.pop_front().unwrap_or_default();
                    output.answer(number, &batch, body)?;
                    None
                }
                (Channel::OldTransport, End::Client) => {
                    self.batches.push_back(output.old_request(number, body));
                    None
                }
                (Channel::OldTransport, End::Server) => {
                    let batch = self.batches.pop_front().unwrap_or_default();
                    output.answer(number, &batch, body)?;
                    Some(Fact::OldReplyRead {
                        connection: id,
                        number,
                    })
                }
                (Channel::Peers, End::Client) => {
                    self.purpose = Some(client_message(self.purpose, body)?);
                    None
                }
                (Channel::Peers, End::Server) => {
                    output.server_message(self.purpose, body)?;
                    None
                }
            };
            direction.unread.extend(when_read.map(|fact| (end, fact)));
            Ok(())
        });
        if let Err(reason) = sealed.and(split) {
            output.malformed(reason);
        }
    }

    /// What the client of a transaction socket has announced.
    fn announced(&mut self, connection: u64, facts: &mut Vec<(ProcessId, Fact)>) {
        if self.channel != Channel::Transactions {
            return;
        }
        let bytes = self.directions[End::Client as usize]
            .frames
            .announced_bytes();
        let bytes = if bytes < LARGE_FRAME_BYTES { 0 } else { bytes };
        if mem::replace(&mut self.announced_bytes, bytes) != bytes {
            facts.push((self.server, Fact::FrameAnnounced { connection, bytes }));
        }
    }
}

impl Direction {
    fn new(writer: ProcessId, framing: Framing) -> Self {
        Self {
            writer,
            unsealing: Unsealing::default(),
            frames: Frames::new(framing),
            messages: 0,
            unread: VecDeque::new(),
            is_malformed: false,
        }
    }
}

/// A message of the client between nodes. Returns the purpose of the connection.
fn client_message(purpose: Option<Purpose>, body: &[u8]) -> Result<Purpose, Malformed> {
    let body = Bytes::copy_from_slice(body);
    match purpose {
        None => peers::purpose(body),
        Some(Purpose::Subscribe) => Err("a message of a subscriber after its first".to_owned()),
        Some(purpose) => peers::request(body).map(|()| purpose),
    }
}

impl Output<'_> {
    fn push(&mut self, fact: Fact) {
        self.facts.push((self.writer, fact));
    }

    /// The first time only.
    fn malformed(&mut self, reason: Malformed) {
        if !mem::replace(self.is_malformed, true) {
            let connection = self.connection;
            self.push(Fact::Malformed { connection, reason });
        }
    }

    /// A frame of a block stream. Returns the fact that is true when it is read.
    fn frame(&mut self, body: &[u8]) -> Result<Fact, Malformed> {
        let connection = self.connection;
        let frame = (self.blocks).frame(body, || Bytes::copy_from_slice(body))?;
        let gei = frame.gei;
        self.push(Fact::FrameSent { connection, frame });
        Ok(Fact::FrameRead { connection, gei })
    }

    fn request(&mut self, number: u64, body: &[u8]) -> Result<(), Malformed> {
        let request = rpc::request(Bytes::copy_from_slice(body))?;
        self.push(Fact::RequestSent {
            connection: self.connection,
            number,
            request,
        });
        Ok(())
    }

    /// Returns the fact that is true when a reply is read. What is no reply is no answer.
    fn peer_rpc(
        &mut self,
        sender: End,
        peer: u16,
        number: u64,
        body: &[u8],
        counts_blocks: bool,
    ) -> Result<Option<Fact>, Malformed> {
        let connection = self.connection;
        if sender == End::Server {
            let reply = self.parsed_reply(body, counts_blocks).ok();
            return Ok(reply.map(|reply| Fact::PeerReplyRead {
                connection,
                number,
                peer,
                reply,
            }));
        }
        let request = rpc::request(Bytes::copy_from_slice(body))?;
        self.push(Fact::PeerRequestSent {
            connection,
            number,
            peer,
            request,
        });
        Ok(None)
    }

    fn parsed_reply(&self, body: &[u8], counts_blocks: bool) -> Result<Arc<Reply>, Malformed> {
        let reply = match rpc::reply(Bytes::copy_from_slice(body), self.blocks)? {
            Reply::LastBlockNumber(count) if counts_blocks => Reply::BlockCount(count.0),
            reply => reply,
        };
        Ok(Arc::new(reply))
    }

    /// Returns the fact that is true when the reply is read.
    fn reply(&mut self, number: u64, body: &[u8], counts_blocks: bool) -> Result<Fact, Malformed> {
        let connection = self.connection;
        let reply = self.parsed_reply(body, counts_blocks)?;
        self.push(Fact::ReplySent {
            connection,
            number,
            reply: reply.clone(),
        });
        Ok(Fact::ReplyRead {
            connection,
            number,
            reply,
        })
    }

    fn batch(&mut self, number: u64, body: &[u8]) -> Batch {
        let batch = Batch::read(&Bytes::copy_from_slice(body));
        self.push(Fact::BatchSent {
            connection: self.connection,
            number,
            transactions: batch.len(),
            bytes: batch.bytes(),
        });
        batch
    }

    fn old_request(&mut self, number: u64, body: &[u8]) -> Batch {
        let batch = Batch::read(&Bytes::copy_from_slice(body));
        let transactions = batch.taken(batch.len());
        self.push(Fact::OldRequestSent {
            connection: self.connection,
            number,
            transactions: transactions.iter().map(|it| it.hash).collect(),
            bytes: batch.bytes(),
        });
        batch
    }

    fn answer(&mut self, number: u64, batch: &Batch, body: &[u8]) -> Result<(), Malformed> {
        let Promise {
            success,
            taken,
            retry,
        } = batches::reply(body, batch.len())?;
        self.push(Fact::BatchAnswered {
            connection: self.connection,
            number,
            success,
            for_good: !success && !retry && batch.has_valid(taken),
            taken: batch.taken(taken),
            bytes: batch.bytes(),
        });
        Ok(())
    }

    /// A message of the server between nodes.
    fn server_message(&mut self, purpose: Option<Purpose>, body: &[u8]) -> Result<(), Malformed> {
        match purpose {
            None => return Err("a message of the server before the purpose".to_owned()),
            Some(Purpose::Subscribe) => self.block(body),
            Some(Purpose::Query | Purpose::HandOver) => {
                for block in peers::response(Bytes::copy_from_slice(body))? {
                    self.block(&block);
                }
            }
        }
        Ok(())
    }

    fn block(&mut self, bytes: &[u8]) {
        match self.blocks.decode(bytes) {
            Ok(block) => {
                let digest = block.reference.digest;
                if self.blocks.is_first_sent(digest, self.writer) {
                    self.push(Fact::BlockSent { block });
                }
            }
            Err(reason) => self.malformed(reason),
        }
    }
}
