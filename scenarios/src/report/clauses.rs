//! Clauses of the contract: one line each, and below it what broke it or why it was not tried.

use super::colour::Colour;
use crate::clauses::{Judged, Judgement, Verdict};

/// The report on a judgement; `subject` says about whom.
#[must_use]
pub fn clauses(subject: &str, judgement: &Judgement, colour: Colour) -> String {
    let ids = judgement
        .clauses
        .iter()
        .map(|judged| judged.clause.id.len());
    let width = ids.max().unwrap_or_default();
    let mut out = format!("{subject}\n\n");
    for judged in &judgement.clauses {
        out.push_str(&line(judged, width, colour));
    }
    for observation in &judgement.observations {
        out.push_str(&format!("{:<14}{observation}\n", "observed"));
    }
    let count = |is: fn(&Verdict) -> bool| {
        let verdicts = judgement.clauses.iter().map(|judged| &judged.verdict);
        verdicts.filter(|verdict| is(verdict)).count()
    };
    let broken = count(|verdict| matches!(verdict, Verdict::Broken(_)));
    let sum = format!(
        "{} held, {broken} broken, {} not testable",
        count(|verdict| matches!(verdict, Verdict::Held)),
        count(|verdict| matches!(verdict, Verdict::NotTestable { .. })),
    );
    let sum = match broken {
        0 => colour.good(sum),
        _ => colour.bad(sum),
    };
    format!("{out}\n{sum}\n")
}

fn line(judged: &Judged, width: usize, colour: Colour) -> String {
    let clause = judged.clause;
    let (word, details) = match &judged.verdict {
        Verdict::Held => (colour.good(format!("{:<14}", "held")), vec![]),
        Verdict::Broken(violation) => (
            colour.bad(format!("{:<14}", "broken")),
            vec![
                ("bytes", &violation.bytes),
                ("expected", &violation.expected),
                ("found", &violation.found),
            ],
        ),
        Verdict::NotTestable { why } => (
            colour.dim(format!("{:<14}", "not testable")),
            vec![("why", why)],
        ),
    };
    let (id, section) = (clause.id, clause.section);
    let mut out = format!("{word}{id:<width$}  {section:<5}  {}\n", clause.text);
    for (name, text) in details.into_iter().filter(|(_, text)| !text.is_empty()) {
        out.push_str(&format!("{:<16}{name:<10}{text}\n", ""));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clauses::{Clause, Verdicts, Violation};

    #[test]
    fn what_broke_a_clause_stands_below_it() {
        let clause = |id, section, text| Clause { id, section, text };
        let all = [
            clause("order-gap", "§12", "no gaps"),
            clause("rpc", "§2.7", "limits"),
            clause("kill", "§12", "survives"),
        ];
        let mut verdicts = Verdicts::default();
        verdicts.add(all[0], Verdict::Held);
        let violation = Violation::safety("W = 4", "W = 6").shown_by(&[1, 2]);
        verdicts.add(all[1], Verdict::Broken(violation));
        verdicts.observe("seconds".to_owned());
        let judgement = verdicts.judgement(&all, "it was not killed");
        assert_eq!(
            clauses("an executor", &judgement, Colour::PLAIN),
            "\
an executor

held          order-gap  §12    no gaps
broken        rpc        §2.7   limits
                bytes     0102
                expected  W = 4
                found     W = 6
not testable  kill       §12    survives
                why       it was not killed
observed      seconds

1 held, 1 broken, 1 not testable
"
        );
    }
}
