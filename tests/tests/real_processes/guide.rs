//! `docs/deployment.md` and its Vietnamese version: the commands, files and log lines that they print.
//!
//! - A command is a line of a fenced block that begins with `$ `.
//! - A fenced block that follows a line that ends in `` `NAME`: `` is the file of this name.
//! - The table between the marks `<!-- at every start -->` and `<!-- end -->` has log lines: process, then pattern, in which
//!   `…` stands for anything.

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$((
            $name,
            include_str!(concat!("../../../docs/deployment/three-machines/", $name)),
        )),*]
    };
}

/// The files of the example.
pub const FILES: [(&str, &str); 11] = files![
    "node-0.toml",
    "node-1.toml",
    "node-2.toml",
    "node-0.keys.toml",
    "node-1.keys.toml",
    "node-2.keys.toml",
    "executor-0.json",
    "executor-1.json",
    "executor-2.json",
    "network.toml",
    "metanode.nft",
];

const ENGLISH: &str = include_str!("../../../docs/deployment.md");
const VIETNAMESE: &str = include_str!("../../../docs/deployment.vi.md");
const FENCE: &str = "```";
const PROMPT: &str = "$ ";

/// A version of the guide.
pub struct Guide(&'static str);

impl Guide {
    pub const fn english() -> Self {
        Self(ENGLISH)
    }

    const fn vietnamese() -> Self {
        Self(VIETNAMESE)
    }

    /// The only printed command with this in it.
    pub fn command(&self, part: &str) -> String {
        let blocks = self.blocks();
        let lines = blocks.iter().flat_map(|block| block.text.lines());
        let found: Vec<_> = lines
            .filter_map(|line| line.strip_prefix(PROMPT))
            .filter(|command| command.contains(part))
            .collect();
        let [command] = found[..] else {
            panic!(
                "`{part}` is in {} commands of the guide: {found:?}",
                found.len()
            );
        };
        command.to_owned()
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = vec![];
        let mut before = "";
        let mut lines = self.0.lines();
        while let Some(line) = lines.next() {
            if line.starts_with(FENCE) {
                let inside = lines.by_ref().take_while(|line| *line != FENCE);
                let text: String = inside.flat_map(|line| [line, "\n"]).collect();
                let file = before
                    .strip_suffix("`:")
                    .and_then(|line| line.rsplit_once('`'));
                let file = file.map(|(_, name)| name.to_owned());
                blocks.push(Block { file, text });
            } else if !line.is_empty() {
                before = line;
            }
        }
        blocks
    }

    /// The rows of the table of log lines: process and pattern.
    fn log_lines(&self) -> Vec<(String, String)> {
        let (_, table) = self.0.split_once("<!-- at every start -->").unwrap();
        let (table, _) = table.split_once("<!-- end -->").unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| {
            let mut codes = row.split('`').skip(1).step_by(2).map(str::to_owned);
            (codes.next().unwrap(), codes.next().unwrap())
        })
        .collect()
    }
}

struct Block {
    /// The file that it is.
    file: Option<String>,
    text: String,
}

/// The log lines that the guide explains as those of every start: process and pattern.
pub fn lines_at_every_start() -> Vec<(String, String)> {
    Guide::english().log_lines()
}

/// Whether a log line is one of this pattern.
pub fn matches(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    pattern
        .split('…')
        .all(|part| match rest.split_once(part.trim()) {
            Some((_, behind)) => {
                rest = behind;
                true
            }
            None => false,
        })
}

#[test]
fn a_pattern_stands_for_lines_with_its_parts_in_order() {
    assert!(matches(
        "[STARTUP] … plans: …",
        "INFO [STARTUP]: plans: epoch 0"
    ));
    assert!(!matches(
        "plans: … [STARTUP]",
        "INFO [STARTUP]: plans: epoch 0"
    ));
    assert!(!matches(
        "[STARTUP] … stops",
        "INFO [STARTUP]: plans: epoch 0"
    ));
}

#[test]
fn the_files_that_the_guide_prints_are_those_that_are_checked_in() {
    let blocks = Guide::english().blocks();
    let printed: Vec<_> = blocks
        .iter()
        .filter_map(|block| Some((block.file.as_deref()?, &block.text)))
        .collect();
    for name in [
        "node-0.toml",
        "executor-0.json",
        "network.toml",
        "metanode.nft",
    ] {
        assert!(
            printed.iter().any(|(printed, _)| *printed == name),
            "{name} is not printed"
        );
    }
    for (name, text) in printed {
        let file = FILES.iter().find(|(file, _)| *file == name);
        let (_, file) =
            file.unwrap_or_else(|| panic!("the guide prints {name}, which is not checked in"));
        assert!(file == text, "{name} is another one:\n{text}");
    }
}

#[test]
fn both_versions_print_the_same() {
    let [english, vietnamese] = [Guide::english(), Guide::vietnamese()];
    let of = |guide: &Guide| -> Vec<_> {
        let blocks = guide.blocks().into_iter();
        blocks.map(|block| (block.file, block.text)).collect()
    };
    assert_eq!(of(&english), of(&vietnamese));
    assert_eq!(english.log_lines(), vietnamese.log_lines());
    let codes = |guide: &Guide| -> Vec<_> {
        let rows = guide.0.lines().filter(|line| line.starts_with("| "));
        rows.map(|row| {
            row.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
    };
    assert_eq!(
        codes(&english),
        codes(&vietnamese),
        "tables explain the same"
    );
}

#[test]
fn the_files_of_the_machines_differ_in_nothing_but_their_numbers() {
    use metanode_core::{config::NodeConfig, executor::validators::of_node};
    use mock_go_executor::ExecutorConfig;
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    let folder = tempfile::TempDir::new().unwrap();
    for (name, text) in FILES {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let load = |name: &str, node| NodeConfig::load(&folder.path().join(name), node).unwrap();
    let executor = |n: u16| {
        let path = folder.path().join(format!("executor-{n}.json"));
        ExecutorConfig::load(Path::new(&path)).unwrap()
    };
    let genesis = executor(0).genesis;
    for n in 0..3 {
        let node = load(&format!("node-{n}.toml"), None);
        assert_eq!(node, load("network.toml", Some(n)), "node {n}");
        let (executor, entry) = (executor(n), of_node(&node));
        assert_eq!(executor.genesis, genesis);
        let registered = &genesis.validators[usize::from(n)];
        assert_eq!(registered.protocol_key, entry.protocol_key);
        assert_eq!(registered.network_key, entry.network_key);
        assert_eq!(
            registered.p2p_address,
            format!("192.168.1.{}:{}", 100 + n, 9_000 + n)
        );
        assert_eq!(registered.p2p_address, entry.p2p_address);
        let peers = format!("tcp://192.168.1.{}:{}", 100 + n, 19_200 + n);
        assert_eq!(executor.peer_rpc_address.unwrap().to_string(), peers);
        assert_eq!(executor.block_stream_address, node.block_stream_address());
        assert_eq!(executor.rpc_address, node.rpc_address());
    }
}

#[test]
fn the_guide_explains_every_advice_on_socket_errors() {
    use metanode_core::executor::socket_advice;
    use std::io::ErrorKind as Kind;

    for kind in [
        Kind::ConnectionRefused,
        Kind::PermissionDenied,
        Kind::NotFound,
        Kind::AddrInUse,
    ] {
        let row = format!("\n| `{}` | ", socket_advice(&kind.into()));
        for guide in [Guide::english(), Guide::vietnamese()] {
            assert!(guide.0.contains(&row), "{row}");
        }
    }
}
