//! What is reported: one line for each check.

use derive_more::Display;
use std::fmt;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    /// May be right, or become right by itself, such as an executor that is not started yet.
    Warning,
    /// The node cannot work.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What one check found.
#[derive(Clone, Debug, Display, PartialEq, Eq)]
#[display("{level:<8} {origin}: {text}")]
pub struct Finding {
    /// File, line and key that the check is about.
    pub origin: String,
    pub level: Level,
    pub text: String,
}

/// A finding of which the place is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub level: Level,
    pub text: String,
}

impl Judgement {
    pub fn ok(text: impl Into<String>) -> Self {
        Self::new(Level::Ok, text)
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Self::new(Level::Warning, text)
    }

    pub fn error(text: impl Into<String>) -> Self {
        Self::new(Level::Error, text)
    }

    fn new(level: Level, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { level, text }
    }

    pub fn at(self, origin: String) -> Finding {
        let Self { level, text } = self;
        Finding {
            origin,
            level,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_aligned() {
        let found = Judgement::ok("it is right").at("node.toml:3: data_dir".into());
        assert_eq!(
            found.to_string(),
            "ok       node.toml:3: data_dir: it is right"
        );
        let found = Judgement::warning("it is late").at("genesis.json".into());
        assert_eq!(found.to_string(), "warning  genesis.json: it is late");
    }
}
