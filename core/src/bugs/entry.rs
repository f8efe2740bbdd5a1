//! What an entry of the museum is, and how switches are declared.

use super::KnownBug;

/// An entry of the museum: a bug that a real system of this kind had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its switch.
    pub bug: KnownBug,
    /// Its number in the catalogue. Letters are variants of one entry; `+` is an entry without a number.
    pub number: &'static str,
    /// Guards that mask the bug. The museum disables them together with it.
    pub masked_by: &'static [KnownBug],
    /// The invariants (ids of contract §12) whose oracles are expected to find it, or [`ASSERTION`].
    pub found_by: &'static [&'static str],
}

/// The finder of a bug that fails an assertion in production code.
pub const ASSERTION: &str = "assertion";

macro_rules! known_bugs {
    (
        entries { $($bug:ident = $number:literal $name:literal {
            mechanism: $mechanism:literal,
            masked_by: [$($mask:ident),*],
            found_by: [$($finder:expr),+],
        })* }
        guards { $($guard:ident = $guard_name:literal {
            mechanism: $guard_mechanism:literal,
        })* }
    ) => {
        /// One switch. It disables exactly one guard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum KnownBug {
            $(#[doc = $mechanism] #[serde(rename = $name)] $bug,)*
            $(#[doc = $guard_mechanism] #[serde(rename = $guard_name)] $guard,)*
        }

        impl KnownBug {
            /// All switches: the entries by number, then the guards.
            pub const ALL: &'static [Self] = &[$(Self::$bug,)* $(Self::$guard,)*];

            /// The entries of the museum, by number.
            pub const ENTRIES: &'static [Entry] = &[$(Entry {
                bug: Self::$bug,
                number: $number,
                masked_by: &[$(Self::$mask),*],
                found_by: &[$($finder),+],
            },)*];

            /// The name on the command line and in files.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)*
                    $(Self::$guard => $guard_name,)*
                }
            }

            /// What the bug does, in one sentence.
            #[must_use]
            pub const fn mechanism(self) -> &'static str {
                match self {
                    $(Self::$bug => $mechanism,)*
                    $(Self::$guard => $guard_mechanism,)*
                }
            }
        }
    };
}

pub(super) use known_bugs;
