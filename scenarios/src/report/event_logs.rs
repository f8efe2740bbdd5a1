//! The judgement of event logs.

use super::colour::Colour;
use metanode_sim::event_log::{Finding, Report, Verdict};
use std::fmt::Write;

/// One line per rule, with the lines of the files that break it.
#[must_use]
pub fn event_logs(report: &Report, colour: Colour) -> String {
    let mut out = String::new();
    let Report {
        processes,
        lines,
        unreadable,
        unknown,
        findings,
    } = report;
    // A String does not fail.
    let _ = writeln!(out, "{lines} lines of {} processes", processes.len());
    for (name, id) in processes {
        if *name != id.to_string() {
            let _ = writeln!(out, "  {id} is {name}");
        }
    }
    if *unknown > 0 {
        let _ = writeln!(
            out,
            "  {unknown} lines of events that this version does not know"
        );
    }
    if let Some((place, message)) = unreadable.first() {
        let (file, line) = (place.file.display(), place.line);
        let count = unreadable.len();
        let _ = writeln!(
            out,
            "  {count} lines are not of the format, the first at {file}:{line}: {message}"
        );
    }
    out.push('\n');
    for finding in findings {
        out.push_str(&line(finding, colour));
    }
    out
}

fn line(finding: &Finding, colour: Colour) -> String {
    let name = finding.invariant.to_string();
    let rule = finding.rule;
    match &finding.verdict {
        Verdict::Held => format!("{name:<8} {}          {rule}\n", colour.good("held")),
        Verdict::NotTestable { why } if rule.is_empty() => {
            format!("{name:<8} not testable  {why}\n")
        }
        Verdict::NotTestable { why } => format!("{name:<8} not testable  {rule}: {why}\n"),
        Verdict::Broken {
            message, evidence, ..
        } => {
            let mut text = format!("{name:<8} {}        {rule}\n", colour.bad("broken"));
            let _ = writeln!(text, "           {message}");
            for place in evidence {
                let _ = writeln!(text, "           {}:{}", place.file.display(), place.line);
            }
            text
        }
    }
}
