//! The socket kernel: every socket of a simulation, behind one lock.
//!
//! A madsim plugin: when a process is killed its sockets are closed as `close(2)` would. A paused process loses
//! nothing; its buffers fill. All orders are those of numbers that this kernel assigns.

use super::connection::Connection;
use super::link::{HostId, Links};
use super::listener::{ListenerId, Listeners};
use super::rule::{ConnectJudgement, ConnectionId, Route, Rule, RuleId, Rules, Side};
use super::timer::Timers;
use super::waiting::Waiting;
use super::wire::{Stats, Tap, Wire};
use crate::allocator::Uncharged;
use madsim::plugin::Simulator;
use madsim::rand::GlobalRng;
use madsim::task::NodeId;
use madsim::time::TimeHandle;
use metanode_core::{env::Entropy, types::Address};
use std::collections::BTreeMap;
use std::io;
use std::ops::{Deref, DerefMut, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Configuration of the kernel. The default is that of Linux, without latency between hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that one direction of a Unix connection holds, at least 1.
    pub unix_buffer_bytes: usize,
    /// Bytes that one direction of a TCP connection holds, in flight or not, at least 1.
    pub tcp_buffer_bytes: usize,
    /// Connections that may wait for one listener's `accept`, at least 1; further ones wait in `connect`.
    pub backlog: usize,
    /// Latency of a chunk from one host to another, unless the link has its own.
    pub latency: RangeInclusive<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            unix_buffer_bytes: 208 << 10,
            tcp_buffer_bytes: 256 << 10,
            backlog: 128,
            latency: Duration::ZERO..=Duration::ZERO,
        }
    }
}

/// A handle to the sockets of a simulation. Register it with `runtime.add_simulator::<Kernel>()`.
#[derive(Clone)]
pub struct Kernel {
    state: Arc<Mutex<State>>,
}

pub(super) struct State {
    pub wire: Wire,
    pub connections: BTreeMap<ConnectionId, Connection>,
    pub listeners: Listeners,
    settings: Settings,
    /// Tasks in `connect` that a rule holds.
    held_connects: Waiting,
}

/// Uninstalls its rule when dropped, and releases what the rule held.
#[must_use = "dropping the guard uninstalls the rule"]
pub struct RuleGuard {
    kernel: Kernel,
    rule: RuleId,
}

/// Woken by each timer.
struct TimerFired(Weak<Mutex<State>>);

impl Kernel {
    /// The kernel of the running simulation. Panics outside of one, or if none was registered.
    #[must_use]
    pub fn current() -> Self {
        (*madsim::plugin::simulator::<Self>()).clone()
    }

    /// Applies settings to sockets created from now on and to all links. Before the first call, every latency is the
    /// lowest of its range.
    pub fn configure(&self, settings: Settings, entropy: Arc<dyn Entropy>) {
        let mut state = self.lock();
        state.listeners.backlog = settings.backlog.max(1);
        state
            .wire
            .links
            .configure(settings.latency.clone(), entropy);
        state.settings = settings;
    }

    /// Sets the latency of chunks `from` one host `to` another, in this direction only.
    pub fn set_link(&self, from: HostId, to: HostId, latency: RangeInclusive<Duration>) {
        self.lock().wire.links.set(from, to, latency);
    }

    /// Applies a rule until the guard is dropped.
    pub fn install(&self, rule: impl Rule + 'static) -> RuleGuard {
        RuleGuard {
            kernel: self.clone(),
            rule: self.lock().wire.rules.install(Box::new(rule)),
        }
    }

    /// Lets `tap` observe all connections for the rest of the simulation.
    pub fn tap(&self, tap: impl Tap + 'static) {
        self.lock().wire.taps.push(Box::new(tap));
    }

    /// Resets the connections that `filter` selects at both ends, immediately. Returns their number.
    pub fn reset_connections(&self, mut filter: impl FnMut(&Route) -> bool) -> usize {
        let mut state = self.lock();
        let chosen = state
            .connections
            .values_mut()
            .filter(|connection| filter(&connection.route));
        chosen.map(Connection::abort).count()
    }

    /// Closes the direction of `side` of the connections that `filter` selects, after what it has sent; the other
    /// direction stays open. Returns their number.
    pub fn half_close(&self, side: Side, mut filter: impl FnMut(&Route) -> bool) -> usize {
        let state = &mut *self.lock();
        let chosen = state
            .connections
            .values_mut()
            .filter(|connection| filter(&connection.route));
        chosen
            .map(|connection| connection.half_close(side, &mut state.wire))
            .count()
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.lock().wire.stats
    }

    /// The addresses of all listeners of `host`, in the order of binding. Port 0 is replaced by the assigned port.
    #[must_use]
    pub fn listening(&self, host: HostId) -> Vec<Address> {
        self.lock().listeners.addresses(host)
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        let uncharged = Uncharged::begin();
        Locked {
            state: self.state.lock().unwrap_or_else(PoisonError::into_inner),
            _uncharged: uncharged,
        }
    }

    pub(super) fn time(&self) -> TimeHandle {
        self.lock().wire.timers.handle().clone()
    }
}

impl Simulator for Kernel {
    fn new(_: &GlobalRng, time: &TimeHandle, _: &madsim::Config) -> Self {
        let settings = Settings::default();
        let state = Arc::new_cyclic(|state| {
            let fired = Waker::from(Arc::new(TimerFired(state.clone())));
            Mutex::new(State {
                wire: Wire {
                    rules: Rules::default(),
                    links: Links::new(),
                    timers: Timers::new(time.clone(), fired),
                    taps: Vec::new(),
                    stats: Stats::default(),
                },
                connections: BTreeMap::new(),
                listeners: Listeners::new(settings.backlog),
                settings,
                held_connects: Waiting::default(),
            })
        });
        Self { state }
    }

    /// The process was killed.
    fn reset_node(&self, node: NodeId) {
        self.lock().close_all_of(node);
    }
}

impl Wake for TimerFired {
    fn wake(self: Arc<Self>) {
        if let Some(state) = self.0.upgrade() {
            Kernel { state }.lock().timer_fired();
        }
    }
}

impl Drop for RuleGuard {
    fn drop(&mut self) {
        self.kernel.lock().uninstall(self.rule);
    }
}

impl State {
    /// Opens a connection that waits for `accept`.
    pub fn open(&mut self, listener: ListenerId, route: Route, client: NodeId) -> ConnectionId {
        self.wire.stats.connections += 1;
        let id = ConnectionId(self.wire.stats.connections);
        let buffer_bytes = match route.is_unix() {
            true => self.settings.unix_buffer_bytes,
            false => self.settings.tcp_buffer_bytes,
        };
        self.wire.opened(id, &route);
        let connection = Connection::new(id, route, client, buffer_bytes);
        self.connections.insert(id, connection);
        self.listeners.enqueue(listener, id);
        id
    }

    /// Closes one end, if the connection still exists.
    pub fn close(&mut self, id: ConnectionId, side: Side) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.close(side, &mut self.wire);
            self.forget_if_over(id);
        }
    }

    fn forget_if_over(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(Connection::is_over) {
            self.connections.remove(&id);
            self.wire.show_closed(id);
        }
    }

    /// Stops listening; connections that were not accepted are reset.
    pub fn close_listener(&mut self, id: ListenerId) {
        for id in self.listeners.close(id) {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.close_with_reset(Side::Server, &mut self.wire);
                self.forget_if_over(id);
            }
        }
    }

    /// Asks the rules after `after` whether a connection may be opened. Returns its delay, or an error. While a rule
    /// holds the attempt, `after` is that rule.
    pub fn poll_permission(
        &mut self,
        attempt: &Route,
        after: &mut RuleId,
        context: &Context<'_>,
    ) -> Poll<io::Result<Duration>> {
        if !self.wire.rules.is_installed(*after) {
            match self.wire.rules.judge_connect(attempt, *after) {
                ConnectJudgement::Allow { delay } => return Poll::Ready(Ok(delay)),
                ConnectJudgement::Fail(kind) => return Poll::Ready(Err(kind.into())),
                ConnectJudgement::Hold(rule) => *after = rule,
            }
        }
        self.held_connects.add(context);
        Poll::Pending
    }

    fn close_all_of(&mut self, node: NodeId) {
        for listener in self.listeners.owned_by(node) {
            self.close_listener(listener);
        }
        for side in [Side::Client, Side::Server] {
            let owned = self.connections.iter();
            let owned: Vec<_> = owned
                .filter(|(_, connection)| connection.is_owned_by(side, node))
                .map(|(&id, _)| id)
                .collect();
            for id in owned {
                self.close(id, side);
            }
        }
    }

    fn uninstall(&mut self, rule: RuleId) {
        if self.wire.rules.uninstall(rule).is_some() {
            for connection in self.connections.values_mut() {
                connection.release(rule, &mut self.wire);
            }
            self.held_connects.wake_all();
        }
    }

    fn timer_fired(&mut self) {
        if let Some((now, (id, sender))) = self.wire.timers.pop()
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.deliver(sender, now, &mut self.wire);
        }
    }
}

/// The locked state. What a process causes in it is charged to nobody.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    _uncharged: Uncharged,
}

impl Deref for Locked<'_> {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}
