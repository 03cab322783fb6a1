//! Alert episodes: `once per KEY per D` lets the first alert through and counts the repeats.
//!
//! The first hit opens an episode and raises an alert. Hits less than `D` before or after a raised alert are thinned:
//! counted, not raised, unless they are graver than all that was told ([`Weight`]): a person who was told of a small payment
//! that passed must hear of a large one, or of one that was stopped. The next hit `D` after it raises again; it belongs to the same episode when the episode was not
//! quiet for `D`, else it opens a new one. A hit that comes late, and lies `D` or more before the first alert of an
//! episode, opens one of its own: an alert about later events says nothing about it.
//!
//! INVARIANT: two alerts of an episode that follow each other are less than `2 D` apart, so whatever lies between its first
//! and its last alert is less than `D` from one of them. So an episode is its first and last alert and its end. Episodes
//! of a key do not overlap, and the order of their beginnings is that of their ends.
//!
//! A key keeps its latest [`MOST_PER_KEY`] episodes, each until nothing that comes can be near it, and for `D` of the clock
//! at least: events that come far too late are thinned among themselves.
//!
//! An episode ends by quiet time, by a command, or where its key has more than the most; each end is told once ([`Ended`]).
//! What the clock ends at once is told a few at a time ([`Episodes::take_ended`]), so that no event waits for the rest.
//!
//! # Cost
//! O(log n) in the number of open episodes, per alert; [`Episodes::expire`] is amortised O(log n), and writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::state::walk::Walk;

/// Which alerts belong together: a stable number of the rule, and the key.
pub type EpisodeKey = (u64, EntityKey);

/// Most episodes of one key that are open at once; the oldest makes room. What is forgotten may raise one alert more.
const MOST_PER_KEY: usize = 4;

/// Heap bytes of an episode, about.
const BYTES_PER_EPISODE: usize = 448;

/// An episode: whose, and the time of its first alert.
type Place = (EpisodeKey, i64);

/// When a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// By the event.
    pub time_ms: i64,
    /// Where its partition's clock stands.
    pub clock_ms: i64,
}

/// How grave a hit is, beside the others of its episode.
///
/// Each weighs more than the alerts before it at most a few dozen times: there are four outcomes, and an amount doubles 63 times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// The outcome's place: pass, second factor, hold, block.
    pub outcome: u8,
    /// What is paid, in minor units of the currency with this code.
    pub amount: Option<(i64, u32)>,
}

/// What makes a hit graver than all that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graver {
    /// The event was let pass before, and is stopped now; or was held, and is blocked.
    Outcome,
    /// The amount is at least twice the largest that was told, in the same currency.
    Amount,
}

impl Graver {
    /// As records name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Amount => "amount",
        }
    }
}

impl Weight {
    /// What makes another hit graver than this.
    fn outdone_by(self, other: Self) -> Option<Graver> {
        if other.outcome > self.outcome {
            return Some(Graver::Outcome);
        }
        let ((told, currency), (now, of)) = (self.amount?, other.amount?);
        (of == currency && told > 0 && now >= told.saturating_mul(2)).then_some(Graver::Amount)
    }

    /// The gravest of both. Of two currencies the first stays: they cannot be compared.
    fn with(self, other: Self) -> Self {
        let amount = match (self.amount, other.amount) {
            (Some((told, currency)), Some((now, of))) if of == currency => {
                Some((told.max(now), currency))
            }
            (told, now) => told.or(now),
        };
        Self { outcome: self.outcome.max(other.outcome), amount }
    }
}

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
    /// Why it was not thinned, where its time says that it should be.
    pub graver: Option<Graver>,
}

/// Whether an alert goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raise {
    /// It does, with this standing.
    Alert(Episode),
    /// It is counted only.
    Thinned,
}

/// Whose alerts an episode has.
#[derive(Clone, Copy, Debug)]
pub struct Alerted<'a> {
    /// Id of the alert, if it is raised.
    pub alert_id: &'a str,
    /// Stable id of its rule.
    pub rule: &'a str,
    /// The key of its record.
    pub output_key: &'a [u8],
}

/// Why an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// No hit came for its span.
    Quiet,
    /// Its key has later ones, more than are kept, or all together take more memory than they may.
    Displaced,
    /// Somebody closed it.
    Command,
}

impl Closed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Quiet, Self::Displaced, Self::Command];

    /// As records name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Displaced => "displaced",
            Self::Command => "command",
        }
    }

    /// The first byte of a saved one; 0 is an open episode.
    fn tag(self) -> u8 {
        match self {
            Self::Quiet => 1,
            Self::Displaced => 2,
            Self::Command => 3,
        }
    }
}

/// An episode that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Why.
    pub closed: Closed,
    /// Time of its first alert.
    pub first_ms: i64,
    /// As it was.
    pub open: Open,
    key: EpisodeKey,
}

impl Ended {
    fn save(number: &u64, ended: &Self, code: &mut Encoder<'_>) {
        code.byte(ended.closed.tag());
        code.var(*number);
        ended.open.write(&(ended.key, ended.first_ms), code);
    }
}

/// What is kept of an episode.
#[derive(Clone, Debug)]
pub struct Open {
    /// Id of the first alert.
    pub id: String,
    /// Stable id of the rule.
    pub rule: String,
    /// The key of its first alert's record.
    pub output_key: Vec<u8>,
    /// Alerts raised.
    pub seq: u32,
    /// Hits, thinned ones included.
    pub count: u32,
    /// Hits thinned since the latest alert.
    pub thinned: u32,
    /// The gravest of its alerts.
    told: Weight,
    /// Its latest alert.
    pub raised_ms: i64,
    /// Hits from here on are no longer part of it.
    pub quiet_ms: i64,
    /// It is forgotten when the clock comes here.
    kept_ms: i64,
}

impl Open {
    fn save(place: &Place, open: &Self, code: &mut Encoder<'_>) {
        code.byte(0);
        open.write(place, code);
    }

    fn write(&self, (key, first_ms): &Place, code: &mut Encoder<'_>) {
        let open = self;
        code.word(key.0);
        code.wide(key.1.0);
        code.int(*first_ms);
        code.text(&open.id);
        code.text(&open.rule);
        code.bytes(&open.output_key);
        for number in [open.seq, open.count, open.thinned] {
            code.var(u64::from(number));
        }
        code.byte(open.told.outcome);
        code.flag(open.told.amount.is_some());
        if let Some((minor, currency)) = open.told.amount {
            code.int(minor);
            code.var(u64::from(currency));
        }
        for time_ms in [open.raised_ms, open.quiet_ms, open.kept_ms] {
            code.int(time_ms);
        }
    }

    fn load(code: &mut Decoder<'_>) -> Result<(Place, Self), Damaged> {
        const WHAT: &str = "alert episode";
        let key = (code.word(WHAT)?, EntityKey(code.wide(WHAT)?));
        let first_ms = code.int(WHAT)?;
        let open = Self {
            id: code.text(WHAT)?.to_owned(),
            rule: code.text(WHAT)?.to_owned(),
            output_key: code.bytes(WHAT)?.to_vec(),
            seq: code.narrow(WHAT)?,
            count: code.narrow(WHAT)?,
            thinned: code.narrow(WHAT)?,
            told: Weight {
                outcome: code.byte(WHAT)?,
                amount: if code.flag(WHAT)? {
                    Some((code.int(WHAT)?, code.narrow(WHAT)?))
                } else {
                    None
                },
            },
            raised_ms: code.int(WHAT)?,
            quiet_ms: code.int(WHAT)?,
            kept_ms: code.int(WHAT)?,
        };
        Ok(((key, first_ms), open))
    }
}

/// All open episodes of an engine, and those whose end is still to be told.
#[derive(Clone, Debug, Default)]
pub struct Episodes {
    open: BTreeMap<Place, Open>,
    by_end: BTreeSet<(i64, Place)>,
    by_id: BTreeMap<String, Place>,
    /// In the order in which they ended.
    ended: BTreeMap<u64, Ended>,
    saving: Option<Saving>,
}

/// A save under way.
#[derive(Clone, Debug, Default)]
struct Saving {
    open: Walk<Place>,
    ended: Walk<u64>,
}

impl Episodes {
    /// Records a hit of an alert thinned to one per `span_ms`.
    pub fn hit(
        &mut self,
        key: EpisodeKey,
        (at, weight): (At, Weight),
        span_ms: i64,
        alerted: Alerted<'_>,
    ) -> Raise {
        let At { time_ms, clock_ms } = at;
        let quiet_ms = time_ms.saturating_add(span_ms);
        let kept_ms = quiet_ms.max(clock_ms.saturating_add(span_ms));
        let near = self.open.range((key, i64::MIN)..(key, quiet_ms)).next_back();
        let Some(place) = near.filter(|(_, open)| time_ms < open.quiet_ms).map(|(at, _)| *at)
        else {
            return self.open_new((key, time_ms), (quiet_ms, kept_ms), weight, alerted);
        };
        self.touch(place);
        let Some(open) = self.open.get_mut(&place) else { return Raise::Thinned };
        open.count = open.count.saturating_add(1);
        open.quiet_ms = open.quiet_ms.max(quiet_ms);
        if kept_ms > open.kept_ms {
            self.by_end.remove(&(open.kept_ms, place));
            self.by_end.insert((kept_ms, place));
            open.kept_ms = kept_ms;
        }
        let is_near = time_ms < open.raised_ms.saturating_add(span_ms);
        let graver = open.told.outdone_by(weight).filter(|_| is_near);
        if is_near && graver.is_none() {
            open.thinned = open.thinned.saturating_add(1);
            return Raise::Thinned;
        }
        open.told = open.told.with(weight);
        open.raised_ms = open.raised_ms.max(time_ms);
        open.seq = open.seq.saturating_add(1);
        let thinned = core::mem::take(&mut open.thinned);
        let (id, seq, count) = (open.id.clone(), open.seq, open.count);
        Raise::Alert(Episode { id, seq, count, thinned, graver })
    }

    /// Ends the episode of this id, if it is open: the next hit near it is graver than nothing, and raises. Who asks tells.
    pub fn close(&mut self, id: &str) -> Option<Ended> {
        let place = *self.by_id.get(id)?;
        self.forget(place, Closed::Command)
    }

    /// The next that has ended by itself and is not told yet; it is told by whoever takes it.
    pub fn take_ended(&mut self) -> Option<Ended> {
        let (number, ended) = self.ended.first_key_value()?;
        let number = *number;
        if let Some(saving) = &mut self.saving {
            saving.ended.touch(number, Some(ended), Ended::save);
        }
        self.ended.remove(&number)
    }

    /// An alert that is never thinned: an episode of its own.
    pub fn single(alert_id: &str) -> Episode {
        Episode { id: alert_id.to_owned(), seq: 1, count: 1, thinned: 0, graver: None }
    }

    /// Ends the episodes that were quiet for their span at `clock_ms`.
    pub fn expire(&mut self, clock_ms: i64) {
        while let Some(&(kept_ms, place)) = self.by_end.first() {
            if kept_ms > clock_ms {
                return;
            }
            self.by_end.pop_first();
            self.end(place, Closed::Quiet);
        }
    }

    /// Ends episodes, those first that would end first, until those that are open take at most `max_bytes`; says how many. The
    /// next hit of such a one raises an alert.
    pub fn shrink(&mut self, max_bytes: usize) -> u64 {
        let mut n_ended = 0;
        while self.open.len() * BYTES_PER_EPISODE > max_bytes
            && let Some(&(_, place)) = self.by_end.first()
        {
            self.end(place, Closed::Displaced);
            n_ended += 1;
        }
        n_ended
    }

    /// Begins a save of what is open now.
    pub fn begin_save(&mut self) {
        self.saving = Some(Saving::default());
    }

    /// Writes the next episodes until about `budget` bytes are written; says whether all are.
    pub fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        let Some(saving) = &mut self.saving else { return true };
        let begin = code.len();
        saving.open.part(&self.open, budget, code, Open::save) && {
            let left = budget.saturating_sub(code.len() - begin);
            saving.ended.part(&self.ended, left, code, Ended::save)
        }
    }

    /// Writes what changed ahead of its turn since the last part.
    pub fn save_side(&mut self, code: &mut Encoder<'_>) {
        if let Some(saving) = &mut self.saving {
            saving.open.side(code);
            saving.ended.side(code);
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
            let tag = code.byte("alert episode")?;
            if tag != 0 {
                let closed = Closed::ALL.into_iter().find(|closed| closed.tag() == tag);
                let closed = closed.ok_or_else(|| code.damaged("end of an alert episode"))?;
                let number = code.var("alert episode")?;
                let ((key, first_ms), open) = Open::load(code)?;
                let ended = Ended { closed, first_ms, open, key };
                let is_new = self.ended.insert(number, ended).is_none();
                code.demand(is_new, "an episode that ended comes twice")?;
                continue;
            }
            let (place, open) = Open::load(code)?;
            self.by_end.insert((open.kept_ms, place));
            self.by_id.insert(open.id.clone(), place);
            code.demand(self.open.insert(place, open).is_none(), "an episode comes twice")?;
        }
        Ok(())
    }

    fn touch(&mut self, place: Place) {
        if let Some(saving) = &mut self.saving {
            saving.open.touch(place, self.open.get(&place), Open::save);
        }
    }

    fn forget(&mut self, place: Place, closed: Closed) -> Option<Ended> {
        self.touch(place);
        let open = self.open.remove(&place)?;
        self.by_end.remove(&(open.kept_ms, place));
        self.by_id.remove(&open.id);
        let (key, first_ms) = place;
        Some(Ended { closed, first_ms, open, key })
    }

    /// Ends an episode, to be told.
    fn end(&mut self, place: Place, closed: Closed) {
        let Some(ended) = self.forget(place, closed) else { return };
        let number = self.ended.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        if let Some(saving) = &mut self.saving {
            saving.ended.touch(number, None, Ended::save);
        }
        self.ended.insert(number, ended);
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many are in a save: those whose end is to be told as well.
    pub fn n_saved(&self) -> usize {
        self.open.len() + self.ended.len()
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.n_saved() * BYTES_PER_EPISODE
    }

    fn open_new(
        &mut self,
        place: Place,
        (quiet_ms, kept_ms): (i64, i64),
        told: Weight,
        Alerted { alert_id, rule, output_key }: Alerted<'_>,
    ) -> Raise {
        let (key, time_ms) = place;
        let of_key = self.open.range((key, i64::MIN)..=(key, i64::MAX));
        if let Some((oldest, _)) = of_key.clone().next().filter(|_| of_key.count() >= MOST_PER_KEY)
        {
            let oldest = *oldest;
            self.end(oldest, Closed::Displaced);
        }
        let (id, raised_ms) = (alert_id.to_owned(), time_ms);
        let open = Open {
            id: id.clone(),
            rule: rule.to_owned(),
            output_key: output_key.to_vec(),
            seq: 1,
            count: 1,
            thinned: 0,
            told,
            raised_ms,
            quiet_ms,
            kept_ms,
        };
        self.touch(place);
        self.open.insert(place, open);
        self.by_end.insert((kept_ms, place));
        self.by_id.insert(id.clone(), place);
        Raise::Alert(Episode { id, seq: 1, count: 1, thinned: 0, graver: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: EpisodeKey = (1, EntityKey(7));

    fn alert(id: &str, seq: u32, count: u32, thinned: u32) -> Raise {
        Raise::Alert(Episode { id: id.to_owned(), seq, count, thinned, graver: None })
    }

    fn alerted(alert_id: &str) -> Alerted<'_> {
        Alerted { alert_id, rule: "R-1", output_key: b"card" }
    }

    /// Everything that is told of ends: why, id, first and latest alert, alerts, hits, thinned.
    fn told(episodes: &mut Episodes) -> Vec<(Closed, String, [i64; 2], [u32; 3])> {
        let all = core::iter::from_fn(|| episodes.take_ended());
        all.map(|Ended { closed, first_ms, open, .. }| {
            assert_eq!((&*open.rule, &*open.output_key), ("R-1", &b"card"[..]));
            let counts = [open.seq, open.count, open.thinned];
            (closed, open.id, [first_ms, open.raised_ms], counts)
        })
        .collect()
    }

    /// A hit of an alert thinned to one per 100 ms, on a clock that stands at `clock_ms`.
    fn hit_at(
        episodes: &mut Episodes,
        key: EpisodeKey,
        (time_ms, clock_ms): (i64, i64),
        id: &str,
    ) -> Raise {
        let at = (At { time_ms, clock_ms }, Weight::default());
        episodes.hit(key, at, 100, alerted(id))
    }

    /// The same, of an event in time.
    fn hit(episodes: &mut Episodes, key: EpisodeKey, time_ms: i64, id: &str) -> Raise {
        hit_at(episodes, key, (time_ms, time_ms), id)
    }

    #[test]
    fn repeats_are_counted_and_raised_again_after_the_span() {
        let mut episodes = Episodes::default();
        assert_eq!(hit(&mut episodes, KEY, 0, "a"), alert("a", 1, 1, 0));
        assert_eq!(hit(&mut episodes, KEY, 40, "b"), Raise::Thinned);
        assert_eq!(hit(&mut episodes, KEY, 99, "c"), Raise::Thinned);
        assert_eq!(hit(&mut episodes, KEY, 100, "d"), alert("a", 2, 4, 2));
    }

    /// The same, of an event in time with this outcome and amount: the standing of its alert, and why it was not thinned.
    fn weighs(
        episodes: &mut Episodes,
        time_ms: i64,
        outcome: u8,
        amount: Option<(i64, u32)>,
    ) -> Option<(u32, u32, Option<Graver>)> {
        let at = (At { time_ms, clock_ms: time_ms }, Weight { outcome, amount });
        match episodes.hit(KEY, at, 100, alerted("x")) {
            Raise::Alert(episode) => Some((episode.seq, episode.thinned, episode.graver)),
            Raise::Thinned => None,
        }
    }

    #[test]
    fn what_is_graver_than_all_that_was_told_is_raised_within_the_span() {
        use Graver::{Amount, Outcome};
        let (eur, usd) = (|minor| Some((minor, 1)), |minor| Some((minor, 2)));
        let mut episodes = Episodes::default();
        assert_eq!(weighs(&mut episodes, 0, 0, eur(100)), Some((1, 0, None)));
        assert_eq!(weighs(&mut episodes, 1, 0, eur(199)), None);
        assert_eq!(weighs(&mut episodes, 2, 0, eur(200)), Some((2, 1, Some(Amount))));
        assert_eq!(weighs(&mut episodes, 3, 0, eur(399)), None);
        // In another currency nobody can say; without an amount the outcome alone counts.
        assert_eq!(weighs(&mut episodes, 4, 0, usd(9_000)), None);
        assert_eq!(weighs(&mut episodes, 5, 2, None), Some((3, 2, Some(Outcome))));
        assert_eq!(weighs(&mut episodes, 6, 2, eur(399)), None);
        assert_eq!(weighs(&mut episodes, 7, 1, eur(400)), Some((4, 1, Some(Amount))));
        assert_eq!(weighs(&mut episodes, 8, 3, eur(1)), Some((5, 0, Some(Outcome))));
        // A span after the latest alert it is raised anyhow.
        assert_eq!(weighs(&mut episodes, 107, 0, eur(1)), None);
        assert_eq!(weighs(&mut episodes, 108, 0, eur(1)), Some((6, 1, None)));
        // Nothing, and less than nothing, has no double.
        let mut episodes = Episodes::default();
        weighs(&mut episodes, 0, 0, eur(0));
        assert_eq!(weighs(&mut episodes, 1, 0, eur(500)), None);
    }

    #[test]
    fn a_flood_of_ever_larger_amounts_raises_few_alerts() {
        let mut episodes = Episodes::default();
        let raised = (1..=10_000_i64)
            .filter(|minor| weighs(&mut episodes, 0, 0, Some((*minor, 1))).is_some())
            .count();
        // 1, 2, 4, ... 8,192.
        assert_eq!(raised, 14);
    }

    #[test]
    fn a_quiet_span_closes_the_episode() {
        let mut episodes = Episodes::default();
        hit(&mut episodes, KEY, 0, "a");
        assert_eq!(hit(&mut episodes, KEY, 100, "b"), alert("b", 1, 1, 0));
        episodes.expire(199);
        assert_eq!(episodes.len(), 1);
        episodes.expire(200);
        assert!(episodes.is_empty());
        let ends = [("a", 0), ("b", 100)]
            .map(|(id, at_ms)| (Closed::Quiet, id.to_owned(), [at_ms, at_ms], [1, 1, 0]));
        assert_eq!(told(&mut episodes), ends);
        assert_eq!(told(&mut episodes), [], "once");
    }

    #[test]
    fn each_end_is_told_once_with_all_hits_whatever_ended_it() {
        let mut episodes = Episodes::default();
        // Five that do not touch, one more than a key keeps; three hits each, the last one after its latest alert.
        for (n, id) in (0_i64..).zip(["a", "b", "c", "d", "e"]) {
            for after_ms in [0, 60, 100] {
                hit_at(&mut episodes, KEY, (n * 1_000 + after_ms, 0), id);
            }
            hit_at(&mut episodes, KEY, (n * 1_000 + 110, 0), id);
        }
        let closed = episodes.close("c").unwrap();
        assert_eq!(
            (closed.closed, closed.open.count, closed.open.thinned),
            (Closed::Command, 4, 1)
        );
        assert!(episodes.close("c").is_none() && episodes.close("a").is_none());
        episodes.expire(3_210);
        let end =
            |closed, id: &str, at_ms| (closed, id.to_owned(), [at_ms, at_ms + 100], [2, 4, 1]);
        let (quiet, displaced) = (Closed::Quiet, Closed::Displaced);
        let ends = [end(displaced, "a", 0), end(quiet, "b", 1_000), end(quiet, "d", 3_000)];
        assert_eq!(told(&mut episodes), ends);
        episodes.expire(i64::MAX);
        assert_eq!(told(&mut episodes), [end(quiet, "e", 4_000)]);
    }

    #[test]
    fn what_is_not_told_yet_is_saved_as_it_was_when_the_save_began() {
        let mut episodes = Episodes::default();
        for n in 0..10_i64 {
            let id = format!("a{n}");
            hit(&mut episodes, (1, EntityKey(n.unsigned_abs().into())), n, &id);
        }
        episodes.expire(104);
        let mut expected = episodes.clone();
        assert_eq!(episodes.n_saved(), 10);
        episodes.begin_save();
        let mut bytes = Vec::new();
        while !episodes.save_part(1, &mut Encoder::new(&mut bytes)) {
            // Ends are told and more come meanwhile.
            episodes.take_ended();
            episodes.expire(106);
        }
        episodes.save_side(&mut Encoder::new(&mut bytes));
        let mut loaded = Episodes::default();
        loaded.load(&mut Decoder::new(&bytes)).unwrap();
        assert_eq!(loaded.n_saved(), 10);
        for now_ms in [0, 107, 200] {
            expected.expire(now_ms);
            loaded.expire(now_ms);
            assert_eq!(told(&mut loaded), told(&mut expected));
        }
    }

    #[test]
    fn other_keys_and_other_rules_are_apart() {
        let mut episodes = Episodes::default();
        hit(&mut episodes, KEY, 0, "a");
        assert_eq!(hit(&mut episodes, (2, EntityKey(7)), 1, "b"), alert("b", 1, 1, 0));
        assert_eq!(hit(&mut episodes, (1, EntityKey(8)), 1, "c"), alert("c", 1, 1, 0));
    }

    #[test]
    fn a_late_hit_is_thinned_by_a_later_alert_within_the_span_only() {
        let mut episodes = Episodes::default();
        hit(&mut episodes, KEY, 500, "a");
        assert_eq!(hit_at(&mut episodes, KEY, (401, 500), "b"), Raise::Thinned);
        assert_eq!(hit_at(&mut episodes, KEY, (400, 500), "c"), alert("c", 1, 1, 0));
        // 330 is within 100 of the alert at 400, 499 of that at 500, and 420 of both.
        for time_ms in [330, 499, 420] {
            assert_eq!(hit_at(&mut episodes, KEY, (time_ms, 500), "d"), Raise::Thinned);
        }
        assert_eq!(hit_at(&mut episodes, KEY, (300, 500), "e"), alert("e", 1, 1, 0));
        // The latest goes on as if nothing had come late: a, b, 499, 420 and this one.
        assert_eq!(hit(&mut episodes, KEY, 598, "f"), Raise::Thinned);
        assert_eq!(hit(&mut episodes, KEY, 600, "g"), alert("a", 2, 6, 4));
    }

    #[test]
    fn between_two_alerts_of_an_episode_a_late_hit_is_thinned() {
        let mut episodes = Episodes::default();
        hit(&mut episodes, KEY, 0, "a");
        hit(&mut episodes, KEY, 99, "b");
        assert_eq!(hit(&mut episodes, KEY, 198, "c"), alert("a", 2, 3, 1));
        // 98 and 99 are within 100 of the first alert, 100 and 150 of the second.
        for time_ms in [1, 98, 99, 100, 150, 197] {
            assert_eq!(
                hit_at(&mut episodes, KEY, (time_ms, 198), "d"),
                Raise::Thinned,
                "{time_ms}"
            );
        }
    }

    #[test]
    fn a_flood_of_hits_far_too_late_is_thinned_like_any_other() {
        let mut episodes = Episodes::default();
        let mut raised = 0;
        hit(&mut episodes, KEY, 1_000_000, "a");
        for time_ms in 0..1_000 {
            episodes.expire(1_000_000);
            let found = hit_at(&mut episodes, KEY, (time_ms, 1_000_000), "b");
            raised += i32::from(found != Raise::Thinned);
        }
        // One per 100 ms of a thousand.
        assert_eq!((raised, episodes.len()), (10, 2));
    }

    #[test]
    fn a_key_keeps_a_bounded_number_of_episodes_and_the_latest_of_them() {
        let mut episodes = Episodes::default();
        for n in 0..50 {
            hit_at(&mut episodes, KEY, (n * 1_000, 0), "a");
        }
        assert_eq!(episodes.len(), MOST_PER_KEY);
        assert_eq!(hit_at(&mut episodes, KEY, (48_950, 49_000), "b"), Raise::Thinned);
        episodes.expire(49_200);
        assert!(episodes.is_empty() && episodes.by_end.is_empty());
    }

    #[test]
    fn saved_episodes_go_on_where_they_stood() {
        let mut episodes = Episodes::default();
        for (time_ms, id) in [(500, "a"), (300, "b"), (250, "c")] {
            hit_at(&mut episodes, KEY, (time_ms, 500), id);
        }
        let mut bytes = Vec::new();
        episodes.begin_save();
        assert!(episodes.save_part(1 << 20, &mut Encoder::new(&mut bytes)));
        let mut loaded = Episodes::default();
        loaded.load(&mut Decoder::new(&bytes)).unwrap();
        for episodes in [&mut episodes, &mut loaded] {
            assert_eq!(episodes.len(), 2);
            assert_eq!(hit_at(episodes, KEY, (499, 500), "d"), Raise::Thinned);
            assert_eq!(hit_at(episodes, KEY, (400, 500), "e"), alert("e", 1, 1, 0));
        }
    }
}
