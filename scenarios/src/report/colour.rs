//! Terminal colours.

use std::{fmt::Display, io::IsTerminal};

/// Adds colours to text, or leaves it plain.
#[derive(Clone, Copy, Debug)]
pub struct Colour {
    on: bool,
}

impl Colour {
    /// No colours.
    pub const PLAIN: Self = Self { on: false };

    /// Colours if stdout is a terminal and `NO_COLOR` (no-color.org) is not set.
    #[must_use]
    pub fn of_stdout() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            on: std::io::stdout().is_terminal() && !no_color,
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
