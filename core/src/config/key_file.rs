//! The file of a node's secret keys, which the configuration names with `key_file`: its text, its mode, and how its keys
//! become part of the document.

use super::{ConfigError, KeySeed, document::DocumentError, line_of, sections, with_key};
use serde::Deserialize;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use thiserror::Error;
use toml::{Spanned, de::DeTable};

/// The key of a configuration that names the file, relative to the configuration's folder.
pub(super) const KEY: &str = "key_file";

/// The permissions of a file that only its owner can read.
const OWNER_ONLY: u32 = 0o600;

/// What a key file may hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)] // only the types are checked: the document takes the entries as they are
struct KeyFile {
    protocol_key_seed: KeySeed,
    #[serde(default)]
    further_protocol_key_seeds: Vec<KeySeed>,
    network_key_seed: KeySeed,
    #[serde(default)]
    further_network_key_seeds: Vec<KeySeed>,
}

/// Why a file of keys cannot be made.
#[derive(Debug, Error)]
pub enum KeyFileError {
    #[error(
        "{path} is there already: expected the name of a new file. It may hold the only copy of a validator's keys, so it is \
         never overwritten"
    )]
    Exists { path: PathBuf },
    #[error("{path} cannot be written: {source}")]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("the operating system provides no randomness: {0}")]
    NoRandomness(io::Error),
}

/// The permissions of a file, if its group or others have any of them.
#[must_use]
pub const fn mode_for_others(mode: u32) -> Option<u32> {
    match mode & 0o077 {
        0 => None,
        _ => Some(mode & 0o777),
    }
}

/// Makes a file with new keys, which only its owner can read.
///
/// # Errors
/// If a file with this name exists, or it cannot be written; then there is none afterwards.
pub fn create(path: &Path) -> Result<(), KeyFileError> {
    let text = text_of(&random()?, &random()?);
    let unwritable = |source: io::Error| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { path },
            _ => KeyFileError::Unwritable { path, source },
        }
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(OWNER_ONLY);
    let mut file = options.open(path).map_err(unwritable)?;
    let written = (file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(path));
    written.map_err(|error| {
        let _ = fs::remove_file(path); // half a file of keys is worse than none
        unwritable(error)
    })
}

/// Makes the name of a new file durable.
fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn random() -> Result<KeySeed, KeyFileError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| KeyFileError::NoRandomness(error.into()))?;
    Ok(KeySeed(seed))
}

fn text_of(protocol: &KeySeed, network: &KeySeed) -> String {
    format!(
        "# Secret keys of one validator. Keep a copy where nobody else can read it; run no two nodes with them.\n\
         protocol_key_seed = \"{}\"\n\
         network_key_seed = \"{}\"\n",
        String::from(protocol.clone()),
        String::from(network.clone()),
    )
}

/// The text of a key file and its path, read if only its owner can read it.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let wrong = |error: io::Error| {
        let path = path.display();
        format!("{KEY} names {path}, which cannot be read: {error}. `metanode keys` makes one")
    };
    let mut file = File::open(path).map_err(wrong)?;
    // Of the file that is open: the name may lead to another one by now.
    let mode = file.metadata().map_err(wrong)?.permissions().mode();
    if let Some(mode) = mode_for_others(mode) {
        let path = path.display();
        return Err(format!(
            "{KEY} names {path}, which has mode {mode:04o}: expected 0600, because whoever reads it can sign for this \
             validator: chmod 600 {path}"
        ));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(wrong)?;
    Ok(text)
}

/// The path of the key file that a document names, and the offset of the key.
pub(super) fn named(
    document: &DeTable<'_>,
    config: &Path,
) -> Result<Option<(PathBuf, usize)>, DocumentError> {
    let Some((key, value)) = document.get_key_value(KEY) else {
        return Ok(None);
    };
    let offset = key.span().start;
    let Some(name) = value.get_ref().as_str().filter(|name| !name.is_empty()) else {
        let reason = format!("{KEY} is not the name of a file");
        return Err(DocumentError { offset, reason });
    };
    let folder = config.parent().unwrap_or(Path::new(""));
    Ok(Some((folder.join(name), offset)))
}

/// Replaces `key_file` in a document by the keys in `text`.
///
/// # Errors
/// If `text` is no key file; if a key is in both.
pub(super) fn apply<'i>(
    document: &mut DeTable<'i>,
    text: &'i str,
    path: &Path,
) -> Result<(), KeysError> {
    let in_file = |e: toml::de::Error| {
        let start = e.span().map_or(0, |span| span.start);
        KeysError::InFile(ConfigError::Invalid {
            path: path.to_owned(),
            line: line_of(text, start),
            reason: with_key(text, start, e.message()),
        })
    };
    toml::from_str::<KeyFile>(text).map_err(in_file)?;
    let keys = DeTable::parse(text).map_err(in_file)?.into_inner();
    let both = keys
        .keys()
        .find_map(|key| document.get_key_value(&**key.get_ref()));
    if let Some((key, _)) = both {
        return Err(KeysError::InBoth(DocumentError {
            offset: key.span().start,
            reason: format!(
                "{} is here and in {}: keep one of them",
                key.get_ref(),
                path.display()
            ),
        }));
    }
    let named = document.remove(KEY).map_or(0..0, |value| value.span());
    // Errors about these keys are about the line that names the file.
    let moved = keys.into_iter().map(|(key, value)| {
        let value = Spanned::new(named.clone(), value.into_inner());
        (Spanned::new(named.clone(), key.into_inner()), value)
    });
    sections::merge(document, moved.collect());
    Ok(())
}

/// What is wrong with the keys of a key file.
pub(super) enum KeysError {
    InFile(ConfigError),
    /// Of the configuration.
    InBoth(DocumentError),
}
