//! What honest people do. Some of it looks odd: a new phone, a trip, a pot collected for friends, a payroll run.

use crate::demo::traffic::encode::Money;
use crate::demo::traffic::habits::{CITIES, spot};
use crate::demo::traffic::name::Kind;
use crate::demo::traffic::population::{Device, Purchase, SYSTEMS};
use crate::demo::traffic::random::scale;
use crate::demo::traffic::records::{
    AccountPayment, Card, CardPayment, Payout, Refund, SeenDevice, Session, Shop, Topup, Transfer,
};
use crate::demo::traffic::stage::{Stage, hours, minutes, seconds};

/// One kind of honest act: its share of all sittings, and what is done.
type Act = (u32, fn(&mut Stage<'_>, usize, i64));

const ACTS: [Act; 23] = [
    (300, pay_in_shop),
    (110, pay_online),
    (70, pay_from_wallet),
    (75, pay_friend),
    (18, pay_new_friend),
    (45, top_up),
    (22, cash_out),
    (14, take_back),
    (5, change_phone),
    (5, change_credential),
    (70, look_at_balance),
    (3, collect_pot),
    (70, |stage, index, at| stage.pay_by_bank_card(index, at)),
    (55, |stage, index, at| stage.pay_by_bank(index, at)),
    (12, |stage, index, at| stage.pay_rent(index, at)),
    (60, |stage, index, at| stage.receive_salary(index, at)),
    (50, |stage, index, at| stage.be_debited(index, at)),
    (25, |stage, index, at| stage.withdraw_cash(index, at)),
    (8, |stage, index, at| stage.bring_takings(index, at)),
    (1, |stage, index, at| stage.run_payroll(index, at)),
    (3, |stage, index, at| stage.open_account(index, at)),
    (2, |stage, index, at| stage.dispute(index, at)),
    (1, |stage, index, at| stage.wake_up(index, at)),
];

const NOTES: [&str; 6] =
    ["lunch", "concert tickets", "thanks!", "for \"you know what\"", "Geburtstag", "share of taxi"];
const PROMOTIONS: [&str; 3] = ["SPRING10", "WELCOME5", "FREESHIP"];

/// One honest sitting of somebody who is up at this time.
pub(super) fn act(stage: &mut Stage<'_>, at: i64) {
    let total = ACTS.iter().map(|(weight, _)| u64::from(*weight)).sum();
    let mut rest = stage.random.below(total);
    for (weight, act) in ACTS {
        let weight = u64::from(weight);
        if rest < weight {
            let who = somebody(stage, at);
            act(stage, who, at);
            return;
        }
        rest -= weight;
    }
}

/// An active customer, most likely one who is awake; some customers are much more active than others.
fn somebody(stage: &mut Stage<'_>, at: i64) -> usize {
    let customers = &stage.world.customers;
    let mut index = 0;
    for _ in 0..12 {
        let skew = stage.random.unit();
        index = usize::try_from(scale(i64::try_from(customers.len()).unwrap_or(0), skew * skew))
            .unwrap_or(0)
            .min(customers.len() - 1);
        let customer = &customers[index];
        if !customer.dormant && customer.habit.awake(at) {
            return index;
        }
    }
    if customers[index].dormant { 0 } else { index }
}

/// Log in; one in fifteen mistypes the password first. Returns the session and when it began to be used.
pub(super) fn log_in(stage: &mut Stage<'_>, index: usize, at: i64) -> (Session, i64) {
    let who = stage.world.who(index, at);
    let session = stage.world.session(stage.random, index, at);
    let mut now = at;
    let mut mistakes = 0;
    while mistakes < 3 && stage.random.chance(0.07) {
        stage.login((now, &who), "failed", &session);
        now += seconds(stage.random.between(5, 40));
        mistakes += 1;
    }
    stage.login((now, &who), "success", &session);
    (session, now + seconds(stage.random.between(15, 120)))
}

/// What the wallet holds before an act that takes this much.
pub(super) fn balance(stage: &mut Stage<'_>, index: usize, spent_cents: i64) -> Money {
    let wealth = stage.world.customers[index].wealth_cents;
    let usual = stage.random.amount(wealth, 0.5);
    Money::eur(usual.max(spent_cents + stage.random.between(0, 3_000)))
}

/// Now and then a payment fails for want of money, a mistyped code or a limit.
fn mishap(stage: &mut Stage<'_>) -> Option<&'static str> {
    const REASONS: [&str; 4] =
        ["insufficient_funds", "insufficient_funds", "wrong_pin", "limit_exceeded"];
    stage.random.chance(0.03).then(|| stage.random.pick(&REASONS))
}

/// A shop where the customer is now, the usual ones at home; none while travelling.
pub(super) fn shop_nearby(stage: &mut Stage<'_>, index: usize, at: i64) -> Option<Shop> {
    let customer = &stage.world.customers[index];
    let city = customer.habit.city_at(at)?;
    let shop = if city == customer.habit.home && stage.random.chance(0.85) {
        stage.random.pick(&customer.shops)
    } else {
        let per_city = stage.world.shops.len() / CITIES.len();
        city * per_city + stage.random.index(per_city)
    };
    Some(stage.world.shops[shop])
}

/// A price in the currency of the shop's city.
pub(super) fn price(stage: &mut Stage<'_>, shop: &Shop) -> Money {
    let cents = stage.random.amount(shop.median_cents, 0.55);
    Money { cents, currency: CITIES[shop.city].currency }
}

fn own_card(stage: &mut Stage<'_>, index: usize) -> Card {
    let cards = &stage.world.customers[index].cards;
    if stage.random.chance(0.75) { cards[0] } else { stage.random.pick(cards) }
}

fn remember(stage: &mut Stage<'_>, index: usize, purchase: Purchase) {
    stage.world.customers[index].purchase = Some(purchase);
}

fn pay_in_shop(stage: &mut Stage<'_>, index: usize, at: i64) {
    let Some(shop) = shop_nearby(stage, index, at) else { return pay_online(stage, index, at) };
    let who = stage.world.who(index, at);
    let card = own_card(stage, index);
    let money = price(stage, &shop);
    let entry = if money.cents < 5_000 { "contactless" } else { "chip" };
    let fact = CardPayment {
        card,
        shop,
        order: None,
        promo: None,
        money,
        entry,
        decline: mishap(stage),
        session: None,
        place: Some(spot(stage.random, shop.city)),
    };
    let id = stage.card_payment((at, &who), &fact);
    if fact.decline.is_none() {
        remember(stage, index, Purchase { id, card: card.name, shop, money });
    }
}

fn pay_online(stage: &mut Stage<'_>, index: usize, at: i64) {
    let who = stage.world.who(index, at);
    let usual = stage.random.chance(0.7);
    let shop = if usual {
        let shop = stage.random.pick(&stage.world.customers[index].online);
        stage.world.online[shop]
    } else {
        stage.random.pick(&stage.world.online)
    };
    let card = own_card(stage, index);
    let money = Money::eur(stage.random.amount(shop.median_cents, 0.6));
    let promo = stage.random.chance(0.08).then(|| stage.random.pick(&PROMOTIONS));
    let session = Some(stage.world.session(stage.random, index, at));
    let order = Some(stage.fresh(Kind::Order));
    let entry = if usual { "stored" } else { "ecom" };
    let decline = mishap(stage);
    let mut fact =
        CardPayment { card, shop, order, promo, money, entry, decline, session, place: None };
    let mut now = at;
    // The same order again until it goes through or patience ends.
    while fact.decline.is_some() && stage.random.chance(0.7) {
        stage.card_payment((now, &who), &fact);
        now += seconds(stage.random.between(20, 120));
        if stage.random.chance(0.6) {
            fact.decline = None;
        }
    }
    let id = stage.card_payment((now, &who), &fact);
    if fact.decline.is_none() {
        remember(stage, index, Purchase { id, card: card.name, shop, money });
    }
}

fn pay_from_wallet(stage: &mut Stage<'_>, index: usize, at: i64) {
    let (session, now) = log_in(stage, index, at);
    let who = stage.world.who(index, now);
    let shop = stage.random.pick(&stage.world.online);
    let money = Money::eur(stage.random.amount(shop.median_cents, 0.5));
    let fact = AccountPayment {
        account: stage.world.customers[index].wallet,
        balance: balance(stage, index, money.cents),
        shop,
        order: stage.fresh(Kind::Order),
        promo: stage.random.chance(0.05).then(|| stage.random.pick(&PROMOTIONS)),
        money,
        session,
    };
    stage.account_payment((now, &who), &fact);
}

/// A transfer from one customer's wallet to another's.
pub(super) fn send(stage: &mut Stage<'_>, act: (i64, Session), from: usize, to: (usize, i64)) {
    let (now, session) = act;
    let (receiver, cents) = to;
    let who = stage.world.who(from, now);
    let to_age_days = stage.world.who(receiver, now).age_days;
    let fact = Transfer {
        from: stage.world.customers[from].wallet,
        balance: balance(stage, from, cents),
        to: stage.world.customers[receiver].wallet,
        to_country: stage.world.customers[receiver].party.country,
        to_age_days: Some(to_age_days),
        money: Money::eur(cents),
        note: stage.random.chance(0.6).then(|| stage.random.pick(&NOTES)),
        session,
    };
    stage.transfer((now, &who), &fact);
}

/// People like round sums for friends.
fn gift(stage: &mut Stage<'_>) -> i64 {
    let cents = stage.random.amount(3_500, 0.9);
    if stage.random.chance(0.4) { (cents / 500 + 1) * 500 } else { cents }
}

fn pay_friend(stage: &mut Stage<'_>, index: usize, at: i64) {
    let (session, now) = log_in(stage, index, at);
    let friend = stage.random.pick(&stage.world.customers[index].friends);
    let cents = gift(stage);
    send(stage, (now, session), index, (friend, cents));
    // Sometimes the friend pays back what was too much.
    if stage.random.chance(0.03) {
        let later = now + hours(stage.random.between(1, 20));
        let (session, later) = log_in(stage, friend, later);
        send(stage, (later, session), friend, (index, cents / 2));
    }
}

fn pay_new_friend(stage: &mut Stage<'_>, index: usize, at: i64) {
    let (session, now) = log_in(stage, index, at);
    let who = stage.world.who(index, now);
    let friend = stage.random.index(stage.world.customers.len());
    let payee = stage.world.customers[friend].wallet;
    stage.payee_change((now, &who), ("added", payee), &session);
    let mut now = now + seconds(stage.random.between(10, 60));
    if stage.random.chance(0.6) {
        stage.step_up((now, &who), ("app_confirm", "passed"), &session);
        now += seconds(stage.random.between(5, 30));
    }
    // A used bicycle or a flight for two: now and then it is a lot.
    let cents =
        if stage.random.chance(0.1) { stage.random.amount(70_000, 0.5) } else { gift(stage) };
    send(stage, (now, session), index, (friend, cents));
}

fn top_up(stage: &mut Stage<'_>, index: usize, at: i64) {
    let (session, now) = log_in(stage, index, at);
    let who = stage.world.who(index, now);
    let fact = Topup {
        account: stage.world.customers[index].wallet,
        card: own_card(stage, index),
        money: Money::eur(stage.random.between(2, 20) * 1_000),
        decline: mishap(stage),
        session,
    };
    stage.topup((now, &who), &fact);
}

fn cash_out(stage: &mut Stage<'_>, index: usize, at: i64) {
    let (session, now) = log_in(stage, index, at);
    let who = stage.world.who(index, now);
    let cents = stage.random.amount(18_000, 0.8);
    let party = stage.world.customers[index].party;
    let fact = Payout {
        account: stage.world.customers[index].wallet,
        balance: balance(stage, index, cents),
        destination: party.iban,
        destination_country: party.country,
        money: Money::eur(cents),
        session,
    };
    stage.payout((now, &who), &fact);
}

fn take_back(stage: &mut Stage<'_>, index: usize, at: i64) {
    let Some(purchase) = stage.world.customers[index].purchase.take() else {
        return look_at_balance(stage, index, at);
    };
    let who = stage.world.who(index, at);
    let mut money = purchase.money;
    if stage.random.chance(0.3) {
        money.cents = (money.cents / 2).max(1);
    }
    let later = at + hours(stage.random.between(0, 6));
    let fact = Refund {
        card: Some(purchase.card),
        shop: purchase.shop,
        // A few merchants do not say which payment they refund.
        original: (!stage.random.chance(0.04)).then_some(purchase.id),
        asked_by: if stage.random.chance(0.7) { "buyer" } else { "seller" },
        money,
    };
    stage.refund((later, &who), &fact);
}

fn change_phone(stage: &mut Stage<'_>, index: usize, at: i64) {
    let device =
        Device { name: stage.fresh(Kind::Device), os: stage.random.pick(&SYSTEMS), bound_ms: at };
    let old = std::mem::replace(&mut stage.world.customers[index].devices[0], device);
    let who = stage.world.who(index, at);
    let session = own_device(stage, index, device, at);
    stage.login((at, &who), "success", &session);
    let now = at + minutes(1);
    stage.step_up((now, &who), ("sms", "passed"), &session);
    stage.device_change((now + seconds(20), &who), "registered", &session);
    if stage.random.chance(0.5) {
        let gone = own_device(stage, index, old, at);
        stage.device_change((now + minutes(3), &who), "removed", &gone);
    }
    // A new phone often means a new password, sometimes a first payment right away.
    if stage.random.chance(0.3) {
        stage.credential_change((now + minutes(2), &who), ("password", "app"), Some(&session));
    }
    if stage.random.chance(0.2) {
        pay_friend(stage, index, now + minutes(8));
    }
}

fn own_device(stage: &mut Stage<'_>, index: usize, device: Device, at: i64) -> Session {
    let mut session = stage.world.session(stage.random, index, at);
    session.device = Some(SeenDevice {
        name: device.name,
        age_days: (at - device.bound_ms).max(0) / hours(24),
        os: device.os,
    });
    session
}

fn change_credential(stage: &mut Stage<'_>, index: usize, at: i64) {
    let (session, now) = log_in(stage, index, at);
    let who = stage.world.who(index, now);
    let kind = stage.random.pick(&["password", "password", "email", "phone"]);
    let channel = stage.random.pick(&["app", "app", "web", "branch", "call_center"]);
    let from = (channel == "app" || channel == "web").then_some(session);
    stage.credential_change((now, &who), (kind, channel), from.as_ref());
}

fn look_at_balance(stage: &mut Stage<'_>, index: usize, at: i64) {
    log_in(stage, index, at);
}

/// Somebody collects for a present or a holiday flat and pays it on.
fn collect_pot(stage: &mut Stage<'_>, index: usize, at: i64) {
    let friends = stage.world.customers[index].friends.clone();
    let each =
        if stage.random.chance(0.06) { stage.random.between(15, 35) * 1_000 } else { gift(stage) };
    let mut now = at;
    for friend in &friends {
        now += minutes(stage.random.between(5, 90));
        let session = stage.world.session(stage.random, *friend, now);
        send(stage, (now, session), *friend, (index, each));
    }
    now += minutes(stage.random.between(10, 300));
    let people = i64::try_from(friends.len()).unwrap_or(0) + 1;
    let (session, now) = log_in(stage, index, now);
    let host = stage.random.index(stage.world.customers.len());
    send(stage, (now, session), index, (host, each * people));
}
