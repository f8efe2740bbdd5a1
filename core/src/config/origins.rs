//! Where the keys of a configuration stand, for whoever reports on their values.

use super::{line_of, sections};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use toml::de::DeTable;

/// The lines of a configuration's top-level keys, those of the section of its node included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    path: PathBuf,
    lines: BTreeMap<String, usize>,
}

impl Origins {
    /// Of the configuration of `node` in `text`. Empty for a text that is no configuration.
    #[must_use]
    pub fn of(text: &str, path: &Path, node: Option<u16>) -> Self {
        Self {
            path: path.to_owned(),
            lines: lines(text, node).unwrap_or_default(),
        }
    }

    /// Whether the file has this key.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }

    /// `FILE:LINE: KEY`, or `FILE: KEY (default)` for a key that the file does not have.
    #[must_use]
    pub fn of_key(&self, key: &str) -> String {
        let path = self.path.display();
        match self.lines.get(key) {
            Some(line) => format!("{path}:{line}: {key}"),
            None => format!("{path}: {key} (default)"),
        }
    }
}

fn lines(text: &str, node: Option<u16>) -> Option<BTreeMap<String, usize>> {
    let mut document = DeTable::parse(text).ok()?.into_inner();
    if let Some(number) = sections::chosen(&document, node).ok()? {
        sections::apply(&mut document, number, DeTable::new()).ok()?;
    }
    let keys = document.keys();
    Some(
        keys.map(|key| (key.get_ref().to_string(), line_of(text, key.span().start)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeConfig;
    use proptest::prelude::*;

    #[test]
    fn a_key_has_the_line_of_the_section_that_counts() {
        let text = "a = 1\nb = 2\n[node_0]\nb = 3\n[node_1]\nc = 4\n";
        let of = |node, key| Origins::of(text, Path::new("n.toml"), Some(node)).of_key(key);
        assert_eq!(of(0, "a"), "n.toml:1: a");
        assert_eq!(of(0, "b"), "n.toml:4: b");
        assert_eq!(of(1, "b"), "n.toml:2: b");
        assert_eq!(of(0, "c"), "n.toml: c (default)");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in r#"(key_file|node_index|\[node_0\]|=|"|é|\n|[0-9]|\.| ){0,20}"#, node: Option<u16>) {
            let path = Path::new("node.toml");
            let origins = Origins::of(&text, path, node);
            prop_assert!(origins.of_key("key_file").starts_with("node.toml:"));
            let parsed = NodeConfig::parse_node(&text, path, node);
            prop_assert!(parsed.is_err(), "it has no address");
        }
    }
}
