//! The declaration of all switches: the entries of the museum, and the guards that mask them.

use super::entry::{ASSERTION, Entry, known_bugs};
use serde::{Deserialize, Serialize};

known_bugs! {
    entries {
        ReplayAfterZero = "1a" "replay_after_zero" {
            mechanism: "after a restart delivery begins at commit 1, whatever the executor holds",
            masked_by: [StartIsTrusted],
            found_by: ["WIRE", "EXEC1"],
        }
        BaseTakenAsZero = "1b" "base_taken_as_zero" {
            mechanism: "after a restart in a later epoch delivery begins at commit 1 and numbers from GEI 1",
            masked_by: [StartIsTrusted],
            found_by: ["WIRE", "EXEC1", "AGREE", "TRUTH"],
        }
        QueryFailureReadsAsGenesis = "2a" "query_failure_reads_as_genesis" {
            mechanism: "an executor that did not answer the first query of a start is taken to be at block 0",
            masked_by: [],
            found_by: ["RPC", "WIRE", "EXEC1", "TRUTH"],
        }
        QueryFailureReadsAsRecord = "2b" "query_failure_reads_as_record" {
            mechanism: "an executor that did not answer the first query of a start is taken to be where the node's newest epoch began",
            masked_by: [],
            found_by: ["RPC", "WIRE", "EXEC1", "TRUTH"],
        }
        GeiAssertedAsCommitIndex = "3a" "gei_asserted_as_commit_index" {
            mechanism: "a start asserts that the watermark, taken for a commit index, is not above the last stored commit",
            masked_by: [],
            found_by: [ASSERTION],
        }
        GeiUsedAsCommitIndex = "3b" "gei_used_as_commit_index" {
            mechanism: "delivery begins after the commit whose index is the watermark: right in epoch 0, too high later",
            masked_by: [StartIsTrusted],
            found_by: ["GAP0", "LIVE"],
        }
        WatermarkWithoutEpoch = "4a" "watermark_without_epoch" {
            mechanism: "as many commits of a new epoch count as handled as the epoch before it had",
            masked_by: [StartIsTrusted],
            found_by: ["GAP0", "LIVE"],
        }
        GuardWithoutEpoch = "4c" "guard_without_epoch" {
            mechanism: "the executor skips commits of a new epoch whose index it has seen in the epoch before",
            masked_by: [],
            found_by: ["GAP0", "LIVE"],
        }
        StartsAtStoreTip = "5d" "starts_at_store_tip" {
            mechanism: "delivery begins after the last stored commit; stored commits that the executor lacks are left out",
            masked_by: [StartIsTrusted],
            found_by: ["WIRE", "GAP0", "LIVE"],
        }
        SentIsRemembered = "6d" "sent_is_remembered" {
            mechanism: "a new connection continues after what an older one wrote",
            masked_by: [],
            found_by: ["WIRE", "GAP0", "LIVE"],
        }
        HigherOfTwoCursors = "6e" "higher_of_two_cursors" {
            mechanism: "delivery begins above the watermark or the last stored commit, whichever is higher",
            masked_by: [StartIsTrusted],
            found_by: ["GAP0", "LIVE"],
        }
        BaseTakenFromTip = "7" "base_taken_from_tip" {
            mechanism: "after a restart the epoch's base is the executor's watermark: old commits get new numbers",
            masked_by: [],
            found_by: ["AGREE", "EXEC1", "ROOT", "TRUTH"],
        }
        StoredReadsAsExecuted = "8" "stored_reads_as_executed" {
            mechanism: "the executor stores blocks before their state, and a start takes the last stored one for executed",
            masked_by: [],
            found_by: ["DURABLE", "ROOT", "GAP0", "TRUTH"],
        }
        RecoveryFloods = "9a" "recovery_floods" {
            mechanism: "the first load takes the whole backlog, whatever the window's size",
            masked_by: [],
            found_by: ["BOUND"],
        }
        RecoveryAwaitsItsConsumer = "9b" "recovery_awaits_its_consumer" {
            mechanism: "the start waits until the backlog is durable before it starts the task that delivers it",
            masked_by: [],
            found_by: ["START", "LIVE"],
        }
        HandledIndexStands = "9c" "handled_index_stands" {
            mechanism: "durable blocks never leave the window",
            masked_by: [],
            found_by: ["LIVE"],
        }
        BatchOfNothing = "9e" "batch_of_nothing" {
            mechanism: "recovery reads batches of 0 commits",
            masked_by: [],
            found_by: ["LIVE"],
        }
        EndOfEpochMissed = "11a" "end_of_epoch_missed" {
            mechanism: "a boundary that is stored together with other commits is delivered like them, and no change begins",
            masked_by: [],
            found_by: ["LIVE"],
        }
        TrailingCommits = "11b" "trailing_commits" {
            mechanism: "commits go on being made and delivered after the boundary",
            masked_by: [],
            found_by: ["AGREE", "EXEC1", "LIVE", "QUORUM"],
        }
        UnitsMixed = "13" "units_mixed" {
            mechanism: "the watermark is compared with a count of commits that leaves out the empty ones",
            masked_by: [StartIsTrusted],
            found_by: ["GAP0", "LIVE", "WIRE"],
        }
        ExecutedBeforeQuorum = "15" "executed_before_quorum" {
            mechanism: "a block is accepted without its missing ancestors, and commits leave them out",
            masked_by: [],
            found_by: ["AGREE", "ROOT"],
        }
        WriteCountsAsDelivery = "16" "write_counts_as_delivery" {
            mechanism: "a block that was written leaves the window for good",
            masked_by: [],
            found_by: ["GAP0", "LIVE", "TRUTH"],
        }
        LateReplyAnswersNextRequest = "18" "late_reply_answers_next_request" {
            mechanism: "a connection whose request timed out is used again",
            masked_by: [],
            found_by: ["RPC"],
        }
        TimeoutBelowBlockTime = "19a" "timeout_below_block_time" {
            mechanism: "a write that the socket does not take at once fails: a block larger than its buffer never arrives",
            masked_by: [],
            found_by: ["LIVE"],
        }
        DeadPeerGoesUnnoticed = "19c" "dead_peer_goes_unnoticed" {
            mechanism: "only a failed write ends a connection; its end is never read",
            masked_by: [],
            found_by: ["LIVE"],
        }
        ResendOnSameConnection = "19e" "resend_on_same_connection" {
            mechanism: "after a write that timed out in the middle of a frame the same connection is used again",
            masked_by: [],
            found_by: ["WIRE", "RPC", "EXEC1", "LIVE", "TRUTH"],
        }
        UnboundedSendBuffer = "20a" "unbounded_send_buffer" {
            mechanism: "the window has no capacity",
            masked_by: [],
            found_by: ["BOUND", "BACKP"],
        }
        PressureStopsAtTheWindow = "20d" "pressure_stops_at_the_window" {
            mechanism: "a full window does not pause proposals",
            masked_by: [],
            found_by: ["BACKP"],
        }
        FailureAwaitsNextCommit = "20e" "failure_awaits_next_commit" {
            mechanism: "a broken connection is replaced only when the next commit is stored",
            masked_by: [],
            found_by: ["LIVE"],
        }
        StaleSocketRefusesBind = "22a" "stale_socket_refuses_bind" {
            mechanism: "a socket file that a crash left behind keeps the next start from listening",
            masked_by: [],
            found_by: ["START", "LIVE"],
        }
        StaleSocketReadsAsGenesis = "22d" "stale_socket_reads_as_genesis" {
            mechanism: "a connection that is refused at the start is taken for an executor at block 0",
            masked_by: [],
            found_by: ["RPC", "WIRE", "EXEC1", "TRUTH"],
        }
        BoundaryFromLaggingExecutor = "23a" "boundary_from_lagging_executor" {
            mechanism: "the next epoch's base is what the executor reports when the boundary is committed",
            masked_by: [],
            found_by: ["EPOCH", "AGREE", "GAP0", "LIVE", "QUORUM"],
        }
        BoundaryOneShort = "23b" "boundary_one_short" {
            mechanism: "the next epoch's base is one below the boundary",
            masked_by: [],
            found_by: ["EPOCH", "AGREE", "GAP0", "LIVE", "QUORUM"],
        }
        BoundaryReadBeforeStop = "24" "boundary_read_before_old_epoch_stops" {
            mechanism: "commits go on being delivered after the boundary, and how far that has come is the next epoch's base",
            masked_by: [],
            found_by: ["EPOCH", "AGREE", "QUORUM"],
        }
        CommitteeBeforeAdvance = "25a" "committee_before_advance" {
            mechanism: "the executor is asked for the next committee before it is told that the epoch is over",
            masked_by: [],
            found_by: ["LIVE"],
        }
        ChangePausesDelivery = "25c" "change_pauses_delivery" {
            mechanism: "a boundary pauses the delivery that the change waits for",
            masked_by: [],
            found_by: ["LIVE"],
        }
        AdvancedBeforeDrained = "26a" "advanced_before_drained" {
            mechanism: "the executor is told that the epoch is over before it holds all of it durably",
            masked_by: [ExecutorAdvancesEarly, UnfinishedEpochForgotten],
            found_by: ["GAP0", "ROOT", "MONO", "LIVE", "WIRE"],
        }
        AdvanceFailureIgnored = "26b" "advance_failure_ignored" {
            mechanism: "a failed AdvanceEpoch is logged and not repeated: the node waits for the next epoch's committee",
            masked_by: [],
            found_by: ["LIVE"],
        }
        ClockInTheChain = "28a" "clock_in_the_chain" {
            mechanism: "an epoch begins at the time of day of the node that announces it",
            masked_by: [],
            found_by: ["EPOCH", "ROOT", "QUORUM"],
        }
        EpochStartNotRounded = "+" "epoch_start_not_rounded" {
            mechanism: "an epoch begins at the millisecond of the boundary, of which the executor keeps whole seconds",
            masked_by: [],
            found_by: ["QUORUM", "START", "EPOCH"],
        }
        StaleEpochStart = "28b" "stale_epoch_start" {
            mechanism: "later epochs count as having lasted long enough as soon as they begin",
            masked_by: [],
            found_by: ["EPOCH"],
        }
        WatermarkBeforeState = "30a" "watermark_before_state" {
            mechanism: "the executor makes its watermark durable, then the state that it stands for",
            masked_by: [],
            found_by: ["DURABLE", "ROOT", "GAP0"],
        }
        StateWithoutWatermark = "30b" "state_without_watermark" {
            mechanism: "the executor's state and watermark are not atomic: a crash between them keeps the state alone",
            masked_by: [],
            found_by: ["ROOT", "EXEC1", "TRUTH"],
        }
        ReportsWhatIsInMemory = "30d" "reports_what_is_in_memory" {
            mechanism: "the executor reports blocks that it executed and has not made durable",
            masked_by: [],
            found_by: ["DURABLE"],
        }
        BlocksBeforeState = "30f" "blocks_before_state" {
            mechanism: "the executor stores blocks before their state",
            masked_by: [WatermarkWithBlocks],
            found_by: ["DURABLE", "ROOT", "TRUTH"],
        }
        Amnesia = "40a" "amnesia" {
            mechanism: "after a restart peers are not asked what this authority signed",
            masked_by: [OwnBlocksBuffered],
            found_by: ["NOEQUIV"],
        }
        BlockNumberTakenForGei = "+" "block_number_taken_for_gei" {
            mechanism: "the number of the executor's last block is taken for W, although it counts blocks and GEIs apart",
            masked_by: [],
            found_by: ["WIRE", "START", "TRUTH"],
        }
        HandedOnBeforeSynced = "+" "handed_on_before_synced" {
            mechanism: "commits are delivered before they are synced",
            masked_by: [],
            found_by: ["DURABLE"],
        }
        CollectedRoundsStay = "+" "collected_rounds_stay" {
            mechanism: "rounds that no commit can contain any more stay in the DAG",
            masked_by: [],
            found_by: ["BOUND"],
        }
        BoundaryVotesBuffered = "+" "boundary_votes_buffered" {
            mechanism: "an epoch is left on votes for its boundary that are not synced",
            masked_by: [],
            found_by: ["QUORUM"],
        }
        NoAnswerReadsAsInSync = "+" "no_answer_reads_as_in_sync" {
            mechanism: "without an answer of a peer the own position counts as that of the network: in sync",
            masked_by: [],
            found_by: ["TRUTH"],
        }
        BestPeerByFirstAnswer = "+" "best_peer_by_first_answer" {
            mechanism: "the peer that answers first is taken for the best one",
            masked_by: [],
            found_by: ["TRUTH"],
        }
        FurthestClaimBelieved = "+" "furthest_claim_believed" {
            mechanism: "the peer that claims the furthest position is the best one, whoever supports it",
            masked_by: [],
            found_by: ["TRUTH"],
        }
        GapAcrossEpochs = "+" "gap_across_epochs" {
            mechanism: "blocks are compared across epochs: an executor a few blocks before a boundary counts as in sync",
            masked_by: [],
            found_by: ["TRUTH"],
        }
        OnePeerStopsTheNode = "+" "one_peer_stops_the_node" {
            mechanism: "one peer that reports another state root is enough to stop a node",
            masked_by: [],
            found_by: ["START", "LIVE"],
        }
        PeerMayAdvance = "+" "peer_may_advance" {
            mechanism: "the executor lets anybody who reaches its port for peers begin the next epoch",
            masked_by: [],
            found_by: ["EPOCH"],
        }
        EpochAgeFromItsStart = "+" "epoch_age_from_its_start" {
            mechanism: "the age of an epoch counts from its start: one that begins late ends with its first commits",
            masked_by: [],
            found_by: ["EPOCH", "QUORUM"],
        }
        LeadersInAnotherOrder = "+" "leaders_in_another_order" {
            mechanism: "the leader of a round is the authority after the one that the schedule names",
            masked_by: [],
            found_by: ["QUORUM", "AGREE"],
        }
        SubDagByAuthor = "+" "sub_dag_by_author" {
            mechanism: "the blocks of a commit are ordered by author, then by round",
            masked_by: [],
            found_by: ["QUORUM", "AGREE"],
        }
        BlocksLeftOut = "+" "blocks_left_out" {
            mechanism: "commits leave out the blocks of authority 0, unless it is the leader",
            masked_by: [],
            found_by: ["QUORUM", "AGREE"],
        }
        TimestampOfTheLeader = "+" "timestamp_of_the_leader" {
            mechanism: "the timestamp of a commit is that of its leader, not the median of the leader's parents",
            masked_by: [],
            found_by: ["QUORUM", "AGREE"],
        }
        TimeGoesBack = "+" "time_goes_back" {
            mechanism: "the timestamp of a commit may be earlier than that of the previous one",
            masked_by: [],
            found_by: ["QUORUM", ASSERTION, "AGREE"],
        }
        CommitteeByProtocolKey = "+" "committee_by_protocol_key" {
            mechanism: "the committee is ordered by protocol keys",
            masked_by: [],
            found_by: ["QUORUM", "EPOCH"],
        }
        BoundaryAtOneThird = "+" "boundary_at_one_third" {
            mechanism: "an epoch ends with end-of-epoch marks of f+1 stake",
            masked_by: [],
            found_by: ["QUORUM", "EPOCH"],
        }
        TransactionsUnsorted = "+" "transactions_unsorted" {
            mechanism: "the transactions of a block are delivered in the order of the block, not of their hashes",
            masked_by: [],
            found_by: ["QUORUM", "AGREE"],
        }
        TransactionDeliveredTwice = "+" "transaction_delivered_twice" {
            mechanism: "the first transaction of a delivered block occurs again at its end",
            masked_by: [],
            found_by: ["QUORUM", "AGREE"],
        }
        SuccessBeforeSync = "+" "success_before_sync" {
            mechanism: "a batch is answered with success although the journal is not synced",
            masked_by: [],
            found_by: ["NOLOSS"],
        }
        RemovedWithItsCommit = "+" "removed_with_its_commit" {
            mechanism: "a transaction leaves the journal when a commit contains it, before the executor has it durable",
            masked_by: [],
            found_by: ["NOLOSS"],
        }
        PooledConnectionReuse = "32" "pooled_connection_reuse" {
            mechanism: "the client of the old transport hands its connection to the next request right after the write",
            masked_by: [],
            found_by: ["NOLOSS", "RPC"],
        }
        RejectedBetweenEpochs = "33a" "rejected_between_epochs" {
            mechanism: "a batch that comes between two epochs is refused for good, and its client gives it up",
            masked_by: [],
            found_by: ["RPC"],
        }
        QueuedAlthoughFull = "33b" "queued_although_full" {
            mechanism: "during an epoch change a batch is answered with queued although it finds no place in the journal",
            masked_by: [],
            found_by: ["NOLOSS"],
        }
        SuccessWithRemainder = "33c" "success_with_remainder" {
            mechanism: "a batch of which only a part is taken is answered with success",
            masked_by: [],
            found_by: ["NOLOSS"],
        }
        QueuedAfterTheDrain = "33d" "queued_after_the_drain" {
            mechanism: "what is queued between two epochs does not get into the pool: only a start reads it from the journal",
            masked_by: [],
            found_by: ["NOLOSS"],
        }
        FrameRejectedNotConsumed = "35" "frame_rejected_not_consumed" {
            mechanism: "a frame that is too long is answered with an error, and its bytes are taken for the next frames",
            masked_by: [],
            found_by: ["RPC"],
        }
        EpochForgetsInclusions = "+" "epoch_forgets_inclusions" {
            mechanism: "a node that enters an epoch forgets which commits contain what it took: it stays in the journal",
            masked_by: [],
            found_by: ["BOUND"],
        }
        JournalNotRead = "+" "journal_not_read" {
            mechanism: "a start does not read the journal: what was taken and not committed is never proposed",
            masked_by: [],
            found_by: ["NOLOSS"],
        }
        RemovalNotRepeated = "+" "removal_not_repeated" {
            mechanism: "what the disk does not remove from the journal at the first attempt stays there until the next start",
            masked_by: [],
            found_by: ["BOUND"],
        }
        JournalNotHandedOver = "+" "journal_not_handed_over" {
            mechanism: "what the journal of a node without a seat holds is not handed to members",
            masked_by: [],
            found_by: ["NOLOSS"],
        }
        RefusalNotAnswered = "+" "refusal_not_answered" {
            mechanism: "a batch of which nothing is taken is not answered, nor any later one of its connection",
            masked_by: [],
            found_by: ["LIVE"],
        }
        PartSkipsAByte = "+" "part_skips_a_byte" {
            mechanism: "a Sub that has a part of a block asks for the next one with one byte left out",
            masked_by: [],
            found_by: ["LIVE"],
        }
        UnusableValidatorEndsTheNode = "+" "unusable_validator_ends_the_node" {
            mechanism: "a validator whose registration is unusable leaves no committee, instead of being left out",
            masked_by: [],
            found_by: ["START"],
        }
        RestoredDiskIsNew = "+" "restored_disk_is_new" {
            mechanism: "peers are not asked what this authority signed in an epoch of which the disk has no record, also if the disk is an older backup",
            masked_by: [],
            found_by: ["NOEQUIV"],
        }
        SeatFromGreeting = "+" "seat_from_greeting" {
            mechanism: "a caller has the seat that its greeting names, instead of that of the key that it has proven",
            masked_by: [],
            found_by: ["BOUND", "TRUTH"],
        }
        FirstMessageIsProof = "+" "first_message_is_proof" {
            mechanism: "the first message of a handshake, which anybody may repeat, gives a caller the seat of who made it",
            masked_by: [],
            found_by: ["TRUTH"],
        }
        GuestCountsAsMember = "+" "guest_counts_as_member" {
            mechanism: "a caller whose key is that of no member has the budget of a member",
            masked_by: [],
            found_by: ["BOUND"],
        }
        HandshakeWithoutEpoch = "+" "handshake_without_epoch" {
            mechanism: "handshakes are not bound to an epoch: what somebody on the way makes of a greeting's epoch is believed",
            masked_by: [],
            found_by: ["EPOCH"],
        }
        CatchUpWritesAgain = "+" "catch_up_writes_again" {
            mechanism: "commits from peers are adopted although the node has made them itself while it waited for them",
            masked_by: [],
            found_by: ["START", "LIVE"],
        }
        LeaderInItsCommit = "+" "leader_in_its_commit" {
            mechanism: "a commit takes its leader in any case, also if blocks of its history do not fit: those are in no commit",
            masked_by: [],
            found_by: ["QUORUM", "AGREE"],
        }
    }
    guards {
        StartIsTrusted = "start_is_trusted" {
            mechanism: "until its first frame is written, delivery does not correct its start by the executor's answer",
        }
        OwnBlocksBuffered = "own_blocks_buffered" {
            mechanism: "own blocks are not synced before they are sent",
        }
        ExecutorAdvancesEarly = "executor_advances_early" {
            mechanism: "the executor accepts AdvanceEpoch with a boundary above its watermark",
        }
        UnfinishedEpochForgotten = "unfinished_epoch_forgotten" {
            mechanism: "what the executor lacks of an earlier epoch is forgotten: delivery begins at the base of its current one",
        }
        WatermarkWithBlocks = "watermark_with_blocks" {
            mechanism: "the executor stores its watermark with the blocks, not by a last write of its own",
        }
        SpinsWithoutYielding = "spins_without_yielding" {
            mechanism: "a task of the node never yields: no guard, but a test of the watchdog",
        }
    }
}
