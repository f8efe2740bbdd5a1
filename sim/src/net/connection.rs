//! A connection: two pipes and two ends, with Linux's rules about what one end observes when the other closes.
//!
//! Does not know tasks, namespaces and listeners. Where Unix and TCP sockets differ, it follows the sources of Linux:
//! `unix_release_sock` and `unix_stream_sendmsg`, `tcp_close` and `tcp_reset`.

use super::pipe::{Due, Pipe};
use super::rule::{ConnectionId, Judgement, Payload, Route, RuleId, Rules, Segment, Side};
use super::wire::{Fate, Wire};
use madsim::task::NodeId;
use std::io::{self, ErrorKind};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::ReadBuf;

/// The state of one end.
#[derive(Debug)]
struct End {
    /// The process that holds the socket; `None` while it waits to be accepted.
    owner: Option<NodeId>,
    open: bool,
    /// A reset arrived: further writes fail.
    dead: bool,
    /// The reset is not reported yet. It is reported once, by a read or a write.
    unreported: bool,
}

pub(super) struct Connection {
    id: ConnectionId,
    pub route: Route,
    /// By the side that writes.
    pipes: [Pipe; 2],
    ends: [End; 2],
}

impl Connection {
    pub fn new(id: ConnectionId, route: Route, client: NodeId, buffer_bytes: usize) -> Self {
        let end = |owner| End {
            owner,
            open: true,
            dead: false,
            unreported: false,
        };
        Self {
            id,
            route,
            pipes: [Pipe::new(buffer_bytes), Pipe::new(buffer_bytes)],
            ends: [end(Some(client)), end(None)],
        }
    }

    pub fn accepted_by(&mut self, server: NodeId) {
        self.ends[Side::Server as usize].owner = Some(server);
    }

    pub fn is_owned_by(&self, side: Side, node: NodeId) -> bool {
        let end = &self.ends[side as usize];
        end.open && end.owner == Some(node)
    }

    /// Both ends are closed.
    pub fn is_over(&self) -> bool {
        self.ends.iter().all(|end| !end.open)
    }

    pub fn poll_write(
        &mut self,
        side: Side,
        data: &[u8],
        context: &Context<'_>,
        wire: &mut Wire,
    ) -> Poll<io::Result<usize>> {
        let peer_is_open = self.ends[side.peer() as usize].open;
        let end = &mut self.ends[side as usize];
        let pipe = &mut self.pipes[side as usize];
        if !end.open {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        }
        if pipe.finished || (self.route.is_unix() && !peer_is_open) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if end.dead {
            let kind = match std::mem::take(&mut end.unreported) {
                true => ErrorKind::ConnectionReset,
                false => ErrorKind::BrokenPipe,
            };
            return Poll::Ready(Err(kind.into()));
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if pipe.space() == 0 {
            pipe.wait_to_write(context);
            return Poll::Pending;
        }
        let offered = pipe.space().min(data.len());
        let taken = wire
            .rules
            .limit_write(&self.route, side, pipe.written(), offered);
        wire.stats.chunks += 1;
        wire.stats.bytes += taken as u64;
        self.send(side, Payload::Data(taken), &data[..taken], wire);
        Poll::Ready(Ok(taken))
    }

    pub fn poll_read(
        &mut self,
        side: Side,
        buffer: &mut ReadBuf<'_>,
        context: &Context<'_>,
        wire: &mut Wire,
    ) -> Poll<io::Result<()>> {
        let end = &mut self.ends[side as usize];
        let pipe = &mut self.pipes[side.peer() as usize];
        if !end.open {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if pipe.pull(buffer) > 0 {
            wire.show_read(self.id, &self.route, side, pipe.read());
            return Poll::Ready(Ok(()));
        }
        if std::mem::take(&mut end.unreported) {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if pipe.ended || end.dead {
            return Poll::Ready(Ok(()));
        }
        pipe.wait_to_read(context);
        Poll::Pending
    }

    /// `shutdown(SHUT_WR)`.
    pub fn shutdown(&mut self, side: Side, wire: &mut Wire) {
        let end = &self.ends[side as usize];
        if end.open && !end.dead && !self.pipes[side as usize].finished {
            self.send(side, Payload::Fin, &[], wire);
        }
    }

    /// `shutdown(SHUT_WR)` from outside the process: a writer that waits for space gets a broken pipe.
    pub fn half_close(&mut self, side: Side, wire: &mut Wire) {
        self.shutdown(side, wire);
        self.pipes[side as usize].wake_writer();
    }

    /// `close`: the peer is reset if unread bytes are left, otherwise it reads the end of the stream.
    pub fn close(&mut self, side: Side, wire: &mut Wire) {
        let unread = self.pipes[side.peer() as usize].arrived() > 0;
        if unread {
            self.close_with_reset(side, wire);
        } else {
            self.shutdown(side, wire);
            self.release_end(side);
        }
    }

    /// `close` of a connection that was never accepted, or that has unread bytes.
    pub fn close_with_reset(&mut self, side: Side, wire: &mut Wire) {
        let end = &self.ends[side as usize];
        if end.open && !end.dead {
            self.send(side, Payload::Reset, &[], wire);
        }
        self.release_end(side);
    }

    fn release_end(&mut self, side: Side) {
        let end = &mut self.ends[side as usize];
        end.open = false;
        end.owner = None;
        let incoming = &mut self.pipes[side.peer() as usize];
        incoming.lose_arrived();
        // A Unix peer that waits for space gets a broken pipe.
        incoming.wake_writer();
    }

    /// Resets both ends immediately. What has arrived can still be read.
    pub fn abort(&mut self) {
        self.kill_end(Side::Client);
        self.kill_end(Side::Server);
    }

    /// Delivers what `sender` has in flight and is due by `now`.
    pub fn deliver(&mut self, sender: Side, now: Instant, wire: &mut Wire) {
        while let Some(payload) = self.pipes[sender as usize].pop_due(now) {
            self.arrive(sender, payload, wire);
        }
    }

    /// `rule` was uninstalled: the rules after it decide about what it held.
    pub fn release(&mut self, rule: RuleId, wire: &mut Wire) {
        for sender in [Side::Client, Side::Server] {
            let mut index = 0;
            while let Some(entry) = self.pipes[sender as usize].in_flight(index) {
                if entry.due == Due::Held(rule) {
                    let segment = Segment {
                        connection: self.id,
                        route: &self.route,
                        sender,
                        offset: entry.offset,
                        payload: entry.payload,
                    };
                    let pipe = &mut self.pipes[sender as usize];
                    match wire.fate(&segment, rule) {
                        Fate::Dies { after_bytes } => {
                            let tail = if index == 0 { after_bytes } else { 0 };
                            return self.tear(sender, tail.min(entry.payload.len()));
                        }
                        Fate::Arrives(at) => {
                            if let Some(at) = pipe.reschedule(index, Due::At(at)) {
                                wire.schedule(self.id, sender, at);
                            }
                        }
                        Fate::Held(other) => {
                            pipe.reschedule(index, Due::Held(other));
                        }
                    }
                }
                index += 1;
            }
            self.deliver(sender, wire.timers.now(), wire);
        }
    }

    /// Puts `bytes` into the sender's pipe and sends `payload`, which describes them.
    fn send(&mut self, sender: Side, payload: Payload, bytes: &[u8], wire: &mut Wire) {
        let pipe = &mut self.pipes[sender as usize];
        let segment = Segment {
            connection: self.id,
            route: &self.route,
            sender,
            offset: pipe.written(),
            payload,
        };
        let altered = wire.rules.alter(&segment, bytes);
        pipe.push(altered.as_deref().unwrap_or(bytes));
        pipe.finished |= bytes.is_empty();
        wire.show(&segment, bytes);
        let first = pipe.in_flight(0).is_none();
        match wire.fate(&segment, Rules::START) {
            Fate::Dies { after_bytes } => {
                let tail = if first { after_bytes } else { 0 };
                self.tear(sender, tail.min(bytes.len()));
            }
            Fate::Arrives(at) if first && at <= wire.timers.now() => {
                self.arrive(sender, payload, wire);
            }
            Fate::Arrives(at) => {
                if let Some(at) = pipe.launch(payload, Due::At(at)) {
                    wire.schedule(self.id, sender, at);
                }
            }
            Fate::Held(rule) => {
                pipe.launch(payload, Due::Held(rule));
            }
        }
    }

    /// Resets the connection in the middle of what `sender` sent: `tail_bytes` more arrive.
    fn tear(&mut self, sender: Side, tail_bytes: usize) {
        if self.ends[sender.peer() as usize].open {
            self.pipes[sender as usize].arrive(tail_bytes);
        }
        self.abort();
    }

    fn arrive(&mut self, sender: Side, payload: Payload, wire: &mut Wire) {
        let receiver = sender.peer();
        let receiver_is_open = self.ends[receiver as usize].open;
        let pipe = &mut self.pipes[sender as usize];
        match payload {
            Payload::Data(count) if receiver_is_open => {
                pipe.arrive(count);
                pipe.wake_reader();
            }
            Payload::Data(count) => {
                pipe.lose(count);
                self.answer_with_reset(receiver, wire);
            }
            Payload::Fin => {
                pipe.ended = true;
                pipe.wake_reader();
            }
            Payload::Reset => self.kill_end(receiver),
        }
    }

    /// A closed socket answers data with a reset. The reset has no latency, because it may be sent inside a timer,
    /// where no other can be set; but rules can hold it, and it arrives after what is in flight.
    fn answer_with_reset(&mut self, sender: Side, wire: &mut Wire) {
        let pipe = &mut self.pipes[sender as usize];
        let segment = Segment {
            connection: self.id,
            route: &self.route,
            sender,
            offset: pipe.written(),
            payload: Payload::Reset,
        };
        wire.show(&segment, &[]);
        match wire.rules.judge(&segment, Rules::START) {
            Judgement::Hold(rule) => {
                pipe.launch(Payload::Reset, Due::Held(rule));
            }
            _ if pipe.in_flight(0).is_none() => self.kill_end(sender.peer()),
            _ => {
                pipe.launch(Payload::Reset, Due::At(wire.timers.now()));
            }
        }
    }

    /// A reset has arrived at this end.
    fn kill_end(&mut self, side: Side) {
        let incoming = &mut self.pipes[side.peer() as usize];
        let end = &mut self.ends[side as usize];
        // A reader that has seen the end of the stream gets no error from a later reset.
        end.unreported |= !end.dead && !incoming.ended;
        end.dead = true;
        incoming.wake_reader();
        self.pipes[side as usize].lose_in_flight();
    }
}
