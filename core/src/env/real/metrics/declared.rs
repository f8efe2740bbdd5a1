//! The metrics: names follow the conventions of Prometheus, units are seconds and bytes.

use crate::env::Quantity;

/// Which process has a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A metanode.
    Node,
    /// A mock executor, which is a Go Master.
    Executor,
    /// A Go Sub.
    Sub,
}

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up.
    Counter,
    /// A counter with fractions.
    Seconds,
    /// One counter for each value of a label.
    CounterBy(&'static str),
    /// Durations in seconds, for each value of a label.
    HistogramBy(&'static str),
    /// The version, as a label.
    Info,
}

impl Kind {
    /// The type by its name in the text format.
    #[cfg(test)]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter | Self::Seconds | Self::CounterBy(_) => "counter",
            Self::HistogramBy(_) => "histogram",
            Self::Info => "info",
        }
    }
}

macro_rules! metrics {
    ($($program:ident { $($metric:ident = $name:literal, $kind:expr, $unit:literal, $meaning:literal;)* })*) => {
        /// A metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Metric {
            $($($metric,)*)*
        }

        impl Metric {
            /// All metrics, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$($(Self::$metric,)*)*];

            /// The process that has it.
            pub const fn program(self) -> Program {
                match self {
                    $($(Self::$metric)|* => Program::$program,)*
                }
            }

            /// The name under which it is exported.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$metric => $name,)*)*
                }
            }

            pub const fn kind(self) -> Kind {
                match self {
                    $($(Self::$metric => $kind,)*)*
                }
            }

            #[cfg(test)]
            pub const fn unit(self) -> &'static str {
                match self {
                    $($(Self::$metric => $unit,)*)*
                }
            }

            pub const fn meaning(self) -> &'static str {
                match self {
                    $($(Self::$metric => $meaning,)*)*
                }
            }
        }
    };
}

use Kind::{Counter, CounterBy, Gauge, HistogramBy, Info, Seconds};

metrics! {
    Node {
        NodeBuild = "metanode_build_info", Info, "", "the version, as a label";
        NodeStart = "process_start_time_seconds", Gauge, "seconds", "when the process started, since 1970 by its clock; it changes with every restart";

        DagRound = "metanode_dag_round", Gauge, "rounds", "highest round of any block in the DAG";
        ProposedBlocks = "metanode_proposed_blocks_total", Counter, "blocks", "own blocks that were stored and published";
        ProposedTransactions = "metanode_proposed_transactions_total", Counter, "transactions", "transactions in own blocks";
        ProposedBytes = "metanode_proposed_bytes_total", Counter, "bytes", "size of own blocks";
        CommitIndex = "metanode_commit_index", Gauge, "commits", "index of the last stored commit, from 1 in every epoch";
        Commits = "metanode_commits_total", Counter, "commits", "commits that were stored since the process started";
        LeadersSkipped = "metanode_leaders_skipped_total", Counter, "leaders", "leader slots that were skipped";
        Rejected = "metanode_rejected_messages_total", Counter, "messages", "invalid messages of peers";
        Equivocations = "metanode_equivocations_total", Counter, "blocks", "second blocks for a slot";
        PeersConnected = "metanode_peers_connected", Gauge, "peers", "peers to whose blocks the node is subscribed";
        Peers = "metanode_peers", Gauge, "peers", "members of the committee without the node itself";
        SuspendedBytes = "metanode_suspended_bytes", Gauge, "bytes", "size of the blocks that wait for ancestors, once for each peer that sent them";
        SuspendedLimitBytes = "metanode_suspended_limit_bytes", Gauge, "bytes", "limit of it, of all peers together";

        LastCommitGei = "metanode_last_commit_gei", Gauge, "blocks", "GEI of the last stored commit";
        DurableGei = "metanode_durable_gei", Gauge, "blocks", "durable watermark W of the executor, when it was last learned; of a node that does not deliver, when an epoch was entered";
        LagBlocks = "metanode_lag_blocks", Gauge, "blocks", "GEI of the last stored commit minus W; 0 if the node does not deliver";
        WindowBlocks = "metanode_window_blocks", Gauge, "blocks", "blocks in the window: loaded and not known to be durable";
        WindowCapacity = "metanode_window_capacity_blocks", Gauge, "blocks", "capacity of the window";
        ProposalsPaused = "metanode_proposals_paused", Gauge, "", "1 while the window is full and the node proposes nothing, otherwise 0";
        ProposalsPausedSeconds = "metanode_proposals_paused_seconds_total", Seconds, "seconds", "time for which proposals were paused";
        StreamConnects = "metanode_stream_connects_total", Counter, "connections", "connections of the block stream that were established";
        StreamLosses = "metanode_stream_losses_total", Counter, "connections", "connections of the block stream that ended, and attempts that failed";
        StreamBlocks = "metanode_stream_written_blocks_total", Counter, "blocks", "blocks written to the block stream, each time that they were";
        StreamBytes = "metanode_stream_written_bytes_total", Counter, "bytes", "size of these blocks, as frames";
        Rewinds = "metanode_rewinds_total", Counter, "rewinds", "how often W fell";

        RpcDuration = "metanode_rpc_duration_seconds", HistogramBy("kind"), "seconds", "duration of exchanges with the executor that were answered, by kind of request";
        RpcFailures = "metanode_rpc_failures_total", CounterBy("kind"), "exchanges", "exchanges with the executor that failed, by kind of request";

        Epoch = "metanode_epoch", Gauge, "epochs", "the epoch in which the node is";
        EpochBaseGei = "metanode_epoch_base_gei", Gauge, "blocks", "GEI before the first commit of the epoch";
        EpochChangeStep = "metanode_epoch_change_step", Gauge, "", "0 no boundary yet, 1 the boundary commit is stored, 2 the executor has all blocks up to it, 3 the executor has entered the next epoch";

        PeerStanding = "metanode_peer_standing", Gauge, "", "where the executor stood beside those of peers when they were last asked: 0 unknown or never asked, 1 in sync, 2 behind";
        PeersAnswered = "metanode_peer_executors_answered", Gauge, "peers", "executors of peers that answered the last questions for epoch and block";
        BestPeerEpoch = "metanode_best_peer_epoch", Gauge, "epochs", "epoch of the best of them";
        BestPeerBlock = "metanode_best_peer_block", Gauge, "blocks", "last durable block of the best of them";

        JournalTransactions = "metanode_journal_transactions", Gauge, "transactions", "transactions in the journal: taken and not known to be executed";
        JournalBytes = "metanode_journal_bytes", Gauge, "bytes", "size of them, each with 128 bytes more";
        JournalLimitBytes = "metanode_journal_limit_bytes", Gauge, "bytes", "limit of it (max_journal_bytes)";
        IngestBufferedBytes = "metanode_ingest_buffered_bytes", Gauge, "bytes", "frames of clients above 64 KiB that are being received or stored";
        IngestBufferedLimitBytes = "metanode_ingest_buffered_limit_bytes", Gauge, "bytes", "limit of it (max_buffered_bytes)";
    }
    Executor {
        ExecutorBuild = "mock_executor_build_info", Info, "", "the version, as a label";
        ExecutorStart = "process_start_time_seconds", Gauge, "seconds", "when the process started, since 1970 by its clock; it changes with every restart";
        DurableBlock = "mock_executor_durable_block", Gauge, "blocks", "last durable block, which is the watermark W";
        ExecutedBlock = "mock_executor_executed_block", Gauge, "blocks", "last executed block";
        ExecutorEpoch = "mock_executor_epoch", Gauge, "epochs", "the epoch that was entered last since the process started";
        ReceivedBlocks = "mock_executor_received_blocks_total", Counter, "blocks", "blocks that were read from block streams";
        ExecutedBlocks = "mock_executor_executed_blocks_total", Counter, "blocks", "blocks that were executed since the process started";
        AppliedTransactions = "mock_executor_applied_transactions_total", Counter, "transactions", "transactions that changed the state";
        SkippedTransactions = "mock_executor_skipped_transactions_total", Counter, "transactions", "transactions without effect: used nonce, no funds, undecodable";
        RefusedBlocks = "mock_executor_refused_blocks_total", CounterBy("reason"), "blocks", "blocks that were refused: a `duplicate` is below the expected one, a `gap` above it, for which there may be `no_room_to_wait`, a block of a `wrong_epoch` belongs to another one, and what is `malformed` is no block";
        StreamsAccepted = "mock_executor_streams_accepted_total", Counter, "connections", "block streams that were accepted";
        StreamsClosed = "mock_executor_streams_closed_total", Counter, "connections", "block streams that have ended";
    }
    Sub {
        SubBuild = "mock_sub_build_info", Info, "", "the version, as a label";
        SubStart = "process_start_time_seconds", Gauge, "seconds", "when the process started, since 1970 by its clock; it changes with every restart";
        QueuedBatches = "mock_sub_queued_batches", Gauge, "batches", "batches that wait for a worker";
        QueuedBatchesLimit = "mock_sub_queued_batches_limit", Gauge, "batches", "limit of it (queue_batches)";
        BufferedBytes = "mock_sub_buffered_bytes", Gauge, "bytes", "size of the batches that wait or are not answered";
        BufferedLimitBytes = "mock_sub_buffered_limit_bytes", Gauge, "bytes", "limit of it (max_buffered_bytes)";
        SentTransactions = "mock_sub_sent_transactions_total", Counter, "transactions", "transactions that were written to the node, each time that they were";
        AnsweredTransactions = "mock_sub_answered_transactions_total", Counter, "transactions", "transactions that the node has taken";
        RefusedTransactions = "mock_sub_refused_transactions_total", Counter, "transactions", "transactions of formed batches that the node refused and that are not sent again";
        SubConnects = "mock_sub_connects_total", Counter, "connections", "connections to the node that were established";
        SubLosses = "mock_sub_losses_total", Counter, "connections", "connections to the node that ended, and attempts that failed";
        FollowedBlock = "mock_sub_followed_block", Gauge, "blocks", "last durable block of the state that the Sub keeps";
        MasterBlock = "mock_sub_master_block", Gauge, "blocks", "last durable block of the Master, when it was last asked: the Sub asks when it has executed all of them";
        MasterLagBlocks = "mock_sub_master_lag_blocks", Gauge, "blocks", "blocks that the Sub has yet to follow, by that answer";
        FollowFailures = "mock_sub_follow_failures_total", Counter, "attempts", "attempts to read the Master's blocks that failed";
    }
}

impl Metric {
    /// The metric that exports a quantity.
    pub const fn of(quantity: Quantity) -> Self {
        match quantity {
            Quantity::DagRound => Self::DagRound,
            Quantity::PeersConnected => Self::PeersConnected,
            Quantity::Peers => Self::Peers,
            Quantity::SuspendedBytes => Self::SuspendedBytes,
            Quantity::SuspendedBytesLimit => Self::SuspendedLimitBytes,
            Quantity::WindowBlocks => Self::WindowBlocks,
            Quantity::WindowCapacityBlocks => Self::WindowCapacity,
            Quantity::StreamBytesWritten => Self::StreamBytes,
            Quantity::JournalTransactions => Self::JournalTransactions,
            Quantity::JournalBytes => Self::JournalBytes,
            Quantity::JournalBytesLimit => Self::JournalLimitBytes,
            Quantity::IngestBufferedBytes => Self::IngestBufferedBytes,
            Quantity::IngestBufferedBytesLimit => Self::IngestBufferedLimitBytes,
            Quantity::SubQueuedBatches => Self::QueuedBatches,
            Quantity::SubQueuedBatchesLimit => Self::QueuedBatchesLimit,
            Quantity::SubBufferedBytes => Self::BufferedBytes,
            Quantity::SubBufferedBytesLimit => Self::BufferedLimitBytes,
            Quantity::SubTransactionsSent => Self::SentTransactions,
            Quantity::SubTransactionsAnswered => Self::AnsweredTransactions,
            Quantity::MasterBlock => Self::MasterBlock,
        }
    }
}
