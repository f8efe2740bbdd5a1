//! Suites: scenarios with seed counts.

use crate::{
    batch::Job,
    catalog::{self, SUITES},
    source::{InputError, Source},
};
use metanode_sim::plan::Backend;
use serde::Deserialize;
use std::sync::Arc;

/// The content of a suite file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Suite {
    /// What the suite is for.
    pub(crate) story: String,
    /// One seed of this many runs on RocksDB; none if it is left out.
    rocksdb_every: Option<u64>,
    #[serde(rename = "run")]
    entries: Vec<SuiteEntry>,
    #[serde(rename = "sweep")]
    pub(crate) sweeps: Vec<SweepEntry>,
    /// Searches for every bug of the museum in the scenarios of this suite.
    pub(crate) museum: Option<MuseumEntry>,
}

/// One `[[run]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuiteEntry {
    scenario: String,
    /// Number of seeds.
    seeds: u64,
    /// Replaces that of the suite.
    rocksdb_every: Option<u64>,
}

/// One `[[sweep]]` over the crash points of node 0 and its executor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepEntry {
    pub scenario: String,
    /// The first `times` occurrences of each crash point.
    pub times: u32,
}

/// `[museum]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MuseumEntry {
    /// Number of seeds after which a bug counts as not found.
    pub seeds: u64,
}

/// Whether this seed is the one of `every` that runs on RocksDB. Its position moves from block to block of `every`
/// seeds: other choices follow the remainder of the seed, too.
const fn is_chosen(seed: u64, every: u64) -> bool {
    seed % every == (seed / every) % every
}

impl Suite {
    /// The suite that is built in under this name, or is in the file at this path.
    ///
    /// # Errors
    /// If there is none, or if its file is not valid.
    pub fn open(name: &str) -> Result<Self, InputError> {
        catalog::open("suite", SUITES, name, Self::parse)
    }

    /// # Errors
    /// The first error in the file, with line and key.
    fn parse(file: &str, text: &str) -> Result<Self, InputError> {
        let source = Source::new(file, text)?;
        let suite: Self = source.read()?;
        if suite.story.trim().is_empty() {
            return Err(source.error("story", "is missing: expected what the suite is for"));
        }
        if suite.entries.is_empty() && suite.sweeps.is_empty() {
            let message = "is missing: expected one [[run]] or [[sweep]] or more";
            return Err(source.error("run", message));
        }
        if suite.rocksdb_every == Some(0) {
            return Err(source.error("rocksdb_every", "is 0: expected at least 1"));
        }
        for (position, entry) in suite.entries.iter().enumerate() {
            let path = |key: &str| format!("run.{position}.{key}");
            if entry.seeds == 0 {
                return Err(source.error(&path("seeds"), "is 0: expected at least 1"));
            }
            if entry.rocksdb_every == Some(0) {
                return Err(source.error(&path("rocksdb_every"), "is 0: expected at least 1"));
            }
            if let Err(error @ InputError::Unknown { .. }) = catalog::scenario(&entry.scenario) {
                return Err(source.error(&path("scenario"), error.to_string()));
            }
        }
        for (position, entry) in suite.sweeps.iter().enumerate() {
            let path = |key: &str| format!("sweep.{position}.{key}");
            if entry.times == 0 {
                return Err(source.error(&path("times"), "is 0: expected at least 1"));
            }
            if let Err(error @ InputError::Unknown { .. }) = catalog::scenario(&entry.scenario) {
                return Err(source.error(&path("scenario"), error.to_string()));
            }
        }
        if suite.museum.as_ref().is_some_and(|entry| entry.seeds == 0) {
            return Err(source.error("museum.seeds", "is 0: expected at least 1"));
        }
        Ok(suite)
    }

    /// The scenarios in order, each once.
    ///
    /// # Errors
    /// If a scenario is unknown or not valid.
    pub fn scenarios(&self) -> Result<Vec<Arc<catalog::Named>>, InputError> {
        let mut names: Vec<&str> = vec![];
        for entry in &self.entries {
            if !names.contains(&entry.scenario.as_str()) {
                names.push(&entry.scenario);
            }
        }
        let scenario = |name| catalog::scenario(name).map(Arc::new);
        names.into_iter().map(scenario).collect()
    }

    /// The runs of all `[[run]]` entries, from `first_seed` on. `count` and `store` override those of the suite.
    ///
    /// # Errors
    /// If a scenario is unknown or not valid.
    pub(crate) fn runs(
        &self,
        first_seed: u64,
        count: Option<u64>,
        store: Option<Backend>,
    ) -> Result<Vec<Job>, InputError> {
        let mut jobs = vec![];
        for entry in &self.entries {
            let scenario = Arc::new(catalog::scenario(&entry.scenario)?);
            let every = entry.rocksdb_every.or(self.rocksdb_every);
            for offset in 0..count.unwrap_or(entry.seeds) {
                let seed = first_seed.wrapping_add(offset);
                let drawn = match every {
                    Some(every) if is_chosen(seed, every) => Backend::Rocksdb,
                    _ => Backend::Memory,
                };
                jobs.push(Job {
                    scenario: Arc::clone(&scenario),
                    seed,
                    store: store.or(scenario.scenario.store).unwrap_or(drawn),
                });
            }
        }
        Ok(jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SCENARIOS;

    #[test]
    fn one_seed_of_ten_runs_on_rocksdb_of_both_parities() {
        let chosen: Vec<u64> = (0..100).filter(|seed| is_chosen(*seed, 10)).collect();
        assert_eq!(chosen, [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]);
        assert!((0..10).all(|seed| is_chosen(seed, 1)));
    }

    #[test]
    fn every_built_in_suite_names_scenarios_that_exist() {
        for entry in SUITES {
            let runs = Suite::open(entry.name).and_then(|suite| suite.runs(0, None, None));
            assert!(runs.is_ok(), "{}: {:?}", entry.name, runs.err());
        }
    }

    /// But those that have a bug of their own to find.
    #[test]
    fn all_scenarios_are_swept() {
        let suite = Suite::open("sweeps").unwrap_or_else(|e| panic!("{e}"));
        let swept: Vec<_> = suite.sweeps.iter().map(|s| s.scenario.as_str()).collect();
        let is_ordinary = |name: &&str| {
            let named = catalog::scenario(name).unwrap_or_else(|e| panic!("{e}"));
            named.scenario.finds.is_empty()
        };
        let names = SCENARIOS.iter().map(|entry| entry.name);
        let mut all: Vec<_> = names.filter(is_ordinary).collect();
        all.sort_unstable();
        assert_eq!(swept, all);
    }

    #[test]
    fn bad_suites_are_refused_with_file_line_and_key() {
        for (text, expected) in [
            ("", "s.toml:1: `story`: is missing"),
            ("story = \"x\"\n", "s.toml:1: `run`: is missing"),
            (
                "story = \"x\"\n[[run]]\nscenario = \"hapy\"\nseeds = 1\n",
                "s.toml:3: `run.0.scenario`: there is no scenario `hapy`",
            ),
            (
                "story = \"x\"\n[[run]]\nscenario = \"happy_path\"\nseeds = 0\n",
                "s.toml:4: `run.0.seeds`: is 0",
            ),
            (
                "story = \"x\"\nrocksdb_every = 0\n[[run]]\nscenario = \"happy_path\"\nseeds = 1\n",
                "s.toml:2: `rocksdb_every`: is 0",
            ),
            (
                "story = \"x\"\n[[run]]\nscenario = \"happy_path\"\nseeds = 1\n[[sweep]]\nscenario = \"hapy\"\ntimes = 1\n",
                "s.toml:6: `sweep.0.scenario`: there is no scenario `hapy`",
            ),
            (
                "story = \"x\"\n[[run]]\nscenario = \"happy_path\"\nseed = 1\n",
                "s.toml:4: `run.0.seed`: unknown field `seed`",
            ),
        ] {
            let error = Suite::parse("s.toml", text)
                .expect_err(expected)
                .to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
