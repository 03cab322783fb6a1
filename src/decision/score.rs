//! Risk points: sum per group, capped, then summed and clamped to 0..=100.

use crate::rules::program::ScoreGroup;

/// Adds up the points of one event's hits.
#[derive(Clone, Debug, Default)]
pub struct ScoreSheet {
    points: Vec<i32>,
}

impl ScoreSheet {
    /// Empties the sheet for a rule set with this many groups.
    pub fn reset(&mut self, n_groups: usize) {
        self.points.clear();
        self.points.resize(n_groups, 0);
    }

    /// Adds points to a group.
    pub fn add(&mut self, group: u16, points: i32) {
        if let Some(sum) = self.points.get_mut(usize::from(group)) {
            *sum = sum.saturating_add(points);
        }
    }

    /// What each group with points gives after its cap, in group order.
    pub fn capped<'a>(
        &'a self,
        groups: &'a [ScoreGroup],
    ) -> impl Iterator<Item = (&'a ScoreGroup, i32)> + 'a {
        groups
            .iter()
            .zip(&self.points)
            .filter(|(_, points)| **points != 0)
            .map(|(group, points)| (group, group.cap.map_or(*points, |cap| cap.min(*points))))
    }

    /// The score in 0..=100.
    pub fn total(&self, groups: &[ScoreGroup]) -> i32 {
        self.capped(groups).fold(0_i32, |sum, (_, points)| sum.saturating_add(points)).clamp(0, 100)
    }
}
