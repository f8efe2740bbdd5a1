//! What the README shows is what the program prints.
//!
//! - A *screen* is a fenced block that begins with `$ `: commands, each followed by its output.
//! - A *file* is a fenced block that begins with `# NAME`: it is written under this name.
//!
//! All of them have one temporary folder, in the order of the document: commands find what earlier ones kept.
//!
//! A line `...` in an output stands for lines that are left out, at most once for each command. Shown are as many lines
//! from the beginning and the end of the output as stand above and below it. Wall-clock times read `[..]`.
//!
//! `SNAPSHOTS=overwrite` writes all screens anew, with the same elisions.
#![cfg(madsim)]

use metasim::scenario::FaultKind;
use snapbox::{Assert, Data, assert::DEFAULT_ACTION_ENV};
use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROMPT: &str = "$ ";
const FILE: &str = "# ";
const FENCE: &str = "```";
const ELLIPSIS: &str = "...";
const WALL_TIME: &str = "[..]";

fn readme() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package");
    Path::new(&package).join("../README.md")
}

/// Runs commands one after the other in one folder.
struct Shell {
    folder: tempfile::TempDir,
    path: String,
}

impl Shell {
    fn new() -> Self {
        let metasim = Path::new(env!("CARGO_BIN_EXE_metasim"));
        let binaries = metasim.parent().expect("it lies in a folder").display();
        let others = env::var("PATH").expect("UTF-8");
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            path: format!("{binaries}:{others}"),
        }
    }

    /// What a command prints to standard output.
    fn output(&self, command: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .output()
            .expect("the shell starts");
        let documented = output.status.code().is_some_and(|code| code <= 7);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(documented, "{command}: {}\n{stderr}", output.status);
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn write(&self, name: &str, lines: &[&str]) {
        fs::write(self.folder.path().join(name), lines.join("\n")).expect("it is written");
    }
}

/// The row of a table without the figures of this machine: the column `wall s`, aligned to the right, and `slowest`.
fn without_wall_time(head: &str, row: &str) -> Option<String> {
    let end = head.find("wall s")? + "wall s".len();
    let (before, after) = row.split_at_checked(end)?;
    let figure = before.split_whitespace().next_back()?;
    figure.parse::<f64>().ok()?;
    let before = before.strip_suffix(figure)?.trim_end();
    let (width, slowest) = (end - before.len(), head.ends_with("slowest"));
    let after = if slowest { "  [..]" } else { after };
    Some(format!("{before}{WALL_TIME:>width$}{after}"))
}

/// What an output reads as in the document.
fn as_shown(output: &str) -> Vec<String> {
    let mut head = "";
    let lines = output.trim_end().lines().map(|line| {
        if line.is_empty() || line.contains(" wall s ") {
            head = line;
        }
        without_wall_time(head, line).unwrap_or_else(|| line.to_owned())
    });
    lines.collect()
}

/// `lines`, with the elision that `shown` has.
fn elided(lines: Vec<String>, shown: &[&str]) -> Vec<String> {
    let mut ellipses = (0..shown.len()).filter(|line| shown[*line] == ELLIPSIS);
    let Some(head) = ellipses.next() else {
        return lines;
    };
    assert_eq!(ellipses.next(), None, "one {ELLIPSIS} for each command");
    let tail = shown.len() - head - 1;
    if lines.len() <= head + tail {
        return lines;
    }
    let (head, tail) = (&lines[..head], &lines[lines.len() - tail..]);
    [head, &[ELLIPSIS.to_owned()], tail].concat()
}

/// The lines of a screen with what its commands print now.
fn screen(lines: &[&str], shell: &Shell) -> Vec<String> {
    let mut made = vec![];
    for shown in lines.chunk_by(|_, line| !line.starts_with(PROMPT)) {
        let [prompt, shown @ ..] = shown else {
            continue;
        };
        let command = prompt.strip_prefix(PROMPT).expect("a screen begins so");
        let blank = shown.iter().rev().take_while(|line| line.is_empty());
        let (shown, blank) = shown.split_at(shown.len() - blank.count());
        made.push((*prompt).to_owned());
        let output = shell.output(command);
        assert!(!output.trim().is_empty(), "`{command}` prints nothing");
        made.extend(elided(as_shown(&output), shown));
        made.extend(blank.iter().map(|line| (*line).to_owned()));
    }
    made
}

/// The document with all its screens made anew.
fn with_screens(document: &str, shell: &Shell) -> String {
    let mut made = vec![];
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        made.push(line.to_owned());
        if !line.starts_with(FENCE) {
            continue;
        }
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != FENCE).collect();
        let first = block.first().copied().unwrap_or_default();
        if first.starts_with(PROMPT) {
            made.extend(screen(&block, shell));
        } else {
            if let Some(name) = first.strip_prefix(FILE) {
                shell.write(name, &block);
            }
            made.extend(block.into_iter().map(str::to_owned));
        }
        made.push(FENCE.to_owned());
    }
    made.join("\n") + "\n"
}

/// Long options in the help of the program and of its commands.
fn options() -> BTreeSet<String> {
    let help = |arguments: &[&str]| {
        let metasim = env!("CARGO_BIN_EXE_metasim");
        let output = Command::new(metasim).args(arguments).output();
        String::from_utf8(output.expect("the binary starts").stdout).expect("UTF-8")
    };
    let overview = help(&["--help"]);
    let commands = overview.lines().skip_while(|line| *line != "Commands:");
    let commands = commands.skip(1).take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.split_whitespace().next());
    let texts = commands.map(|command| help(&["help", command]));
    let words = texts.flat_map(|text| {
        let words = text.split_whitespace().map(str::to_owned);
        words.collect::<Vec<_>>()
    });
    let options = words.filter(|word| word.starts_with("--") && word.len() > 2);
    options.collect()
}

#[test]
fn the_tables_name_every_option_and_every_fault() {
    let document = fs::read_to_string(readme()).expect("the README");
    let options = options();
    assert!(options.contains("--seeds"), "{options:?}");
    let general = ["--help", "--version"];
    for option in options
        .iter()
        .filter(|name| !general.contains(&name.as_str()))
    {
        let forms = [format!("`{option} "), format!("`{option}`")];
        let is_named = forms.iter().any(|form| document.contains(form));
        assert!(is_named, "{option}");
    }
    for kind in FaultKind::ALL {
        let name = serde_json::to_value(kind).expect("a name");
        let name = name.as_str().expect("a text");
        assert!(document.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_screen_is_what_the_program_prints() {
    let document = fs::read_to_string(readme()).expect("the README");
    let made = with_screens(&document, &Shell::new());
    // Raw: elisions are made above, at the same place whatever is printed. As a pattern `...` would end at the next line
    // that is still the same, and nowhere if there is none.
    let shown = Data::read_from(&readme(), None).raw();
    Assert::new().action_env(DEFAULT_ACTION_ENV).eq(made, shown);
}

const DOCUMENT: &str = "\
Text.
```toml
# a_file
1
2
3
4
```
```
$ echo $
$ first; exit 3

$ cat a_file
# a_file
...
4
```
";

#[test]
fn screens_are_printed_anew_with_their_elisions() {
    let document = DOCUMENT.replace("first", "echo now");
    let expected = document
        .replace("echo $\n", "echo $\n$\n")
        .replace("exit 3\n", "exit 3\nnow\n");
    assert_eq!(with_screens(&document, &Shell::new()), expected);
}

#[test]
#[should_panic(expected = "no-such-command: exit status: 127")]
fn a_command_that_does_not_exist_is_no_screen() {
    with_screens(
        &DOCUMENT.replace("first; exit 3", "no-such-command"),
        &Shell::new(),
    );
}

#[test]
fn figures_of_the_machine_are_not_shown() {
    let output = "\
scenario  sim s   wall s  slowest
swarm         4     10.2  0.51 s (seed 3)
happy_path   99  10000.0  9.00 s (seed 10)

bug          seeds  wall s  faults
gone            10     0.2   2 → 1
kept   failures/swarm-8.toml
";
    let expected = [
        "scenario  sim s   wall s  slowest",
        "swarm         4     [..]  [..]",
        "happy_path   99     [..]  [..]",
        "",
        "bug          seeds  wall s  faults",
        "gone            10    [..]   2 → 1",
        "kept   failures/swarm-8.toml",
    ];
    assert_eq!(as_shown(output), expected);
}
