//! Delta debugging: a minimal part of a list that still fails (Zeller and Hildebrandt, *Simplifying and Isolating
//! Failure-Inducing Input*, 2002, algorithm `ddmin`). Independent of the type of the items.
//!
//! Candidates come in batches, in order of preference, so that several can be judged in parallel: only the first
//! failing one of a batch counts.

/// Removes items until the list is 1-minimal: it fails, and without any single item it does not. `items` must fail;
/// `first` returns the position of the first candidate that fails.
///
/// # Errors
/// Errors of `first`.
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

/// The first position of part `part` of `parts` in a list of `len` items. The lengths of parts differ by at most one.
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

    fn minimal(items: Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let first =
            |lists: &[Vec<u8>]| Ok::<_, Infallible>(lists.iter().position(|list| fails(list)));
        let Ok(items) = ddmin(items, first);
        items
    }

    #[test]
    fn items_that_matter_stay_in_order() {
        let all: Vec<u8> = (0..100).collect();
        let fails = |list: &[u8]| [7, 42, 93].iter().all(|item| list.contains(item));
        assert_eq!(minimal(all, fails), [7, 42, 93]);
    }

    #[test]
    fn a_list_without_items_that_matter_becomes_empty() {
        assert_eq!(minimal(vec![1, 2, 3], |_| true), [0u8; 0]);
        assert_eq!(
            minimal(vec![], |_| panic!("there is nothing to try")),
            [0u8; 0]
        );
    }

    #[test]
    fn an_error_ends_the_search() {
        assert_eq!(ddmin(vec![1, 2], |_| Err("enough")), Err("enough"));
    }

    proptest! {
        /// Also if failing is not monotone: a longer list may pass.
        #[test]
        fn no_single_item_can_be_removed(items in proptest::collection::vec(0_u8..20, 1..40), modulus in 1_u32..7) {
            let fails = |list: &[u8]| {
                !list.is_empty() && list.iter().map(|item| u32::from(*item)).sum::<u32>() % modulus
                    == items.iter().map(|item| u32::from(*item)).sum::<u32>() % modulus
            };
            let found = minimal(items.clone(), fails);
            prop_assert!(fails(&found));
            for left_out in 0..found.len() {
                let mut rest = found.clone();
                rest.remove(left_out);
                prop_assert!(!fails(&rest), "{found:?} without {left_out}");
            }
        }
    }
}
