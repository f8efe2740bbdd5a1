//! What a node promises to its Go Master, clause by clause.

use crate::clauses::{Clause, clauses};

clauses! {
    STREAM_FRAMES = "stream-frames", "§2.7", "the block stream has frames of 1 byte to 64 MB";
    STREAM_MESSAGE = "stream-message", "§3", "a frame is a CommittedEpochData with one CommittedBlock of the same commit";
    STREAM_ASKS = "stream-asks", "§5.1", "W is asked for before the first block of a connection";
    STREAM_START = "stream-start", "§5.1", "a connection begins with W+1";
    STREAM_KNOWN = "stream-known", "§12", "WIRE: nothing at or below a W that was answered before the connection was opened";
    STREAM_INCREASING = "stream-increasing", "§12", "WIRE: GEIs of a connection strictly increase";
    STREAM_GAP = "stream-gap", "§5.1", "no block is left out";
    STREAM_SAME = "stream-same", "§12", "AGREE: a block that is sent again has the same bytes";
    BLOCK_EPOCH = "block-epoch", "§4.1", "a block is of the current epoch, and its commit index is its GEI minus the base";
    BLOCK_TIME = "block-time", "§7.3", "commit timestamps never go back, nor before the start of the epoch";
    BLOCK_LEADER = "block-leader", "§3", "leader_address has 20 bytes, and is the account of leader_author_index";
    TRANSACTIONS_ONCE = "transactions-once", "§3.4", "a commit has no transaction hash twice";
    TRANSACTIONS_ORDER = "transactions-order", "§3.4", "the transactions of a commit are in the order of the sub-DAG, then of their hashes";
    RPC_FRAMES = "rpc-frames", "§2.7", "requests are frames of 1 byte to 10 MB with a known payload";
    ADVANCE_BOUNDARY = "advance-boundary", "§7.3", "the next epoch begins when W is the last block of this one";
    ADVANCE_START = "advance-start", "§7.3", "it begins at a whole second, that of the boundary commit";
    ADVANCE_AGAIN = "advance-again", "§7.3", "an epoch that is asked for again is the same";
}
