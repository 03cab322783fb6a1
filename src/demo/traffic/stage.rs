//! Where honest people and fraudsters act: every act becomes a drafted record with its event time and label.

use crate::demo::traffic::Scenario;
use crate::demo::traffic::name::{Kind, Name};
use crate::demo::traffic::population::World;
use crate::demo::traffic::random::Random;
use crate::demo::traffic::records::Who;

/// Topic of wallet records.
pub const WALLET_TOPIC: &str = "wallet.events";
/// Topic of bank records.
pub(super) const BANK_TOPIC: &str = "bank.events";

/// A record that will be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) topic: &'static str,
    pub(super) id: Name,
    pub(super) key: Name,
    pub(super) time_ms: i64,
    pub(super) body: Vec<u8>,
    pub(super) label: Option<Scenario>,
    pub(super) episode: u32,
}

/// One bundle of acts that belong together.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) world: &'a mut World,
    pub(super) random: &'a mut Random,
    pub(super) drafts: Vec<Draft>,
    /// Who is behind what follows: nobody in particular, or a scenario of fraud.
    pub(super) label: Option<Scenario>,
    /// Which fraud of the whole traffic this is, from 1; 0 is none.
    pub(super) episode: u32,
}

impl<'a> Stage<'a> {
    pub(super) fn new(world: &'a mut World, random: &'a mut Random) -> Self {
        Stage { world, random, drafts: Vec::new(), label: None, episode: 0 }
    }

    pub(super) fn fresh(&mut self, kind: Kind) -> Name {
        self.world.mint.fresh(kind)
    }

    pub(super) fn push(&mut self, topic: &'static str, id: Name, act: (i64, &Who), body: Vec<u8>) {
        let (time_ms, who) = act;
        let label = self.label;
        let episode = if label.is_some() { self.episode } else { 0 };
        self.drafts.push(Draft { topic, id, key: who.user, time_ms, body, label, episode });
    }
}

/// Milliseconds of so many seconds.
pub(super) const fn seconds(n: i64) -> i64 {
    n * 1_000
}

/// Milliseconds of so many minutes.
pub(super) const fn minutes(n: i64) -> i64 {
    n * 60_000
}

/// Milliseconds of so many hours.
pub(super) const fn hours(n: i64) -> i64 {
    n * 3_600_000
}
