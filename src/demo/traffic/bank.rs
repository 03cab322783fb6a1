//! Records of the bank topic.

use crate::demo::traffic::encode::Json;
use crate::demo::traffic::name::{Kind, Name};
use crate::demo::traffic::records::{
    Authorisation, Cash, Chargeback, CreditTransfer, Debit, Opening, Party, Session, Shop, Who,
};
use crate::demo::traffic::stage::{BANK_TOPIC, Stage};

fn head(id: Name, kind: &str, act: (i64, &Who)) -> Json {
    let mut json = Json::new();
    json.open("header");
    json.name("id", id);
    json.text("type", kind);
    json.time("created_at", act.0);
    json.text("version", "1.4");
    json.close();
    json
}

fn customer(json: &mut Json, who: &Who, email_domain: Option<&str>) {
    json.open("customer");
    json.name("number", who.user);
    json.text("segment", if who.business { "business" } else { "personal" });
    json.text("country", who.home_country);
    json.text_if("email_domain", email_domain);
    json.close();
}

fn acceptor(json: &mut Json, shop: &Shop) {
    json.open("acceptor");
    json.name("id", shop.name);
    json.name("terminal", shop.terminal);
    json.text("mcc", shop.mcc);
    json.text("country", shop.country);
}

fn channel(json: &mut Json, name: &str, session: Option<&Session>) {
    json.open("channel");
    json.text("name", name);
    if let Some(session) = session {
        if let Some(device) = session.device {
            json.open("device");
            json.name("id", device.name);
            json.integer("age_days", device.age_days);
            json.close();
        }
        json.ip("ip", session.ip);
        json.text("ip_country", session.country);
        json.open("signals");
        json.boolean("active_call", session.active_call);
        json.boolean("remote_access", session.remote_access);
        json.close();
    }
    json.close();
}

/// How a transfer goes: at once where a person orders it in euros, over night with a file.
fn rail(fact: &CreditTransfer) -> &'static str {
    match fact.channel {
        _ if fact.money.currency != "EUR" => "swift",
        "app" | "online" => "sct_inst",
        _ => "sct",
    }
}

fn party(json: &mut Json, role: &str, party: &Party) {
    json.open(role);
    json.text("name", party.label);
    json.open("account");
    json.name("iban", party.iban);
    json.close();
    json.open("agent");
    json.text("country", party.country);
    json.close();
    json.close();
}

impl Stage<'_> {
    pub(super) fn authorisation(&mut self, act: (i64, &Who), fact: &Authorisation) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "card_authorisation", act);
        customer(&mut json, act.1, None);
        json.open("card");
        json.name("token", fact.card.name);
        json.text("range", fact.card.range);
        json.text("entry_mode", fact.entry);
        json.close();
        acceptor(&mut json, &fact.shop);
        if let Some(place) = fact.place {
            json.place("location", place);
        }
        json.close();
        json.money("amount", fact.money);
        json.open("response");
        json.text("status", if fact.decline.is_some() { "declined" } else { "approved" });
        json.text_if("reason", fact.decline);
        json.close();
        self.push(BANK_TOPIC, id, act, json.finish());
    }

    pub(super) fn credit_transfer(&mut self, act: (i64, &Who), fact: &CreditTransfer) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "credit_transfer", act);
        customer(&mut json, act.1, None);
        json.open("account");
        json.text("status", fact.status);
        json.integer("age_days", act.1.age_days);
        if let Some(balance) = fact.balance {
            json.money("balance", balance);
        }
        json.close();
        json.open("payment");
        json.text("direction", fact.direction);
        json.money("amount", fact.money);
        party(&mut json, "debtor", &fact.debtor);
        party(&mut json, "creditor", &fact.creditor);
        json.text("rail", rail(fact));
        json.text_if("purpose", fact.purpose);
        json.text("remittance", fact.remittance);
        json.close();
        channel(&mut json, fact.channel, fact.session.as_ref());
        self.push(BANK_TOPIC, id, act, json.finish());
    }

    pub(super) fn direct_debit(&mut self, act: (i64, &Who), fact: &Debit) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "direct_debit", act);
        customer(&mut json, act.1, None);
        json.open("payment");
        json.money("amount", fact.money);
        party(&mut json, "debtor", &fact.debtor);
        party(&mut json, "creditor", &fact.creditor);
        json.name("mandate", fact.mandate);
        json.text("status", fact.status);
        json.close();
        self.push(BANK_TOPIC, id, act, json.finish());
    }

    pub(super) fn cash(&mut self, act: (i64, &Who), fact: &Cash) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "cash", act);
        customer(&mut json, act.1, None);
        json.open("account");
        json.name("iban", fact.account);
        json.close();
        json.open("cash");
        json.text("kind", fact.kind);
        json.money("amount", fact.money);
        json.name("branch", fact.branch);
        json.boolean("machine", fact.machine);
        json.close();
        self.push(BANK_TOPIC, id, act, json.finish());
    }

    pub(super) fn chargeback(&mut self, act: (i64, &Who), fact: &Chargeback) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "chargeback", act);
        customer(&mut json, act.1, None);
        json.open("card");
        json.name("token", fact.card);
        json.close();
        acceptor(&mut json, &fact.shop);
        json.close();
        json.money("amount", fact.money);
        json.open("dispute");
        json.name("id", id);
        json.text("stage", fact.stage);
        json.boolean("card_present", fact.card_present);
        json.close();
        self.push(BANK_TOPIC, id, act, json.finish());
    }

    pub(super) fn account_opening(&mut self, act: (i64, &Who), fact: &Opening) {
        let id = self.fresh(Kind::Event);
        let mut json = head(id, "account_opening", act);
        customer(&mut json, act.1, Some(fact.email_domain));
        json.open("account");
        json.name("iban", fact.account);
        json.text("product", fact.product);
        json.close();
        channel(&mut json, "app", Some(&fact.session));
        self.push(BANK_TOPIC, id, act, json.finish());
    }
}
