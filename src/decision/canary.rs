//! Which keys a canary acts on.

use crate::base::EntityKey;

/// Parts of the whole in which a share is given.
const WHOLE: u128 = 1_000_000;

/// Whether the canary of a rule acts on a key, given its share in millionths.
///
/// The rule's id and the key are hashed to a place between 0 and the whole, and what lies below the share is chosen. So
/// a replay chooses the same keys, a larger share chooses those of a smaller one and more, and the keys of one rule say
/// nothing about those of another.
///
/// # Cost
/// Two SipHash-1-3 passes at most.
pub fn is_chosen(rule_id: &str, key: EntityKey, share_ppm: u32) -> bool {
    let seat = EntityKey::combine(&[
        EntityKey::of_text(b"canary"),
        EntityKey::of_text(rule_id.as_bytes()),
        key,
    ]);
    let seat = u128::from(u64::try_from(seat.0 & u128::from(u64::MAX)).unwrap_or(0));
    (seat * WHOLE) >> 64 < u128::from(share_ppm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(rule: &str, share_ppm: u32) -> Vec<u32> {
        let key = |n: &u32| EntityKey::of_text(format!("customer-{n}").as_bytes());
        (0..10_000).filter(|n| is_chosen(rule, key(n), share_ppm)).collect()
    }

    #[test]
    fn a_share_of_the_keys_is_chosen() {
        // A binomial share of 10,000 keys lies within four standard deviations: 4 * sqrt(10,000 * 0.1 * 0.9) = 120.
        assert!((880..=1_120).contains(&chosen("R-0101", 100_000).len()));
        assert_eq!(chosen("R-0101", 1_000_000).len(), 10_000);
        assert_eq!(chosen("R-0101", 0).len(), 0);
    }

    #[test]
    fn a_larger_share_includes_the_keys_of_a_smaller_one() {
        let shares =
            [10_000, 50_000, 100_000, 500_000, 990_000].map(|share| chosen("R-0101", share));
        for pair in shares.windows(2) {
            assert!(pair[0].iter().all(|key| pair[1].contains(key)));
            assert!(pair[0].len() < pair[1].len());
        }
    }

    #[test]
    fn two_rules_choose_independently() {
        let (one, other) = (chosen("R-0101", 100_000), chosen("R-0102", 100_000));
        let both = one.iter().filter(|key| other.contains(key)).count();
        // About a hundred of ten thousand; the standard deviation is ten.
        assert!((60..=140).contains(&both), "{both}");
    }
}
