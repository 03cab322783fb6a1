//! How alike two texts are.

/// Characters of a text that are compared; what comes after them does not count.
pub(crate) const MOST_CHARS: usize = 64;

/// One minus the share of characters of the longer text that must be inserted, deleted or replaced to make one text of
/// the other (the Levenshtein distance). Two empty texts are alike.
///
/// # Source
/// V. Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals", 1966.
///
/// # Cost
/// At most 64 times 64 steps; nothing is allocated.
pub(crate) fn similarity(left: &str, right: &str) -> f64 {
    let (mut a, mut b) = (['\0'; MOST_CHARS], ['\0'; MOST_CHARS]);
    let (a, b) = (filled(&mut a, left), filled(&mut b, right));
    // Changes that make the first characters of `b` of those of `a` that were seen.
    let mut changes: [u32; MOST_CHARS + 1] = [0; MOST_CHARS + 1];
    for (place, count) in (0..).zip(&mut changes) {
        *count = place;
    }
    for (seen, letter) in (1..).zip(a) {
        let mut before = core::mem::replace(&mut changes[0], seen);
        for (at, other) in b.iter().enumerate() {
            let replaced = before + u32::from(letter != other);
            before = changes[at + 1];
            changes[at + 1] = replaced.min(changes[at] + 1).min(before + 1);
        }
    }
    let longer = u32::try_from(a.len().max(b.len())).unwrap_or(0);
    if longer == 0 {
        return 1.0;
    }
    f64::from(longer - changes[b.len()]) / f64::from(longer)
}

fn filled<'b>(out: &'b mut [char; MOST_CHARS], text: &str) -> &'b [char] {
    let mut n = 0;
    for (place, letter) in out.iter_mut().zip(text.chars()) {
        *place = letter;
        n += 1;
    }
    &out[..n]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn alike(left: &str, right: &str, expected: f64) {
        for (left, right) in [(left, right), (right, left)] {
            assert!((similarity(left, right) - expected).abs() < 1e-12, "{left} {right}");
        }
    }

    /// Distances as textbooks give them: kitten and sitting 3, Saturday and Sunday 3, flaw and lawn 2.
    #[test]
    fn the_distances_of_textbooks_are_found() {
        alike("kitten", "sitting", 4.0 / 7.0);
        alike("Saturday", "Sunday", 5.0 / 8.0);
        alike("flaw", "lawn", 0.5);
        alike("", "", 1.0);
        alike("", "abc", 0.0);
        alike("abc", "abc", 1.0);
        alike("Müller", "Muller", 5.0 / 6.0);
        alike("Jonh Smith", "John Smith", 0.8);
    }

    #[test]
    fn what_comes_after_64_characters_does_not_count() {
        let (long, other) = ("x".repeat(64), format!("{}y", "x".repeat(64)));
        alike(&long, &other, 1.0);
        alike(&"x".repeat(1_000), &"y".repeat(1_000), 0.0);
    }
}
