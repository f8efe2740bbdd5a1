//! Every `§` that is cited exists in docs/specification.md.

use super::Files;
use std::{collections::BTreeSet, path::Path};

const SPECIFICATION: &str = "docs/specification.md";

/// Citations that lead nowhere.
pub fn violations(files: &Files) -> Vec<String> {
    let specification = files.get(Path::new(SPECIFICATION));
    let defined = defined(specification.map_or("", String::as_str));
    let mut found = vec![];
    for (path, text) in files {
        if path.ends_with("citations.rs") {
            continue; // its examples
        }
        for (number, line) in (1..).zip(text.lines()) {
            for cited in cited(line) {
                if !defined.contains(&cited) {
                    let path = path.display();
                    found.push(format!(
                        "{path}: line {number}: §{cited} is not in {SPECIFICATION}"
                    ));
                }
            }
        }
    }
    found
}

/// `7` for the heading `## §7 …`, and `7.3` for the item `3.` of a numbered list below it.
fn defined(specification: &str) -> BTreeSet<String> {
    let mut numbers = BTreeSet::new();
    let mut section = None;
    for line in specification.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.strip_prefix('§').map(leading_number);
            numbers.extend(section.clone());
        } else if let Some(section) = &section
            && let item = line.split_once(". ").map_or("", |(item, _)| item)
            && !item.is_empty()
            && item.chars().all(|c| c.is_ascii_digit())
        {
            numbers.insert(format!("{section}.{item}"));
        }
    }
    numbers
}

fn cited(line: &str) -> Vec<String> {
    let citations = line.split('§').skip(1).map(leading_number);
    citations.filter(|number| !number.is_empty()).collect()
}

/// `7.3` of `7.3, or not.`
fn leading_number(text: &str) -> String {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text[..end].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn a_citation_that_leads_nowhere_is_found() {
        let specification =
            "# S\n## §1 One\n1. a\n   2. not an item\n## §12 Twelve\ntext\n## Glossary\n1. a";
        assert_eq!(
            defined(specification).into_iter().collect::<Vec<_>>(),
            ["1", "1.1", "12"]
        );
        let tree = files(&[
            (SPECIFICATION, specification),
            (
                "core/src/lib.rs",
                "//! contract §1.1, §12.\n//! `contract §N`",
            ),
        ]);
        assert!(violations(&tree).is_empty());
        let tree = files(&[
            (SPECIFICATION, specification),
            ("core/src/lib.rs", "\n// §1.2 (§13)"),
        ]);
        assert_eq!(
            violations(&tree),
            [
                "core/src/lib.rs: line 2: §1.2 is not in docs/specification.md",
                "core/src/lib.rs: line 2: §13 is not in docs/specification.md"
            ]
        );
    }
}
