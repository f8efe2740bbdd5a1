//! Rules of the house that neither the compiler nor clippy can see. Each is a plain function over text, and each is
//! tried on an example that breaks it: a check that cannot fail is none.

mod citations;
mod module_order;
mod oracles;

use ignore::WalkBuilder;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The text of every file by its path from the root of the repository.
type Files = BTreeMap<PathBuf, String>;

const MOST_LINES: usize = 500;
/// In pieces, so that this file passes its own rules.
const UNFINISHED: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];
const MACHINE_PATHS: [&str; 2] = [concat!("/ro", "ot/"), concat!("/ho", "me/")];
const SELECT: &str = concat!("sel", "ect!");

/// `select!` that is not `biased;` takes its order from a process-wide counter.
fn unbiased_selects(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| [line, "\n"])
        .collect();
    code.match_indices(SELECT)
        .filter(|(position, _)| {
            let body = code[position + SELECT.len()..].trim_start();
            let body = body.strip_prefix(['{', '(']).unwrap_or(body);
            !body.trim_start().starts_with("biased;")
        })
        .map(|(position, _)| {
            let line = 1 + code[..position].matches('\n').count();
            format!("line {line}: `{SELECT}` without `biased;`")
        })
        .collect()
}

fn too_long(text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if lines <= MOST_LINES {
        return vec![];
    }
    vec![format!(
        "{lines} lines, at most {MOST_LINES}: split it by subject, not by size"
    )]
}

/// Marks of unfinished work and paths of somebody's machine.
fn forbidden_words(text: &str) -> Vec<String> {
    let forbidden = UNFINISHED.iter().chain(&MACHINE_PATHS);
    let found = |word: &&str| {
        let line = text.lines().position(|line| line.contains(word))?;
        Some(format!("line {}: `{word}`", line + 1))
    };
    forbidden.filter_map(found).collect()
}

fn stray_spaces(text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(position, line)| {
            let what = if line.contains('\t') {
                "a tab"
            } else if line.ends_with(' ') {
                "spaces at the end"
            } else {
                return None;
            };
            Some(format!("line {}: {what}", position + 1))
        })
        .collect()
}

/// Whether cargo compiles this file by itself: a crate root.
fn is_crate_root(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    matches!(
        parts[..],
        [.., "src", "lib.rs" | "main.rs"]
            | [.., "src", "bin", _]
            | [_, "tests" | "benches" | "examples", _]
            | [_, "tests" | "benches" | "examples", _, "main.rs"]
            | [_, "build.rs"]
    )
}

/// The names in `mod name;`, with or without visibility.
fn declared_modules(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| {
            let (before, after) = line.split_once("mod ")?;
            let before = before.trim();
            (before.is_empty() || before.starts_with("pub")).then_some(after)?;
            after.split_once(';').map(|(name, _)| name.trim())
        })
        .collect()
}

/// Rust files that no crate root reaches through `mod`: they are not compiled, whatever they say.
fn unreachable_files(files: &Files) -> Vec<PathBuf> {
    let rust = || {
        let paths = files.keys();
        paths.filter(|path| path.extension().is_some_and(|ext| ext == "rs"))
    };
    let mut open: Vec<PathBuf> = rust().filter(|path| is_crate_root(path)).cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = open.pop() {
        let Some(text) = files.get(&path) else {
            continue;
        };
        if !reached.insert(path.clone()) {
            continue;
        }
        let folder = if is_crate_root(&path) || path.ends_with("mod.rs") {
            path.with_file_name("")
        } else {
            path.with_extension("")
        };
        for name in declared_modules(text) {
            open.push(folder.join(format!("{name}.rs")));
            open.push(folder.join(name).join("mod.rs"));
        }
    }
    rust()
        .filter(|path| !reached.contains(*path))
        .cloned()
        .collect()
}

/// Scenarios that no suite runs.
fn scenarios_without_suite(files: &Files) -> Vec<PathBuf> {
    let in_folder = |folder: &'static str| {
        files
            .iter()
            .filter(move |(path, _)| path.starts_with(folder))
    };
    let mut run = BTreeSet::new();
    for (path, text) in in_folder("scenarios/suites") {
        let suite: toml::Table = text
            .parse()
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let entries = suite.get("run").and_then(toml::Value::as_array);
        for entry in entries.into_iter().flatten() {
            let name = entry.get("scenario").and_then(toml::Value::as_str);
            run.extend(name.map(str::to_owned));
        }
    }
    in_folder("scenarios/files")
        .map(|(path, _)| path)
        .filter(|path| {
            let name = path.file_stem().and_then(|name| name.to_str());
            !name.is_some_and(|name| run.contains(name))
        })
        .cloned()
        .collect()
}

/// Every text file of the repository that git does not ignore.
fn repository() -> Files {
    // Asked when the test runs: one target folder may serve several clones.
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package whose test it runs");
    let root = Path::new(&package).join("..");
    let walk = WalkBuilder::new(&root)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let entries = walk.map(|entry| entry.expect("an entry"));
    entries
        .filter_map(|entry| {
            // Neither a folder nor a file that is not text.
            let text = fs::read_to_string(entry.path()).ok()?;
            let path = entry.path().strip_prefix(&root).expect("below the root");
            Some((path.into(), text))
        })
        .collect()
}

#[test]
fn the_repository_is_tidy() {
    let files = repository();
    assert!(
        files.contains_key(Path::new("tests/tests/tidy/main.rs")),
        "the walk finds this file"
    );
    let mut problems = vec![];
    for (path, text) in &files {
        let mut found = vec![];
        let extension = path.extension().and_then(|ext| ext.to_str());
        if extension == Some("rs") {
            found.extend(unbiased_selects(text));
            found.extend(too_long(text));
        }
        if !matches!(extension, Some("lock" | "snap")) {
            found.extend(forbidden_words(text));
            // Both are indented with tabs.
            if !path.ends_with("Makefile") && extension != Some("go") {
                found.extend(stray_spaces(text));
            }
        }
        problems.extend(
            found
                .iter()
                .map(|what| format!("{}: {what}", path.display())),
        );
    }
    for path in unreachable_files(&files) {
        problems.push(format!(
            "{}: no `mod` leads here: it is not compiled",
            path.display()
        ));
    }
    for path in scenarios_without_suite(&files) {
        problems.push(format!("{}: no suite runs it", path.display()));
    }
    problems.extend(module_order::violations(&files));
    problems.extend(citations::violations(&files));
    problems.extend(oracles::violations(&files));
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

fn files(list: &[(&str, &str)]) -> Files {
    list.iter()
        .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
        .collect()
}

#[test]
fn an_unbiased_select_is_found() {
    let good =
        format!("// {SELECT} in a comment\ntokio::{SELECT} {{\n    biased;\n    _ = a => {{}}\n}}");
    assert!(unbiased_selects(&good).is_empty());
    let bad = format!("{good}\nfutures::{SELECT} {{\n    _ = a => {{}} // biased;\n}}");
    assert_eq!(
        unbiased_selects(&bad),
        [format!("line 6: `{SELECT}` without `biased;`")]
    );
}

#[test]
fn a_file_that_does_not_fit_in_a_head_is_found() {
    assert!(too_long(&"x\n".repeat(MOST_LINES)).is_empty());
    assert!(too_long(&"x\n".repeat(MOST_LINES + 1))[0].contains("split it by subject"));
}

#[test]
fn unfinished_work_and_paths_of_a_machine_are_found() {
    assert!(forbidden_words("// to do is to be\nlet path = \"/rooted/homes\";").is_empty());
    for word in UNFINISHED.iter().chain(&MACHINE_PATHS) {
        assert_eq!(
            forbidden_words(&format!("\n// {word}")),
            [format!("line 2: `{word}`")]
        );
    }
}

#[test]
fn tabs_and_trailing_spaces_are_found() {
    assert!(stray_spaces("a b\n\n    c\n").is_empty());
    let bad = format!("a\n{}b\nc{}\n", '\t', ' ');
    assert_eq!(
        stray_spaces(&bad),
        ["line 2: a tab", "line 3: spaces at the end"]
    );
}

#[test]
fn a_file_that_is_not_compiled_is_found() {
    let mut tree = files(&[
        (
            "core/src/lib.rs",
            "pub mod a;\n#[cfg(test)]\nmod b;\n// mod dead;",
        ),
        ("core/src/a/mod.rs", "pub(crate) mod c;"),
        ("core/src/a/c.rs", "mod d;"),
        ("core/src/a/c/d.rs", ""),
        ("core/src/b.rs", ""),
        ("core/src/main.rs", "mod dead_too {}"),
        ("core/tests/whole.rs", "mod world;"),
        ("core/tests/world/mod.rs", ""),
    ]);
    assert!(unreachable_files(&tree).is_empty());
    tree.extend(files(&[
        ("core/src/dead.rs", ""),
        ("core/src/a/dead_too.rs", ""),
    ]));
    let dead = ["core/src/a/dead_too.rs", "core/src/dead.rs"];
    assert_eq!(unreachable_files(&tree), dead.map(PathBuf::from));
}

#[test]
fn a_scenario_that_no_suite_runs_is_found() {
    let tree = files(&[
        ("scenarios/files/calm.toml", ""),
        ("scenarios/files/rough.toml", ""),
        (
            "scenarios/suites/ci.toml",
            "[[run]]\nscenario = \"calm\"\nseeds = 1",
        ),
    ]);
    let alone = ["scenarios/files/rough.toml"].map(PathBuf::from);
    assert_eq!(scenarios_without_suite(&tree), alone);
}
