//! The made-up world: customers with cards, devices, friends and shops; businesses, utilities, branches.
//!
//! Cost: about 1 KB per customer. Everything is drawn from the seed once, at the start.

use crate::demo::traffic::encode::{Ip, Money};
use crate::demo::traffic::habits::{CITIES, HOME_CITIES, Habit};
use crate::demo::traffic::name::{Kind, Mint, Name};
use crate::demo::traffic::random::Random;
use crate::demo::traffic::records::{Card, Party, SeenDevice, Session, Shop, Who};
use crate::demo::traffic::stage::hours;

/// A device that somebody owns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    pub(super) name: Name,
    pub(super) os: &'static str,
    pub(super) bound_ms: i64,
}

/// A purchase that may be refunded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purchase {
    pub(super) id: Name,
    pub(super) card: Name,
    pub(super) shop: Shop,
    pub(super) money: Money,
}

/// One customer.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    pub(super) user: Name,
    pub(super) wallet: Name,
    pub(super) party: Party,
    pub(super) business: bool,
    pub(super) dormant: bool,
    opened_ms: i64,
    pub(super) cards: Vec<Card>,
    pub(super) devices: Vec<Device>,
    pub(super) friends: Vec<usize>,
    pub(super) shops: Vec<usize>,
    pub(super) online: Vec<usize>,
    pub(super) landlord: Party,
    pub(super) rent_cents: i64,
    pub(super) employer: usize,
    pub(super) salary_cents: i64,
    pub(super) mandates: Vec<(Name, usize, i64)>,
    pub(super) wealth_cents: i64,
    pub(super) habit: Habit,
    home_ip: Ip,
    behind_nat: bool,
    pub(super) purchase: Option<Purchase>,
}

/// Everything there is.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) mint: Mint,
    pub(super) customers: Vec<Customer>,
    pub(super) shops: Vec<Shop>,
    pub(super) online: Vec<Shop>,
    pub(super) branches: Vec<(Name, usize)>,
    pub(super) utilities: Vec<Party>,
    by_salary_day: Vec<Vec<usize>>,
    salaries_paid: (usize, usize),
    pub(super) businesses: Vec<usize>,
    pub(super) dormant: Vec<usize>,
}

/// Below this there would be no businesses, no friends and no dormant accounts to speak of.
const MIN_CUSTOMERS: usize = 100;
const SHOPS_PER_CITY: usize = 30;
const ONLINE_SHOPS: usize = 60;
const BRANCHES_PER_CITY: usize = 6;
const UTILITIES: [&str; 6] =
    ["City Power", "Nordwasser", "Mobile & More", "Allround Insurance", "Stream+", "Gym \"Forte\""];
const PEOPLE: [&str; 10] = [
    "A. Weber",
    "B. Novak",
    "C. Rossi",
    "D. Müller",
    "E. García",
    "F. Dubois",
    "G. Jansen",
    "H. Kowalski",
    "I. Horváth",
    "J. O'Neill",
];
const FIRMS: [&str; 6] =
    ["Hof GmbH", "Linden & Co", "Atelier Nord", "Bäckerei Sommer", "Kurier 24", "Studio Vier"];
/// Merchant category codes of shops with the median of what people spend there.
const STREET: [(&str, i64); 8] = [
    ("5411", 2_400),
    ("5411", 3_100),
    ("5812", 2_800),
    ("5814", 900),
    ("5541", 5_500),
    ("5912", 1_700),
    ("7523", 160),
    ("5732", 14_000),
];
const WEB: [(&str, i64); 7] = [
    ("5964", 4_200),
    ("5651", 5_900),
    ("5815", 499),
    ("4511", 21_000),
    ("5732", 17_000),
    ("5942", 1_900),
    ("6051", 12_000),
];
/// Fictitious card ranges: no scheme issues cards that begin with 999.
pub(super) const RANGES: [&str; 12] = [
    "999101", "999102", "999103", "999204", "999205", "999306", "999307", "999408", "999409",
    "999510", "999611", "999712",
];
pub(super) const SYSTEMS: [&str; 3] = ["android", "ios", "web"];

impl World {
    pub(super) fn new(random: &mut Random, seed: u64, n_customers: usize, start_ms: i64) -> Self {
        let mut mint = Mint::new(seed);
        let (shops, online) = shops(random, &mut mint);
        let mut branches = Vec::new();
        for city in 0..HOME_CITIES {
            for _ in 0..BRANCHES_PER_CITY {
                branches.push((mint.fresh(Kind::Branch), city));
            }
        }
        let utilities = UTILITIES
            .iter()
            .map(|label| Party { iban: mint.fresh(Kind::Iban), label, country: "DE" })
            .collect();
        let mut world = World {
            mint,
            customers: Vec::new(),
            shops,
            online,
            branches,
            utilities,
            by_salary_day: vec![Vec::new(); 32],
            salaries_paid: (0, 0),
            businesses: Vec::new(),
            dormant: Vec::new(),
        };
        let n_customers = n_customers.max(MIN_CUSTOMERS);
        for index in 0..n_customers {
            let customer = world.customer(random, index, n_customers, start_ms);
            world.admit(random, index, customer);
        }
        world
    }

    fn admit(&mut self, random: &mut Random, index: usize, mut customer: Customer) {
        // Every seventh shares a home and a tablet with the one before.
        if index % 7 == 1
            && let Some(other) = self.customers.last()
        {
            customer.home_ip = other.home_ip;
            customer.devices.extend(other.devices.first().copied());
        }
        if customer.business {
            self.businesses.push(index);
        } else if customer.dormant {
            self.dormant.push(index);
        } else {
            // Most are paid around the end of the month, the rest on any day.
            let day = if random.chance(0.5) { 25 + random.index(6) } else { 1 + random.index(28) };
            self.by_salary_day[day].push(index);
        }
        self.customers.push(customer);
    }

    fn customer(&mut self, random: &mut Random, index: usize, of: usize, now_ms: i64) -> Customer {
        // Fixed places for the rare kinds, so that even a small world has them.
        let business = index % 25 == 3;
        let dormant = index % 40 == 5;
        let home = home_city(random);
        let country = CITIES[home].country;
        let mint = &mut self.mint;
        let party = Party {
            iban: mint.fresh(Kind::Iban),
            label: if business { random.pick(&FIRMS) } else { random.pick(&PEOPLE) },
            country,
        };
        let n_cards = 1 + random.index(2);
        let n_devices = 1 + random.index(2);
        let n_mandates = 1 + random.index(3);
        let n_utilities = UTILITIES.len();
        Customer {
            user: mint.fresh(Kind::Customer),
            wallet: mint.fresh(Kind::Wallet),
            party,
            business,
            dormant,
            opened_ms: now_ms
                - hours(24)
                    * if dormant {
                        random.between(500, 3_000)
                    } else {
                        random.amount(600, 0.8).min(4_000)
                    },
            cards: (0..n_cards).map(|_| new_card(random, mint, country)).collect(),
            devices: (0..n_devices).map(|_| old_device(random, mint, now_ms)).collect(),
            friends: (0..2 + random.index(6)).map(|_| random.index(of)).collect(),
            shops: (0..6).map(|_| home * SHOPS_PER_CITY + random.index(SHOPS_PER_CITY)).collect(),
            online: (0..4).map(|_| random.index(ONLINE_SHOPS)).collect(),
            landlord: Party { iban: mint.fresh(Kind::Iban), label: "Hausverwaltung", country },
            rent_cents: random.amount(85_000, 0.3) / 1_000 * 1_000,
            employer: random.index(of / 25) * 25 + 3,
            salary_cents: random.amount(245_000, 0.35),
            mandates: (0..n_mandates)
                .map(|_| {
                    let utility = random.index(n_utilities);
                    (mint.fresh(Kind::Mandate), utility, random.amount(4_500, 0.6))
                })
                .collect(),
            wealth_cents: random.amount(if business { 2_500_000 } else { 180_000 }, 0.8),
            habit: Habit::new(random, home),
            home_ip: home_ip(random),
            behind_nat: random.chance(0.12),
            purchase: None,
        }
    }

    /// The next customer who is paid on this day of the month; each once.
    pub(super) fn next_salary(&mut self, day: usize) -> Option<usize> {
        if self.salaries_paid.0 != day {
            self.salaries_paid = (day, 0);
        }
        let next = self.by_salary_day.get(day)?.get(self.salaries_paid.1).copied();
        self.salaries_paid.1 += 1;
        next
    }

    /// What records say about this customer now.
    pub(super) fn who(&self, index: usize, now_ms: i64) -> Who {
        let customer = &self.customers[index];
        Who {
            user: customer.user,
            business: customer.business,
            home_country: customer.party.country,
            age_days: (now_ms - customer.opened_ms).max(0) / hours(24),
        }
    }

    /// A session from a device that the customer owns, at home, on the move or behind a shared address.
    pub(super) fn session(&self, random: &mut Random, index: usize, now_ms: i64) -> Session {
        let customer = &self.customers[index];
        let which = if random.chance(0.8) { 0 } else { random.index(customer.devices.len()) };
        let city = customer.habit.city_at(now_ms).unwrap_or(customer.habit.home);
        let at_home = city == customer.habit.home;
        let ip = if customer.behind_nat || random.chance(0.15) {
            nat_ip(random, city)
        } else if at_home {
            customer.home_ip
        } else {
            home_ip(random)
        };
        let device = customer.devices[which];
        let age_days = (now_ms - device.bound_ms).max(0) / hours(24);
        Session {
            // Some browsers give no device id.
            device: (!random.chance(0.03)).then_some(SeenDevice {
                name: device.name,
                age_days,
                os: device.os,
            }),
            ip,
            country: CITIES[city].country,
            active_call: random.chance(0.01),
            remote_access: random.chance(0.002),
        }
    }
}

fn shops(random: &mut Random, mint: &mut Mint) -> (Vec<Shop>, Vec<Shop>) {
    let mut make = |city: usize, country, (mcc, median): (&'static str, i64)| Shop {
        name: mint.fresh(Kind::Merchant),
        terminal: mint.fresh(Kind::Terminal),
        mcc,
        country,
        city,
        median_cents: random.amount(median, 0.2),
    };
    let street = (0..CITIES.len() * SHOPS_PER_CITY)
        .map(|n| {
            let city = n / SHOPS_PER_CITY;
            make(city, CITIES[city].country, STREET[n % STREET.len()])
        })
        .collect();
    let web = (0..ONLINE_SHOPS)
        .map(|n| make(n % HOME_CITIES, CITIES[n % HOME_CITIES].country, WEB[n % WEB.len()]))
        .collect();
    (street, web)
}

fn home_city(random: &mut Random) -> usize {
    // Two thirds live in the first five.
    if random.chance(0.66) { random.index(5) } else { random.index(HOME_CITIES) }
}

/// A card issued in this country.
pub(super) fn new_card(random: &mut Random, mint: &mut Mint, country: &'static str) -> Card {
    Card { name: mint.fresh(Kind::Card), range: random.pick(&RANGES), country }
}

fn old_device(random: &mut Random, mint: &mut Mint, now_ms: i64) -> Device {
    Device {
        name: mint.fresh(Kind::Device),
        os: random.pick(&SYSTEMS),
        bound_ms: now_ms - hours(24) * random.amount(200, 0.9).clamp(1, 2_000),
    }
}

/// An address of a household: from the range kept for benchmarks (RFC 2544), which nobody has.
pub(super) fn home_ip(random: &mut Random) -> Ip {
    let low = u32::try_from(random.below(1 << 17)).unwrap_or(0);
    Ip(u32::from_be_bytes([198, 18, 0, 0]) | low)
}

/// One of a few addresses that whole cities share (RFC 6598, carrier-grade NAT).
fn nat_ip(random: &mut Random, city: usize) -> Ip {
    let low = u32::try_from(city * 4 + random.index(4)).unwrap_or(0);
    Ip(u32::from_be_bytes([100, 64, 0, 0]) | low)
}
