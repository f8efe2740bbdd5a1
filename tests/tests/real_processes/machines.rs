//! Three machines, as `docs/deployment.md` has them: network and mount namespaces where this process may make them, otherwise
//! loopback addresses of one machine, with files rewritten for them.
//!
//! A machine lives as long as its holder, a process that waits for the end of its standard input: it ends with the test,
//! whatever ends that. Its network has an interface on a bridge of a fourth namespace; its `/opt`, `/run` and `/var/lib` are
//! folders of the test.

use crate::process::binary;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;

pub const COUNT: usize = 3;

/// What is installed on a machine, and where its processes keep their files.
const FOLDERS: [&str; 3] = ["/opt", "/run", "/var/lib"];
const INSTALLED: &str = "/opt/metanode";

/// Where commands for the network are, which not everybody has in the path.
const PATH: &str = "PATH=$PATH:/usr/sbin:/sbin";

pub struct Machines {
    root: TempDir,
    place: Place,
}

/// What makes them several machines.
enum Place {
    /// The namespaces of each machine, and those of the bridge.
    Namespaces {
        machines: Vec<Holder>,
        bridge: Holder,
    },
    /// The first three numbers of loopback addresses.
    Loopback(String),
}

impl Machines {
    /// Makes them, with the binaries installed: namespaces where this process may.
    pub fn new() -> Self {
        let root = installed();
        let place = namespaces(root.path()).unwrap_or_else(|why| {
            let place = loopback();
            eprintln!("machines are loopback addresses instead of namespaces: {why}");
            place
        });
        Self { root, place }
    }

    /// Makes them without namespaces.
    pub fn on_loopback() -> Self {
        Self {
            root: installed(),
            place: loopback(),
        }
    }

    /// A command line on another computer of the same network, if they have a network of their own.
    pub fn stranger(&self, line: &str) -> Option<Command> {
        let Place::Namespaces { bridge, .. } = &self.place else {
            return None;
        };
        let mut command = bridge.enter();
        command.args(["sh", "-c", line]);
        Some(command)
    }

    /// Where a path of a machine is for this process.
    pub fn path(&self, machine: usize, path: &str) -> PathBuf {
        let path = path.strip_prefix('/').unwrap();
        folder_of(self.root.path(), machine).join(path)
    }

    /// Puts a file beside the binaries. Without namespaces its addresses and paths are those of the machine.
    pub fn install(&self, machine: usize, name: &str, text: &str) {
        let path = self.path(machine, INSTALLED).join(name);
        fs::write(path, self.adapted(machine, text)).unwrap();
    }

    /// A command line as it is typed on a machine, beside the binaries.
    pub fn command(&self, machine: usize, line: &str) -> Command {
        let line = format!("{PATH}; cd {INSTALLED} && exec {line}");
        let mut command = match &self.place {
            Place::Namespaces { machines, .. } => {
                let mut command = machines[machine].enter();
                command.arg("sh");
                command
            }
            Place::Loopback(_) => Command::new("sh"),
        };
        command.args(["-c", &self.adapted(machine, &line)]);
        command
    }

    /// Where the log of a process is.
    pub fn log(&self, machine: usize, process: &str) -> PathBuf {
        folder_of(self.root.path(), machine).join(format!("{process}.log"))
    }

    /// A text with the addresses and paths that a machine has here.
    fn adapted(&self, machine: usize, text: &str) -> String {
        let Place::Loopback(network) = &self.place else {
            return text.to_owned();
        };
        let text = text.replace("127.0.0.1:", &format!("{network}{}:", 100 + machine));
        let text = text.replace("192.168.1.", network);
        let own = |text: String, folder: &&str| {
            let path = format!("{folder}/metanode");
            text.replace(&path, &self.path(machine, &path).display().to_string())
        };
        FOLDERS.iter().fold(text, own)
    }
}

/// The folders of the machines, with the binaries.
fn installed() -> TempDir {
    let root = TempDir::new().unwrap();
    for machine in 0..COUNT {
        let folder = folder_of(root.path(), machine);
        for path in FOLDERS {
            fs::create_dir_all(folder.join(&path[1..]).join("metanode")).unwrap();
        }
        for name in ["metanode", "mock-go-executor"] {
            let installed = folder.join(&INSTALLED[1..]).join(name);
            // On another file system a link is impossible.
            let linked = fs::hard_link(binary(name), &installed);
            linked
                .or_else(|_| fs::copy(binary(name), &installed).map(|_| ()))
                .unwrap();
        }
    }
    root
}

/// Addresses that no other test uses at the same time, in this process or another one.
fn loopback() -> Place {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let made = MADE.fetch_add(1, Ordering::Relaxed) % 3;
    Place::Loopback(format!(
        "127.{}.{low}.",
        64 * (made + 1) + u32::from(high % 64)
    ))
}

fn folder_of(root: &Path, machine: usize) -> PathBuf {
    root.join(machine.to_string())
}

/// A process that keeps namespaces alive.
struct Holder {
    child: Child,
    /// Whether the namespaces are those of a user namespace.
    has_user: bool,
}

impl Holder {
    /// Starts `command`, which must make namespaces and run what comes behind them, and waits until `script` is done there.
    fn start(mut command: Command, script: &str, has_user: bool) -> Result<Self, String> {
        let script = format!("set -e; {PATH}; {script}; echo made; exec cat >/dev/null");
        command.args(["sh", "-c", &script]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        if line == "made\n" {
            return Ok(Self { child, has_user });
        }
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// A command that runs what is added to it in the namespaces.
    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.child.id().to_string(), "--net", "--mount"]);
        if self.has_user {
            command.args(["--user", "--preserve-credentials"]);
        }
        command
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

const OWN: [&str; 4] = ["--net", "--mount", "--propagation", "private"];

/// The namespaces of the machines, then those of their bridge.
fn namespaces(root: &Path) -> Result<Place, String> {
    let has_user = !rustix::process::geteuid().is_root();
    let mut unshare = Command::new("unshare");
    if has_user {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(OWN);
    let bridge = "ip link add bridge0 type bridge; ip address add 192.168.1.103/24 dev bridge0; ip link set bridge0 up";
    let bridge = Holder::start(unshare, bridge, has_user)?;
    let machines = (0..COUNT).map(|machine| namespace(root, machine, &bridge));
    Ok(Place::Namespaces {
        machines: machines.collect::<Result<_, _>>()?,
        bridge,
    })
}

fn namespace(root: &Path, machine: usize, bridge: &Holder) -> Result<Holder, String> {
    let mut unshare = bridge.enter();
    unshare.arg("unshare").args(OWN);
    let folder = folder_of(root, machine);
    // The last mount may hide the folder of the test.
    let mounts = FOLDERS.map(|path| format!("mount --bind .{path} {path}"));
    let script = format!(
        "cd '{}'; {}; ip link set lo up",
        folder.display(),
        mounts.join("; ")
    );
    let holder = Holder::start(unshare, &script, bridge.has_user)?;
    let link = format!(
        "{PATH}; ip link add port{machine} type veth peer name eth0 netns {} && ip link set port{machine} master bridge0 up",
        holder.child.id()
    );
    run(bridge.enter().args(["sh", "-c", &link]))?;
    let address = format!(
        "{PATH}; ip address add 192.168.1.{}/24 dev eth0 && ip link set eth0 up",
        100 + machine
    );
    run(holder.enter().args(["sh", "-c", &address]))?;
    Ok(holder)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
