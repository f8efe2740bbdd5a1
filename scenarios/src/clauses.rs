//! Clauses of the contract that are judged from outside of a process, and what was found about each. Pure.
//!
//! Knows neither what the clauses say nor how they are tried.

use serde::Serialize;
use std::collections::BTreeMap;

/// One promise of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clause {
    pub id: &'static str,
    /// Where the contract says it, as `§2.7`.
    pub section: &'static str,
    /// What must hold.
    pub text: &'static str,
}

/// Declares clauses, and all of them in the order in which they are reported.
macro_rules! clauses {
    ($($name:ident = $id:literal, $section:literal, $text:literal;)*) => {
        $(pub const $name: Clause = Clause { id: $id, section: $section, text: $text };)*
        pub const ALL: &[Clause] = &[$($name),*];
    };
}
pub(crate) use clauses;

/// What was found about a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Held,
    Broken(Violation),
    NotTestable { why: String },
}

/// How a clause was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub kind: ViolationKind,
    /// The bytes that show it, in hex, abbreviated; empty if it shows in no single message.
    pub bytes: String,
    pub expected: String,
    pub found: String,
}

/// Whether something wrong happened, or nothing happened in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    Safety,
    NoProgress,
}

impl Violation {
    pub(crate) fn safety(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(ViolationKind::Safety, expected.into(), found.into())
    }

    pub(crate) fn no_progress(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(ViolationKind::NoProgress, expected.into(), found.into())
    }

    const fn new(kind: ViolationKind, expected: String, found: String) -> Self {
        Self {
            kind,
            bytes: String::new(),
            expected,
            found,
        }
    }

    /// With the bytes that show it.
    #[must_use]
    pub(crate) fn shown_by(mut self, bytes: &[u8]) -> Self {
        self.bytes = abbreviated_hex(bytes);
        self
    }
}

/// Bytes of a message that are shown.
const SHOWN_BYTES: usize = 24;

/// The beginning of some bytes in hex, and how many there are.
#[must_use]
pub fn abbreviated_hex(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
    match bytes.len() {
        length if length > SHOWN_BYTES => format!("{hex}… ({length} bytes)"),
        _ => hex,
    }
}

/// A clause with what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub clause: Clause,
    pub verdict: Verdict,
}

/// What was found about all clauses, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub clauses: Vec<Judged>,
    /// What the contract leaves open and was seen.
    pub observations: Vec<String>,
}

impl Judgement {
    /// The gravest violation; `None` if every clause held or could not be tried.
    #[must_use]
    pub fn gravest(&self) -> Option<ViolationKind> {
        let kinds = self.violations().map(|(_, violation)| violation.kind);
        // Safety is graver.
        kinds.min_by_key(|kind| *kind == ViolationKind::NoProgress)
    }

    /// The broken clauses.
    pub fn violations(&self) -> impl Iterator<Item = (Clause, &Violation)> {
        self.clauses
            .iter()
            .filter_map(|judged| match &judged.verdict {
                Verdict::Broken(violation) => Some((judged.clause, violation)),
                Verdict::Held | Verdict::NotTestable { .. } => None,
            })
    }
}

/// Collects verdicts. A clause is broken if it was once: the first violation is kept.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    found: BTreeMap<&'static str, Verdict>,
    observations: Vec<String>,
}

impl Verdicts {
    pub fn add(&mut self, clause: Clause, verdict: Verdict) {
        let graver = match self.found.get(clause.id) {
            None | Some(Verdict::NotTestable { .. }) => true,
            Some(Verdict::Held) => matches!(verdict, Verdict::Broken(_)),
            Some(Verdict::Broken(_)) => false,
        };
        if graver {
            self.found.insert(clause.id, verdict);
        }
    }

    pub fn observe(&mut self, observation: String) {
        if !self.observations.contains(&observation) {
            self.observations.push(observation);
        }
    }

    /// The verdict on each of `clauses`. `why_not` says why nothing was found about the others.
    pub fn judgement(&self, clauses: &[Clause], why_not: &str) -> Judgement {
        let judged = |clause: &Clause| {
            let not_tried = || Verdict::NotTestable {
                why: why_not.to_owned(),
            };
            Judged {
                clause: *clause,
                verdict: self.found.get(clause.id).cloned().unwrap_or_else(not_tried),
            }
        };
        Judgement {
            clauses: clauses.iter().map(judged).collect(),
            observations: self.observations.clone(),
        }
    }
}

/// A verdict as a JSON object.
#[derive(Debug, Serialize)]
pub struct ClauseObject<'a> {
    clause: &'a str,
    section: &'a str,
    verdict: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

impl Judged {
    /// For reports to programs.
    #[must_use]
    pub fn object(&self) -> ClauseObject<'_> {
        let Clause { id, section, .. } = self.clause;
        let (verdict, violation, why) = match &self.verdict {
            Verdict::Held => ("held", None, None),
            Verdict::Broken(violation) => ("broken", Some(violation), None),
            Verdict::NotTestable { why } => ("not testable", None, Some(why.as_str())),
        };
        ClauseObject {
            clause: id,
            section,
            verdict,
            bytes: violation
                .map(|it| it.bytes.as_str())
                .filter(|it| !it.is_empty()),
            expected: violation.map(|it| it.expected.as_str()),
            found: violation.map(|it| it.found.as_str()),
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Clause = Clause {
        id: "a",
        section: "§1",
        text: "A holds",
    };
    const B: Clause = Clause { id: "b", ..A };

    #[test]
    fn the_first_violation_of_a_clause_is_kept_and_what_was_not_tried_says_why() {
        let broken = |found| Verdict::Broken(Violation::no_progress("1", found));
        let mut verdicts = Verdicts::default();
        verdicts.add(A, Verdict::NotTestable { why: "-".into() });
        verdicts.add(A, Verdict::Held);
        verdicts.add(A, broken("2"));
        verdicts.add(A, Verdict::Held);
        verdicts.add(A, broken("3"));
        let judgement = verdicts.judgement(&[A, B], "it ended");
        let [a, b] = judgement.clauses.as_slice() else {
            panic!("two clauses")
        };
        assert_eq!(a.verdict, broken("2"));
        let why = "it ended".to_owned();
        assert_eq!(b.verdict, Verdict::NotTestable { why });
        assert_eq!(judgement.gravest(), Some(ViolationKind::NoProgress));
        verdicts.add(B, Verdict::Broken(Violation::safety("1", "2")));
        let judgement = verdicts.judgement(&[A, B], "");
        assert_eq!(judgement.gravest(), Some(ViolationKind::Safety));
        assert_eq!(Verdicts::default().judgement(&[A], "").gravest(), None);
    }

    #[test]
    fn long_bytes_are_abbreviated() {
        assert_eq!(abbreviated_hex(&[0, 0xff]), "00ff");
        let long = abbreviated_hex(&[1; 25]);
        assert_eq!(long, format!("{}… (25 bytes)", "01".repeat(24)));
    }
}
