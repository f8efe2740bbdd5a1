//! One run, fully drawn. The only ranges are those from which the world draws repeatedly during the run (latency of a
//! chunk, duration of an execution). Printed before the run.

mod epochs;
mod own_limits;
mod validators;
mod world;

pub use crate::{
    byzantine::{
        Ancestors, Answers, Audience, BlockRound, ByzantinePlan, ByzantineStrategy, Extra, Move,
        Payload, Signature, Votes, Welcomes,
    },
    disk::Backend,
};
pub use epochs::{CommitteePlan, EpochPlan, Member, Unusable, tolerated};
pub use metanode_core::config::{
    ConsensusParameters, DeliveryParameters, IngestParameters, NodeParameters, PeerParameters,
    RpcParameters,
};
pub use mock_go_executor::{BlockNumber, Guard, Manners, Reports};
pub use own_limits::OwnLimit;
pub(crate) use validators::{
    Authorities, account, authority_key, key_seed, network_key_seed, network_keys, public_key,
};
pub use world::{FollowerPlan, INTERVALS_PER_SECOND, NetworkPlan, WORLD_LIMITS, WorkloadPlan};

use crate::{faults::PlannedFault, invariant::Invariant, process_id::ProcessId, witness::Request};
pub use metanode_core::config::Topology;
use metanode_core::{
    bugs::KnownBug,
    config::{StartPolicy, WatermarkSource},
    types::{Encryption, GlobalExecIndex, SignatureScheme},
};
use serde::{Deserialize, Serialize};

/// The memory of processes is measured for one of this many seeds, which takes a sixth more time.
const SEEDS_PER_MEASURED: u64 = 5;
/// Which one. Not 0, with which single runs are usually made.
const MEASURED_SEED: u64 = 2;
/// Runs that last so long are always measured: what grows with time shows in them.
const MEASURED_MS: u64 = 300_000;

/// A range, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub low: u64,
    pub high: u64,
}

/// For plans of files that do not say it.
const fn readable() -> Encryption {
    Encryption::Readable
}

/// Everything that determines a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub scenario: String,
    #[serde(with = "seed")]
    pub seed: u64,
    pub topology: Topology,
    pub validators: u16,
    pub store: Backend,
    pub signatures: SignatureScheme,
    /// Of connections between nodes.
    #[serde(default = "readable")]
    pub encryption: Encryption,
    /// What nodes do at a start if their executor does not answer.
    pub start_policy: StartPolicy,
    /// Which number of their executors nodes and Subs take for W.
    #[serde(default)]
    pub watermark_source: WatermarkSource,
    /// How all executors differ from the contract.
    #[serde(default)]
    pub manners: Manners,
    /// Faults happen within this time; then all of them end.
    pub duration_ms: u64,
    /// After faults have ended, every live executor reaches the tip within this time (invariant LIVE).
    pub settle_ms: u64,
    pub network: NetworkPlan,
    /// The limits of every node that has none of its own. Its signatures, encryption, epochs and source of W are
    /// ignored: `signatures`, `encryption`, `epochs` and `watermark_source` of the plan apply.
    pub node: NodeParameters,
    /// Limits in which single nodes differ from `node`; a later entry counts more than an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_limits: Vec<OwnLimit>,
    /// One per executor.
    pub executors: Vec<ExecutorPlan>,
    /// Offset of each host's wall clock, one per validator.
    pub clock_skew_ms: Vec<i64>,
    /// How much faster than simulated time each host's wall clock runs, in parts per million; 0 for hosts without an
    /// entry.
    #[serde(default)]
    pub clock_drift_ppm: Vec<i32>,
    /// Validators that may be down at once because of faults: killed, without power or paused, node or executor. A
    /// fault that would take down more is skipped. `None`: no limit.
    #[serde(default)]
    pub max_faulty: Option<u16>,
    pub workload: WorkloadPlan,
    #[serde(default)]
    pub followers: FollowerPlan,
    /// Whether nodes ask the executors of all other validators for epoch and block. In `single-master` there are none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks_peers: bool,
    #[serde(default)]
    pub epochs: EpochPlan,
    /// Byzantine validators; at most f, and not the one that delivers in `single-master`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub byzantine: Vec<ByzantinePlan>,
    /// Validators whose processes end when faults end, and are not started again: progress is demanded without them.
    /// Together with Byzantine ones at most f.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays_down: Vec<u16>,
    pub faults: Vec<PlannedFault>,
    /// What must happen besides the invariants.
    #[serde(default)]
    pub expect: Vec<Expectation>,
    /// The run passes if, and only if, one of these invariants is violated: it shows a bug that is known. Empty: the run
    /// passes if none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finds: Vec<Invariant>,
    /// Known bugs that are enabled; none except in tests of the harness itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bugs: Vec<KnownBug>,
    /// The validators whose node and executor have the bugs; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buggy_validators: Vec<u16>,
}

impl Plan {
    /// A small cluster without faults: four validators, each with an executor, and small limits. Tests change what they
    /// need.
    #[must_use]
    pub fn example() -> Self {
        let executor = ExecutorPlan {
            guard: Guard::Strict,
            execute_us: Span {
                low: 100,
                high: 500,
            },
            flush_every_blocks: Span { low: 1, high: 3 },
        };
        Self {
            scenario: "example".to_owned(),
            seed: 0,
            topology: Topology::MasterPerNode,
            validators: 4,
            store: Backend::Memory,
            signatures: SignatureScheme::KeyedHash,
            encryption: Encryption::Readable,
            start_policy: StartPolicy::Wait,
            watermark_source: WatermarkSource::LastBlockNumber,
            manners: Manners::default(),
            duration_ms: 10_000,
            settle_ms: 20_000,
            network: NetworkPlan::default(),
            node: NodeParameters {
                consensus: ConsensusParameters {
                    min_round_delay_ms: 20,
                    leader_timeout_ms: 200,
                    gc_depth_rounds: 50,
                    ..ConsensusParameters::default()
                },
                delivery: DeliveryParameters {
                    window_blocks: 8,
                    recovery_batch_commits: 3,
                    watermark_poll_ms: 50,
                    write_timeout_ms: 1_000,
                    ..DeliveryParameters::default()
                },
                peers: PeerParameters::default(),
                ingest: IngestParameters::default(),
                rpc: RpcParameters {
                    timeout_ms: 1_000,
                    ..RpcParameters::default()
                },
            },
            own_limits: vec![],
            executors: vec![executor; 4],
            clock_skew_ms: vec![0; 4],
            clock_drift_ppm: vec![],
            max_faulty: None,
            workload: WorkloadPlan {
                transactions_per_second: 50,
                accounts: 10,
                ..WorkloadPlan::default()
            },
            followers: FollowerPlan::default(),
            asks_peers: false,
            epochs: EpochPlan::default(),
            byzantine: vec![],
            stays_down: vec![],
            faults: vec![],
            expect: vec![],
            finds: vec![],
            bugs: vec![],
            buggy_validators: vec![],
        }
    }

    /// The plan with executors as the contract has them, if they differ.
    pub(crate) fn with_plain_executors(&self) -> Option<Self> {
        let plain = Self {
            manners: Manners::default(),
            watermark_source: WatermarkSource::default(),
            ..self.clone()
        };
        (plain != *self).then_some(plain)
    }

    /// Whether the number of an executor's last block is no GEI.
    pub(crate) fn counts_blocks(&self) -> bool {
        self.manners.block_number == BlockNumber::NonEmptyBlocks
    }

    /// The validators whose executors the node of this one asks for epoch and block, in the order of its configuration.
    #[must_use]
    pub fn peers_of(&self, validator: u16) -> Vec<u16> {
        match (self.asks_peers, self.topology) {
            (true, Topology::MasterPerNode) => {
                (0..self.validators).filter(|n| *n != validator).collect()
            }
            _ => vec![],
        }
    }

    /// What asks for W.
    pub(crate) const fn watermark_request(&self) -> Request {
        match self.watermark_source {
            WatermarkSource::LastBlockNumber => Request::GetLastBlockNumber,
            WatermarkSource::LastGlobalExecIndex => Request::GetActiveValidators,
        }
    }

    /// What this validator does, if it is Byzantine.
    pub(crate) fn byzantine(&self, validator: u16) -> Option<&ByzantinePlan> {
        let of = |byzantine: &&ByzantinePlan| byzantine.validator == validator;
        self.byzantine.iter().find(of)
    }

    /// Whether the memory of the processes is measured in this run.
    pub(crate) const fn measures_memory(&self) -> bool {
        self.seed % SEEDS_PER_MEASURED == MEASURED_SEED || self.duration_ms >= MEASURED_MS
    }

    pub(crate) fn is_byzantine(&self, validator: u16) -> bool {
        self.byzantine(validator).is_some()
    }
}

/// One executor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutorPlan {
    pub guard: Guard,
    /// Duration of one block's execution, drawn per block.
    pub execute_us: Span,
    /// Blocks between two durable watermarks, drawn per flush; 1 = every block.
    pub flush_every_blocks: Span,
}

/// What a scenario expects of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    pub node: ProcessId,
    /// After a restart, it writes exactly these frames first, once and in order.
    pub frames_after_restart: Vec<GlobalExecIndex>,
}

/// A seed in formats with signed integers, like TOML: a number if it fits, otherwise a string of digits.
mod seed {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seed {
        Number(u64),
        Digits(String),
    }

    pub fn serialize<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(*seed) {
            Ok(_) => serializer.serialize_u64(*seed),
            Err(_) => serializer.serialize_str(&seed.to_string()),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        match Seed::deserialize(deserializer)? {
            Seed::Number(seed) => Ok(seed),
            Seed::Digits(digits) => digits.parse().map_err(|_| {
                D::Error::custom(format_args!(
                    "`{digits}` is not a seed: expected a number below 2^64"
                ))
            }),
        }
    }
}
