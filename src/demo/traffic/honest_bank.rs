//! What honest people and firms do at the bank.

use crate::demo::traffic::calendar::local_day;
use crate::demo::traffic::encode::Money;
use crate::demo::traffic::habits::{HOME_CITIES, spot};
use crate::demo::traffic::honest::{balance, log_in, price, shop_nearby};
use crate::demo::traffic::name::{Kind, Name};
use crate::demo::traffic::population::home_ip;
use crate::demo::traffic::records::{
    Authorisation, Cash, Chargeback, CreditTransfer, Debit, Opening, Party, SeenDevice, Session,
};
use crate::demo::traffic::stage::{Stage, seconds};

const GOODS: [&str; 4] = ["invoice 2214", "Rechnung März", "order / ref 77-A", "deposit \"sofa\""];
const MAIL: [&str; 4] = ["example.com", "example.org", "example.net", "mail.example"];

/// A payment between a customer's account and somebody else's.
pub(super) fn outbound(from: Party, to: Party, cents: i64) -> CreditTransfer {
    CreditTransfer {
        status: "active",
        balance: None,
        direction: "outbound",
        money: Money::eur(cents),
        debtor: from,
        creditor: to,
        purpose: None,
        remittance: "",
        channel: "app",
        session: None,
    }
}

impl Stage<'_> {
    /// A payment out of this customer's account; `balance` is made to suffice.
    pub(super) fn pay_out(
        &mut self,
        index: usize,
        act: (i64, Option<Session>),
        fact: &CreditTransfer,
    ) {
        let (at, session) = act;
        let who = self.world.who(index, at);
        let balance = Some(balance(self, index, fact.money.cents));
        let fact = CreditTransfer { balance, session, ..*fact };
        self.credit_transfer((at, &who), &fact);
    }

    pub(super) fn pay_by_bank_card(&mut self, index: usize, at: i64) {
        let Some(shop) = shop_nearby(self, index, at) else { return };
        let who = self.world.who(index, at);
        let money = price(self, &shop);
        let fact = Authorisation {
            card: self.random.pick(&self.world.customers[index].cards),
            shop,
            money,
            entry: if money.cents < 5_000 { "contactless" } else { "chip" },
            decline: self.random.chance(0.02).then_some("insufficient_funds"),
            place: Some(spot(self.random, shop.city)),
        };
        self.authorisation((at, &who), &fact);
    }

    pub(super) fn pay_by_bank(&mut self, index: usize, at: i64) {
        let (session, now) = log_in(self, index, at);
        let from = self.world.customers[index].party;
        let business = self.world.customers[index].business;
        let to = if self.random.chance(0.5) {
            self.random.pick(&self.world.utilities)
        } else {
            let friends = &self.world.customers[index].friends;
            self.world.customers[self.random.pick(friends)].party
        };
        let cents = self.random.amount(if business { 90_000 } else { 9_000 }, 0.9);
        let fact = CreditTransfer {
            purpose: self.random.chance(0.5).then_some("goods"),
            remittance: self.random.pick(&GOODS),
            ..outbound(from, to, cents)
        };
        self.pay_out(index, (now, Some(session)), &fact);
    }

    pub(super) fn pay_rent(&mut self, index: usize, at: i64) {
        let customer = &self.world.customers[index];
        let fact = CreditTransfer {
            purpose: Some("rent"),
            remittance: "Miete",
            channel: "online",
            ..outbound(customer.party, customer.landlord, customer.rent_cents)
        };
        self.pay_out(index, (at, None), &fact);
    }

    /// Somebody whose salary is due today gets it; each once.
    pub(super) fn receive_salary(&mut self, _somebody: usize, at: i64) {
        let Some(index) = self.world.next_salary(local_day(at)) else { return };
        let who = self.world.who(index, at);
        let customer = &self.world.customers[index];
        let fact = CreditTransfer {
            status: "active",
            balance: Some(Money::eur(customer.wealth_cents)),
            direction: "inbound",
            money: Money::eur(customer.salary_cents),
            debtor: self.world.customers[customer.employer].party,
            creditor: customer.party,
            purpose: Some("salary"),
            remittance: "Gehalt",
            channel: "file",
            session: None,
        };
        self.credit_transfer((at, &who), &fact);
    }

    pub(super) fn be_debited(&mut self, index: usize, at: i64) {
        let who = self.world.who(index, at);
        let customer = &self.world.customers[index];
        let (mandate, utility, cents) = self.random.pick(&customer.mandates);
        let fact = Debit {
            money: Money::eur(cents),
            debtor: customer.party,
            creditor: self.world.utilities[utility],
            mandate,
            status: if self.random.chance(0.02) { "returned" } else { "collected" },
        };
        self.direct_debit((at, &who), &fact);
    }

    pub(super) fn withdraw_cash(&mut self, index: usize, at: i64) {
        let money = Money::eur(self.random.between(1, 10) * 2_000);
        let branch = self.branch_near(index);
        self.handle_cash(index, at, ("withdrawal", money, branch));
    }

    /// A firm brings what it took in cash; some bring just under ten thousand without any ill intent.
    pub(super) fn bring_takings(&mut self, _somebody: usize, at: i64) {
        let index = self.random.pick(&self.world.businesses);
        let money = Money::eur(self.random.amount(180_000, 0.7));
        let branch = self.branch_near(index);
        self.handle_cash(index, at, ("deposit", money, branch));
    }

    /// Kind, amount and branch.
    pub(super) fn handle_cash(&mut self, index: usize, at: i64, what: (&'static str, Money, Name)) {
        let who = self.world.who(index, at);
        let (kind, money, branch) = what;
        let machine = kind == "withdrawal" || self.random.chance(0.4);
        let account = self.world.customers[index].party.iban;
        self.cash((at, &who), &Cash { account, kind, money, branch, machine });
    }

    /// The branch that the customer uses.
    pub(super) fn branch_near(&mut self, index: usize) -> Name {
        let city = self.world.customers[index].habit.home;
        let per_city = self.world.branches.len() / HOME_CITIES;
        self.world.branches[city * per_city + index % per_city].0
    }

    /// A firm pays its people in one file.
    pub(super) fn run_payroll(&mut self, _somebody: usize, at: i64) {
        let index = self.random.pick(&self.world.businesses);
        let from = self.world.customers[index].party;
        let staff = self.random.between(5, 14);
        for _ in 0..staff {
            let payee = self.random.index(self.world.customers.len());
            let customer = &self.world.customers[payee];
            let fact = CreditTransfer {
                purpose: Some("salary"),
                remittance: "Lohn",
                channel: "file",
                ..outbound(from, customer.party, customer.salary_cents)
            };
            let now = at + seconds(self.random.between(0, 90));
            self.pay_out(index, (now, None), &fact);
        }
    }

    /// Opens an account; becomes a customer of the bank in name only, so that the world stays the same size.
    pub(super) fn open_account(&mut self, somebody: usize, at: i64) {
        let mut session = self.world.session(self.random, somebody, at);
        if self.random.chance(0.8) {
            session.ip = home_ip(self.random);
            let name = self.fresh(Kind::Device);
            session.device = session.device.map(|seen| SeenDevice { name, age_days: 0, ..seen });
        }
        self.open(at, session, somebody);
    }

    /// An application from this session by somebody new.
    pub(super) fn open(&mut self, at: i64, session: Session, like: usize) {
        let mut who = self.world.who(like, at);
        who.user = self.fresh(Kind::Customer);
        who.business = false;
        let fact = Opening {
            account: self.fresh(Kind::Iban),
            product: self.random.pick(&["current", "savings", "wallet"]),
            email_domain: self.random.pick(&MAIL),
            session,
        };
        self.account_opening((at, &who), &fact);
    }

    pub(super) fn dispute(&mut self, index: usize, at: i64) {
        let who = self.world.who(index, at);
        let shop = self.random.pick(&self.world.online);
        let fact = Chargeback {
            card: self.world.customers[index].cards[0].name,
            shop,
            money: Money::eur(self.random.amount(shop.median_cents, 0.6)),
            stage: self.random.pick(&["opened", "won", "lost"]),
            card_present: false,
        };
        self.chargeback((at, &who), &fact);
    }

    /// Somebody comes back to an account long forgotten; most take little, a few take all.
    pub(super) fn wake_up(&mut self, _somebody: usize, at: i64) {
        let index = self.random.pick(&self.world.dormant);
        let (session, now) = log_in(self, index, at);
        let from = self.world.customers[index].party;
        let to = self.random.pick(&self.world.utilities);
        let cents = self.random.amount(15_000, 1.0);
        let fact =
            CreditTransfer { status: "dormant", remittance: "back", ..outbound(from, to, cents) };
        self.pay_out(index, (now, Some(session)), &fact);
    }

    /// An active private customer.
    pub(super) fn someone(&mut self) -> usize {
        let mut index = self.random.index(self.world.customers.len());
        while self.world.customers[index].dormant || self.world.customers[index].business {
            index = (index + 1) % self.world.customers.len();
        }
        index
    }
}
