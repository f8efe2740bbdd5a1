//! Keys, directories and socket files: what is there, and what that means.

use super::finding::Judgement;
use crate::config::key_file::mode_for_others;
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Nothing,
    Socket,
    Folder,
    Other,
}

/// What is at `path`, links followed.
pub(super) fn entry(path: &Path) -> io::Result<Entry> {
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_socket() => Ok(Entry::Socket),
        Ok(found) if found.is_dir() => Ok(Entry::Folder),
        Ok(_) => Ok(Entry::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Entry::Nothing),
        Err(error) => Err(error),
    }
}

/// A key file: it was read, so its mode is right.
pub(super) fn key_file() -> Judgement {
    Judgement::ok("has the keys, and only its owner can read it")
}

/// Keys in the configuration itself.
pub(super) fn inline_keys(config: &Path) -> Judgement {
    match fs::metadata(config) {
        Ok(found) => inline_keys_with(found.permissions().mode(), config),
        Err(error) => Judgement::error(format!("{} cannot be read: {error}", config.display())),
    }
}

fn inline_keys_with(mode: u32, config: &Path) -> Judgement {
    let config = config.display();
    match mode_for_others(mode) {
        None => Judgement::ok("has the key, and only its owner can read the file"),
        Some(mode) => Judgement::error(format!(
            "the secret key is in a file with mode {mode:04o}: expected 0600. Make a file of keys with `metanode keys` and name \
             it with key_file, or chmod 600 {config}"
        )),
    }
}

/// Whether a node can keep its stores there.
pub(super) fn data_dir(path: &Path) -> Judgement {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = absolute.display();
    let existing = absolute.ancestors().find_map(|folder| match entry(folder) {
        Ok(Entry::Nothing) => None,
        found => Some((folder, found)),
    });
    let Some((folder, found)) = existing else {
        return Judgement::error(format!("{shown}: no part of this path exists"));
    };
    let writable = found.and_then(|found| match found {
        Entry::Folder => try_writing(folder),
        Entry::Nothing | Entry::Socket | Entry::Other => Err(io::ErrorKind::NotADirectory.into()),
    });
    match writable {
        Ok(()) if folder == absolute => Judgement::ok(format!("{shown} can be written")),
        Ok(()) => Judgement::ok(format!("{shown} is not there yet, and can be made")),
        Err(error) => Judgement::error(not_writable(folder, &error)),
    }
}

fn not_writable(folder: &Path, error: &io::Error) -> String {
    let folder = folder.display();
    format!(
        "files cannot be made in {folder}: {error}. Make the directory, or change its owner: chown USER {folder}"
    )
}

/// Makes a file and removes it.
fn try_writing(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".metanode-check-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).open(&path)?;
    fs::remove_file(path)
}

fn folder_of(socket: &Path) -> PathBuf {
    let folder = socket.parent().unwrap_or(Path::new("/"));
    folder.to_owned()
}

/// What is wrong if the directory of a socket that another process makes is not there.
pub(super) fn folder_is_missing(socket: &Path) -> Option<Judgement> {
    let folder = folder_of(socket);
    let shown = folder.display();
    match entry(&folder) {
        Ok(Entry::Folder) => None,
        Ok(Entry::Nothing) => Some(Judgement::error(format!(
            "the directory {shown} is not there: make it, or correct the path"
        ))),
        Ok(Entry::Socket | Entry::Other) => Some(Judgement::error(format!(
            "{shown} is not a directory: correct the path"
        ))),
        Err(error) => Some(Judgement::error(format!("{shown}: {error}"))),
    }
}

/// What is wrong if this node cannot make a socket at this path.
pub(super) fn cannot_make_socket(socket: &Path) -> Option<Judgement> {
    if let missing @ Some(_) = folder_is_missing(socket) {
        return missing;
    }
    let folder = folder_of(socket);
    let error = try_writing(&folder).err()?;
    Some(Judgement::error(not_writable(&folder, &error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_config::Level;

    #[test]
    fn a_key_that_others_can_read_is_an_error() {
        let path = Path::new("node.toml");
        for (mode, level) in [
            (0o100_600, Level::Ok),
            (0o100_400, Level::Ok),
            (0o100_644, Level::Error),
            (0o100_620, Level::Error),
        ] {
            let judged = inline_keys_with(mode, path);
            assert_eq!(judged.level, level, "{mode:o}: {}", judged.text);
        }
        let text = inline_keys_with(0o100_644, path).text;
        assert!(
            text.contains("mode 0644") && text.ends_with("chmod 600 node.toml"),
            "{text}"
        );
    }

    #[test]
    fn a_directory_is_there_or_can_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let judge = |name: &str| data_dir(&at(name));
        assert!(judge("").text.ends_with("can be written"));
        assert!(
            judge("a/b")
                .text
                .ends_with("is not there yet, and can be made")
        );
        fs::write(at("file"), "").unwrap();
        for name in ["file", "file/data"] {
            let judged = judge(name);
            assert_eq!(judged.level, Level::Error, "{}", judged.text);
        }
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left"
        );
    }

    #[test]
    fn a_socket_needs_its_directory() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        assert_eq!(cannot_make_socket(&at("node.sock")), None);
        let missing = cannot_make_socket(&at("run/node.sock")).unwrap();
        assert!(missing.text.contains("make it"), "{}", missing.text);
        let below_file = cannot_make_socket(&at("file/node.sock")).unwrap();
        assert!(
            below_file.text.contains("not a directory"),
            "{}",
            below_file.text
        );
    }
}
