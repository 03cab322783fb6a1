//! Records of the wallet topic.

use crate::demo::traffic::encode::Json;
use crate::demo::traffic::name::{Kind, Name};
use crate::demo::traffic::records::{
    AccountPayment, Card, CardPayment, Payout, Refund, Session, Shop, Topup, Transfer, Who,
};
use crate::demo::traffic::stage::{Stage, WALLET_TOPIC};

fn head(id: Name, kind: &str, act: (i64, &Who)) -> Json {
    let (at, who) = act;
    let mut json = Json::new();
    json.name("id", id);
    json.text("type", kind);
    json.time("created_at", at);
    json.open("user");
    json.name("id", who.user);
    json.text("segment", if who.business { "business" } else { "personal" });
    json.text("home_country", who.home_country);
    json.integer("account_age_days", who.age_days);
    json.close();
    json
}

fn session(json: &mut Json, session: Option<&Session>) {
    let Some(session) = session else { return };
    json.open("session");
    if let Some(device) = session.device {
        json.open("device");
        json.name("id", device.name);
        json.integer("age_days", device.age_days);
        json.text("os", device.os);
        json.close();
    }
    json.ip("ip", session.ip);
    json.text("ip_country", session.country);
    json.open("signals");
    json.boolean("active_call", session.active_call);
    json.boolean("remote_access", session.remote_access);
    json.close();
    json.close();
}

fn card(json: &mut Json, card: &Card) {
    json.open("card");
    json.name("id", card.name);
    json.text("bin", card.range);
    json.text("country", card.country);
    json.close();
}

fn shop(json: &mut Json, shop: &Shop) {
    json.open("merchant");
    json.name("id", shop.name);
    json.text("mcc", shop.mcc);
    json.text("country", shop.country);
    json.close();
}

fn order(json: &mut Json, order: Option<Name>, promo: Option<&str>) {
    let Some(order) = order else { return };
    json.open("order");
    json.name("id", order);
    json.text_if("promotion", promo);
    json.close();
}

fn payment_result(json: &mut Json, decline: Option<&str>) {
    json.open("result");
    json.text("status", if decline.is_some() { "declined" } else { "approved" });
    json.text_or_null("decline_code", decline);
    json.close();
}

fn plain_result(json: &mut Json, status: &str) {
    json.open("result");
    json.text("status", status);
    json.close();
}

impl Stage<'_> {
    /// Returns the id, which a refund may name.
    pub(super) fn card_payment(&mut self, act: (i64, &Who), fact: &CardPayment) -> Name {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "card_payment", act);
        card(&mut json, &fact.card);
        shop(&mut json, &fact.shop);
        order(&mut json, fact.order, fact.promo);
        json.money("amount", fact.money);
        json.text("entry_mode", fact.entry);
        payment_result(&mut json, fact.decline);
        session(&mut json, fact.session.as_ref());
        if let Some(place) = fact.place {
            json.open("terminal");
            json.name("id", fact.shop.terminal);
            json.place("location", place);
            json.close();
        }
        self.push(WALLET_TOPIC, id, act, json.finish());
        id
    }

    pub(super) fn account_payment(&mut self, act: (i64, &Who), fact: &AccountPayment) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "account_payment", act);
        json.open("account");
        json.name("id", fact.account);
        json.money("balance", fact.balance);
        json.close();
        shop(&mut json, &fact.shop);
        order(&mut json, Some(fact.order), fact.promo);
        json.money("amount", fact.money);
        plain_result(&mut json, "approved");
        session(&mut json, Some(&fact.session));
        self.push(WALLET_TOPIC, id, act, json.finish());
    }

    pub(super) fn transfer(&mut self, act: (i64, &Who), fact: &Transfer) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "transfer", act);
        json.open("from");
        json.name("account", fact.from);
        json.money("balance", fact.balance);
        json.close();
        json.open("to");
        json.name("account", fact.to);
        json.text("country", fact.to_country);
        if let Some(days) = fact.to_age_days {
            json.integer("account_age_days", days);
        }
        json.close();
        json.money("amount", fact.money);
        json.text_if("note", fact.note);
        session(&mut json, Some(&fact.session));
        self.push(WALLET_TOPIC, id, act, json.finish());
    }

    pub(super) fn topup(&mut self, act: (i64, &Who), fact: &Topup) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "card_topup", act);
        json.open("account");
        json.name("id", fact.account);
        json.close();
        card(&mut json, &fact.card);
        json.money("amount", fact.money);
        payment_result(&mut json, fact.decline);
        session(&mut json, Some(&fact.session));
        self.push(WALLET_TOPIC, id, act, json.finish());
    }

    pub(super) fn payout(&mut self, act: (i64, &Who), fact: &Payout) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "payout", act);
        json.open("account");
        json.name("id", fact.account);
        json.money("balance", fact.balance);
        json.close();
        json.open("destination");
        json.name("iban", fact.destination);
        json.text("country", fact.destination_country);
        json.close();
        json.money("amount", fact.money);
        session(&mut json, Some(&fact.session));
        self.push(WALLET_TOPIC, id, act, json.finish());
    }

    pub(super) fn refund(&mut self, act: (i64, &Who), fact: &Refund) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "refund", act);
        if let Some(name) = fact.card {
            json.open("card");
            json.name("id", name);
            json.close();
        }
        shop(&mut json, &fact.shop);
        json.open("terminal");
        json.name("id", fact.shop.terminal);
        json.close();
        match fact.original {
            Some(original) => json.name("original_payment", original),
            None => json.text_or_null("original_payment", None),
        }
        json.text("requested_by", fact.asked_by);
        json.money("amount", fact.money);
        self.push(WALLET_TOPIC, id, act, json.finish());
    }

    /// `status` is `success` or `failed`.
    pub(super) fn login(&mut self, act: (i64, &Who), status: &str, from: &Session) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "login", act);
        plain_result(&mut json, status);
        session(&mut json, Some(from));
        self.push(WALLET_TOPIC, id, act, json.finish());
    }

    pub(super) fn device_change(&mut self, act: (i64, &Who), kind: &str, from: &Session) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "device_change", act);
        json.open("change");
        json.text("kind", kind);
        json.close();
        session(&mut json, Some(from));
        self.push(WALLET_TOPIC, id, act, json.finish());
    }

    /// `change` is what was changed and where: `("phone", "call_center")`.
    pub(super) fn credential_change(
        &mut self,
        act: (i64, &Who),
        change: (&str, &str),
        from: Option<&Session>,
    ) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "credential_change", act);
        json.open("change");
        json.text("kind", change.0);
        json.text("channel", change.1);
        json.close();
        session(&mut json, from);
        self.push(WALLET_TOPIC, id, act, json.finish());
    }

    pub(super) fn payee_change(&mut self, act: (i64, &Who), change: (&str, Name), from: &Session) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "payee_change", act);
        json.open("change");
        json.text("kind", change.0);
        json.close();
        json.open("payee");
        json.name("account", change.1);
        json.close();
        session(&mut json, Some(from));
        self.push(WALLET_TOPIC, id, act, json.finish());
    }

    /// `result` is the method and `passed` or `failed`.
    pub(super) fn step_up(&mut self, act: (i64, &Who), result: (&str, &str), from: &Session) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "step_up", act);
        json.open("challenge");
        json.text("method", result.0);
        json.close();
        plain_result(&mut json, result.1);
        session(&mut json, Some(from));
        self.push(WALLET_TOPIC, id, act, json.finish());
    }
}
