//! How often the executor is asked for its watermark while somebody waits for it to move. Pure.

/// How long a starved window waits before it asks for the watermark, given how long it waited before the last answer
/// and whether that one `moved` it: sooner while asking pays, later while it does not, up to the usual interval. So it
/// follows the pace of the executor with about two questions per step, and one that stands still costs no more than
/// any other.
#[must_use]
pub fn next_wait_ms(waited_ms: u64, moved: bool, interval_ms: u64) -> u64 {
    let wait_ms = if moved { waited_ms / 2 } else { waited_ms * 2 };
    wait_ms.min(interval_ms).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starved_window_asks_at_the_pace_of_the_executor_and_never_less_than_otherwise() {
        let answers = |moved: &[bool]| {
            let mut wait_ms = 100;
            let next = |moved: &bool| {
                wait_ms = next_wait_ms(wait_ms, *moved, 100);
                wait_ms
            };
            moved.iter().map(next).collect::<Vec<_>>()
        };
        assert_eq!(answers(&[true; 9]), [50, 25, 12, 6, 3, 1, 1, 1, 1]);
        assert_eq!(
            answers(&[true, true, false, false, false, false]),
            [50, 25, 50, 100, 100, 100]
        );
        assert_eq!(next_wait_ms(1, false, 100), 2);
        assert_eq!(
            next_wait_ms(0, false, 0),
            1,
            "an interval of nothing is no reason to spin"
        );
    }
}
