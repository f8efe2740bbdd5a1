//! Modules import in one direction (docs/architecture.md). A ring of modules is one module with many names: neither can
//! be read, tested or changed without the other.

use super::{Files, declared_modules, is_crate_root};
use std::path::{Path, PathBuf};

/// The modules of every crate, each of which may import those before it.
const ORDER: [(&str, &[&str]); 4] = [
    (
        "core",
        &[
            "types",
            "bugs",
            "framing",
            "config",
            "store",
            "env",
            "tasks",
            "dag",
            "commit",
            "executor",
            "epoch",
            "ingest",
            "consensus",
            "delivery",
            "node",
        ],
    ),
    ("mock-go-executor", &[]),
    ("sim", &[]),
    ("scenarios", &[]),
];

/// Imports against the order, and modules that have no place in it.
pub fn violations(files: &Files) -> Vec<String> {
    ORDER
        .iter()
        .flat_map(|(name, order)| violations_in(files, &Path::new(name).join("src"), order))
        .collect()
}

fn violations_in(files: &Files, source: &Path, order: &[&str]) -> Vec<String> {
    let place = |module: &str| order.iter().position(|listed| *listed == module);
    let only_tests = test_files(files, source);
    let mut found = vec![];
    for (path, text) in files {
        let Ok(inside) = path.strip_prefix(source) else {
            continue;
        };
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if !is_rust || is_crate_root(path) || only_tests.iter().any(|test| path.starts_with(test)) {
            continue;
        }
        let Some(module) = inside
            .iter()
            .next()
            .and_then(|first| Path::new(first).file_stem())
        else {
            continue;
        };
        let module = module.to_string_lossy();
        let Some(own) = place(&module) else {
            found.push(format!(
                "{}/{module} has no place in the order of modules (tests/tests/tidy/module_order.rs)",
                source.display()
            ));
            continue;
        };
        for imported in imported_modules(&production_code(text)) {
            if place(&imported).is_some_and(|other| other > own) {
                found.push(format!(
                    "{}: `{module}` imports `{imported}`, which comes after it: move what both need below both",
                    path.display()
                ));
            }
        }
    }
    found.dedup();
    found
}

/// Files, and folders without extension, of modules that exist in tests only.
fn test_files(files: &Files, source: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with(source)) {
        let folder = if is_crate_root(path) || path.ends_with("mod.rs") {
            path.with_file_name("")
        } else {
            path.with_extension("")
        };
        for declaration in text.split("#[cfg(test)]").skip(1) {
            let next = declaration.trim_start().lines().next().unwrap_or_default();
            for name in declared_modules(next) {
                found.push(folder.join(format!("{name}.rs")));
                found.push(folder.join(name));
            }
        }
    }
    found
}

/// The text without comments and without the tests at its end.
fn production_code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end]
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// The modules of this crate that code names: `crate::a`, `crate::{a, b::c}`.
fn imported_modules(code: &str) -> Vec<String> {
    let mut found = vec![];
    for (position, prefix) in code.match_indices("crate::") {
        let rest = &code[position + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(entries(group).iter().map(|entry| leading_name(entry))),
            None => found.push(leading_name(rest)),
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// What the commas of a group separate, up to the brace that closes it.
fn entries(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut entries = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => entries.push(String::new()),
            _ => {}
        }
        if let Some(entry) = entries.last_mut()
            && c != ','
        {
            entry.push(c);
        }
    }
    entries
}

fn leading_name(text: &str) -> String {
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
    text.trim_start().chars().take_while(is_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn imports_are_read_from_every_form() {
        let code = "use crate::a::B;\nuse crate::{\n    b::{self, c},\n    d,\n    e::F,\n};\nfn f() { crate::g::h(); $crate::i!() }";
        assert_eq!(imported_modules(code), ["a", "b", "d", "e", "g", "i"]);
        assert!(imported_modules("pub(crate) fn f() {}").is_empty());
    }

    #[test]
    fn an_import_against_the_order_is_found() {
        let order = ["low", "high"];
        let mut tree = files(&[
            (
                "core/src/lib.rs",
                "mod high;\nmod low;\n#[cfg(test)]\nmod testing;",
            ),
            ("core/src/high/part.rs", "use crate::low::X;"),
            (
                "core/src/low.rs",
                "//! [`crate::high`]\n#[cfg(test)]\nmod tests {\n    use crate::high;\n}",
            ),
            ("core/src/testing/mod.rs", "use crate::high;"),
        ]);
        let source = Path::new("core/src");
        assert!(violations_in(&tree, source, &order).is_empty());
        tree.extend(files(&[
            ("core/src/low.rs", "fn f() { crate::high::g() }"),
            ("core/src/new/mod.rs", ""),
        ]));
        let found = violations_in(&tree, source, &order);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("core/src/low.rs: `low` imports `high`"));
        assert!(found[1].starts_with("core/src/new has no place"));
    }
}
