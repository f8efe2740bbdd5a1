//! Reads a TOML file; errors name file, line and key. Independent of the content of the file.

use serde::de::DeserializeOwned;
use thiserror::Error;
use toml::de::{DeTable, DeValue};

/// An invalid argument or file. Exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputError {
    #[error("{file}:{line}: `{key}`: {message}")]
    Key {
        file: String,
        /// From 1.
        line: usize,
        /// Dotted, lists counted from 0: `fault.0.targets`.
        key: String,
        message: String,
    },
    #[error("{file}:{line}: {message}")]
    Syntax {
        file: String,
        line: usize,
        message: String,
    },
    #[error("{path}: {reason}")]
    Unreadable { path: String, reason: String },
    #[error(
        "there is no {kind} `{name}`: expected the path of a .toml file or one of {}",
        known.join(", ")
    )]
    Unknown {
        kind: &'static str,
        name: String,
        known: Vec<&'static str>,
    },
}

/// The text of a TOML file with the positions of its keys.
pub struct Source<'a> {
    file: &'a str,
    text: &'a str,
    /// Dotted path and byte offset of every key, in the order of the text.
    keys: Vec<(String, usize)>,
}

impl<'a> Source<'a> {
    /// `file` is the name of the file in errors.
    ///
    /// # Errors
    /// If the text is not TOML.
    pub fn new(file: &'a str, text: &'a str) -> Result<Self, InputError> {
        let document = DeTable::parse(text).map_err(|e| InputError::Syntax {
            file: file.into(),
            line: line_at(text, e.span().map_or(0, |span| span.start)),
            message: e.message().into(),
        })?;
        let mut keys = vec![];
        collect_table(document.get_ref(), "", &mut keys);
        keys.sort_by_key(|(_, offset)| *offset);
        Ok(Self { file, text, keys })
    }

    /// Reads the file as a `T`.
    ///
    /// # Errors
    /// If a key is unknown or missing, or a value is not valid for its key.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        toml::from_str(self.text).map_err(|e| {
            let offset = e.span().map_or(0, |span| span.start);
            let named = end_of_header(self.text, offset).unwrap_or(offset);
            let before = self.keys.partition_point(|(_, start)| *start <= named);
            let message = e.message().to_owned();
            let (file, line) = (self.file.to_owned(), line_at(self.text, offset));
            match before.checked_sub(1).and_then(|at| self.keys.get(at)) {
                Some((key, _)) => InputError::Key {
                    file,
                    line,
                    key: key.clone(),
                    message,
                },
                None => InputError::Syntax {
                    file,
                    line,
                    message,
                },
            }
        })
    }

    /// Checks the lowest value `low` of a key.
    ///
    /// # Errors
    /// If it is below `least`.
    pub fn at_least(&self, key: &str, low: u64, least: u64) -> Result<(), InputError> {
        if low >= least {
            return Ok(());
        }
        let message = format!("{low} is too low: expected at least {least}");
        Err(self.error(key, message))
    }

    /// An error about the value of a key. Its line is that of the key or, if that is missing, of the table that it
    /// belongs to.
    #[must_use]
    pub fn error(&self, key: &str, message: impl Into<String>) -> InputError {
        let mut at = Some(key);
        let offset = loop {
            match at {
                None => break 0,
                Some(path) => match self.keys.iter().find(|(known, _)| known == path) {
                    Some((_, offset)) => break *offset,
                    None => at = path.rsplit_once('.').map(|(parent, _)| parent),
                },
            }
        };
        InputError::Key {
            file: self.file.into(),
            line: line_at(self.text, offset),
            key: key.into(),
            message: message.into(),
        }
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

/// The end of the header `[name]` that begins at this offset, where errors about a whole table are placed.
fn end_of_header(text: &str, offset: usize) -> Option<usize> {
    let (before, header) = text.split_at_checked(offset)?;
    let is_table = header.starts_with('[') && !header.starts_with("[[");
    let is_header = is_table && (before.is_empty() || before.ends_with('\n'));
    let end = header.find(']')?;
    is_header.then_some(offset + end)
}

fn collect_table(table: &DeTable<'_>, prefix: &str, keys: &mut Vec<(String, usize)>) {
    for (key, value) in table {
        let path = match prefix {
            "" => key.get_ref().to_string(),
            _ => format!("{prefix}.{}", key.get_ref()),
        };
        keys.push((path.clone(), key.span().start));
        collect_value(value.get_ref(), &path, keys);
    }
}

fn collect_value(value: &DeValue<'_>, path: &str, keys: &mut Vec<(String, usize)>) {
    match value {
        DeValue::Table(table) => collect_table(table, path, keys),
        DeValue::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                let path = format!("{path}.{position}");
                keys.push((path.clone(), item.span().start));
                collect_value(item.get_ref(), &path, keys);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[allow(dead_code)]
        part: Vec<Part>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        #[allow(dead_code)]
        number: u8,
        #[allow(dead_code)]
        colour: Option<Colour>,
    }

    #[derive(Debug, Deserialize)]
    struct Colour {
        #[allow(dead_code)]
        blue: u8,
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, expected) in [
            (
                "[[part]]\nnumber = 1\n\n[[part]]\nnumber = \"x\"\n",
                "a.toml:5: `part.1.number`: ",
            ),
            (
                "[[part]]\nnumber = 1\nnumbr = 2\n",
                "a.toml:3: `part.0.numbr`: unknown field",
            ),
            (
                "[[part]]\nnumber = 1\n[[part]]\n",
                "a.toml:3: `part.1`: missing field `number`",
            ),
            (
                "[[part]]\nnumber = 1\n[part.colour]\nred = 1\n",
                "a.toml:3: `part.0.colour`: missing field `blue`",
            ),
            ("[[part]]\nnumber = = 1\n", "a.toml:2: "),
        ] {
            let source = Source::new("a.toml", text);
            let read = source.and_then(|source| source.read::<File>());
            let error = read.expect_err(expected).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn an_error_about_a_missing_key_has_the_line_of_its_table() {
        let text = "story = \"x\"\n[[part]]\nnumber = 1\n";
        let source = Source::new("a.toml", text).expect("TOML");
        let error = source.error("part.0.other", "is needed").to_string();
        assert_eq!(error, "a.toml:2: `part.0.other`: is needed");
    }
}
