//! Fraud with cards and refunds.

use crate::demo::traffic::encode::Money;
use crate::demo::traffic::habits::{CITIES, spot};
use crate::demo::traffic::name::Kind;
use crate::demo::traffic::population::new_card;
use crate::demo::traffic::records::{Authorisation, Card, CardPayment, Refund, Session, Shop, Who};
use crate::demo::traffic::stage::{Stage, minutes};

fn online_payment(card: Card, shop: Shop, cents: i64, session: Session) -> CardPayment {
    CardPayment {
        card,
        shop,
        order: None,
        promo: None,
        money: Money::eur(cents),
        entry: "ecom",
        decline: None,
        session: Some(session),
        place: None,
    }
}

/// A list of stolen card numbers is tried out with small amounts from one device.
pub(super) fn card_testing(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let session = stage.crook();
    let account = stage.someone();
    let who = stage.world.who(account, at);
    let shop = stage.random.pick(&stage.world.online);
    let n_cards = if careful { 3 } else { stage.random.between(6, 14) };
    let mut now = at;
    for _ in 0..n_cards {
        let country = stage.random.pick(&CITIES).country;
        let card = new_card(stage.random, &mut stage.world.mint, country);
        for _ in 0..stage.random.between(1, 3) {
            let cents = stage.random.between(50, if careful { 3_000 } else { 499 });
            let mut fact = online_payment(card, shop, cents, session);
            fact.order = Some(stage.fresh(Kind::Order));
            if stage.random.chance(0.75) {
                fact.decline = Some(stage.random.pick(&["invalid_card", "suspected_fraud"]));
            }
            stage.card_payment((now, &who), &fact);
            now += if careful { stage.some_minutes(15, 60) } else { stage.some_seconds(8, 40) };
        }
    }
}

/// A tiny payment shows that the card works; then the large one.
pub(super) fn probe_then_strike(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let victim = stage.someone();
    let who = stage.world.who(victim, at);
    let card = stage.world.customers[victim].cards[0];
    let session = stage.crook();
    let shop = stage.random.pick(&stage.world.online);
    let mut fact = online_payment(card, shop, stage.random.between(40, 180), session);
    fact.order = Some(stage.fresh(Kind::Order));
    stage.card_payment((at, &who), &fact);
    let mut now = at;
    for _ in 0..stage.random.between(1, 2) {
        now += if careful { stage.some_minutes(90, 300) } else { stage.some_minutes(3, 28) };
        let shop = stage.random.pick(&stage.world.online);
        let cents = stage.random.between(if careful { 25_000 } else { 55_000 }, 190_000);
        let mut fact = online_payment(card, shop, cents, session);
        fact.order = Some(stage.fresh(Kind::Order));
        stage.card_payment((now, &who), &fact);
    }
}

/// A stolen card is emptied shop by shop.
pub(super) fn card_velocity(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let victim = stage.someone();
    let who = stage.world.who(victim, at);
    let card = stage.world.customers[victim].cards[0];
    let session = stage.crook();
    let n_payments = if careful { 4 } else { stage.random.between(8, 14) };
    let mut now = at;
    for n in 0..n_payments {
        let shop = stage.random.pick(&stage.world.online);
        let cents = stage.random.between(3_000, 18_000);
        let mut fact = online_payment(card, shop, cents, session);
        fact.order = Some(stage.fresh(Kind::Order));
        fact.decline = (n > 6 && stage.random.chance(0.4)).then_some("limit_exceeded");
        stage.card_payment((now, &who), &fact);
        now += if careful { stage.some_minutes(30, 90) } else { stage.some_seconds(25, 110) };
    }
}

/// The owner pays at home; a copy of the card pays far away within the hour.
pub(super) fn impossible_travel(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let victim = stage.someone();
    let who = stage.world.who(victim, at);
    let card = stage.world.customers[victim].cards[0];
    let home = stage.world.customers[victim].habit.home;
    let per_city = stage.world.shops.len() / CITIES.len();
    let label = stage.label.take();
    let bank_card = stage.random.chance(0.4);
    let pay = if bank_card { authorise_with_chip } else { pay_with_chip };
    pay(stage, (at, &who), card, home * per_city);
    stage.label = label;
    let away = (home + 1 + stage.random.index(CITIES.len() - 1)) % CITIES.len();
    // The careful one waits until a plane could have made it.
    let mut now =
        at + if careful { stage.some_minutes(500, 700) } else { stage.some_minutes(8, 30) };
    for _ in 0..stage.random.between(1, 3) {
        let shop = away * per_city + stage.random.index(per_city);
        pay(stage, (now, &who), card, shop);
        now += stage.some_minutes(2, 9);
    }
}

fn pay_with_chip(stage: &mut Stage<'_>, act: (i64, &Who), card: Card, shop: usize) {
    let shop = stage.world.shops[shop];
    let fact = CardPayment {
        card,
        shop,
        order: None,
        promo: None,
        money: chip_money(stage, &shop),
        entry: "chip",
        decline: None,
        session: None,
        place: Some(spot(stage.random, shop.city)),
    };
    stage.card_payment(act, &fact);
}

fn authorise_with_chip(stage: &mut Stage<'_>, act: (i64, &Who), card: Card, shop: usize) {
    let shop = stage.world.shops[shop];
    let fact = Authorisation {
        card,
        shop,
        money: chip_money(stage, &shop),
        entry: "chip",
        decline: None,
        place: Some(spot(stage.random, shop.city)),
    };
    stage.authorisation(act, &fact);
}

fn chip_money(stage: &mut Stage<'_>, shop: &Shop) -> Money {
    Money { cents: stage.random.between(6_000, 60_000), currency: CITIES[shop.city].currency }
}

/// Goods are "returned" that were never bought, again and again.
pub(super) fn refund_abuse(stage: &mut Stage<'_>, at: i64) {
    let careful = stage.careful();
    let customer = stage.someone();
    let who = stage.world.who(customer, at);
    let card = stage.world.customers[customer].cards[0];
    let session = stage.world.session(stage.random, customer, at);
    let shop = stage.random.pick(&stage.world.online);
    let mut now = at;
    let mut original = None;
    for _ in 0..if careful { 4 } else { 2 } {
        let cents = stage.random.between(2_000, 9_000);
        let mut fact = online_payment(card, shop, cents, session);
        fact.order = Some(stage.fresh(Kind::Order));
        original = Some(stage.card_payment((now, &who), &fact));
        now += stage.some_minutes(10, 40);
    }
    let n_refunds = if careful { 2 } else { stage.random.between(5, 9) };
    for n in 0..n_refunds {
        let fact = Refund {
            card: Some(card.name),
            shop,
            original: if careful || n == 0 { original } else { None },
            asked_by: "buyer",
            money: Money::eur(stage.random.between(2_000, 14_000)),
        };
        stage.refund((now, &who), &fact);
        now += minutes(stage.random.between(12, 70));
    }
}
