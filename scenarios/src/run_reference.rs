//! One run as people name it: a failure file, or a scenario with a seed.

use crate::{
    catalog::{self, Named},
    failure::Failure,
    source::InputError,
};
use metanode_sim::plan::Plan;

/// One run.
#[derive(Clone, Debug)]
pub struct RunReference {
    pub plan: Plan,
    /// If it was named by a failure file.
    pub failure: Option<Failure>,
}

impl RunReference {
    /// The failure file at this path; or `SCENARIO:SEED`, a name from `metasim list` or the path of a scenario file.
    /// Without a seed it is the one that the file names, or 0.
    ///
    /// # Errors
    /// If there is none, or if what it says cannot be used.
    pub fn open(name: &str) -> Result<Self, InputError> {
        if let Some(failure) = failure(name)? {
            return Ok(Self {
                plan: failure.plan.clone(),
                failure: Some(failure),
            });
        }
        let (scenario, seed) = match name.rsplit_once(':') {
            Some((scenario, seed)) => {
                let seed: crate::seed::Seed =
                    seed.parse().map_err(|reason| InputError::Unreadable {
                        path: name.into(),
                        reason,
                    })?;
                (scenario, Some(seed.0))
            }
            None => (name, None),
        };
        let Named { name, scenario } = catalog::scenario(scenario)?;
        let seed = seed.unwrap_or_else(|| scenario.usual_seed());
        Ok(Self {
            plan: scenario.draw(&name, seed, scenario.store.unwrap_or_default()),
            failure: None,
        })
    }
}

/// The failure file at this path, if that is what is there: it has a `[plan]`, which scenarios do not.
///
/// # Errors
/// If it is one and cannot be used.
pub fn failure(path: &str) -> Result<Option<Failure>, InputError> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(None);
    };
    let has_plan = text
        .parse::<toml::Table>()
        .is_ok_and(|table| table.contains_key("plan"));
    has_plan.then(|| Failure::parse(path, &text)).transpose()
}
