//! Hosts and the links between them.
//!
//! A link is directed. It draws its latencies from its own random stream, so that traffic on one link does not change
//! another.

use metanode_core::env::Entropy;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// A machine: one IP address, one namespace of Unix paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub u16);

impl HostId {
    /// The host's address, `10.x.y.1`: each host is in a subnet of its own.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        let [high, low] = self.0.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, high, low, 1))
    }

    /// The host of an address, if it is of the form `10.x.y.1`.
    #[must_use]
    pub const fn of_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(ip) => match ip.octets() {
                [10, high, low, 1] => Some(Self(u16::from_be_bytes([high, low]))),
                _ => None,
            },
            IpAddr::V6(_) => None,
        }
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host-{}", self.0)
    }
}

/// The latencies between hosts.
pub(super) struct Links {
    default: RangeInclusive<Duration>,
    ranges: BTreeMap<(HostId, HostId), RangeInclusive<Duration>>,
    streams: BTreeMap<(HostId, HostId), ChaCha8Rng>,
    entropy: Option<Arc<dyn Entropy>>,
}

impl Links {
    /// Links without latency.
    pub fn new() -> Self {
        Self {
            default: Duration::ZERO..=Duration::ZERO,
            ranges: BTreeMap::new(),
            streams: BTreeMap::new(),
            entropy: None,
        }
    }

    pub fn configure(&mut self, default: RangeInclusive<Duration>, entropy: Arc<dyn Entropy>) {
        self.default = default;
        self.entropy = Some(entropy);
    }

    pub fn set(&mut self, from: HostId, to: HostId, latency: RangeInclusive<Duration>) {
        self.ranges.insert((from, to), latency);
    }

    /// Draws the latency of one chunk; 0 within a host.
    pub fn draw(&mut self, from: HostId, to: HostId) -> Duration {
        if from == to {
            return Duration::ZERO;
        }
        let range = self.ranges.get(&(from, to)).unwrap_or(&self.default);
        let width_ns = range.end().saturating_sub(*range.start()).as_nanos();
        let (Some(entropy), Ok(width_ns @ 1..)) = (&self.entropy, u64::try_from(width_ns)) else {
            return *range.start();
        };
        let stream = self
            .streams
            .entry((from, to))
            .or_insert_with(|| entropy.stream(&format!("net/link/{from}/{to}")));
        *range.start() + Duration::from_nanos(below(stream, width_ns + 1))
    }
}

/// A number below `bound`, uniform up to a bias of `bound / 2^64`.
pub(super) fn below(stream: &mut ChaCha8Rng, bound: u64) -> u64 {
    let product = u128::from(stream.next_u64()) * u128::from(bound);
    (product >> 64) as u64
}
