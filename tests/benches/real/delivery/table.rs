//! The cases, and what they measured.

use super::{
    fill::{Filled, fill},
    node::{Home, Node, Pace},
    sink::{Delivered, Durable, Sink, pause},
};
use std::{error::Error, fs, path::Path, process::Command, time::Duration};

/// Each way is measured so often, in turn.
const RUNS: usize = 5;

/// For so long a node runs at the pace of consensus.
const LIVE: Duration = Duration::from_secs(10);

/// What blocks are made of.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub blocks: u64,
    /// Of a batch; blocks get whole batches, and some get none.
    pub transactions: u64,
    pub data_bytes: usize,
}

const CASES: [Case; 3] = [
    Case {
        name: "empty blocks",
        blocks: 5_000,
        transactions: 0,
        data_bytes: 0,
    },
    Case {
        name: "small transactions",
        blocks: 3_000,
        transactions: 20,
        data_bytes: 50,
    },
    Case {
        name: "large transactions",
        blocks: 1_000,
        transactions: 100,
        data_bytes: 1_000,
    },
];

/// Prints all cases.
pub fn compare() -> Result<(), Box<dyn Error>> {
    println!(
        "blocks out: metanode writes to a reader of the block stream what is in its store, and what is in its window; a bare \
         loop writes the same frames\n\
         {:<20} {:>8} {:>12} {:>16} {:>6} {:>16} {:>6} {:>16}",
        "blocks/s MB/s", "blocks", "bytes/block", "store", "ratio", "window", "ratio", "bare loop"
    );
    for case in CASES {
        let home = Home::new()?;
        match measure(&home, case) {
            Ok(line) => println!("{line}"),
            Err(error) => return Err(home.keep(&*error)),
        }
    }
    live()
}

/// The line of the table.
fn measure(home: &Home, case: Case) -> Result<String, Box<dyn Error>> {
    let filled = fill(home, case)?;
    let frames = home.path().join("frames");
    fs::write(&frames, &filled.frames)?;
    let mut ways = [vec![], rewrites(home, &filled)?, vec![]];
    for _ in 0..RUNS {
        ways[0].push(replay(home, &filled)?);
        ways[2].push(bare(home, &frames, &filled)?);
    }
    let [store, window, bare] = ways.map(median);
    let ratio = |way: Delivered| way.bytes_per_second() / bare.bytes_per_second();
    Ok(format!(
        "{:<20} {:>8} {:>12} {:>16} {:>6.2} {:>16} {:>6.2} {:>16}",
        case.name,
        filled.blocks,
        filled.frames.len() as u64 / filled.blocks,
        rates(store),
        ratio(store),
        rates(window),
        ratio(window),
        rates(bare),
    ))
}

/// From the window, each time after a new connection.
fn rewrites(home: &Home, filled: &Filled) -> Result<Vec<Delivered>, Box<dyn Error>> {
    let validator = home.configure(Pace {
        window_blocks: 2 * filled.blocks,
        ..Pace::DEPLOYED
    })?;
    let sink = Sink::listen(home.path(), &validator, Durable::Never)?;
    let node = Node::start(home)?;
    sink.reaches(filled.blocks)?;
    let mut all = vec![];
    for _ in 0..RUNS {
        sink.close()?;
        all.push(sink.reaches(filled.blocks)?);
    }
    node.end()?;
    Ok(all)
}

/// From the first byte to that which ends the last block.
fn replay(home: &Home, filled: &Filled) -> Result<Delivered, Box<dyn Error>> {
    let validator = home.configure(Pace::DEPLOYED)?;
    let sink = Sink::listen(home.path(), &validator, Durable::AtOnce)?;
    let node = Node::start(home)?;
    let delivered = sink.reaches(filled.blocks)?;
    node.end()?;
    Ok(delivered)
}

fn bare(home: &Home, frames: &Path, filled: &Filled) -> Result<Delivered, Box<dyn Error>> {
    let validator = home.configure(Pace::DEPLOYED)?;
    let sink = Sink::listen(home.path(), &validator, Durable::AtOnce)?;
    let mut writer = Command::new(std::env::current_exe()?)
        .arg("bare-writer")
        .arg(home.path().join("blocks.sock"))
        .arg(frames)
        .spawn()?;
    let delivered = sink.reaches(filled.blocks)?;
    writer.wait()?;
    Ok(delivered)
}

/// How soon the node hears of a block that is durable, at the pace of consensus.
fn live() -> Result<(), Box<dyn Error>> {
    let home = Home::new()?;
    let validator = home.configure(Pace::DEPLOYED)?;
    let sink = Sink::listen(home.path(), &validator, Durable::AtOnce)?;
    let node = Node::start(&home)?;
    sink.reaches(1)?;
    pause(LIVE);
    node.end()?;
    let mut lags = sink.heard_after();
    lags.sort_unstable();
    let at = |percent: usize| {
        let lag = lags.get(lags.len() * percent / 100);
        lag.copied().unwrap_or_default().as_millis()
    };
    println!(
        "from durable in the executor to known in the node: {} ms half, {} ms 99 %, of {} blocks",
        at(50),
        at(99),
        lags.len()
    );
    Ok(())
}

fn median(mut all: Vec<Delivered>) -> Delivered {
    all.sort_by(|a, b| a.bytes_per_second().total_cmp(&b.bytes_per_second()));
    all[all.len() / 2]
}

fn rates(delivered: Delivered) -> String {
    #[allow(clippy::cast_precision_loss)] // of what was counted in seconds
    let blocks = delivered.blocks as f64 / delivered.elapsed.as_secs_f64();
    format!("{blocks:.0} {:.1}", delivered.bytes_per_second() / 1e6)
}
