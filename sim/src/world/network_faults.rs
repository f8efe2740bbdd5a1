//! Faults of sockets and links: from the plan to rules of the socket kernel.

use super::{World, lock, settings};
use crate::{
    net::{
        Cut, Hijack, HostId, LateOnce, LatencySpike, On, Partition, Route, RuleGuard, ShortWrites,
        TearOnce,
    },
    plan::{Action, Channel},
};
use metanode_core::env::Entropy;
use std::{collections::BTreeSet, time::Duration};

impl World {
    /// Begins fault number `fault` if it is one of sockets and links.
    pub(super) fn begin_network_fault(&self, fault: usize, action: &Action) {
        let guard = match action {
            Action::Partition { hosts, cut, .. } => self.cut_off(hosts, *cut),
            Action::SlowLinks {
                hosts, extra_ms, ..
            } => self.kernel.install(LatencySpike {
                hosts: ids(hosts),
                extra: Duration::from_millis(*extra_ms),
            }),
            Action::ShortWrites {
                hosts, max_bytes, ..
            } => self.kernel.install(On {
                chosen: of(hosts, Channel::Any),
                rule: ShortWrites {
                    max_bytes: usize::try_from(*max_bytes).unwrap_or(usize::MAX),
                    stream: self.entropy.stream(&format!("short writes/{fault}")),
                },
            }),
            Action::Truncate {
                hosts,
                channel,
                after_bytes,
            } => self.kernel.install(On {
                chosen: of(hosts, *channel),
                rule: TearOnce {
                    after_bytes: *after_bytes,
                    torn: false,
                },
            }),
            Action::DelayReply {
                hosts,
                channel,
                extra_ms,
            } => self.kernel.install(On {
                chosen: of(hosts, *channel),
                rule: LateOnce {
                    extra: Duration::from_millis(*extra_ms),
                    done: false,
                },
            }),
            Action::HijackSocket {
                executors,
                channel,
                how,
                ..
            } => return self.hijack_sockets(fault, executors, *channel, *how),
            Action::HalfClose {
                hosts,
                channel,
                side,
            } => {
                self.kernel.half_close(*side, of(hosts, *channel));
                return;
            }
            Action::Reset { hosts, channel } => {
                self.kernel.reset_connections(of(hosts, *channel));
                return;
            }
            _ => return,
        };
        lock(&self.rules).entry(fault).or_default().push(guard);
    }

    fn hijack_sockets(&self, fault: usize, executors: &[u16], channel: Channel, how: Hijack) {
        let paths = settings::unix_paths(channel);
        let hijack = |executor: &u16| {
            let host = settings::host(*executor);
            let hijacked = paths
                .iter()
                .map(move |path| self.kernel.hijack(host, path, how));
            hijacked.flatten().collect::<Vec<_>>()
        };
        let hijacked = executors.iter().flat_map(hijack).collect();
        lock(&self.hijacks).insert(fault, hijacked);
    }

    /// A host without power sends nothing more, not even that its connections are gone.
    pub(super) fn cut_power(&self, host: u16) {
        let guard = self.cut_off(&[host], Cut::Both);
        lock(&self.powerless).insert(host, guard);
    }

    /// The host has power again: whoever still talks to it learns that it knows nothing of that.
    pub(super) fn restore_power(&self, host: u16) {
        let guard = lock(&self.powerless).remove(&host);
        drop(guard);
    }

    fn cut_off(&self, hosts: &[u16], cut: Cut) -> RuleGuard {
        let outside = (0..self.plan.validators).filter(|n| !hosts.contains(n));
        self.kernel.install(Partition {
            hosts: ids(hosts),
            others: outside.map(settings::host).collect(),
            cut,
        })
    }
}

fn ids(hosts: &[u16]) -> BTreeSet<HostId> {
    hosts.iter().map(|n| settings::host(*n)).collect()
}

/// The connections of these hosts on this channel.
fn of(hosts: &[u16], channel: Channel) -> Box<dyn Fn(&Route) -> bool + Send> {
    let hosts = ids(hosts);
    Box::new(move |route| {
        let on_channel = channel == Channel::Any || channel == settings::channel(&route.address);
        on_channel && (hosts.contains(&route.client) || hosts.contains(&route.server))
    })
}
