//! Modules import in one direction, that of the table in the `lib.rs` of their crate. A ring of modules is one module with many names: neither can
//! be read, tested or changed without the other.

use super::{Files, declared_modules, is_crate_root};
use std::path::{Path, PathBuf};

const CRATES: [&str; 4] = ["core", "mock-go-executor", "sim", "scenarios"];

/// Imports against the order, and modules that have no place in it.
pub fn violations(files: &Files) -> Vec<String> {
    CRATES
        .iter()
        .flat_map(|name| violations_in(files, &Path::new(name).join("src")))
        .collect()
}

fn violations_in(files: &Files, source: &Path) -> Vec<String> {
    let map = source.join("lib.rs");
    let order = listed_modules(files.get(&map).map_or("", String::as_str));
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
            let map = map.display();
            found.push(format!(
                "{map}: `{module}` is missing in the table of modules"
            ));
            continue;
        };
        for imported in imported_modules(&production_code(text)) {
            if place(&imported).is_some_and(|other| other > own) {
                found.push(format!(
                    "{}: `{module}` imports `{imported}`, which comes after it in {}: move what both need below both",
                    path.display(),
                    map.display()
                ));
            }
        }
    }
    found.dedup();
    found
}

/// The modules in the table of a `lib.rs`, in import order.
fn listed_modules(map: &str) -> Vec<&str> {
    map.lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
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
        let map = "//! | module | task |\n//! |---|---|\n//! | `low`, [`lower`] | `not this` |\n//! | `high` | |\n\
                   mod high;\nmod low;\n#[cfg(test)]\nmod testing;";
        assert_eq!(listed_modules(map), ["low", "lower", "high"]);
        let mut tree = files(&[
            ("core/src/lib.rs", map),
            ("core/src/high/part.rs", "use crate::low::X;"),
            (
                "core/src/low.rs",
                "//! [`crate::high`]\n#[cfg(test)]\nmod tests {\n    use crate::high;\n}",
            ),
            ("core/src/testing/mod.rs", "use crate::high;"),
        ]);
        let source = Path::new("core/src");
        assert!(violations_in(&tree, source).is_empty());
        tree.extend(files(&[
            ("core/src/low.rs", "fn f() { crate::high::g() }"),
            ("core/src/new/mod.rs", ""),
        ]));
        assert_eq!(
            violations_in(&tree, source),
            [
                "core/src/low.rs: `low` imports `high`, which comes after it in core/src/lib.rs: \
                 move what both need below both",
                "core/src/lib.rs: `new` is missing in the table of modules",
            ]
        );
    }
}
