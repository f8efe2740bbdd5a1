//! `metasim stand-in`: a Go Master for a live node.

use super::{
    arguments::StandIn,
    conformance::finish,
    exit::Exit,
    output::{CliError, JsonLines},
};
use crate::{
    live::pause,
    source::{InputError, Source},
    stand_in::{self, Config, Genesis, Misbehaviour},
};
use metanode_core::types::GlobalExecIndex;
use serde::Deserialize;
use std::{fs, path::Path, time::Duration};

/// A file that has a genesis, and anything else.
#[derive(Deserialize)]
struct GenesisFile {
    genesis: Genesis,
}

pub(super) fn run(asked: StandIn) -> Result<Exit, CliError> {
    let subject = format!(
        "node at {} (blocks) and {} (RPC)",
        asked.block_stream, asked.rpc
    );
    let config = Config {
        genesis: genesis(&asked.genesis)?,
        block_stream: asked.block_stream,
        rpc: asked.rpc,
        misbehaviour: Misbehaviour {
            answers_after: Duration::from_millis(asked.delay_ms),
            blocks_behind: asked.behind,
            disconnects_at: asked.disconnect_at.map(GlobalExecIndex),
        },
    };
    let json = JsonLines::create(asked.json.as_deref())?;
    let master = stand_in::StandIn::start(config)?;
    eprintln!("listens");
    pause(asked.stand_for);
    let blocks = master.executed().0;
    let exit = finish(&subject, &master.finish(), json)?;
    if blocks < asked.expect_blocks {
        let (expected, seconds) = (asked.expect_blocks, asked.stand_for.as_secs());
        eprintln!("expected at least {expected} blocks within {seconds} s, found {blocks}");
        return Ok(Exit::gravest([exit, Exit::LivenessViolated]));
    }
    Ok(exit)
}

fn genesis(path: &Path) -> Result<Genesis, InputError> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| InputError::Unreadable {
        path: name.clone(),
        reason: format!("cannot be read: {error}"),
    })?;
    let file: GenesisFile = Source::new(&name, &text)?.read()?;
    Ok(file.genesis)
}
