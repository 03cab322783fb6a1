//! What fraudsters do. Each scenario is a bundle of labelled records over minutes to hours.
//!
//! About three in ten of each are *careful*: slower, smaller, from fewer traces. Rules that catch the usual form miss
//! many of these, as in life.

mod accounts;
mod cards;
mod money;

use crate::demo::traffic::Scenario;
use crate::demo::traffic::habits::CITIES;
use crate::demo::traffic::name::{Kind, Name};
use crate::demo::traffic::population::{SYSTEMS, home_ip};
use crate::demo::traffic::records::{Party, SeenDevice, Session};
use crate::demo::traffic::stage::{Stage, minutes, seconds};

/// Plays one scenario that begins at this time.
pub(super) fn play(stage: &mut Stage<'_>, scenario: Scenario, at: i64) {
    stage.label = Some(scenario);
    match scenario {
        Scenario::CardTesting => cards::card_testing(stage, at),
        Scenario::ProbeThenStrike => cards::probe_then_strike(stage, at),
        Scenario::CardVelocity => cards::card_velocity(stage, at),
        Scenario::ImpossibleTravel => cards::impossible_travel(stage, at),
        Scenario::RefundAbuse => cards::refund_abuse(stage, at),
        Scenario::AccountTakeover => accounts::account_takeover(stage, at),
        Scenario::SimSwap => accounts::sim_swap(stage, at),
        Scenario::CredentialStuffing => accounts::credential_stuffing(stage, at),
        Scenario::AccountFarm => accounts::account_farm(stage, at),
        Scenario::PaymentScam => accounts::payment_scam(stage, at),
        Scenario::MulePassThrough => money::mule_pass_through(stage, at),
        Scenario::TopUpCashOut => money::top_up_cash_out(stage, at),
        Scenario::Structuring => money::structuring(stage, at),
        Scenario::DormantAwakening => money::dormant_awakening(stage, at),
    }
    stage.label = None;
}

impl Stage<'_> {
    /// Whether this fraudster takes pains not to be seen.
    fn careful(&mut self) -> bool {
        self.random.chance(0.3)
    }

    /// A device and an address that nobody here has used before.
    fn crook(&mut self) -> Session {
        let name = self.fresh(Kind::Device);
        let city = self.random.index(CITIES.len());
        Session {
            device: Some(SeenDevice { name, age_days: 0, os: self.random.pick(&SYSTEMS) }),
            ip: home_ip(self.random),
            country: CITIES[city].country,
            active_call: false,
            remote_access: false,
        }
    }

    /// An account outside, opened for the purpose.
    fn drop_account(&mut self) -> Party {
        let country = self.random.pick(&["DE", "LT", "ES", "RO"]);
        Party { iban: self.fresh(Kind::Iban), label: "K. Schmidt", country }
    }

    fn some_seconds(&mut self, low: i64, high: i64) -> i64 {
        seconds(self.random.between(low, high))
    }

    fn some_minutes(&mut self, low: i64, high: i64) -> i64 {
        minutes(self.random.between(low, high))
    }

    fn wallet_of(&self, index: usize) -> Name {
        self.world.customers[index].wallet
    }
}
