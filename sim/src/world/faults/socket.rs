//! What faults of sockets do to the world.

use super::{Effect, network::ids};
use crate::{
    faults::{Channel, SocketFault},
    net::{Hijack, LateOnce, On, Route, Rule, ShortWrites, TearOnce},
    world::{World, channel_of, host, unix_paths},
};
use std::time::Duration;

impl Effect for SocketFault {
    fn has_own_events(&self) -> bool {
        match self {
            Self::ShortWrites { .. }
            | Self::Reset { .. }
            | Self::HalfClose { .. }
            | Self::Truncate { .. }
            | Self::DelayReply { .. }
            | Self::HijackSocket { .. } => false,
        }
    }

    fn begin(&self, number: usize, world: &World) {
        match self {
            Self::ShortWrites {
                hosts, max_bytes, ..
            } => {
                let rule = ShortWrites {
                    max_bytes: usize::try_from(*max_bytes).unwrap_or(usize::MAX),
                    stream: world.random(&format!("short writes/{number}")),
                };
                install(rule, hosts, Channel::Any, number, world);
            }
            Self::Reset { hosts, channel } => {
                world.kernel().reset_connections(on(hosts, *channel));
            }
            Self::HalfClose {
                hosts,
                channel,
                side,
            } => {
                world.kernel().half_close(*side, on(hosts, *channel));
            }
            Self::Truncate {
                hosts,
                channel,
                after_bytes,
            } => {
                let rule = TearOnce {
                    after_bytes: *after_bytes,
                    torn: false,
                };
                install(rule, hosts, *channel, number, world);
            }
            Self::DelayReply {
                hosts,
                channel,
                extra_ms,
            } => {
                let rule = LateOnce {
                    extra: Duration::from_millis(*extra_ms),
                    done: false,
                };
                install(rule, hosts, *channel, number, world);
            }
            Self::HijackSocket {
                executors,
                channel,
                how,
                ..
            } => hijack(number, executors, *channel, *how, world),
        }
    }

    fn end(&self, _: &World) {
        match self {
            // What is held for them is removed already.
            Self::ShortWrites { .. } | Self::HijackSocket { .. } => {}
            // They ended when they began.
            Self::Reset { .. }
            | Self::HalfClose { .. }
            | Self::Truncate { .. }
            | Self::DelayReply { .. } => {}
        }
    }
}

/// Installs a rule for these connections, held for the fault.
fn install(
    rule: impl Rule + 'static,
    hosts: &[u16],
    channel: Channel,
    number: usize,
    world: &World,
) {
    let selected = on(hosts, channel);
    let rule = world.kernel().install(On { selected, rule });
    world.faults().hold_rule(number, rule);
}

fn hijack(number: usize, executors: &[u16], channel: Channel, how: Hijack, world: &World) {
    let paths = unix_paths(channel);
    let hijack = |executor: &u16| {
        let host = host(*executor);
        let hijacked = paths.iter();
        let hijacked = hijacked.map(move |path| world.kernel().hijack(host, path, how));
        hijacked.flatten().collect::<Vec<_>>()
    };
    let hijacked = executors.iter().flat_map(hijack).collect();
    world.faults().hold_hijacks(number, hijacked);
}

/// The connections of these hosts on this channel.
fn on(hosts: &[u16], channel: Channel) -> Box<dyn Fn(&Route) -> bool + Send> {
    let hosts = ids(hosts);
    Box::new(move |route| {
        let on_channel = channel == Channel::Any || channel == channel_of(&route.address);
        on_channel && (hosts.contains(&route.client) || hosts.contains(&route.server))
    })
}
