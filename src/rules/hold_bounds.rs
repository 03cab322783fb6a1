//! How long the payments of a type may be held: `hold at most 9s where rail [sct_inst]`; part of the checked program.

use core::cmp::Reverse;

use crate::event::schema::FieldId;
use crate::rules::syntax::ast::Otherwise;

/// The clauses of an event type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldBounds {
    /// The field that says which clause counts: one of a closed set. Absent where there is at most a clause for all.
    pub by: Option<FieldId>,
    /// In the author's order. No member stands twice, and at most one is for all others.
    pub bounds: Vec<HoldBound>,
}

/// One clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldBound {
    /// How long at most, ms; above zero.
    pub at_most_ms: i64,
    /// What comes then, where the clause says so.
    pub otherwise: Option<Otherwise>,
    /// The members that it is for, by their place in the set; empty: for all others.
    pub members: Vec<u64>,
}

impl HoldBounds {
    /// The clause that counts where the field has this value (its place in the set), or none at all.
    ///
    /// WHY: an event whose rail is not known is one of the others, if the author says something of those. If not, it may be
    /// of any rail, so the tightest clause counts: a hold that is too long breaks what the rail promises and cannot be
    /// mended, and what comes of a hold that is too short has been said by the author.
    pub fn of(&self, value: Option<u64>) -> Option<&HoldBound> {
        let others = || self.bounds.iter().find(|bound| bound.members.is_empty());
        let named =
            value.and_then(|value| self.bounds.iter().find(|bound| bound.members.contains(&value)));
        let tightest = || {
            let all = self.bounds.iter().filter(|_| value.is_none());
            all.min_by_key(|bound| (bound.at_most_ms, Reverse(strictness(bound.otherwise))))
        };
        named.or_else(others).or_else(tightest)
    }
}

/// Refusing is stricter than what rules say, and that stricter than letting go.
fn strictness(otherwise: Option<Otherwise>) -> u8 {
    match otherwise {
        Some(Otherwise::Block) => 2,
        None => 1,
        Some(Otherwise::Release) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(at_most_ms: i64, otherwise: Option<Otherwise>, members: &[u64]) -> HoldBound {
        HoldBound { at_most_ms, otherwise, members: members.to_vec() }
    }

    fn at_most(bounds: &HoldBounds, value: Option<u64>) -> Option<i64> {
        bounds.of(value).map(|bound| bound.at_most_ms)
    }

    #[test]
    fn a_member_has_its_own_clause_others_that_for_all_and_an_unknown_one_the_tightest() {
        let by = Some(FieldId(3));
        let mut bounds =
            HoldBounds { by, bounds: vec![bound(9, None, &[0]), bound(60, None, &[1, 2])] };
        let found = [Some(0), Some(1), Some(2), Some(3), None].map(|it| at_most(&bounds, it));
        assert_eq!(found, [Some(9), Some(60), Some(60), None, Some(9)]);
        bounds.bounds.push(bound(500, None, &[]));
        let found = [Some(0), Some(1), Some(3), None].map(|it| at_most(&bounds, it));
        assert_eq!(found, [Some(9), Some(60), Some(500), Some(500)]);
        let alone = HoldBounds { by: None, bounds: vec![bound(500, None, &[])] };
        assert_eq!(
            (at_most(&alone, None), at_most(&HoldBounds::default(), None)),
            (Some(500), None)
        );
    }

    #[test]
    fn of_two_equally_tight_ones_the_stricter_counts_where_nothing_is_known() {
        let (release, block) = (Some(Otherwise::Release), Some(Otherwise::Block));
        let bounds = HoldBounds {
            by: Some(FieldId(3)),
            bounds: vec![bound(9, release, &[0]), bound(9, block, &[1]), bound(9, None, &[2])],
        };
        assert_eq!(bounds.of(None).unwrap().otherwise, block);
    }
}
