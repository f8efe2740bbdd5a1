//! Oracles judge by facts, not by what a process says of itself; witnesses and the reference model do not use the node's
//! code.

use super::Files;
use std::path::Path;

/// The events that an oracle may read, with the reason: what cannot be seen from outside.
const READ: [(&str, &[&str], &str); 9] = [
    (
        "truth.rs",
        &["NodeEvent::", "ExecutorEvent::"],
        "compares events with facts",
    ),
    (
        "peers.rs",
        &[
            "NodeEvent::Peers",
            "NodeEvent::ExecutorQueried",
            "NodeEvent::GenesisAssumed",
        ],
        "part of TRUTH: compares events with facts",
    ),
    (
        "connections.rs",
        &["NodeEvent::PeerDisplaced"],
        "part of TRUTH: compares the event with the connections that exist",
    ),
    (
        "missing_history.rs",
        &["NodeEvent::HistoryMissing"],
        "part of TRUTH: compares the event with the epochs on the disks of peers",
    ),
    (
        "start.rs",
        &[
            "NodeEvent::Ready",
            "NodeEvent::Waiting",
            "NodeEvent::Stopped",
            "NodeEvent::Failed",
            "ExecutorEvent::Started",
            "ExecutorEvent::Stopped",
            "ExecutorEvent::Failed",
        ],
        "whether a start is over, and why it waits or gives up, is known to the process alone",
    ),
    (
        "bounded_memory.rs",
        &["NodeEvent::WindowLoaded", "NodeEvent::GenesisAssumed"],
        "what a process holds in memory, and assumes without an answer, is not visible; TRUTH judges the latter",
    ),
    (
        "backpressure.rs",
        &["NodeEvent::WindowLoaded", "NodeEvent::GenesisAssumed"],
        "what is loaded and not sent, and assumed without an answer, is not visible; TRUTH judges the latter",
    ),
    (
        "liveness.rs",
        &[
            "NodeEvent::Waiting",
            "NodeEvent::Ready",
            "NodeEvent::ProposalsPaused",
            "NodeEvent::ProposalsResumed",
        ],
        "for the text of a violation, not for its verdict",
    ),
    (
        "report.rs",
        &["NodeEvent::Waiting"],
        "for the text of a violation, not for its verdict",
    ),
];

/// Modules for tests of oracles.
const FOR_TESTS: [&str; 11] = [
    "model.rs",
    "epochs.rs",
    "legal_traces.rs",
    "testing.rs",
    "truthful.rs",
    "epoch_tests.rs",
    "quorum_tests.rs",
    "truth_tests.rs",
    "liveness_tests.rs",
    "no_loss_tests.rs",
    "start_tests.rs",
];

/// What belongs to the node's own encoding and decisions.
const OF_THE_NODE: [&str; 5] = [
    "framing::",
    "executor::wire",
    "consensus::",
    "ConsensusStore",
    "mock_go_executor",
];

pub fn violations(files: &Files) -> Vec<String> {
    let mut found = vec![];
    for (path, text) in files {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default();
        let production = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
        let lines = (1..).zip(production.lines());
        if path.starts_with("sim/src/oracles") && !FOR_TESTS.contains(&name) {
            for (number, line) in lines {
                for event in events(line).filter(|event| !is_allowed(name, event)) {
                    let path = path.display();
                    found.push(format!(
                        "{path}: line {number}: reads {event}: an oracle judges by facts"
                    ));
                }
            }
        } else if is_independent(path) && !name.contains("test") {
            for (number, line) in lines.filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for word in OF_THE_NODE.iter().filter(|word| line.contains(**word)) {
                    let path = path.display();
                    found.push(format!(
                        "{path}: line {number}: `{word}` is the node's own code"
                    ));
                }
            }
        }
    }
    found
}

fn is_independent(path: &Path) -> bool {
    path.starts_with("sim/src/witness") || path.starts_with("sim/src/model")
}

/// The events that a line names.
fn events(line: &str) -> impl Iterator<Item = &str> {
    let starts = ["NodeEvent::", "ExecutorEvent::"]
        .into_iter()
        .flat_map(|kind| line.match_indices(kind).map(move |(at, _)| (at, kind)));
    starts.map(|(at, kind)| {
        let rest = &line[at + kind.len()..];
        let name = rest.find(|c: char| !c.is_alphanumeric());
        &line[at..at + kind.len() + name.unwrap_or(rest.len())]
    })
}

fn is_allowed(file: &str, event: &str) -> bool {
    let of_file = READ.iter().filter(|(name, ..)| *name == file);
    of_file
        .flat_map(|(_, events, _)| *events)
        .any(|allowed| event.starts_with(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn an_oracle_that_reads_events_is_found() {
        let reads = "match event {\n    NodeEvent::FrameWritten { gei, .. } => {}\n}\n";
        let judge = |path| violations(&files(&[(path, reads)]));
        assert_eq!(judge("sim/src/oracles/wire.rs").len(), 1);
        assert_eq!(judge("sim/src/oracles/truth.rs"), [""; 0]);
        assert_eq!(judge("sim/src/probes.rs"), [""; 0]);
        let window = "NodeEvent::WindowLoaded { last, .. } => {}\n";
        let judge = |path| violations(&files(&[(path, window)]));
        assert_eq!(judge("sim/src/oracles/backpressure.rs"), [""; 0]);
        assert_eq!(judge("sim/src/oracles/rpc.rs").len(), 1);
    }

    #[test]
    fn a_witness_that_uses_the_nodes_decoder_is_found() {
        let uses = "use metanode_core::framing::Decoder;\n";
        let judge = |path| violations(&files(&[(path, uses)]));
        assert_eq!(judge("sim/src/witness/frames.rs").len(), 1);
        assert_eq!(judge("sim/src/model/dag.rs").len(), 1);
        assert_eq!(judge("sim/src/net/mod.rs"), [""; 0]);
    }
}
