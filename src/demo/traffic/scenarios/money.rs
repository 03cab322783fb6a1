//! Money that is passed on, washed or taken from forgotten accounts.

use crate::demo::traffic::encode::Money;
use crate::demo::traffic::honest::{balance, send};
use crate::demo::traffic::honest_bank::outbound;
use crate::demo::traffic::population::new_card;
use crate::demo::traffic::random::scale;
use crate::demo::traffic::records::{CreditTransfer, Payout, Topup};
use crate::demo::traffic::stage::Stage;

/// Several victims pay one account; most of it leaves again within hours.
pub(super) fn mule_pass_through(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let mule = stage.someone();
    let n_victims = if careful { 3 } else { stage.random.between(5, 9) };
    let mut now = at;
    let mut received = 0;
    for _ in 0..n_victims {
        let victim = stage.someone();
        let session = stage.world.session(stage.random, victim, now);
        let cents = stage.random.between(25_000, 80_000);
        send(stage, (now, session), victim, (mule, cents));
        received += cents;
        now += stage.some_minutes(4, 35);
    }
    let share = if careful { 0.55 } else { 0.9 + 0.08 * stage.random.unit() };
    let who = stage.world.who(mule, now);
    let session = stage.world.session(stage.random, mule, now);
    let next = stage.someone();
    let parts = stage.random.between(1, 3);
    for _ in 0..parts {
        now += stage.some_minutes(2, 25);
        let cents = scale(received, share) / parts;
        if stage.random.chance(0.3) {
            let drop = stage.drop_account();
            let fact = Payout {
                account: stage.wallet_of(mule),
                balance: balance(stage, mule, cents),
                destination: drop.iban,
                destination_country: drop.country,
                money: Money::eur(cents),
                session,
            };
            stage.payout((now, &who), &fact);
        } else {
            send(stage, (now, session), mule, (next, cents));
        }
    }
}

/// Stolen cards fill a wallet, the wallet is paid out.
pub(super) fn top_up_cash_out(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let crook = stage.someone();
    let who = stage.world.who(crook, at);
    let session = stage.crook();
    let n_cards = if careful { 1 } else { stage.random.between(2, 5) };
    let mut now = at;
    let mut filled = 0;
    for n in 0..n_cards + stage.random.between(0, 2) {
        let country = stage.random.pick(&["DE", "FR", "US", "GB"]);
        let card = new_card(stage.random, &mut stage.world.mint, country);
        let cents = stage.random.between(10, 40) * 1_000;
        let refused = n >= n_cards;
        let fact = Topup {
            account: stage.wallet_of(crook),
            card,
            money: Money::eur(cents),
            decline: refused.then_some("suspected_fraud"),
            session,
        };
        stage.topup((now, &who), &fact);
        filled += if refused { 0 } else { cents };
        now += stage.some_minutes(2, 12);
    }
    now += stage.some_minutes(3, 35);
    let drop = stage.drop_account();
    let cents = scale(filled, 0.85 + 0.14 * stage.random.unit());
    let fact = Payout {
        account: stage.wallet_of(crook),
        balance: Money::eur(filled + stage.random.between(0, 2_000)),
        destination: drop.iban,
        destination_country: drop.country,
        money: Money::eur(cents),
        session,
    };
    stage.payout((now, &who), &fact);
}

/// Cash is brought in parts that each stay below the line at which it must be reported.
pub(super) fn structuring(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let customer = stage.someone();
    let mut now = at;
    for _ in 0..stage.random.between(3, 6) {
        let (low, high) = if careful { (450_000, 750_000) } else { (805_000, 998_000) };
        let money = Money::eur(stage.random.between(low, high) / 500 * 500);
        let (branch, _) = stage.random.pick(&stage.world.branches);
        stage.handle_cash(customer, now, ("deposit", money, branch));
        now += stage.some_minutes(70, 420);
    }
}

/// An account that nobody used for a year is taken over and emptied.
pub(super) fn dormant_awakening(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let victim = stage.random.pick(&stage.world.dormant);
    let who = stage.world.who(victim, at);
    let session = stage.crook();
    stage.login((at, &who), "success", &session);
    let from = stage.world.customers[victim].party;
    let mut now = at;
    for _ in 0..if careful { 1 } else { stage.random.between(2, 4) } {
        now += stage.some_minutes(2, 20);
        let to = stage.drop_account();
        let cents = if careful {
            stage.random.between(20_000, 80_000)
        } else {
            stage.random.between(90_000, 420_000)
        };
        let fact = CreditTransfer {
            status: "dormant",
            remittance: "as agreed",
            ..outbound(from, to, cents)
        };
        stage.pay_out(victim, (now, Some(session)), &fact);
    }
}
