//! Tests of the harness: known bugs are switched on one at a time, and a declared finder must report each within 200
//! seeds of the ordinary scenarios. Without the bug the same seeds pass.
#![cfg(madsim)]

use metanode_core::bugs::{Entry, KnownBug};
use metanode_sim::{
    run::{RunOptions, Verdict},
    trace::ProcessId,
};
use metasim::{
    catalog,
    museum::{self, FailedOtherwise, Grounds, Search},
    suite::Suite,
};
use std::{fs, path::Path, sync::Arc};

const SEEDS: u64 = 200;

fn ordinary() -> Grounds {
    let suite = Suite::open("ci").and_then(|suite| suite.scenarios());
    Grounds::new(suite.unwrap_or_else(|e| panic!("{e}")))
}

fn entry(bug: KnownBug) -> Entry {
    let mut entries = KnownBug::ENTRIES.iter();
    let entry = entries.find(|entry| entry.bug == bug);
    *entry.unwrap_or_else(|| panic!("{} is not an entry", bug.name()))
}

/// Asserts that a declared finder reports the bug, and that no run before fails without the bug.
fn assert_found(bug: KnownBug) {
    let search = museum::search(&ordinary(), entry(bug), 0..SEEDS, 1);
    assert_eq!(search.failing_anyway, []);
    let (runs, otherwise) = (search.runs, &search.failed_otherwise);
    assert!(
        search.finder().is_some(),
        "{} in {runs} seeds: {otherwise:?}",
        bug.name()
    );
}

#[test]
fn commits_that_are_delivered_before_they_are_synced() {
    assert_found(KnownBug::HandedOnBeforeSynced);
}

#[test]
fn a_sender_that_does_not_go_back_to_the_durable_watermark() {
    assert_found(KnownBug::SentIsRemembered);
}

#[test]
fn an_rpc_connection_that_survives_its_timeout() {
    assert_found(KnownBug::LateReplyAnswersNextRequest);
}

#[test]
fn proposals_under_pressure() {
    assert_found(KnownBug::PressureStopsAtTheWindow);
}

#[test]
fn a_start_that_does_not_wait_for_its_executor() {
    assert_found(KnownBug::QueryFailureReadsAsGenesis);
}

/// Searches in twenty runs of one scenario until the bug was found once.
fn search_in(scenario: &str, entry: Entry) -> Search {
    search_often(scenario, entry, 1)
}

fn search_often(scenario: &str, entry: Entry, findings: u64) -> Search {
    let named = catalog::scenario(scenario).unwrap_or_else(|e| panic!("{e}"));
    museum::search(&Grounds::new(vec![Arc::new(named)]), entry, 0..20, findings)
}

#[test]
fn a_bug_is_found_by_its_declared_finders_only() {
    let declared = entry(KnownBug::HandedOnBeforeSynced);
    let search = search_in("host_power_loss", declared);
    assert_eq!(search.finder(), Some("DURABLE"));

    let found_by = &["ROOT"];
    let search = search_in(
        "host_power_loss",
        Entry {
            found_by,
            ..declared
        },
    );
    assert_eq!((search.runs, search.finder()), (20, None));
    let durable = FailedOtherwise::Broken("DURABLE".to_owned());
    assert!(search.failed_otherwise.contains_key(&durable));
}

#[test]
fn a_panic_counts_where_an_assertion_is_declared_only() {
    let declared = entry(KnownBug::GeiAssertedAsCommitIndex);
    let search = search_in("down_for_two_epochs", declared);
    assert_eq!(search.finder(), Some("assertion"));

    let found_by = &["START"];
    let search = search_in(
        "down_for_two_epochs",
        Entry {
            found_by,
            ..declared
        },
    );
    assert_eq!(search.finder(), None);
    let kinds: Vec<_> = search.failed_otherwise.keys().collect();
    assert_eq!(kinds, [&FailedOtherwise::Panicked]);
}

/// How often a bug is found does not depend on luck with the first seed.
#[test]
fn a_search_ends_after_as_many_findings_as_were_asked_for() {
    let entry = entry(KnownBug::ReportsWhatIsInMemory);
    let once = search_often("happy_path", entry, 1);
    let thrice = search_often("happy_path", entry, 3);
    assert_eq!((once.findings, thrice.findings), (1, 3));
    assert!(thrice.runs >= once.runs + 2);
    let seed = |search: &Search| search.found.as_ref().map(|(_, run)| run.outcome.plan.seed);
    assert_eq!(seed(&once), seed(&thrice));
}

/// A guard that is switched off may break an invariant by itself, which does not show the bug.
#[test]
fn failures_of_the_masking_guards_alone_do_not_count() {
    let declared = entry(KnownBug::Amnesia);
    let bug = KnownBug::DeadPeerGoesUnnoticed; // does not cause these failures
    let search = search_in("host_power_loss", Entry { bug, ..declared });
    assert_eq!(search.finder(), None);
    let alone = FailedOtherwise::WithoutTheBug;
    assert!(search.failed_otherwise.contains_key(&alone));
}

/// The run ends with a verdict that names the process and its last event; later runs are not affected.
#[test]
fn a_task_that_never_yields_ends_its_run_and_no_other() {
    let named = catalog::scenario("happy_path").unwrap_or_else(|e| panic!("{e}"));
    let run_with = |bugs: &[KnownBug]| {
        let job = museum::job(&[Arc::new(named.clone())], 0, bugs);
        job.expect("one scenario")
            .run(&RunOptions { keep_entries: 1 })
            .outcome
    };
    let stuck = run_with(&[KnownBug::SpinsWithoutYielding]);
    assert_eq!(stuck.verdict, Verdict::Panicked);
    let panic = stuck.panic.expect("a description");
    assert!(matches!(panic.process, Some(ProcessId::Node(_))));
    assert!(
        panic.message.contains("a task never yields"),
        "{}",
        panic.message
    );
    assert!(
        panic.message.contains("the last event was of node-"),
        "{}",
        panic.message
    );
    assert_eq!(run_with(&[]).verdict, Verdict::Passed);
}

#[test]
fn the_table_of_known_bugs_is_the_declared_one() {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package");
    let file = Path::new(&package).join("../docs/known-bugs.md");
    let text = fs::read_to_string(&file).expect("the table");
    for entry in KnownBug::ENTRIES {
        let masks = entry
            .masked_by
            .iter()
            .map(|bug| format!("`{}`", bug.name()));
        let row = format!(
            "| {} | `{}` | {} | {} | {} |\n",
            entry.number,
            entry.bug.name(),
            entry.bug.mechanism(),
            masks.collect::<Vec<_>>().join(", "),
            entry.found_by.join(", "),
        );
        assert!(text.contains(&row), "no such row: {row}");
    }
    let rows = text.lines().take_while(|line| !line.starts_with("## "));
    let rows = rows.filter(|line| line.starts_with("| ")).count();
    assert_eq!(rows, KnownBug::ENTRIES.len() + 1, "entries and the heading");
}
