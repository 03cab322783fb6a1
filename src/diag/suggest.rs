//! "Did you mean": the nearest known name, or none when nothing is near.
//!
//! A bad suggestion is worse than none: the distance is capped at a third of the name's length, and two candidates
//! that are equally near and equally heavy give no suggestion.

/// Longest name that is compared, in characters. Longer ones get no suggestion.
pub const MAX_NAME_CHARS: usize = 64;

/// A known name and how well it would fit at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The name.
    pub name: &'a str,
    /// Higher is better; decides between names that are equally near (type fits, same scope).
    pub weight: i32,
}

impl<'a> From<&'a str> for Candidate<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, weight: 0 }
    }
}

/// The candidate nearest to `name`.
///
/// None when the nearest is farther than a third of the name's length (one edit is always allowed from three letters
/// on), when two different candidates are equally near and heavy, or when a candidate equals the name (then the name
/// is known and something else is wrong).
///
/// # Cost
/// O(length²) per candidate, lengths capped at [`MAX_NAME_CHARS`].
pub fn nearest<'a, C: Into<Candidate<'a>>>(
    name: &str,
    candidates: impl IntoIterator<Item = C>,
) -> Option<&'a str> {
    let wanted: Vec<char> = name.chars().take(MAX_NAME_CHARS + 1).collect();
    if wanted.len() < 3 || wanted.len() > MAX_NAME_CHARS {
        return None;
    }
    let cap = (wanted.len() / 3).max(1);
    let mut best: Option<(usize, Candidate<'a>)> = None;
    let mut tied = false;
    for candidate in candidates.into_iter().map(Into::into) {
        if candidate.name == name {
            return None;
        }
        let Some(distance) = distance_within(&wanted, candidate.name, cap) else { continue };
        let rank = |distance: usize, weight: i32| (core::cmp::Reverse(distance), weight);
        let order = best.map_or(core::cmp::Ordering::Greater, |(best_distance, chosen)| {
            rank(distance, candidate.weight).cmp(&rank(best_distance, chosen.weight))
        });
        match order {
            core::cmp::Ordering::Greater => {
                best = Some((distance, candidate));
                tied = false;
            }
            core::cmp::Ordering::Equal => {
                tied |= best.is_some_and(|(_, chosen)| chosen.name != candidate.name);
            }
            core::cmp::Ordering::Less => {}
        }
    }
    best.filter(|_| !tied).map(|(_, candidate)| candidate.name)
}

/// The distance when it is at most `cap`. Letter case does not count, so `EUR` and `eur` are at distance 0.
fn distance_within(wanted: &[char], candidate: &str, cap: usize) -> Option<usize> {
    let other: Vec<char> = candidate.chars().take(MAX_NAME_CHARS + 1).collect();
    if other.len() > MAX_NAME_CHARS || wanted.len().abs_diff(other.len()) > cap {
        return None;
    }
    let distance = damerau_levenshtein(wanted, &other);
    (distance <= cap).then_some(distance)
}

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`, no part edited twice.
///
/// # Source
/// The optimal string alignment variant of F. J. Damerau, 1964, and V. I. Levenshtein, 1966.
fn damerau_levenshtein(a: &[char], b: &[char]) -> usize {
    let same = |x: char, y: char| x.eq_ignore_ascii_case(&y);
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(!same(x, y));
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && same(x, b[j - 1]) && same(a[i - 1], y) {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = core::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, candidates: &[&str], expected: Option<&str>) {
        assert_eq!(nearest(name, candidates.iter().copied()), expected, "{name}");
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        check("recever_country", &["receiver_country", "sender_country"], Some("receiver_country"));
        check("wehn", &["when", "then"], Some("when"));
        check("ammount", &["amount", "account"], Some("amount"));
        check("amount", &["account"], Some("account"));
        check("device", &["sender"], None);
        check("abc", &["abd"], Some("abd"));
        check("ab", &["abc"], None);
        check("Amount", &["amount"], Some("amount"));
    }

    #[test]
    fn two_equally_near_names_give_no_suggestion() {
        check("cart", &["card", "care"], None);
        check("cart", &["card", "card"], Some("card"));
    }

    #[test]
    fn the_heavier_of_two_equally_near_names_wins() {
        let candidates =
            [Candidate { name: "card", weight: 0 }, Candidate { name: "care", weight: 1 }];
        assert_eq!(nearest("cart", candidates), Some("care"));
    }

    #[test]
    fn a_known_name_and_an_endless_name_get_no_suggestion() {
        check("card", &["card", "care"], None);
        let long = "x".repeat(100);
        check(&long, &["x"], None);
    }

    #[test]
    fn distances_agree_with_hand_counts() {
        let distance = |a: &str, b: &str| {
            let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
            damerau_levenshtein(&a, &b)
        };
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("ca", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
