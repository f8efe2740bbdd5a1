//! Checks of a `[[fault]]` beyond the types of its keys. Every error names the key and what was expected there.

use super::{
    FaultSection,
    kinds::{Schema, Time},
    trigger::{DurableTrigger, StoredTrigger, TriggerSection, points_of},
};
use crate::{
    scenario::target::{Kind, Roster, Selector, Target},
    source::{InputError, Source},
};

/// One `[[fault]]` in its file.
struct At<'a> {
    source: &'a Source<'a>,
    path: String,
    roster: Roster,
}

impl FaultSection {
    /// Checks the section at this position of its file. `roster` exists in every run.
    ///
    /// # Errors
    /// The first error.
    pub(in crate::scenario) fn check(
        &self,
        source: &Source<'_>,
        position: usize,
        roster: Roster,
    ) -> Result<(), InputError> {
        let at = At {
            source,
            path: format!("fault.{position}"),
            roster,
        };
        let schema = self.kind.schema();
        at.targets(self, schema)?;
        at.kind_keys(self, schema)?;
        at.times(self, schema)?;
        at.trigger(&self.when)?;
        at.repeat(self)
    }

    /// The keys that only some kinds take, and whether they are present.
    pub(super) const fn kind_keys(&self) -> [(&'static str, bool); 14] {
        // Exhaustive, so that a new key cannot be forgotten.
        let Self {
            when: _,
            kind: _,
            targets: _,
            down_ms: _,
            for_ms: _,
            cut,
            channel,
            act,
            lie,
            how,
            side,
            torn,
            extra_ms,
            max_bytes,
            after_bytes,
            blocks,
            commits,
            by_ms,
            taken_ms,
            repeat: _,
        } = self;
        [
            ("cut", cut.is_some()),
            ("channel", channel.is_some()),
            ("act", act.is_some()),
            ("lie", lie.is_some()),
            ("how", how.is_some()),
            ("side", side.is_some()),
            ("torn", torn.is_some()),
            ("extra_ms", extra_ms.is_some()),
            ("max_bytes", max_bytes.is_some()),
            ("after_bytes", after_bytes.is_some()),
            ("blocks", blocks.is_some()),
            ("commits", commits.is_some()),
            ("by_ms", by_ms.is_some()),
            ("taken_ms", taken_ms.is_some()),
        ]
    }
}

impl At<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn wrong(&self, key: &str, message: impl Into<String>) -> Result<(), InputError> {
        Err(self.source.error(&self.key(key), message))
    }

    fn targets(&self, section: &FaultSection, schema: &Schema) -> Result<(), InputError> {
        if section.targets.is_empty() {
            return self.wrong("targets", "is empty: expected at least one target");
        }
        for (position, target) in section.targets.iter().enumerate() {
            let key = format!("targets.{position}");
            let kinds = schema.targets.kinds;
            if !kinds.contains(&target.kind) {
                let kinds: Vec<_> = kinds.iter().map(Kind::to_string).collect();
                let expected = kinds.join(" or ");
                let message =
                    format!("`{target}` is not a target of this fault: expected {expected}");
                return self.wrong(&key, message);
            }
            if let Err(message) = target.check(self.roster) {
                return self.wrong(&key, message);
            }
            if !schema.targets.all && target.which == Selector::All {
                return self.wrong(&key, "includes every host: expected some hosts, not all");
            }
        }
        Ok(())
    }

    /// The keys that only some kinds take.
    fn kind_keys(&self, section: &FaultSection, schema: &Schema) -> Result<(), InputError> {
        let given = section.kind_keys();
        let keys = &schema.keys;
        for (key, is_given) in given {
            let needed = keys.needs.contains(&key);
            let taken = needed || keys.one_of.contains(&key) || keys.takes.contains(&key);
            if is_given && !taken {
                return self.wrong(key, "does not apply to this fault");
            }
            if needed && !is_given {
                return self.wrong(key, "is missing: required by this fault");
            }
        }
        let is_given = |key: &&str| given.contains(&(*key, true));
        if let [first, others @ ..] = keys.one_of
            && !keys.one_of.iter().any(is_given)
        {
            let others: Vec<_> = others.iter().map(|key| format!("`{key}`")).collect();
            let others = others.join(" or ");
            let message = format!("is missing: this fault requires it, or {others}");
            return self.wrong(first, message);
        }
        Ok(())
    }

    /// The keys for a duration.
    fn times(&self, section: &FaultSection, schema: &Schema) -> Result<(), InputError> {
        let (for_ms, down_ms) = (section.for_ms.is_some(), section.down_ms.is_some());
        match schema.time {
            Time::Moment => {
                for (key, given) in [("for_ms", for_ms), ("down_ms", down_ms)] {
                    if given {
                        return self
                            .wrong(key, "does not apply to this fault, which has no duration");
                    }
                }
            }
            Time::Down if for_ms => {
                return self.wrong("for_ms", "does not apply to this fault: expected `down_ms`");
            }
            Time::For | Time::FromStart if down_ms => {
                return self.wrong("down_ms", "does not apply to this fault: expected `for_ms`");
            }
            Time::FromStart if !for_ms => {
                return self.wrong("for_ms", "is missing: required by this fault");
            }
            Time::FromStart if !section.when.is_empty() => {
                return self.wrong(
                    "when",
                    "does not apply to this fault, which begins with the run",
                );
            }
            Time::FromStart if section.repeat.is_some() => {
                let message = "does not apply to this fault, which begins with the run";
                return self.wrong("repeat", message);
            }
            Time::Down | Time::For | Time::FromStart => {}
        }
        Ok(())
    }

    /// Checks that the target is one process of these kinds and exists in every run.
    fn one_of(&self, key: &str, target: Target, kinds: &[Kind]) -> Result<(), InputError> {
        let fits = target.check_single(kinds, self.roster);
        fits.map_err(|message| self.source.error(&self.key(key), message))
    }

    fn counts_from_1(&self, key: &str, low: u64) -> Result<(), InputError> {
        self.source.at_least(&self.key(key), low, 1)
    }

    fn trigger(&self, when: &TriggerSection) -> Result<(), InputError> {
        if let Some(StoredTrigger { node, commit }) = &when.stored {
            self.one_of("when.stored.node", *node, &[Kind::Node])?;
            self.counts_from_1("when.stored.commit", commit.low.into())?;
        }
        if let Some(DurableTrigger { executor, gei }) = &when.durable {
            self.one_of("when.durable.executor", *executor, &[Kind::Executor])?;
            self.counts_from_1("when.durable.gei", gei.low)?;
        }
        if let Some(reached) = &when.reached {
            let processes = [Kind::Node, Kind::Executor, Kind::Sub];
            self.one_of("when.reached.process", reached.process, &processes)?;
            self.counts_from_1("when.reached.times", reached.times.low.into())?;
            if reached.points(self.roster.changes).is_empty() {
                let known = points_of(reached.process.kind, self.roster.changes);
                let known: Vec<_> = known.iter().map(|point| point.name()).collect();
                let message = format!(
                    "`{}` is not a crash point of {}: expected any or one of {}",
                    reached.point,
                    reached.process,
                    known.join(", ")
                );
                return self.wrong("when.reached.point", message);
            }
        }
        Ok(())
    }

    fn repeat(&self, section: &FaultSection) -> Result<(), InputError> {
        let Some(repeat) = &section.repeat else {
            return Ok(());
        };
        if section.when.stored.is_some() || section.when.durable.is_some() {
            let message =
                "needs a time or a crash point in `when`: other conditions are met only once";
            return self.wrong("repeat", message);
        }
        if section.when.reached.is_none() && repeat.every_ms.low == 0 {
            let message = "is 0: expected at least 1, except with a crash point in `when`";
            return self.wrong("repeat.every_ms", message);
        }
        if repeat.times.low == 0 || repeat.times.high > 1_000 {
            return self.wrong("repeat.times", "is out of range: expected 1 to 1000");
        }
        Ok(())
    }
}
