//! When and where a person acts: waking hours, trips, cities.

use crate::demo::traffic::calendar::local_hour;
use crate::demo::traffic::encode::Place;
use crate::demo::traffic::random::Random;
use crate::demo::traffic::stage::hours;

/// A city with its centre.
#[derive(Clone, Copy, Debug)]
pub(super) struct City {
    pub(super) country: &'static str,
    pub(super) currency: &'static str,
    pub(super) centre: Place,
}

const fn city(country: &'static str, currency: &'static str, lat: i64, lon: i64) -> City {
    let centre = Place { lat_micro: lat * 1_000, lon_micro: lon * 1_000 };
    City { country, currency, centre }
}

/// Cities where customers live come first; the rest are visited, or are where fraudsters sit.
pub(super) const CITIES: [City; 16] = [
    city("DE", "EUR", 52_520, 13_405),
    city("DE", "EUR", 48_137, 11_575),
    city("DE", "EUR", 53_551, 9_994),
    city("DE", "EUR", 50_938, 6_960),
    city("DE", "EUR", 50_111, 8_682),
    city("AT", "EUR", 48_208, 16_372),
    city("NL", "EUR", 52_370, 4_895),
    city("FR", "EUR", 48_857, 2_352),
    city("IT", "EUR", 45_464, 9_190),
    city("ES", "EUR", 41_385, 2_173),
    city("CH", "CHF", 47_377, 8_541),
    city("GB", "GBP", 51_507, -128),
    city("PL", "PLN", 52_230, 21_012),
    city("US", "USD", 40_713, -74_006),
    city("RO", "EUR", 44_427, 26_103),
    city("TH", "USD", 13_756, 100_502),
];
/// How many of [`CITIES`] have customers.
pub(super) const HOME_CITIES: usize = 10;

/// What a person does day by day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    pub(super) home: usize,
    first_hour: usize,
    last_hour: usize,
    trip: Option<Trip>,
}

/// A trip of some days that comes back every few weeks.
#[derive(Clone, Copy, Debug)]
struct Trip {
    city: usize,
    phase_ms: i64,
}

const TRIP_EVERY_MS: i64 = hours(24 * 20);
const TRIP_LENGTH_MS: i64 = hours(24 * 4);
/// Nobody pays at a terminal this long before a departure or after an arrival: they sit in a plane or a train.
const TRANSIT_MS: i64 = hours(12);

impl Habit {
    pub(super) fn new(random: &mut Random, home: usize) -> Self {
        let night_worker = random.chance(0.03);
        let first_hour = if night_worker { 16 } else { 5 + random.index(5) };
        let last_hour = if night_worker { 29 } else { 20 + random.index(5) };
        let trip = random.chance(0.15).then(|| Trip {
            city: random.index(CITIES.len()),
            phase_ms: random.between(0, TRIP_EVERY_MS - 1),
        });
        Habit { home, first_hour, last_hour, trip }
    }

    /// Whether the person is usually up at this time.
    pub(super) fn awake(&self, time_ms: i64) -> bool {
        let hour = local_hour(time_ms);
        let up = |hour| hour >= self.first_hour && hour < self.last_hour;
        up(hour) || up(hour + 24)
    }

    /// Where the person is, as an index of [`CITIES`]; nowhere while travelling.
    pub(super) fn city_at(&self, time_ms: i64) -> Option<usize> {
        let Some(trip) = self.trip else { return Some(self.home) };
        let position = (time_ms - trip.phase_ms).rem_euclid(TRIP_EVERY_MS);
        if position < TRIP_LENGTH_MS {
            let arrived = (TRANSIT_MS..TRIP_LENGTH_MS - TRANSIT_MS).contains(&position);
            arrived.then_some(trip.city)
        } else {
            Some(self.home)
        }
    }
}

/// A spot within some kilometres of the centre.
pub(super) fn spot(random: &mut Random, city: usize) -> Place {
    let centre = CITIES[city].centre;
    Place {
        lat_micro: centre.lat_micro + random.between(-40_000, 40_000),
        lon_micro: centre.lon_micro + random.between(-60_000, 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traveller_is_in_transit_between_home_and_away() {
        let trip = Some(Trip { city: 13, phase_ms: 0 });
        let habit = Habit { home: 0, first_hour: 7, last_hour: 23, trip };
        assert_eq!(habit.city_at(hours(1)), None);
        assert_eq!(habit.city_at(hours(48)), Some(13));
        assert_eq!(habit.city_at(hours(95)), None);
        assert_eq!(habit.city_at(hours(97)), Some(0));
    }

    #[test]
    fn a_night_worker_is_up_after_midnight_and_asleep_at_noon() {
        let habit = Habit { home: 0, first_hour: 16, last_hour: 29, trip: None };
        assert!(habit.awake(hours(2)));
        assert!(!habit.awake(hours(11)));
    }
}
