//! Countries: which two letters are one.
//!
//! The officially assigned codes of ISO 3166-1, and those that the standard leaves to users (`AA`, `QM` to `QZ`, `XA` to
//! `XZ`, `ZZ`). WHY the latter: banks and card schemes use them on purpose, `XK` for Kosovo, `XX` for nobody's; to
//! refuse the record would leave a payment without an answer. Reserved and withdrawn codes (`UK`, `EU`, `SU`, `AN`) are
//! not countries: two codes for one country would split its history and pass by the lists.
//!
//! # Source
//! ISO 3166-1:2020 with the changes of its maintenance agency up to 2025; section 8.1.3 for user-assigned codes.

/// Assigned codes, by first letter.
const ASSIGNED: [&[u8]; 26] = [
    b"DEFGILMOQRSTUWXZ",
    b"ABDEFGHIJLMNOQRSTVWYZ",
    b"ACDFGHIKLMNORUVWXYZ",
    b"EJKMOZ",
    b"CEGHRST",
    b"IJKMOR",
    b"ABDEFGHILMNPQRSTUWY",
    b"KMNRTU",
    b"DELMNOQRST",
    b"EMOP",
    b"EGHIMNPRWYZ",
    b"ABCIKRSTUVY",
    b"ACDEFGHKLMNOPQRSTUVWXYZ",
    b"ACEFGILOPRUZ",
    b"M",
    b"AEFGHKLMNRSTWY",
    b"A",
    b"EOSUW",
    b"ABCDEGHIJKLMNORSTVXYZ",
    b"CDFGHJKLMNORTVWZ",
    b"AGMSYZ",
    b"ACEGINU",
    b"FS",
    b"",
    b"ET",
    b"AMW",
];

/// Second letters that are left to users, by first letter.
const OF_USERS: [(u8, core::ops::RangeInclusive<u8>); 4] =
    [(b'A', b'A'..=b'A'), (b'Q', b'M'..=b'Z'), (b'X', b'A'..=b'Z'), (b'Z', b'Z'..=b'Z')];

/// One bit per second letter.
static KNOWN: [u32; 26] = known();

/// The two letters packed, when they are the code of a country.
pub fn parse_country(code: &[u8]) -> Option<u32> {
    match *code {
        [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => {
            let seconds = KNOWN.get(usize::from(a - b'A')).copied().unwrap_or_default();
            let known = seconds >> u32::from(b - b'A') & 1 == 1;
            known.then(|| u32::from(a) << 8 | u32::from(b))
        }
        _ => None,
    }
}

/// The code that is meant by one that people write though it is none.
pub fn country_meant(code: &str) -> Option<&'static str> {
    match code.to_ascii_uppercase().as_str() {
        "UK" => Some("GB"),
        "EL" => Some("GR"),
        "TP" => Some("TL"),
        "ZR" => Some("CD"),
        "BU" => Some("MM"),
        _ => None,
    }
}

const fn known() -> [u32; 26] {
    let mut table = [0; 26];
    let mut first = 0;
    while first < 26 {
        let mut nth = 0;
        while nth < ASSIGNED[first].len() {
            table[first] |= 1 << (ASSIGNED[first][nth] - b'A');
            nth += 1;
        }
        first += 1;
    }
    let mut nth = 0;
    while nth < OF_USERS.len() {
        let (first, seconds) = &OF_USERS[nth];
        let mut second = *seconds.start();
        while second <= *seconds.end() {
            table[(*first - b'A') as usize] |= 1 << (second - b'A');
            second += 1;
        }
        nth += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_249_assigned_codes_and_42_of_users() {
        let assigned: usize = ASSIGNED.iter().map(|seconds| seconds.len()).sum();
        let all: u32 = KNOWN.iter().map(|seconds| seconds.count_ones()).sum();
        assert_eq!((assigned, all), (249, 249 + 1 + 14 + 26 + 1));
    }

    #[test]
    fn a_country_is_an_assigned_code_or_one_of_users() {
        for code in [
            "DE", "GB", "KP", "IR", "SS", "BQ", "CW", "TL", "AX", "ZW", "XK", "XX", "QZ", "AA",
            "ZZ",
        ] {
            let packed = u32::from(code.as_bytes()[0]) * 256 + u32::from(code.as_bytes()[1]);
            assert_eq!(parse_country(code.as_bytes()), Some(packed), "{code}");
        }
        for code in
            ["UK", "EU", "EL", "SU", "AN", "YU", "CS", "QL", "ZZZ", "de", "D", "", "D1", "\u{e4}"]
        {
            assert_eq!(parse_country(code.as_bytes()), None, "{code}");
        }
    }
}
