//! Alert episodes: `once per KEY per D` lets the first alert through and counts the repeats.
//!
//! The first hit opens an episode and raises an alert. Hits within `D` of the last raised alert are thinned: counted,
//! not raised. The next hit after `D` raises again; it belongs to the same episode when the episode was not quiet for
//! `D`, else it opens a new one.
//!
//! # Cost
//! O(log n) in the number of open episodes, per alert; [`Episodes::expire`] is amortised O(log n).

use std::collections::{BTreeMap, BTreeSet};

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::state::walk::Walk;

/// Which alerts belong together: a stable number of the rule, and the key.
pub type EpisodeKey = (u64, EntityKey);

/// The state of one episode after a hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Id of the first alert.
    pub id: String,
    /// Alerts raised.
    pub seq: u32,
    /// Hits, thinned ones included.
    pub count: u32,
    /// Hits thinned since the alert before this one.
    pub thinned: u32,
}

/// Whether an alert goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raise {
    /// It does, with this standing.
    Alert(Episode),
    /// It is counted only.
    Thinned,
}

#[derive(Clone, Debug)]
struct Open {
    id: String,
    seq: u32,
    count: u32,
    thinned: u32,
    raised_ms: i64,
    quiet_ms: i64,
}

impl Open {
    fn save(key: &EpisodeKey, open: &Self, code: &mut Encoder<'_>) {
        code.word(key.0);
        code.wide(key.1.0);
        code.text(&open.id);
        for number in [open.seq, open.count, open.thinned] {
            code.var(u64::from(number));
        }
        code.int(open.raised_ms);
        code.int(open.quiet_ms);
    }

    fn load(code: &mut Decoder<'_>) -> Result<(EpisodeKey, Self), Damaged> {
        const WHAT: &str = "alert episode";
        let key = (code.word(WHAT)?, EntityKey(code.wide(WHAT)?));
        let open = Self {
            id: code.text(WHAT)?.to_owned(),
            seq: code.narrow(WHAT)?,
            count: code.narrow(WHAT)?,
            thinned: code.narrow(WHAT)?,
            raised_ms: code.int(WHAT)?,
            quiet_ms: code.int(WHAT)?,
        };
        Ok((key, open))
    }
}

/// All open episodes of an engine.
#[derive(Clone, Debug, Default)]
pub struct Episodes {
    open: BTreeMap<EpisodeKey, Open>,
    by_quiet: BTreeSet<(i64, EpisodeKey)>,
    saving: Option<Walk<EpisodeKey>>,
}

impl Episodes {
    /// Records a hit at `time_ms` of an alert thinned to one per `span_ms`; `alert_id` is its id if it is raised.
    pub fn hit(&mut self, key: EpisodeKey, time_ms: i64, span_ms: i64, alert_id: &str) -> Raise {
        let quiet_ms = time_ms.saturating_add(span_ms);
        self.touch(key);
        let Some(open) = self.open.get_mut(&key).filter(|open| time_ms < open.quiet_ms) else {
            return self.open_new(key, time_ms, quiet_ms, alert_id);
        };
        open.count = open.count.saturating_add(1);
        if quiet_ms > open.quiet_ms {
            self.by_quiet.remove(&(open.quiet_ms, key));
            self.by_quiet.insert((quiet_ms, key));
            open.quiet_ms = quiet_ms;
        }
        if time_ms < open.raised_ms.saturating_add(span_ms) {
            open.thinned = open.thinned.saturating_add(1);
            return Raise::Thinned;
        }
        open.raised_ms = time_ms;
        open.seq = open.seq.saturating_add(1);
        let thinned = core::mem::take(&mut open.thinned);
        Raise::Alert(Episode { id: open.id.clone(), seq: open.seq, count: open.count, thinned })
    }

    /// An alert that is never thinned: an episode of its own.
    pub fn single(alert_id: &str) -> Episode {
        Episode { id: alert_id.to_owned(), seq: 1, count: 1, thinned: 0 }
    }

    /// Forgets the episodes that were quiet for their span at `clock_ms`.
    pub fn expire(&mut self, clock_ms: i64) {
        while let Some(&(quiet_ms, key)) = self.by_quiet.first() {
            if quiet_ms > clock_ms {
                return;
            }
            self.by_quiet.remove(&(quiet_ms, key));
            self.touch(key);
            self.open.remove(&key);
        }
    }

    /// Begins a save of what is open now.
    pub fn begin_save(&mut self) {
        self.saving = Some(Walk::default());
    }

    /// Writes the next episodes until about `budget` bytes are written; says whether all are.
    pub fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        self.saving.as_mut().is_none_or(|walk| walk.part(&self.open, budget, code, Open::save))
    }

    /// Writes what changed ahead of its turn since the last part.
    pub fn save_side(&mut self, code: &mut Encoder<'_>) {
        if let Some(walk) = &mut self.saving {
            walk.side(code);
        }
    }

    /// Ends a save, complete or not.
    pub fn end_save(&mut self) {
        self.saving = None;
    }

    /// Reads saved episodes into these.
    ///
    /// # Errors
    /// Where they are damaged, or come twice.
    pub fn load(&mut self, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        while code.rest() > 0 {
            let (key, open) = Open::load(code)?;
            self.by_quiet.insert((open.quiet_ms, key));
            code.demand(self.open.insert(key, open).is_none(), "an episode comes twice")?;
        }
        Ok(())
    }

    fn touch(&mut self, key: EpisodeKey) {
        if let Some(walk) = &mut self.saving {
            walk.touch(key, self.open.get(&key), Open::save);
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.open.len() * 256
    }

    fn open_new(&mut self, key: EpisodeKey, time_ms: i64, quiet_ms: i64, alert_id: &str) -> Raise {
        let id = alert_id.to_owned();
        let open =
            Open { id: id.clone(), seq: 1, count: 1, thinned: 0, raised_ms: time_ms, quiet_ms };
        if let Some(old) = self.open.insert(key, open) {
            self.by_quiet.remove(&(old.quiet_ms, key));
        }
        self.by_quiet.insert((quiet_ms, key));
        Raise::Alert(Episode { id, seq: 1, count: 1, thinned: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: EpisodeKey = (1, EntityKey(7));

    fn alert(id: &str, seq: u32, count: u32, thinned: u32) -> Raise {
        Raise::Alert(Episode { id: id.to_owned(), seq, count, thinned })
    }

    #[test]
    fn repeats_are_counted_and_raised_again_after_the_span() {
        let mut episodes = Episodes::default();
        assert_eq!(episodes.hit(KEY, 0, 100, "a"), alert("a", 1, 1, 0));
        assert_eq!(episodes.hit(KEY, 40, 100, "b"), Raise::Thinned);
        assert_eq!(episodes.hit(KEY, 99, 100, "c"), Raise::Thinned);
        assert_eq!(episodes.hit(KEY, 100, 100, "d"), alert("a", 2, 4, 2));
    }

    #[test]
    fn a_quiet_span_closes_the_episode() {
        let mut episodes = Episodes::default();
        episodes.hit(KEY, 0, 100, "a");
        assert_eq!(episodes.hit(KEY, 100, 100, "b"), alert("b", 1, 1, 0));
        episodes.expire(199);
        assert_eq!(episodes.len(), 1);
        episodes.expire(200);
        assert!(episodes.is_empty());
    }

    #[test]
    fn other_keys_and_other_rules_are_apart() {
        let mut episodes = Episodes::default();
        episodes.hit(KEY, 0, 100, "a");
        assert_eq!(episodes.hit((2, EntityKey(7)), 1, 100, "b"), alert("b", 1, 1, 0));
        assert_eq!(episodes.hit((1, EntityKey(8)), 1, 100, "c"), alert("c", 1, 1, 0));
    }

    #[test]
    fn a_late_hit_joins_the_open_episode() {
        let mut episodes = Episodes::default();
        episodes.hit(KEY, 50, 100, "a");
        assert_eq!(episodes.hit(KEY, 10, 100, "b"), Raise::Thinned);
    }
}
