//! The iterator: lets people and fraudsters act, sorts what they drafted by time, and sends it as a network would.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::demo::traffic::calendar::local_hour;
use crate::demo::traffic::name::Kind;
use crate::demo::traffic::population::World;
use crate::demo::traffic::random::{Random, scale};
use crate::demo::traffic::stage::{BANK_TOPIC, Draft, Stage, WALLET_TOPIC};
use crate::demo::traffic::{
    Delivery, MAX_LATENESS_MS, Scenario, TrafficConfig, TrafficEvent, honest, scenarios,
};

/// How busy each hour of the day is, in percent of the average.
const RHYTHM: [i64; 24] = [
    30, 20, 15, 15, 20, 40, 70, 110, 130, 125, 125, 140, 150, 140, 125, 125, 135, 150, 165, 165,
    140, 115, 85, 65,
];
/// Share of records that come late.
const LATE_SHARE: f64 = 0.006;
/// Share of records that come twice.
const DUPLICATE_SHARE: f64 = 0.002;
/// Share of records that are broken.
const MALFORMED_SHARE: f64 = 0.001;

/// Start times are kept within four-digit years.
const LAST_START_MS: i64 = 62_000_000_000_000;

/// Endless traffic; see the module's head.
#[derive(Debug)]
pub struct Traffic {
    config: TrafficConfig,
    random: Random,
    world: World,
    /// Event time of the next sitting.
    now_ms: i64,
    /// Microseconds beyond it.
    rest_us: i64,
    /// What was drafted, ordered by the time it is sent.
    pending: BinaryHeap<Reverse<Sending>>,
    sequence: u64,
    drafted: u64,
    drafted_fraud: u64,
    /// Frauds that have begun.
    episodes: u32,
    /// Scenarios that have not had their turn in this round.
    round: Vec<Scenario>,
    newest_ms: i64,
}

/// A draft on its way; ordered by the time of sending, then by the order of drafting.
#[derive(Debug, PartialEq, Eq)]
struct Sending {
    at_ms: i64,
    sequence: u64,
    delivery: Delivery,
    draft: Draft,
}

impl Ord for Sending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.sequence).cmp(&(other.at_ms, other.sequence))
    }
}

impl PartialOrd for Sending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Traffic {
    /// Builds the world; the traffic begins when it is iterated.
    pub fn new(config: TrafficConfig) -> Self {
        let start_ms = config.start_ms.clamp(-LAST_START_MS, LAST_START_MS);
        let config = TrafficConfig { start_ms, ..config };
        let mut random = Random::new(config.seed);
        let world = World::new(&mut random, config.seed, config.customers, config.start_ms);
        Traffic {
            now_ms: config.start_ms,
            rest_us: 0,
            newest_ms: i64::MIN,
            config,
            random,
            world,
            pending: BinaryHeap::new(),
            sequence: 0,
            drafted: 0,
            drafted_fraud: 0,
            episodes: 0,
            round: Vec::new(),
        }
    }

    /// One sitting of somebody honest or one fraud begins; the clock moves on by what was drafted.
    fn sit(&mut self) {
        let scenario = self.fraud_is_due().then(|| self.next_scenario());
        self.episodes = self.episodes.wrapping_add(u32::from(scenario.is_some()));
        let mut stage = Stage::new(&mut self.world, &mut self.random);
        stage.episode = self.episodes;
        match scenario {
            Some(scenario) => scenarios::play(&mut stage, scenario, self.now_ms),
            None => honest::act(&mut stage, self.now_ms),
        }
        let drafts = stage.drafts;
        let n_drafts = i64::try_from(drafts.len()).unwrap_or(0);
        for draft in drafts {
            self.drafted += 1;
            self.drafted_fraud += u64::from(draft.label.is_some());
            self.dispatch(draft);
        }
        self.advance(n_drafts);
    }

    /// The clock moves on by what so many records take: uniform between nothing and twice the mean.
    fn advance(&mut self, n_drafts: i64) {
        let per_second = self.config.events_per_second.clamp(1e-6, 1e6);
        let busy = RHYTHM[local_hour(self.now_ms)];
        let mean_us = scale(n_drafts * 1_000_000 * 100 / busy, 1.0 / per_second);
        self.rest_us += scale(mean_us, self.random.unit() * 2.0);
        self.now_ms += self.rest_us / 1_000;
        self.rest_us %= 1_000;
    }

    fn fraud_is_due(&self) -> bool {
        let share = self.config.fraud_share.clamp(0.0, 1.0);
        // Let honest people come first, so that a fraud has something to hide in.
        let total = i64::try_from(self.drafted).unwrap_or(i64::MAX);
        let fraud = i64::try_from(self.drafted_fraud).unwrap_or(i64::MAX);
        total >= 50 && fraud < scale(total, share)
    }

    fn next_scenario(&mut self) -> Scenario {
        if self.round.is_empty() {
            self.round = Scenario::ALL.to_vec();
        }
        let index = self.random.index(self.round.len());
        self.round.swap_remove(index)
    }

    fn dispatch(&mut self, draft: Draft) {
        let at_ms = draft.time_ms;
        let broken = self.random.chance(MALFORMED_SHARE).then(|| self.broken(&draft));
        let twice = self.random.chance(DUPLICATE_SHARE).then(|| draft.clone());
        let delay = if self.random.chance(LATE_SHARE) {
            self.random.between(2_000, MAX_LATENESS_MS)
        } else {
            0
        };
        self.send(at_ms + delay, Delivery::InOrder, draft);
        if let Some(copy) = twice {
            let later = at_ms + delay + self.random.between(0, MAX_LATENESS_MS - delay);
            self.send(later, Delivery::Duplicate, copy);
        }
        if let Some(broken) = broken {
            self.send(at_ms, Delivery::Malformed, broken);
        }
    }

    fn send(&mut self, at_ms: i64, delivery: Delivery, draft: Draft) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.pending.push(Reverse(Sending { at_ms, sequence, delivery, draft }));
    }

    /// A record of its own that went wrong on the way; honest records stay whole.
    fn broken(&mut self, like: &Draft) -> Draft {
        let id = self.world.mint.fresh(Kind::Event);
        let mut body = like.body.clone();
        match self.random.below(4) {
            0 => body.truncate(body.len() / 2),
            1 => body = b"<html><body>502 Bad Gateway</body></html>".to_vec(),
            2 => {
                let middle = body.len() / 2;
                body[middle] = 0xFF;
            }
            _ => {
                let kind = if like.topic == BANK_TOPIC { "cash" } else { "login" };
                body = format!("{{\"type\":\"{kind}\",\"id\":\"{}\"}}", id.text()).into_bytes();
            }
        }
        let topic = if like.topic == BANK_TOPIC { BANK_TOPIC } else { WALLET_TOPIC };
        Draft { topic, id, body, label: None, episode: 0, ..like.clone() }
    }

    fn receive(&mut self, sending: Sending) -> TrafficEvent {
        let Sending { delivery, draft, .. } = sending;
        let late = draft.time_ms < self.newest_ms;
        self.newest_ms = self.newest_ms.max(draft.time_ms);
        TrafficEvent {
            topic: draft.topic,
            key: draft.key.text(),
            time_ms: draft.time_ms,
            body: draft.body,
            label: draft.label,
            episode: draft.episode,
            event_id: draft.id.text(),
            delivery: match delivery {
                Delivery::InOrder if late => Delivery::Late,
                other => other,
            },
        }
    }
}

impl Iterator for Traffic {
    type Item = TrafficEvent;

    /// Never ends.
    fn next(&mut self) -> Option<TrafficEvent> {
        // Whatever is drafted from now on is sent no earlier than `now_ms`.
        while self.pending.peek().is_none_or(|Reverse(first)| first.at_ms >= self.now_ms) {
            self.sit();
        }
        let Reverse(sending) = self.pending.pop()?;
        Some(self.receive(sending))
    }
}
