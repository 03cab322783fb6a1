//! Health by real progress: is the poll loop turning, are partitions assigned, is recovery done, do outputs get out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a cell says about itself; read by `/livez` and `/readyz`.
#[derive(Debug)]
pub struct Health {
    started_at: Instant,
    limit: Duration,
    /// Last turn of the poll loop, ms after the start plus 1; 0 before the first.
    ticked: AtomicU64,
    /// Since when outputs wait without one being acknowledged, ms after the start plus 1; 0 when none waits.
    stuck_since: AtomicU64,
    /// The same for a rule set that has no name yet by which a restart would find it.
    unnamed_since: AtomicU64,
    /// Nothing was ever decided of some partition, and it is not known yet whether anything can be.
    unproved: AtomicBool,
    assigned: AtomicBool,
    recovering: AtomicBool,
    stopping: AtomicBool,
}

/// One check and its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Name.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// What is wrong, when it does not.
    pub detail: &'static str,
}

impl Health {
    /// A process that just started; `limit` is the longest standstill that is no failure.
    pub fn new(limit: Duration) -> Self {
        Self {
            started_at: Instant::now(),
            limit,
            ticked: AtomicU64::new(0),
            stuck_since: AtomicU64::new(0),
            unnamed_since: AtomicU64::new(0),
            unproved: AtomicBool::new(false),
            assigned: AtomicBool::new(false),
            recovering: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }
    }

    /// The poll loop turns.
    pub fn tick(&self) {
        self.ticked.store(self.now(), Ordering::Relaxed);
    }

    /// Outputs wait for the broker (`true`), or none waits or one was just acknowledged (`false`).
    pub fn set_waiting(&self, waiting: bool) {
        self.mark(&self.stuck_since, waiting);
    }

    /// Nothing may be decided, because the rule set is not yet kept beside the snapshots or noted in the group.
    pub fn set_unnamed(&self, unnamed: bool) {
        self.mark(&self.unnamed_since, unnamed);
        if !unnamed {
            self.unproved.store(false, Ordering::Relaxed);
        }
    }

    /// Partitions came that no rule set has a name for: until it has one, nobody knows whether they can be decided.
    pub fn set_unproved(&self) {
        self.unproved.store(true, Ordering::Relaxed);
    }

    /// Since when something is so; 0: it is not.
    fn mark(&self, since: &AtomicU64, is_so: bool) {
        if is_so {
            // WHY: the first time counts.
            _ = since.compare_exchange(0, self.now(), Ordering::Relaxed, Ordering::Relaxed);
        } else {
            since.store(0, Ordering::Relaxed);
        }
    }

    /// The group has given this instance its partitions (maybe none).
    pub fn set_assigned(&self, assigned: bool) {
        self.assigned.store(assigned, Ordering::Relaxed);
    }

    /// The windows are being rebuilt.
    pub fn set_recovering(&self, recovering: bool) {
        self.recovering.store(recovering, Ordering::Relaxed);
    }

    /// The process has been told to stop.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the process lives: its poll loop turns.
    pub fn live(&self) -> Vec<Check> {
        let turning = self.within_limit(&self.ticked) || self.started_at.elapsed() < self.limit;
        vec![Check { name: "poll_loop", ok: turning, detail: "the poll loop stands still" }]
    }

    /// Whether the process makes progress on its partitions.
    pub fn ready(&self) -> Vec<Check> {
        let passes =
            |since: &AtomicU64| since.load(Ordering::Relaxed) == 0 || self.within_limit(since);
        let check = |name, ok, detail| Check { name, ok, detail };
        vec![
            check("poll_loop", self.within_limit(&self.ticked), "the poll loop stands still"),
            check(
                "assigned",
                self.assigned.load(Ordering::Relaxed),
                "the consumer group has not assigned partitions yet",
            ),
            check(
                "recovered",
                !self.recovering.load(Ordering::Relaxed),
                "windows are being rebuilt from the input topics",
            ),
            check(
                "outputs",
                passes(&self.stuck_since),
                "outputs wait for the broker and none gets acknowledged",
            ),
            check(
                "rule_set",
                passes(&self.unnamed_since) && !self.unproved.load(Ordering::Relaxed),
                "the rule set cannot be kept beside the snapshots or noted in the group, so nothing is decided",
            ),
            check("running", !self.stopping.load(Ordering::Relaxed), "the process is stopping"),
        ]
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn within_limit(&self, mark: &AtomicU64) -> bool {
        let mark = mark.load(Ordering::Relaxed);
        let limit = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        mark != 0 && self.now().saturating_sub(mark) <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(checks: Vec<Check>) -> Vec<&'static str> {
        checks.into_iter().filter(|check| !check.ok).map(|check| check.name).collect()
    }

    #[test]
    fn readiness_is_about_progress_and_names_what_lacks() {
        let health = Health::new(Duration::from_mins(1));
        assert_eq!(failing(health.live()), [""; 0]);
        assert_eq!(failing(health.ready()), ["poll_loop", "assigned"]);
        health.tick();
        health.set_assigned(true);
        health.set_recovering(true);
        assert_eq!(failing(health.ready()), ["recovered"]);
        health.set_recovering(false);
        assert_eq!(failing(health.ready()), [""; 0]);
        health.set_stopping();
        assert_eq!(failing(health.ready()), ["running"]);
    }

    #[test]
    fn outputs_that_wait_too_long_and_a_loop_that_stands_still_fail() {
        let health = Health::new(Duration::ZERO);
        health.set_assigned(true);
        health.set_waiting(true);
        let later = Instant::now() + Duration::from_millis(5);
        while Instant::now() < later {
            std::hint::spin_loop();
        }
        assert_eq!(failing(health.live()), ["poll_loop"]);
        assert_eq!(failing(health.ready()), ["poll_loop", "outputs"]);
        health.set_waiting(false);
        health.tick();
        assert!(!failing(health.ready()).contains(&"outputs"));
        health.set_unnamed(true);
        let later = Instant::now() + Duration::from_millis(5);
        while Instant::now() < later {
            std::hint::spin_loop();
        }
        assert!(failing(health.ready()).contains(&"rule_set"));
        health.set_unnamed(false);
        assert!(!failing(health.ready()).contains(&"rule_set"));
    }

    #[test]
    fn partitions_that_nothing_was_decided_of_are_not_ready_before_it_is_known_that_they_can_be() {
        let health = Health::new(Duration::from_mins(1));
        health.tick();
        health.set_assigned(true);
        health.set_unproved();
        assert_eq!(failing(health.ready()), ["rule_set"]);
        health.set_unnamed(true);
        assert_eq!(failing(health.ready()), ["rule_set"]);
        health.set_unnamed(false);
        assert_eq!(failing(health.ready()), [""; 0]);
        // Later a moment without is none to be told.
        health.set_unnamed(true);
        assert_eq!(failing(health.ready()), [""; 0]);
    }
}
