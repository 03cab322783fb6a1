//! Fraud by getting into accounts, making accounts, or talking their owners into paying.

use crate::demo::traffic::encode::Money;
use crate::demo::traffic::honest::{balance, send};
use crate::demo::traffic::name::Kind;
use crate::demo::traffic::random::scale;
use crate::demo::traffic::records::{Payout, SeenDevice, Transfer};
use crate::demo::traffic::stage::{Stage, minutes};

/// Passwords are guessed, the account is taken over and emptied to a new payee.
pub(super) fn account_takeover(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let victim = stage.someone();
    let who = stage.world.who(victim, at);
    let mut session = stage.crook();
    let mut now = at;
    if careful {
        // Phished, so no guessing; from an address in the victim's country.
        session.country = who.home_country;
    } else {
        for _ in 0..stage.random.between(5, 9) {
            stage.login((now, &who), "failed", &session);
            now += stage.some_seconds(4, 45);
        }
    }
    stage.login((now, &who), "success", &session);
    now += stage.some_minutes(1, 5);
    stage.device_change((now, &who), "registered", &session);
    now += stage.some_minutes(1, 10);
    if !careful {
        stage.credential_change((now, &who), ("password", "app"), Some(&session));
        now += stage.some_minutes(1, 10);
    }
    let mule = stage.someone();
    let payee = stage.wallet_of(mule);
    stage.payee_change((now, &who), ("added", payee), &session);
    let held = Money::eur(stage.random.between(90_000, 900_000));
    let parts = if careful { 3 } else { 1 };
    for _ in 0..parts {
        now += if careful { stage.some_minutes(90, 400) } else { stage.some_minutes(1, 30) };
        let share = if careful { 0.22 } else { 0.6 + 0.35 * stage.random.unit() };
        let fact = Transfer {
            from: stage.wallet_of(victim),
            balance: held,
            to: payee,
            to_country: stage.world.customers[mule].party.country,
            to_age_days: Some(stage.world.who(mule, now).age_days),
            money: Money::eur(scale(held.cents, share)),
            note: None,
            session,
        };
        stage.transfer((now, &who), &fact);
    }
}

/// The victim's phone number is moved to another SIM; then the wallet is paid out.
pub(super) fn sim_swap(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let victim = stage.someone();
    let who = stage.world.who(victim, at);
    let session = stage.crook();
    let channel = if stage.random.chance(0.8) { "call_center" } else { "web" };
    stage.credential_change((at, &who), ("phone", channel), None);
    let mut now = at + stage.some_minutes(20, 900);
    stage.login((now, &who), "success", &session);
    now += stage.some_minutes(1, 3);
    stage.step_up((now, &who), ("sms", "passed"), &session);
    let drop = stage.drop_account();
    let payouts = if careful { 3 } else { 1 };
    for _ in 0..payouts {
        now += stage.some_minutes(2, 40);
        let cents = if careful {
            stage.random.between(4_000, 9_500)
        } else {
            stage.random.between(35_000, 400_000)
        };
        let fact = Payout {
            account: stage.wallet_of(victim),
            balance: balance(stage, victim, cents),
            destination: drop.iban,
            destination_country: drop.country,
            money: Money::eur(cents),
            session,
        };
        stage.payout((now, &who), &fact);
    }
}

/// Leaked passwords are tried on many accounts from one address.
pub(super) fn credential_stuffing(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let origin = stage.crook();
    let mut now = at;
    for _ in 0..stage.random.between(18, 32) {
        let victim = stage.someone();
        let who = stage.world.who(victim, now);
        let mut session = if careful { stage.crook() } else { origin };
        let name = stage.fresh(Kind::Device);
        session.device = session.device.map(|seen| SeenDevice { name, ..seen });
        let status = if stage.random.chance(0.06) { "success" } else { "failed" };
        stage.login((now, &who), status, &session);
        now += if careful { stage.some_minutes(2, 9) } else { stage.some_seconds(3, 20) };
    }
}

/// Many accounts are opened from one device.
pub(super) fn account_farm(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let mut session = stage.crook();
    let mut now = at;
    for n in 0..stage.random.between(6, 14) {
        if careful && n % 3 == 0 {
            session = stage.crook();
        }
        let like = stage.someone();
        stage.open(now, session, like);
        now += if careful { stage.some_minutes(25, 80) } else { stage.some_minutes(1, 5) };
    }
}

/// A caller talks somebody into paying: own device, own password, second factor passed.
pub(super) fn payment_scam(stage: &mut Stage<'_>, at: i64) {
    let victim = stage.someone();
    let who = stage.world.who(victim, at);
    let mut session = stage.world.session(stage.random, victim, at);
    // Not every phone tells that it is in a call.
    let seen = !stage.careful();
    session.active_call = seen && stage.random.chance(0.7);
    session.remote_access = seen && !session.active_call;
    stage.login((at, &who), "success", &session);
    let mut now = at + stage.some_minutes(2, 6);
    let crook = stage.someone();
    let payee = stage.wallet_of(crook);
    stage.payee_change((now, &who), ("added", payee), &session);
    now += minutes(1);
    stage.step_up((now, &who), ("app_confirm", "passed"), &session);
    for _ in 0..stage.random.between(1, 2) {
        now += stage.some_minutes(1, 12);
        let cents = stage.random.between(120_000, 600_000) / 5_000 * 5_000;
        send(stage, (now, session), victim, (crook, cents));
    }
}
