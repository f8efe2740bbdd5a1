//! The names of a run: a failure file, or `SCENARIO:SEED`.

use crate::{
    catalog::{self, Named},
    failure::Failure,
    seed::Seed,
    source::InputError,
};
use metanode_sim::plan::{Backend, Plan};

/// The plan of a named run: of the failure file at this path, or of `SCENARIO:SEED`, where the scenario is a name from
/// `metasim list` or the path of a scenario file. Without a seed it is the one that the scenario names, or 0.
///
/// # Errors
/// If there is no such run, or if its file is not valid.
pub fn plan(name: &str) -> Result<Plan, InputError> {
    if let Some(failure) = failure(name)? {
        return Ok(failure.plan);
    }
    let (scenario, seed) = match name.rsplit_once(':') {
        Some((scenario, seed)) => {
            let Seed(seed) = seed.parse().map_err(|reason| InputError::Unreadable {
                path: name.into(),
                reason,
            })?;
            (scenario, Some(seed))
        }
        None => (name, None),
    };
    let Named { name, scenario } = catalog::scenario(scenario)?;
    let seed = seed.unwrap_or_else(|| scenario.default_seed());
    Ok(scenario.draw(&name, seed, scenario.store.unwrap_or_default()))
}

/// The failure file at this path, or none if there is no file with a `[plan]`, which scenarios do not have.
///
/// # Errors
/// If the file is not a valid failure file.
pub fn failure(path: &str) -> Result<Option<Failure>, InputError> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(None);
    };
    let has_plan = text
        .parse::<toml::Table>()
        .is_ok_and(|table| table.contains_key("plan"));
    has_plan.then(|| Failure::parse(path, &text)).transpose()
}

/// The store backend as `--store` takes it.
#[must_use]
pub const fn store_name(store: Backend) -> &'static str {
    match store {
        Backend::Memory => "memory",
        Backend::Rocksdb => "rocksdb",
    }
}

/// The command that runs this plan again.
#[must_use]
pub fn command(plan: &Plan) -> String {
    let store = match plan.store {
        Backend::Memory => String::new(),
        other => format!(" --store {}", store_name(other)),
    };
    let bugs: String = plan
        .bugs
        .iter()
        .map(|bug| format!(" --bug {}", bug.name()))
        .collect();
    let buggy: String = plan
        .buggy_validators
        .iter()
        .map(|validator| format!(" --buggy-validator {validator}"))
        .collect();
    format!(
        "metasim run {} --seed {}{store}{bugs}{buggy}",
        plan.scenario, plan.seed
    )
}
