//! Payments as a card processor might see them: a few busy accounts, many quiet ones, people who travel, three kinds of
//! attack, and a tenth of the events up to five seconds late.
//!
//! Event times come from one exponential clock. Every event draws from one stream of random numbers in a fixed order;
//! what belongs to an account for good (home country, usual amount) comes from its number instead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;

use crate::workload::random::{Random, Zipf, scramble};

const ACCOUNTS: u32 = 100_000;
const DEVICES: u32 = 150_000;
const MERCHANTS: u32 = 5_000;

/// 2026-01-01T00:00:00Z.
const BEGIN_MS: f64 = 1_767_225_600_000.0;
/// Mean time between organic events.
const MEAN_GAP_MS: f64 = 864.0;
/// Latest arrival after the event time, for the tenth that is late.
const MAX_DELAY_MS: u32 = 5_000;

/// Salt of the traits that an account has for good.
const ACCOUNT_SALT: u64 = 0x5151_0000_0000;
/// Salt of event ids.
const EVENT_SALT: u64 = 0xabcd_ef01_2345_6789;

const CHANNELS: [&str; 4] = ["pos", "ecom", "atm", "app"];
const ECOM: u32 = 1;
const APP: u32 = 3;

const KINDS: [&str; 4] = ["purchase", "transfer", "withdrawal", "refund"];
const PURCHASE: u32 = 0;
const TRANSFER: u32 = 1;

/// Countries by falling popularity; accounts are taken over from those at `FOREIGN` and after.
const COUNTRIES: [Country; 12] = [
    Country { code: "DE", currency: "EUR", lat: 52.52, lon: 13.40 },
    Country { code: "FR", currency: "EUR", lat: 48.86, lon: 2.35 },
    Country { code: "NL", currency: "EUR", lat: 52.37, lon: 4.90 },
    Country { code: "ES", currency: "EUR", lat: 40.42, lon: -3.70 },
    Country { code: "IT", currency: "EUR", lat: 41.90, lon: 12.50 },
    Country { code: "GB", currency: "GBP", lat: 51.51, lon: -0.13 },
    Country { code: "US", currency: "USD", lat: 40.71, lon: -74.01 },
    Country { code: "PL", currency: "PLN", lat: 52.23, lon: 21.01 },
    Country { code: "RO", currency: "RON", lat: 44.43, lon: 26.10 },
    Country { code: "BR", currency: "BRL", lat: -23.55, lon: -46.63 },
    Country { code: "NG", currency: "NGN", lat: 6.52, lon: 3.38 },
    Country { code: "VN", currency: "VND", lat: 21.03, lon: 105.85 },
];
const FOREIGN: u32 = 6;

#[derive(Clone, Copy, Debug)]
struct Country {
    code: &'static str,
    currency: &'static str,
    lat: f64,
    lon: f64,
}

/// How unevenly accounts pay.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// The busiest account makes 2 % of the events.
    Main,
    /// The busiest account makes 13 % of the events.
    Hot,
}

impl Profile {
    fn account_skew(self) -> f64 {
        match self {
            Self::Main => 0.8,
            Self::Hot => 1.1,
        }
    }
}

/// One payment. Field order is the order of queues: by time, then by serial number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Payment {
    at_ms: u64,
    serial: u64,
    account: u32,
    card: u32,
    device: u32,
    merchant: u32,
    ip: u32,
    amount_minor: u64,
    country: u32,
    /// Degrees times 10,000.
    lat_e4: i64,
    lon_e4: i64,
    channel: u32,
    kind: u32,
}

impl Payment {
    /// Appends the payment as a line of JSON.
    pub(crate) fn write_line(&self, out: &mut String) {
        let Country { code, currency, .. } = COUNTRIES[self.country as usize];
        let [a, b, c, d] = self.ip.to_be_bytes();
        let (id, account) = (scramble(self.serial ^ EVENT_SALT), self.account);
        let (units, cents) = (self.amount_minor / 100, self.amount_minor % 100);
        let (lat, lon) = (Degrees(self.lat_e4), Degrees(self.lon_e4));
        let (channel, kind) = (CHANNELS[self.channel as usize], KINDS[self.kind as usize]);
        write!(
            out,
            r#"{{"event_id":"tx_{id:016x}","ts":{},"account_id":"A{account:07}""#,
            self.at_ms
        )
        .unwrap();
        write!(out, r#","card_id":"C{account:07}{}","device_id":"D{:07}""#, self.card, self.device)
            .unwrap();
        write!(out, r#","merchant_id":"M{:05}","ip":"{a}.{b}.{c}.{d}""#, self.merchant).unwrap();
        write!(out, r#","amount":{units}.{cents:02},"currency":"{currency}","country":"{code}""#)
            .unwrap();
        writeln!(out, r#","lat":{lat},"lon":{lon},"channel":"{channel}","type":"{kind}"}}"#)
            .unwrap();
    }
}

/// Ten-thousandths of a degree, written as a decimal.
struct Degrees(i64);

impl std::fmt::Display for Degrees {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, size) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:04}", size / 10_000, size % 10_000)
    }
}

/// Payments that wait for a time.
#[derive(Debug, Default)]
struct Queue(BinaryHeap<Reverse<(u64, u64, Payment)>>);

impl Queue {
    fn push(&mut self, due_ms: u64, payment: Payment) {
        self.0.push(Reverse((due_ms, payment.serial, payment)));
    }

    fn pop_if(&mut self, is_due: impl FnOnce(u64) -> bool) -> Option<Payment> {
        let due = is_due(self.0.peek()?.0.0);
        due.then(|| self.0.pop()).flatten().map(|Reverse((_, _, payment))| payment)
    }
}

/// All payments of a seed, without end, in the order in which they arrive.
#[derive(Debug)]
pub(crate) struct Payments {
    random: Random,
    accounts: Zipf,
    devices: Zipf,
    merchants: Zipf,
    countries: Zipf,
    /// Event time of the next organic payment.
    next_organic_ms: f64,
    next_serial: u64,
    /// Event time of the payment that was made last.
    now_ms: u64,
    /// Attacks that have begun, by event time.
    planned: Queue,
    /// Payments on their way, by arrival.
    travelling: Queue,
}

impl Payments {
    /// The payments of a seed.
    pub(crate) fn new(seed: u64, profile: Profile) -> Self {
        let mut random = Random::new(seed);
        Self {
            accounts: Zipf::new(ACCOUNTS, profile.account_skew()),
            devices: Zipf::new(DEVICES, 0.6),
            merchants: Zipf::new(MERCHANTS, 1.0),
            countries: Zipf::new(12, 1.2),
            next_organic_ms: BEGIN_MS + random.waiting(MEAN_GAP_MS),
            random,
            next_serial: 0,
            now_ms: 0,
            planned: Queue::default(),
            travelling: Queue::default(),
        }
    }

    /// Makes the next payment by event time and sends it on its way.
    fn make(&mut self) {
        let next_organic_ms = self.next_organic_ms;
        let planned = self.planned.pop_if(|due_ms| ms_of(due_ms) <= next_organic_ms);
        let payment = planned.unwrap_or_else(|| {
            let payment = self.organic();
            if self.random.one_in(1_000) {
                self.plan_attack(&payment);
            }
            payment
        });
        let late = self.random.one_in(10);
        let delay_ms = if late { self.random.below(MAX_DELAY_MS + 1) } else { 0 };
        self.now_ms = payment.at_ms;
        self.travelling.push(payment.at_ms + u64::from(delay_ms), payment);
    }

    fn organic(&mut self) -> Payment {
        let at_ms = whole(self.next_organic_ms);
        let random = &mut self.random;
        self.next_organic_ms += random.waiting(MEAN_GAP_MS);
        let account = scattered(self.accounts.draw(random), ACCOUNTS, 17);
        let mut own = Random::new(u64::from(account) ^ ACCOUNT_SALT);
        let home = self.countries.draw(&mut own);
        let usual_amount = 8.0 + 72.0 * own.unit();
        let travels = random.one_in(50);
        let country = if travels { self.countries.draw(random) } else { home };
        let place = COUNTRIES[country as usize];
        let amount = (usual_amount.ln() + 0.9 * random.normal()).exp();
        let payment = Payment {
            at_ms,
            serial: self.next_serial,
            account,
            amount_minor: whole((100.0 * amount).round().clamp(50.0, 1_000_000.0)),
            card: random.below(2),
            device: scattered(self.devices.draw(random), DEVICES, 29),
            merchant: scattered(self.merchants.draw(random), MERCHANTS, 3),
            ip: random.bits32(),
            country,
            lat_e4: near(place.lat, random),
            lon_e4: near(place.lon, random),
            channel: random.below(4),
            kind: if random.below(10) < 7 { PURCHASE } else { TRANSFER + random.below(3) },
        };
        self.next_serial += 1;
        payment
    }

    fn plan_attack(&mut self, first: &Payment) {
        match self.random.below(3) {
            0 => self.plan_card_testing(first),
            1 => self.plan_takeover(first),
            _ => self.plan_device_farm(first),
        }
    }

    /// Many tiny amounts at many merchants from one new device.
    fn plan_card_testing(&mut self, first: &Payment) {
        let device = self.random.below(DEVICES);
        let mut at_ms = first.at_ms;
        for _ in 0..self.random.between(8, 20) {
            let random = &mut self.random;
            at_ms += u64::from(random.between(700, 15_000));
            let payment = Payment {
                at_ms,
                device,
                merchant: random.below(MERCHANTS),
                amount_minor: u64::from(random.between(50, 500)),
                channel: ECOM,
                kind: PURCHASE,
                ip: random.bits32(),
                ..first.clone()
            };
            self.plan(payment);
        }
    }

    /// A few large transfers from abroad, from one new device.
    fn plan_takeover(&mut self, first: &Payment) {
        let device = self.random.below(DEVICES);
        let country = self.random.between(FOREIGN, 11);
        let Country { lat, lon, .. } = COUNTRIES[country as usize];
        let mut at_ms = first.at_ms;
        for _ in 0..self.random.between(3, 6) {
            let random = &mut self.random;
            at_ms += u64::from(random.between(20_000, 90_000));
            let payment = Payment {
                at_ms,
                device,
                merchant: scattered(self.merchants.draw(random), MERCHANTS, 3),
                amount_minor: u64::from(random.between(80_000, 400_000)),
                country,
                lat_e4: toward_zero(lat * 10_000.0),
                lon_e4: toward_zero(lon * 10_000.0),
                channel: if random.one_in(2) { ECOM } else { APP },
                kind: TRANSFER,
                ..first.clone()
            };
            self.plan(payment);
        }
    }

    /// One device, many accounts.
    fn plan_device_farm(&mut self, first: &Payment) {
        let mut at_ms = first.at_ms;
        for _ in 0..self.random.between(10, 25) {
            let random = &mut self.random;
            at_ms += u64::from(random.between(30_000, 120_000));
            let payment = Payment {
                at_ms,
                account: random.below(ACCOUNTS),
                merchant: scattered(self.merchants.draw(random), MERCHANTS, 3),
                amount_minor: u64::from(random.between(5_000, 30_000)),
                channel: ECOM,
                ..first.clone()
            };
            self.plan(payment);
        }
    }

    fn plan(&mut self, payment: Payment) {
        let payment = Payment { serial: self.next_serial, ..payment };
        self.next_serial += 1;
        self.planned.push(payment.at_ms, payment);
    }
}

impl Iterator for Payments {
    type Item = Payment;

    fn next(&mut self) -> Option<Payment> {
        loop {
            // WHY: what is made from now on has an event time of `now_ms` or later, so nothing can arrive before it.
            let now_ms = self.now_ms;
            if let Some(payment) = self.travelling.pop_if(|due_ms| due_ms < now_ms) {
                return Some(payment);
            }
            self.make();
        }
    }
}

/// Spreads ranks over numbers, so that popular numbers are not neighbours; a bijection on `0..n`.
fn scattered(rank: u32, n: u32, salt: u64) -> u32 {
    let number = (u64::from(rank) * 70_001 + salt) % u64::from(n);
    u32::try_from(number).unwrap_or(n)
}

/// A place within a quarter of a degree.
fn near(degrees: f64, random: &mut Random) -> i64 {
    toward_zero(((degrees + 0.5 * (random.unit() - 0.5)) * 10_000.0).round())
}

#[expect(clippy::cast_possible_truncation, reason = "degrees times 10,000 are small")]
fn toward_zero(number: f64) -> i64 {
    number as i64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times and amounts are positive and below 2^53"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[expect(clippy::cast_precision_loss, reason = "times are below 2^53")]
fn ms_of(time_ms: u64) -> f64 {
    time_ms as f64
}
