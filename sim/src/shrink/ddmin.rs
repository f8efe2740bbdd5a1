//! Delta debugging: the smallest part of a list that still shows something (Zeller and Hildebrandt, *Simplifying and
//! Isolating Failure-Inducing Input*, 2002, algorithm `ddmin`). Knows nothing of what the items are.
//!
//! Candidates are handed over in batches, in order of preference, so that whoever judges them may judge several at
//! once: only the first one of a batch that shows it counts.

/// Removes items until the list is 1-minimal: it shows it, and without any single item it does not. `items` must
/// show it; `first` gives the position of the first candidate that does.
///
/// # Errors
/// Whatever `first` gives up with.
pub(super) fn ddmin<T: Clone, E>(
    items: Vec<T>,
    mut first: impl FnMut(&[Vec<T>]) -> Result<Option<usize>, E>,
) -> Result<Vec<T>, E> {
    if items.is_empty() || first(&[vec![]])?.is_some() {
        return Ok(vec![]);
    }
    let mut items = items;
    let mut parts = 2;
    while items.len() > 1 {
        parts = parts.min(items.len());
        let mut candidates = split(&items, parts);
        if parts > 2 {
            candidates.extend((0..parts).map(|left_out| without(&items, parts, left_out)));
        }
        match first(&candidates)? {
            Some(position) => {
                items = candidates.swap_remove(position);
                parts = if position < parts { 2 } else { parts - 1 };
            }
            None if parts == items.len() => break,
            None => parts *= 2,
        }
    }
    Ok(items)
}

/// Where part `part` of `parts` begins in a list of `len` items; the parts differ by one item at most.
const fn begin(len: usize, parts: usize, part: usize) -> usize {
    len * part / parts
}

fn split<T: Clone>(items: &[T], parts: usize) -> Vec<Vec<T>> {
    let begin = |part| begin(items.len(), parts, part);
    (0..parts)
        .map(|part| items[begin(part)..begin(part + 1)].to_vec())
        .collect()
}

fn without<T: Clone>(items: &[T], parts: usize, left_out: usize) -> Vec<T> {
    let mut rest = items.to_vec();
    rest.drain(begin(items.len(), parts, left_out)..begin(items.len(), parts, left_out + 1));
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn minimal(items: Vec<u8>, shows: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let first =
            |lists: &[Vec<u8>]| Ok::<_, Infallible>(lists.iter().position(|list| shows(list)));
        let Ok(items) = ddmin(items, first);
        items
    }

    #[test]
    fn what_matters_stays_in_its_order() {
        let all: Vec<u8> = (0..100).collect();
        let shows = |list: &[u8]| [7, 42, 93].iter().all(|item| list.contains(item));
        assert_eq!(minimal(all, shows), [7, 42, 93]);
    }

    #[test]
    fn nothing_matters() {
        assert_eq!(minimal(vec![1, 2, 3], |_| true), []);
        assert_eq!(minimal(vec![], |_| panic!("there is nothing to try")), []);
    }

    #[test]
    fn whoever_gives_up_is_heard() {
        assert_eq!(ddmin(vec![1, 2], |_| Err("enough")), Err("enough"));
    }

    proptest! {
        /// Also where the answer is not monotone: more items may show less.
        #[test]
        fn no_single_item_can_be_removed(items in proptest::collection::vec(0_u8..20, 1..40), modulus in 1_u32..7) {
            let shows = |list: &[u8]| {
                !list.is_empty() && list.iter().map(|item| u32::from(*item)).sum::<u32>() % modulus
                    == items.iter().map(|item| u32::from(*item)).sum::<u32>() % modulus
            };
            let found = minimal(items.clone(), shows);
            prop_assert!(shows(&found));
            for left_out in 0..found.len() {
                let mut rest = found.clone();
                rest.remove(left_out);
                prop_assert!(!shows(&rest), "{found:?} without {left_out}");
            }
        }
    }
}
