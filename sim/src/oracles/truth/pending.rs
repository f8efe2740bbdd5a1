//! What a process did and has not reported yet.

use crate::{
    oracles::{Invariant, Violation},
    trace::{Entry, SimTime, What},
};
use std::collections::VecDeque;

/// A fact is reported within this time.
pub(super) const GRACE: SimTime = SimTime::from_ms(1_000);

/// Facts that are to be reported in their order.
pub(super) struct Pending<T>(VecDeque<Unreported<T>>);

struct Unreported<T> {
    what: T,
    fact: Entry,
    /// From this time on the process could report it.
    since: SimTime,
    is_required: bool,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Pending<T> {
    pub fn add(&mut self, what: T, fact: &Entry) {
        self.0.push_back(Unreported {
            what,
            fact: fact.clone(),
            since: fact.at,
            is_required: true,
        });
    }

    /// As [`Self::add`], for what the process may have reported before.
    pub fn add_known(&mut self, what: T, fact: &Entry) {
        self.add(what, fact);
        if let Some(last) = self.0.back_mut() {
            last.is_required = false;
        }
    }

    /// The report of the next one.
    pub fn reported(
        &mut self,
        said: &Entry,
        is_it: impl Fn(&T) -> bool,
    ) -> Result<(), Box<Violation>> {
        while let Some(next) = self.0.pop_front() {
            if is_it(&next.what) {
                return Ok(());
            }
            if next.is_required {
                return Err(lie(said, "reported-otherwise", Some(next.fact)));
            }
        }
        Err(lie(said, "reported-without-a-fact", None))
    }

    /// The oldest fact that should have been reported by now.
    pub fn overdue(&self, now: SimTime) -> Option<&Entry> {
        let next = self.0.iter().find(|next| next.is_required)?;
        (now.since(next.since) > GRACE).then_some(&next.fact)
    }

    /// Forgets all of these.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Keeps those of which this holds.
    pub fn retain(&mut self, holds: impl Fn(&T) -> bool) {
        self.0.retain(|next| holds(&next.what));
    }

    /// The process did not run: time begins again.
    pub fn begin_again(&mut self, now: SimTime) {
        for next in &mut self.0 {
            next.since = now;
        }
    }
}

/// The report `said` is of another fact than this one.
pub(super) fn lie(said: &Entry, clause: &'static str, fact: Option<Entry>) -> Box<Violation> {
    let found = match &fact {
        Some(fact) => match &fact.what {
            What::Seen(fact) => fact.to_string(),
            _ => "something else".to_owned(),
        },
        None => "nothing".to_owned(),
    };
    let reported = match &said.what {
        What::Process(event) => event.to_string(),
        _ => "nothing".to_owned(),
    };
    let message = format!("expected a report of what it did ({found}), it {reported}");
    Violation::by(said, Invariant::Truth, clause, message, fact)
}
