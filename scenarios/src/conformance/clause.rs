//! What an executor promises, clause by clause.

use crate::clauses::{Clause, clauses};

clauses! {
    RPC_KINDS = "rpc-kinds", "§3", "every request has a response of its kind";
    RPC_ORDER = "rpc-order", "§2", "pipelined requests are answered strictly in order";
    RPC_SPLIT = "rpc-split", "§2", "a request may arrive in any pieces";
    RPC_UNKNOWN = "rpc-unknown", "§3", "BlockRequest, StatusRequest and unknown requests are answered with `error`";
    RPC_LENGTH = "rpc-length", "§2.7", "a request of 10 MB is answered; a length of zero or above the limit closes the connection";
    BOUNDARY_DATA = "boundary-data", "§7.4", "base, start and committee of an epoch, the same in every response";
    BOUNDARY_FUTURE = "boundary-future", "§7.4", "an epoch that has not begun has neither boundary data nor a start";

    STREAM_FRAME = "stream-frame", "§2", "a block is a LEB128 length and a CommittedEpochData";
    STREAM_SPLIT = "stream-split", "§2", "a block may arrive in any pieces";
    STREAM_SEVERAL = "stream-several", "§2", "one write may hold several blocks";
    STREAM_UVARINT = "stream-uvarint", "§2", "a length is what `binary.ReadUvarint` reads, also with more bytes than necessary";
    STREAM_LARGE = "stream-large", "§2.7", "a block of a megabyte is executed";
    STREAM_PARTIAL = "stream-partial", "§2", "a part of a block is no block";
    STREAM_LENGTH = "stream-length", "§2.7", "a length of zero, above 64 MB or above 64 bits closes the connection";
    STREAM_ONE_WAY = "stream-one-way", "§2", "nothing is answered on the block stream";

    ORDER_DUPLICATE = "order-duplicate", "§12", "EXEC1: a block at or below W is not executed again";
    ORDER_GAP = "order-gap", "§12", "GAP0: a block above W+1 is not counted before those below it";
    ORDER_EPOCH = "order-epoch", "§4.1", "a block of another epoch than the current one is refused";

    BLOCKS_RANGE = "blocks-range", "§3.1", "stored blocks are returned in order, as they were delivered";
    BLOCKS_MISSING = "blocks-missing", "§3.2", "a block that is not there is answered with `not been committed to DB yet`";
    BLOCKS_LIMIT = "blocks-limit", "§2.7", "a range of any size has an answer within the frame limit";

    ADVANCE_REFUSED = "advance-refused", "§7.3", "a wrong boundary, a skipped epoch, and a start of 0 are refused";
    ADVANCE = "advance", "§7.3", "the next epoch begins at the boundary W with the start that was sent";
    ADVANCE_AGAIN = "advance-again", "§7.3", "the same request again has the same response and no effect";
    ADVANCE_CHANGED = "advance-changed", "§7.3", "an epoch that has begun does not begin elsewhere, and epochs do not go back";
    ADVANCE_BLOCKS = "advance-blocks", "§4.1", "the first block of the new epoch is commit 1 at boundary + 1; one of the old epoch is refused";

    KILL_WATERMARK = "kill-watermark", "§12", "DURABLE: a W that was answered survives a kill";
    KILL_STATE = "kill-state", "§4.3", "after a kill every block up to W is there, and none above it";
    KILL_RESUME = "kill-resume", "§5.1", "after a kill the blocks from W+1 on are accepted";
    KILL_EPOCH = "kill-epoch", "§7.3", "an epoch that was answered survives a kill, with base and start";

    WATERMARK_FALLS = "watermark-falls", "§12", "MONO: W never falls while the executor lives";
    WATERMARK_BEYOND = "watermark-beyond", "§4.3", "W is never above what was delivered";
    WATERMARK_STATE = "watermark-state", "§4.3", "the block at a W that was answered can be read";
}
