//! Numbers about a process that no event carries, because they change too often or belong to no moment. They are read when
//! metrics are asked for, and cost nothing otherwise; the simulator reads none.

/// Reads a quantity. Must not wait.
pub type Reading = Box<dyn Fn() -> u64 + Send + Sync>;

/// A number about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// The highest round of any block in the DAG.
    DagRound,
    /// Peers to whose blocks the node is subscribed.
    PeersConnected,
    /// Members of the committee, without the node itself.
    Peers,
    /// Bytes of the blocks that wait for ancestors.
    SuspendedBytes,
    SuspendedBytesLimit,
    /// Blocks in the window of delivery.
    WindowBlocks,
    WindowCapacityBlocks,
    /// Bytes written to block streams since the process started.
    StreamBytesWritten,
    /// Transactions in the journal.
    JournalTransactions,
    JournalBytes,
    JournalBytesLimit,
    /// Bytes of large frames of clients that are not stored.
    IngestBufferedBytes,
    IngestBufferedBytesLimit,

    /// Batches of a Sub that wait for a worker.
    SubQueuedBatches,
    SubQueuedBatchesLimit,
    /// Bytes of the batches of a Sub that wait or are not answered.
    SubBufferedBytes,
    SubBufferedBytesLimit,
    /// Transactions that a Sub has written to a node, each time that it did.
    SubTransactionsSent,
    /// Transactions of a Sub that a node has taken.
    SubTransactionsAnswered,
    /// The last durable block of a Sub's Master, when it was last asked.
    MasterBlock,
}
