//! What the machine says: the time, which all its processes share, and what a process has used.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// Nanoseconds by the clock of the machine. `Instant` cannot be compared between processes; this clock can, and it is
/// only read for differences of moments of one case.
#[allow(clippy::disallowed_types, clippy::disallowed_methods)] // the bench measures real time
pub fn now_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// What a process has used since it began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time of all threads, in the kernel's steps of 10 ms.
    pub cpu_ms: u64,
    /// The most memory at a time.
    pub peak_kib: u64,
}

impl Usage {
    /// Of this process.
    pub fn own() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // After the name, which is in parentheses: utime is field 14, stime 15, in hundredths of a second.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let fields: Vec<_> = fields.split_whitespace().collect();
        let ticks = |position: usize| fields.get(position).and_then(|field| field.parse().ok());
        let ticks = ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
        let status = fs::read_to_string("/proc/self/status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
        Ok(Self {
            cpu_ms: 10 * ticks,
            peak_kib: peak.unwrap_or(0),
        })
    }
}

/// The half and the 99 % quantile.
pub fn quantiles(mut values: Vec<u64>) -> [u64; 2] {
    values.sort_unstable();
    let at = |percent: usize| {
        let position = values.len() * percent / 100;
        values.get(position.min(values.len().saturating_sub(1)))
    };
    [50, 99].map(|percent| at(percent).copied().unwrap_or(0))
}

/// How often per second a write of this size can be synced in this folder, in a loop that does nothing else.
#[allow(clippy::disallowed_methods)]
pub fn syncs_per_second(folder: &Path, bytes: usize) -> io::Result<f64> {
    const DURATION: Duration = Duration::from_secs(1);
    let mut file = File::create(folder.join("synced"))?;
    let (content, begin) = (vec![7; bytes], Instant::now());
    let mut syncs = 0_u32;
    while begin.elapsed() < DURATION {
        file.write_all(&content)?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / begin.elapsed().as_secs_f64())
}
