//! `metasim localnet`: a local network of real processes.

use super::{
    arguments::{Localnet, LocalnetGuard, LocalnetTopology},
    exit::Exit,
    output::{CliError, print},
};
use crate::{
    localnet::{Bugs, Chaos, Failure, Options, Size, Topology, run},
    report::{colour::Colour, event_logs::event_logs, localnet},
};
use std::{env, io::IsTerminal, path::PathBuf, time::Duration};

/// Without a terminal there is a line only after this time.
const LINE_EVERY_MS: u64 = 10_000;

/// Runs the network, shows it, and prints the verdict.
pub(super) fn localnet(asked: Localnet) -> Result<Exit, CliError> {
    let seed = asked.chaos.map(|seed| seed.0);
    let chaos = match (seed, asked.kills) {
        (seed, Some(count)) => Chaos::Kills {
            seed: seed.unwrap_or(0),
            count,
        },
        (Some(seed), None) => Chaos::Drawn { seed },
        (None, None) => Chaos::None,
    };
    let options = Options {
        folder: asked.dir,
        bin_folder: asked.bin_dir.unwrap_or_else(bin_folder),
        size: Size {
            nodes: usize::from(asked.nodes),
            subs: usize::from(asked.subs.min(asked.nodes)),
            topology: match asked.topology {
                LocalnetTopology::SingleMaster => Topology::SingleMaster,
                LocalnetTopology::MasterPerNode => Topology::MasterPerNode,
            },
            epoch_ms: asked.epoch.map_or(86_400_000, millis),
            guard: match asked.guard {
                LocalnetGuard::Strict => "strict",
                LocalnetGuard::SkipLow => "skip-low",
                LocalnetGuard::Naive => "naive",
            },
            small_disk_mib: asked.small_disks,
        },
        run_for: asked.run_for,
        chaos,
        load_per_second: asked.load,
        bugs: Bugs {
            names: asked.bugs,
            validators: asked.buggy_validators,
        },
    };
    let is_terminal = std::io::stderr().is_terminal();
    let mut lines = 0;
    let mut printed_ms = 0;
    let outcome = run(
        &options,
        |status| {
            if is_terminal {
                let table = localnet::table(status);
                // Over the previous one.
                eprint!("{}{table}", "\x1b[A\x1b[2K".repeat(lines));
                lines = table.lines().count();
            } else if status.elapsed_ms >= printed_ms + LINE_EVERY_MS {
                printed_ms = status.elapsed_ms;
                eprintln!("{}", localnet::line(status));
            }
        },
        |at_ms, fault| {
            if !is_terminal {
                eprintln!("{}", localnet::fault(at_ms, fault));
            }
        },
    )?;
    let colour = Colour::of_stdout();
    print(&event_logs(&outcome.report, colour))?;
    print(&localnet::verdict(&outcome, colour))?;
    let verdicts = outcome.failures.iter().map(Failure::verdict);
    Ok(Exit::gravest(verdicts.map(Exit::from)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where `make real` puts its binaries, beside the folder of this program.
fn bin_folder() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let target = program.parent().and_then(|folder| folder.parent());
    target.map_or_else(PathBuf::new, |target| target.join("real/release"))
}
