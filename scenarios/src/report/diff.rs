//! The first difference between two traces: the last common events, then both traces side by side.

use super::{colour::Colour, events};
use metanode_sim::{amounts::count, trace::Entry};
use std::fmt::Write;

/// Common events before the first difference, and events of each trace from there on.
const BEFORE: usize = 6;
const AFTER: usize = 10;

/// Width of a column in characters; longer lines are cut.
const WIDTH: usize = 78;

/// Position of the first event at which two traces differ, or at which one of them ends.
#[must_use]
pub fn first_difference(a: &[Entry], b: &[Entry]) -> Option<usize> {
    let shared = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    (shared < a.len().max(b.len())).then_some(shared)
}

/// Both traces around their first difference. Ends with a line break.
#[must_use]
pub fn text(names: [&str; 2], traces: [&[Entry]; 2], colour: Colour) -> String {
    let [a, b] = traces;
    let Some(at) = first_difference(a, b) else {
        return format!("identical: {}\n", count(a.len() as u64, "event"));
    };
    let mut out = format!("{} in common\n", count(at as u64, "event"));
    for entry in &a[at.saturating_sub(BEFORE)..at] {
        let _ = writeln!(out, "  {}", colour.dim(events::line(entry)));
    }
    let head = format!("{} │ {}", column(names[0]), names[1]);
    let _ = writeln!(out, "{}", colour.bold(head.trim_end()));
    let line = |trace: &[Entry], position| trace.get(position).map(events::line);
    for position in at..at + AFTER {
        let lines = [line(a, position), line(b, position)];
        if lines == [None, None] {
            break;
        }
        let [left, right] = lines.map(|line| column(&line.unwrap_or_else(|| "–".to_owned())));
        let row = format!("{left} │ {right}");
        let _ = writeln!(
            out,
            "{}",
            if position == at {
                colour.bad(row.trim_end())
            } else {
                row.trim_end().to_owned()
            }
        );
    }
    out
}

fn column(text: &str) -> String {
    let text = text.replace('\n', " ");
    if text.chars().count() <= WIDTH {
        return format!("{text:<WIDTH$}");
    }
    let cut: String = text.chars().take(WIDTH - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_sim::trace::{ProcessId, SimTime, What, WorldEvent};

    fn trace(starts: &[u32]) -> Vec<Entry> {
        let entry = |(position, start): (usize, &u32)| Entry {
            at: SimTime::from_ms(position as u64),
            process: ProcessId::Node(0),
            what: What::World(WorldEvent::Started { start: *start }),
        };
        starts.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn the_first_difference_is_printed_in_columns() {
        let (a, b) = (trace(&[2, 3, 4, 5]), trace(&[2, 3, 9]));
        assert_eq!(first_difference(&a, &b), Some(2));
        let text = text(["one", "other"], [&a, &b], Colour::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "2 events in common");
        assert_eq!(lines[2], "     0.001s  node-0 starts again (start 3)");
        assert!(
            lines[3].starts_with("one ") && lines[3].ends_with("│ other"),
            "{text}"
        );
        assert!(
            lines[4].contains("(start 4)") && lines[4].ends_with("(start 9)"),
            "{text}"
        );
        assert!(
            lines[5].contains("(start 5)") && lines[5].ends_with("│ –"),
            "{text}"
        );
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn a_longer_trace_differs_where_the_shorter_one_ends() {
        let (a, b) = (trace(&[2, 3]), trace(&[2, 3, 4]));
        assert_eq!(first_difference(&a, &b), Some(2));
        assert_eq!(first_difference(&a, &a), None);
        assert_eq!(
            text(["", ""], [&a, &a], Colour::PLAIN),
            "identical: 2 events\n"
        );
    }
}
