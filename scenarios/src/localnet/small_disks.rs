//! A small file system in memory for the data of each process, which a fault can fill.
//!
//! They are mounted in a mount namespace of this program: they end with it, whatever ends it.

use rustix::mount::{MountFlags, mount};
use std::{
    env,
    ffi::CString,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Set in a program that has a mount namespace of its own.
const HAS_OWN_MOUNTS: &str = "METASIM_HAS_OWN_MOUNTS";
const FILLER: &str = "filler";

/// Starts this program again with mounts of its own, in place of itself: `unshare` of util-linux.
///
/// # Errors
/// If it cannot be started.
pub fn with_own_mounts() -> io::Result<()> {
    if env::var_os(HAS_OWN_MOUNTS).is_some() {
        return Ok(());
    }
    let mut again = Command::new("unshare");
    again.args(["--mount", "--propagation", "private"]);
    if !rustix::process::geteuid().is_root() {
        again.args(["--user", "--map-root-user"]);
    }
    again.arg(env::current_exe()?).args(env::args_os().skip(1));
    let error = again.env(HAS_OWN_MOUNTS, "1").exec();
    let message =
        format!("unshare, which gives a program mounts of its own, does not start: {error}");
    Err(io::Error::new(error.kind(), message))
}

/// Mounts a file system of this size at a new folder.
pub fn make(at: &Path, mib: u64) -> io::Result<()> {
    fs::create_dir_all(at)?;
    let options = CString::new(format!("size={mib}m"))?;
    let mounted = mount(
        "tmpfs",
        at,
        "tmpfs",
        MountFlags::empty(),
        options.as_c_str(),
    );
    mounted.map_err(|error| {
        let message = format!("no file system can be mounted at {}: {error}", at.display());
        io::Error::other(message)
    })
}

/// Writes until nothing more has a place.
pub fn fill(at: &Path) -> io::Result<()> {
    let mut filler = File::create(filler(at))?;
    // Large pieces first, then whatever is left.
    for bytes in [1 << 20, 4 << 10, 1] {
        let zeros = vec![0; bytes];
        loop {
            match filler.write_all(&zeros) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Makes room again.
pub fn free(at: &Path) -> io::Result<()> {
    match fs::remove_file(filler(at)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn filler(at: &Path) -> PathBuf {
    at.join(FILLER)
}
