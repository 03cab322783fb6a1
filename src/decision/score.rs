//! Risk points: sum per group, capped, then summed and clamped to 0..=100.

use crate::rules::program::ScoreGroup;

/// Adds up the points of one event's hits.
#[derive(Clone, Debug, Default)]
pub struct ScoreSheet {
    points: Vec<i32>,
    /// Groups whose cap does not hold on this event.
    lifted: Vec<u16>,
}

impl ScoreSheet {
    /// Empties the sheet for a rule set with this many groups.
    pub fn reset(&mut self, n_groups: usize) {
        self.points.clear();
        self.points.resize(n_groups, 0);
        self.lifted.clear();
    }

    /// Takes the cap off a group for this event.
    pub fn lift(&mut self, group: u16) {
        self.lifted.push(group);
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
        let given = (0_u16..).zip(groups).zip(&self.points).filter(|(_, points)| **points != 0);
        given.map(|((index, group), points)| {
            let cap = group.cap.filter(|_| !self.lifted.contains(&index));
            (group, cap.map_or(*points, |cap| cap.min(*points)))
        })
    }

    /// The score in 0..=100.
    pub fn total(&self, groups: &[ScoreGroup]) -> i32 {
        self.capped(groups).fold(0_i32, |sum, (_, points)| sum.saturating_add(points)).clamp(0, 100)
    }
}
