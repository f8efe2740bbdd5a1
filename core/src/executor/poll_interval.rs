//! The adaptive interval between queries for the executor's watermark. Pure.

/// The wait before the next query while the window is starved. It halves when the last query `moved` the watermark and
/// doubles otherwise, between 1 ms and `interval_ms`. So there are about two queries per step of the executor, and a
/// stalled executor is queried no more often than normally.
#[must_use]
pub(crate) fn next_wait_ms(waited_ms: u64, moved: bool, interval_ms: u64) -> u64 {
    let wait_ms = if moved { waited_ms / 2 } else { waited_ms * 2 };
    wait_ms.min(interval_ms).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_follows_the_executor_and_never_exceeds_the_interval() {
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
            "an interval of 0 would be a busy loop"
        );
    }
}
