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

/// In a program that was started again: the mount namespace from which it was.
const STARTED_FROM: &str = "METASIM_STARTED_FROM_MOUNTS";
const FILLER: &str = "filler";

/// Starts this program again with mounts of its own, in place of itself: `unshare` of util-linux.
///
/// # Errors
/// If it may not have any, or cannot be started.
pub fn with_own_mounts() -> io::Result<()> {
    let mounts = fs::read_link("/proc/self/ns/mnt")?;
    if env::var_os(STARTED_FROM).is_some_and(|from| from != mounts.as_os_str()) {
        return Ok(());
    }
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private"]);
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare
    };
    let refused = |why: &str| {
        let message = format!(
            "--small-disks needs mounts of its own, as root or with user namespaces: {}",
            why.trim()
        );
        io::Error::new(ErrorKind::PermissionDenied, message)
    };
    let tried = unshare().arg("true").output();
    let tried = tried.map_err(|error| refused(&format!("unshare: {error}")))?;
    if !tried.status.success() {
        return Err(refused(&String::from_utf8_lossy(&tried.stderr)));
    }
    let mut again = unshare();
    again.arg(env::current_exe()?).args(env::args_os().skip(1));
    Err(again.env(STARTED_FROM, mounts).exec())
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
