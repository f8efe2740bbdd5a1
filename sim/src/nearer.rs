//! Candidates for shrinking a number towards a simpler one.

/// A difference up to which single steps are tried.
const NEAR: u64 = 8;

/// Numbers strictly between `value` and `simple`, and `simple` itself; the nearest to `simple` first. There are few, so
/// that a repeated search takes a logarithmic number of attempts, and they are round, so that the result is easy to
/// read.
#[must_use]
pub fn toward(value: u64, simple: u64) -> Vec<u64> {
    let distance = value.abs_diff(simple);
    let at = |distance: u64| {
        if simple <= value {
            (simple + distance, false)
        } else {
            (simple - distance, true)
        }
    };
    let round = |distance: u64, digits| {
        let (number, up) = at(distance);
        let number = rounded(number, digits, up);
        // Not beyond `simple`.
        if up {
            number.min(simple)
        } else {
            number.max(simple)
        }
    };
    let mut numbers = vec![simple];
    numbers.extend([2, 4, 8].map(|part| round(distance - distance / part, 2)));
    numbers.extend([1, 2].map(|digits| round(distance, digits)));
    if distance <= NEAR {
        numbers.push(at(distance.saturating_sub(1)).0);
    }
    numbers.retain(|number| number.abs_diff(simple) < distance);
    numbers.sort_unstable_by_key(|number| number.abs_diff(simple));
    numbers.dedup();
    numbers
}

/// Rounds to this many significant digits.
fn rounded(number: u64, digits: u32, up: bool) -> u64 {
    let all = number.checked_ilog10().map_or(1, |log| log + 1);
    let unit = 10_u64.pow(all.saturating_sub(digits));
    if up {
        number.div_ceil(unit).saturating_mul(unit)
    } else {
        number / unit * unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_round_and_the_nearest_to_the_simple_one_comes_first() {
        assert_eq!(toward(10_351, 0), [0, 5_100, 7_700, 9_000, 10_000]);
        assert_eq!(toward(5, 1), [1, 3, 4]);
        assert_eq!(toward(30, 50), [50, 40, 35, 32]);
        assert_eq!(toward(7, 7), [0u64; 0]);
    }

    proptest! {
        #[test]
        fn all_are_strictly_nearer_and_the_simple_one_is_among_them(value: u64, simple: u64) {
            let numbers = toward(value, simple);
            prop_assert_eq!(numbers.first() == Some(&simple), value != simple);
            prop_assert!(numbers.iter().all(|number| number.abs_diff(simple) < value.abs_diff(simple)));
            let range = value.min(simple)..=value.max(simple);
            prop_assert!(numbers.iter().all(|number| range.contains(number)));
        }
    }
}
