//! Exit codes of `metasim`.

use metanode_sim::run::Verdict;

/// The result of a command; its discriminant is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Passed = 0,
    /// Invalid arguments or an invalid file.
    BadInput = 2,
    SafetyViolated = 3,
    LivenessViolated = 4,
    /// A process panicked, or the simulation itself.
    Panicked = 5,
    /// Two runs of one seed differ.
    NotDeterministic = 6,
    /// No declared finder reported a known bug, or a scenario did not find the one that it is about.
    BugNotFound = 7,
}

impl Exit {
    /// For `--help`.
    pub const HELP: &'static str = "\
Exit codes: 0 passed, 2 invalid input, 3 safety violated, 4 liveness violated, 5 a process panicked, \
6 not deterministic, 7 a known bug was not found";

    /// The most severe first. If runs of one seed differ, no other verdict can be trusted.
    const BY_GRAVITY: [Self; 7] = [
        Self::NotDeterministic,
        Self::SafetyViolated,
        Self::Panicked,
        Self::LivenessViolated,
        Self::BugNotFound,
        Self::BadInput,
        Self::Passed,
    ];

    /// The most severe of several; passed if there is none.
    pub fn gravest(all: impl IntoIterator<Item = Self>) -> Self {
        let all: Vec<_> = all.into_iter().collect();
        let mut by_gravity = Self::BY_GRAVITY.into_iter();
        by_gravity
            .find(|exit| all.contains(exit))
            .unwrap_or(Self::Passed)
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::SafetyViolated => Self::SafetyViolated,
            Verdict::LivenessViolated => Self::LivenessViolated,
            Verdict::Panicked => Self::Panicked,
            Verdict::NotFound => Self::BugNotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict that a summary reports is the one that the exit code stands for.
    #[test]
    fn verdicts_and_exit_codes_agree_on_what_is_gravest() {
        let verdicts = [
            Verdict::Passed,
            Verdict::LivenessViolated,
            Verdict::Panicked,
            Verdict::SafetyViolated,
            Verdict::NotFound,
        ];
        for a in verdicts {
            for b in verdicts {
                let exit = Exit::gravest([a.into(), b.into()]);
                assert_eq!(exit, Exit::from(Verdict::gravest([a, b])));
            }
        }
        assert_eq!(Exit::gravest([]), Exit::Passed);
    }
}
