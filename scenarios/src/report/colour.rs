//! Colours, if there is a terminal that shows them.

use std::{fmt::Display, io::IsTerminal};

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Colour {
    on: bool,
}

impl Colour {
    /// No colours.
    pub const PLAIN: Self = Self { on: false };

    /// For the standard output: colours on a terminal, unless `NO_COLOR` is set (no-color.org).
    #[must_use]
    pub fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            on: std::io::stdout().is_terminal() && !refused,
        }
    }

    fn wrap(self, code: &str, text: impl Display) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }

    #[must_use]
    pub fn bold(self, text: impl Display) -> String {
        self.wrap("1", text)
    }

    #[must_use]
    pub fn dim(self, text: impl Display) -> String {
        self.wrap("2", text)
    }

    #[must_use]
    pub fn good(self, text: impl Display) -> String {
        self.wrap("32", text)
    }

    #[must_use]
    pub fn bad(self, text: impl Display) -> String {
        self.wrap("1;31", text)
    }
}
