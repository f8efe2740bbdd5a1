//! Constructed logs: what is quiet, and which rule finds what.

use super::{Judge, Report, Verdict};
use metanode_core::env::trace_line::TraceLine;
use std::path::PathBuf;

/// One log per process, as lines without the version and the process.
fn judge(logs: &[(&str, &[&str])]) -> Report {
    let mut judge = Judge::default();
    for (file, (process, lines)) in logs.iter().enumerate() {
        for (number, line) in (1..).zip(*lines) {
            let text = format!(r#"{{"v":1,"process":"{process}",{line}}}"#);
            let line: TraceLine = serde_json::from_str(&text).expect("a line");
            judge.line(&line, file, number).expect("an order");
        }
    }
    let files: Vec<_> = logs.iter().map(|(name, _)| PathBuf::from(name)).collect();
    judge.report(&files, vec![])
}

/// The clauses that are broken.
fn broken(logs: &[(&str, &[&str])]) -> Vec<&'static str> {
    let report = judge(logs);
    let clauses = report.broken().map(|finding| match finding.verdict {
        Verdict::Broken { clause, .. } => clause,
        _ => "",
    });
    clauses.collect()
}

const STARTED: &str = r#""event":"executor_started","watermark":0"#;

fn executed(gei: u64, more: &str) -> String {
    format!(r#""event":"block_executed","gei":{gei},"epoch":0,"commit":{gei}{more}"#)
}

fn durable(watermark: u64) -> String {
    format!(r#""event":"watermark_durable","watermark":{watermark}"#)
}

/// A start at 0, then these lines.
fn executor(lines: &[String]) -> Vec<&str> {
    std::iter::once(STARTED)
        .chain(lines.iter().map(String::as_str))
        .collect()
}

#[test]
fn logs_of_executors_that_agree_are_quiet_and_name_what_they_lack() {
    let lines = [executed(1, ""), durable(1), executed(2, ""), durable(2)];
    let lines = executor(&lines);
    let report = judge(&[("executor-0", &lines), ("go-1", &lines)]);
    assert_eq!(report.broken().count(), 0, "{report:?}");
    let of = |rule: &str| report.findings.iter().find(|it| it.rule == rule);
    let held = of("the durable blocks of an executor have no hole").map(|it| &it.verdict);
    assert_eq!(held, Some(&Verdict::Held));
    let root = of("a GEI has one state root").map(|it| &it.verdict);
    let why = "no line has the field `state_root`".to_owned();
    assert_eq!(root, Some(&Verdict::NotTestable { why }));
    assert_eq!(report.processes["executor-0"].to_string(), "executor-0");
    assert_eq!(report.processes["go-1"].to_string(), "executor-65535");
}

#[test]
fn a_fork_is_found_by_contents_and_by_roots() {
    let of = |content: &str, root: &str| {
        let more = format!(r#","content":"{content}","state_root":"{root}""#);
        [executed(1, &more), durable(1)]
    };
    let (a, b, c) = (of("aa", "01"), of("bb", "01"), of("aa", "02"));
    let (a, b, c) = (executor(&a), executor(&b), executor(&c));
    assert_eq!(
        broken(&[("executor-0", &a), ("executor-1", &b)]),
        ["frame-has-one-content"]
    );
    let roots = [("executor-0", &*a), ("executor-1", &*c)];
    assert_eq!(broken(&roots), ["roots-differ"]);
    let report = judge(&roots);
    let verdict = report.broken().next().map(|finding| &finding.verdict);
    let Some(Verdict::Broken { evidence, .. }) = verdict else {
        panic!("nothing is broken: {report:?}");
    };
    let lines: Vec<_> = evidence
        .iter()
        .map(|place| (place.file.to_string_lossy().into_owned(), place.line))
        .collect();
    assert_eq!(
        lines,
        [("executor-0".to_owned(), 3), ("executor-1".to_owned(), 3)]
    );
}

#[test]
fn commits_at_two_places_are_found_between_nodes_and_executors() {
    let stored = r#""event":"commit_stored","epoch":0,"commit":2,"gei":1,"digest":"0a""#;
    let lines = [executed(1, ""), durable(1)];
    let executor = executor(&lines);
    let logs: [(&str, &[&str]); 2] = [("executor-0", &executor), ("node-0", &[stored])];
    assert_eq!(broken(&logs), ["gei-has-one-commit"]);
    let other = r#""event":"commit_stored","epoch":0,"commit":2,"gei":1,"digest":"0b""#;
    let logs: [(&str, &[&str]); 2] = [("node-0", &[stored]), ("node-1", &[other])];
    assert_eq!(broken(&logs), ["commit-has-one-digest"]);
}

#[test]
fn a_gap_and_a_second_execution_are_found() {
    let gap = [executed(1, ""), durable(1), executed(3, ""), durable(3)];
    assert_eq!(broken(&[("executor-0", &executor(&gap))]), ["gei-skipped"]);
    let twice = [executed(1, ""), durable(1), executed(1, ""), durable(1)];
    assert!(broken(&[("executor-0", &executor(&twice))]).contains(&"commit-executed-twice"));
    let spent = r#","transactions":["a:1"]"#;
    let spent_twice = [
        executed(1, spent),
        durable(1),
        executed(2, spent),
        durable(2),
    ];
    let clauses = broken(&[("executor-0", &executor(&spent_twice))]);
    assert_eq!(clauses, ["transaction-applied-twice"]);
}

#[test]
fn what_a_kill_undoes_may_be_executed_again_and_what_it_found_was_durable() {
    let restarted = r#""event":"executor_started","watermark":1"#.to_owned();
    let lines = [
        executed(1, ""),
        executed(2, ""),
        restarted,
        executed(2, ""),
        durable(2),
    ];
    assert_eq!(broken(&[("executor-0", &executor(&lines))]), [""; 0]);
}

#[test]
fn a_lost_watermark_is_found_unless_the_disk_was_put_back() {
    let reported = r#""event":"watermark_reported","watermark":2"#.to_owned();
    let restarted = r#""event":"executor_started","watermark":1"#.to_owned();
    let lines = |more: &[String]| {
        let begin = [
            executed(1, ""),
            durable(1),
            executed(2, ""),
            durable(2),
            reported.clone(),
        ];
        [&begin[..], more, std::slice::from_ref(&restarted)].concat()
    };
    let lost = lines(&[]);
    let clauses = broken(&[("executor-0", &executor(&lost))]);
    assert_eq!(clauses, ["watermark-fell", "reported-watermark-lost"]);
    let restored = lines(&[r#""event":"disk_restored""#.to_owned()]);
    assert_eq!(broken(&[("executor-0", &executor(&restored))]), [""; 0]);
}

#[test]
fn a_node_that_writes_at_or_below_the_watermark_or_skips_is_found() {
    let learned =
        |watermark: u64| format!(r#""event":"watermark_learned","watermark":{watermark}"#);
    let opened = r#""event":"stream_opened","connection":1"#.to_owned();
    let sent = |gei: u64| {
        format!(r#""event":"block_sent","connection":1,"gei":{gei},"epoch":0,"commit":{gei}"#)
    };
    let started = r#""event":"node_started""#.to_owned();
    let clauses = |lines: &[String]| {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        broken(&[("node-0", &lines)])
    };
    let begin = [started.clone(), learned(7), opened.clone()];
    let with = |more: &[String]| clauses(&[&begin[..], more].concat());
    assert_eq!(with(&[sent(8), learned(9), sent(9), sent(10)]), [""; 0]);
    assert_eq!(with(&[sent(7)]), ["below-watermark"]);
    assert_eq!(with(&[sent(9)]), ["gei-skipped"]);
    assert_eq!(with(&[sent(8), sent(8)]), ["gei-repeated"]);
    // What has become durable meanwhile is skipped, and nothing else.
    assert_eq!(with(&[learned(9), sent(10)]), [""; 0]);
    assert_eq!(with(&[sent(8), learned(10), sent(11), sent(12)]), [""; 0]);
    assert_eq!(with(&[sent(8), learned(10), sent(12)]), ["gei-skipped"]);
    // The block was chosen before the second watermark was learned.
    let twice = [sent(8), learned(10), learned(13), sent(11), sent(14)];
    assert_eq!(with(&twice), [""; 0]);
    assert_eq!(
        with(&[learned(9), learned(12), sent(10), sent(13)]),
        [""; 0]
    );
    // The numbers of connections begin anew with each start.
    assert_eq!(
        with(&[sent(8), started, learned(7), opened, sent(8)]),
        [""; 0]
    );
}

#[test]
fn epochs_and_own_blocks_are_compared() {
    let opened = |base: u64, committee: &str| {
        format!(
            r#""event":"epoch_opened","epoch":1,"base":{base},"start_ms":5,"committee":"{committee}""#
        )
    };
    let nodes = |a: &str, b: &str| broken(&[("node-0", &[a]), ("node-1", &[b])]);
    assert_eq!(nodes(&opened(9, "aa"), &opened(9, "aa")), [""; 0]);
    assert_eq!(
        nodes(&opened(9, "aa"), &opened(8, "aa")),
        ["epoch-begins-once"]
    );
    assert_eq!(
        nodes(&opened(9, "aa"), &opened(9, "bb")),
        ["epoch-has-one-committee"]
    );
    let entered = r#""event":"epoch_entered","epoch":1,"boundary":8,"start_ms":5"#;
    let logs: [(&str, &[&str]); 2] = [("node-0", &[&opened(9, "aa")]), ("executor-0", &[entered])];
    assert_eq!(broken(&logs), ["epoch-begins-once"]);
    let proposed = |digest: &str| {
        format!(r#""event":"block_proposed","epoch":0,"round":3,"author":0,"digest":"{digest}""#)
    };
    let (one, two) = (proposed("aa"), proposed("bb"));
    assert_eq!(
        broken(&[("node-0", &[&one, &two])]),
        ["two-blocks-in-a-slot"]
    );
    assert_eq!(broken(&[("node-0", &[&one, &one])]), [""; 0]);
}

#[test]
fn one_name_is_one_process() {
    let mut judge = Judge::default();
    let line = |event: &str| -> TraceLine {
        serde_json::from_str(&format!(r#"{{"v":1,"process":"a",{event}}}"#)).expect("a line")
    };
    assert_eq!(judge.line(&line(STARTED), 0, 1), Ok(0));
    let minus_one = line(r#""event":"watermark_reported","watermark":18446744073709551615"#);
    let error = judge
        .line(&minus_one, 0, 2)
        .expect_err("no chain gets so far");
    assert!(error.starts_with("expected numbers below 2^62"), "{error}");
    let error = judge.line(&line(r#""event":"node_started""#), 0, 2);
    let expected =
        "expected the lines of `a` to be of one node or of one executor, found `node_started`";
    assert_eq!(error, Err(expected.to_owned()));
}
