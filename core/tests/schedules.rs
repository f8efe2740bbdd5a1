//! Tries many schedules of several threads: `make schedules`.
#![cfg(shuttle)]

use metanode_core::{consensus, delivery, ingest};

#[test]
fn delivery_ends_in_every_schedule() {
    delivery::schedules::check();
}

#[test]
fn the_journal_empties_in_every_schedule() {
    ingest::schedules::check();
}

#[test]
fn peers_are_served_in_every_schedule() {
    consensus::schedules::check();
}
