//! What others have written, in own errors and log lines.

/// The most characters that are repeated.
const CHARACTERS: usize = 200;

/// The beginning of a text, without control characters: it neither fills the log nor looks like further lines.
#[must_use]
pub(crate) fn excerpt(text: &str) -> String {
    let mut characters = text.chars().flat_map(|character| {
        let is_control = character.is_control();
        let escaped = is_control.then(|| character.escape_default());
        let plain = (!is_control).then_some(character);
        escaped.into_iter().flatten().chain(plain)
    });
    let beginning: String = characters.by_ref().take(CHARACTERS).collect();
    match characters.next() {
        Some(_) => beginning + "…",
        None => beginning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_is_short_and_stays_on_its_line() {
        assert_eq!(excerpt("không có khối"), "không có khối");
        assert_eq!(
            excerpt("a\n[PEER EPOCH] in sync"),
            "a\\n[PEER EPOCH] in sync"
        );
        let long = excerpt(&"x".repeat(10_000_000));
        assert_eq!(long.chars().count(), CHARACTERS + 1);
    }
}
