//! The facts that a record states, before they are written as JSON.

use crate::demo::traffic::encode::{Ip, Money, Place};
use crate::demo::traffic::name::Name;

/// What most records say about the customer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) user: Name,
    pub(super) business: bool,
    pub(super) home_country: &'static str,
    pub(super) age_days: i64,
}

/// A card.
#[derive(Clone, Copy, Debug)]
pub(super) struct Card {
    pub(super) name: Name,
    pub(super) range: &'static str,
    pub(super) country: &'static str,
}

/// A device as the session layer reports it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenDevice {
    pub(super) name: Name,
    pub(super) age_days: i64,
    pub(super) os: &'static str,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) device: Option<SeenDevice>,
    pub(super) ip: Ip,
    pub(super) country: &'static str,
    pub(super) active_call: bool,
    pub(super) remote_access: bool,
}

/// Somebody who sells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shop {
    pub(super) name: Name,
    pub(super) terminal: Name,
    pub(super) mcc: &'static str,
    pub(super) country: &'static str,
    pub(super) city: usize,
    pub(super) median_cents: i64,
}

/// One side of a bank payment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Party {
    pub(super) iban: Name,
    pub(super) label: &'static str,
    pub(super) country: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct CardPayment {
    pub(super) card: Card,
    pub(super) shop: Shop,
    pub(super) order: Option<Name>,
    pub(super) promo: Option<&'static str>,
    pub(super) money: Money,
    pub(super) entry: &'static str,
    pub(super) decline: Option<&'static str>,
    pub(super) session: Option<Session>,
    pub(super) place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct AccountPayment {
    pub(super) account: Name,
    pub(super) balance: Money,
    pub(super) shop: Shop,
    pub(super) order: Name,
    pub(super) promo: Option<&'static str>,
    pub(super) money: Money,
    pub(super) session: Session,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) from: Name,
    pub(super) balance: Money,
    pub(super) to: Name,
    pub(super) to_country: &'static str,
    pub(super) to_age_days: Option<i64>,
    pub(super) money: Money,
    pub(super) note: Option<&'static str>,
    pub(super) session: Session,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Topup {
    pub(super) account: Name,
    pub(super) card: Card,
    pub(super) money: Money,
    pub(super) decline: Option<&'static str>,
    pub(super) session: Session,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Payout {
    pub(super) account: Name,
    pub(super) balance: Money,
    pub(super) destination: Name,
    pub(super) destination_country: &'static str,
    pub(super) money: Money,
    pub(super) session: Session,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Refund {
    pub(super) card: Option<Name>,
    pub(super) shop: Shop,
    pub(super) original: Option<Name>,
    pub(super) asked_by: &'static str,
    pub(super) money: Money,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Authorisation {
    pub(super) card: Card,
    pub(super) shop: Shop,
    pub(super) money: Money,
    pub(super) entry: &'static str,
    pub(super) decline: Option<&'static str>,
    pub(super) place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct CreditTransfer {
    pub(super) status: &'static str,
    pub(super) balance: Option<Money>,
    pub(super) direction: &'static str,
    pub(super) money: Money,
    pub(super) debtor: Party,
    pub(super) creditor: Party,
    pub(super) purpose: Option<&'static str>,
    pub(super) remittance: &'static str,
    pub(super) channel: &'static str,
    pub(super) session: Option<Session>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Debit {
    pub(super) money: Money,
    pub(super) debtor: Party,
    pub(super) creditor: Party,
    pub(super) mandate: Name,
    pub(super) status: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Cash {
    pub(super) account: Name,
    pub(super) kind: &'static str,
    pub(super) money: Money,
    pub(super) branch: Name,
    pub(super) machine: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Chargeback {
    pub(super) card: Name,
    pub(super) shop: Shop,
    pub(super) money: Money,
    pub(super) stage: &'static str,
    pub(super) card_present: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) account: Name,
    pub(super) product: &'static str,
    pub(super) email_domain: &'static str,
    pub(super) session: Session,
}
