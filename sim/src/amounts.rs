//! Amounts with their units, for people: reports and descriptions of faults.

/// `340 ms`, `2.5 s`.
#[must_use]
pub fn ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        _ => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    }
}

/// `340 µs`, `2.5 ms`.
#[must_use]
pub fn us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        _ => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
    }
}

/// `900 B`, `3.4 KiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        _ => format!("{}.{} KiB", bytes / 1_024, bytes % 1_024 * 10 / 1_024),
    }
}

/// `1 leader`, `2 leaders`.
#[must_use]
pub fn count(count: u64, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        _ => format!("{count} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_amounts_come_in_the_larger_unit_rounded_down() {
        assert_eq!(
            [ms(999), ms(1_000), ms(2_999)],
            ["999 ms", "1.0 s", "2.9 s"]
        );
        assert_eq!([us(999), us(2_540)], ["999 µs", "2.5 ms"]);
        assert_eq!([bytes(1_023), bytes(3_500)], ["1023 B", "3.4 KiB"]);
        assert_eq!(
            [count(0, "leader"), count(1, "leader"), count(2, "leader")],
            ["0 leaders", "1 leader", "2 leaders"]
        );
    }
}
