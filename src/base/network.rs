//! Networks of addresses, `192.0.2.0/24`, and which of many an address lies in.
//!
//! An IPv4 address that is written in IPv6, `::ffff:192.0.2.1`, is the IPv4 address: records, rules, lists and commands
//! all read addresses by [`parse_address`] and networks by [`Network::parse`].

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};

/// Where IPv6 has the IPv4 addresses: `::ffff:0:0/96`.
const MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);

/// Bits that all IPv4 addresses in IPv6 have in common.
const MAPPED_LENGTH: u8 = 96;

/// Reads an address, one of IPv4 written in IPv6 as IPv4; `None`: it is no address.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Why a text names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNetwork {
    /// It is not written as one.
    Malformed,
    /// It holds all IPv4 addresses as IPv6 has them, and IPv6 addresses beside them: which are meant nobody knows.
    HoldsBoth,
}

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    is_v4: bool,
    /// How many bits are the same.
    length: u8,
    /// The first address, in the lowest bits.
    first: u128,
}

impl Network {
    /// Reads `192.0.2.0/24`; `::ffff:192.0.2.0/120` is the same.
    ///
    /// # Errors
    /// Why it names none.
    pub fn parse(text: &str) -> Result<Self, NoNetwork> {
        let (address, length) = text.split_once('/').ok_or(NoNetwork::Malformed)?;
        let address: IpAddr = address.parse().map_err(|_| NoNetwork::Malformed)?;
        let length: u8 = length.parse().map_err(|_| NoNetwork::Malformed)?;
        if length > width(address.is_ipv4()) {
            return Err(NoNetwork::Malformed);
        }
        let network = Self::around(address, length);
        match (address.to_canonical(), length.checked_sub(MAPPED_LENGTH)) {
            (v4 @ IpAddr::V4(_), Some(length)) if address.is_ipv6() => Ok(Self::around(v4, length)),
            _ if network == Self::around(MAPPED.into(), length) => Err(NoNetwork::HoldsBoth),
            _ => Ok(network),
        }
    }

    /// The address, where it is the network of one.
    pub fn only(self) -> Option<IpAddr> {
        (self.length == width(self.is_v4)).then(|| self.first())
    }

    /// The network of this length in which an address lies.
    fn around(address: IpAddr, length: u8) -> Self {
        let is_v4 = address.is_ipv4();
        let bits = match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let free = u32::from(width(is_v4).saturating_sub(length));
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        Self { is_v4, length, first: bits & mask }
    }

    /// Its first address.
    pub fn first(self) -> IpAddr {
        if self.is_v4 {
            let bits = u32::try_from(self.first).unwrap_or_default();
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(self.first))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first(), self.length)
    }
}

/// Bits of an address.
fn width(is_v4: bool) -> u8 {
    if is_v4 { 32 } else { 128 }
}

/// Networks with what is known of each.
#[derive(Clone, Debug)]
pub struct Networks<T> {
    known: BTreeMap<Network, T>,
    /// The lengths that there are, of each width.
    lengths: BTreeSet<(bool, u8)>,
}

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), lengths: BTreeSet::new() }
    }
}

impl<T> Networks<T> {
    /// Adds a network, or says something else of one.
    pub fn insert(&mut self, network: Network, value: T) {
        self.lengths.insert((network.is_v4, network.length));
        self.known.insert(network, value);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What is known of the networks in which an address lies, the narrowest first.
    ///
    /// # Cost
    /// One search for each different length.
    pub fn around(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let lengths = self.lengths.range((address.is_ipv4(), 0)..=(address.is_ipv4(), u8::MAX));
        lengths
            .rev()
            .filter_map(move |(_, length)| self.known.get(&Network::around(address, *length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_and_written_by_its_first_address() {
        let read = |text: &str| Network::parse(text).ok().map(|network| network.to_string());
        let same = |text: &str| assert_eq!(read(text).as_deref(), Some(text));
        for text in ["192.0.2.0/24", "0.0.0.0/0", "10.1.2.3/32", "2001:db8::/32", "::1/128"] {
            same(text);
        }
        assert_eq!(read("192.0.2.77/24").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(read("2001:db8:ffff::1/33").as_deref(), Some("2001:db8:8000::/33"));
        for text in
            ["192.0.2.0", "192.0.2.0/33", "::/129", "192.0.2/24", "192.0.2.0/-1", "a/8", "/"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    /// RFC 4291, section 2.5.5.2: 80 bits of nought, 16 of one, then the IPv4 address.
    #[test]
    fn ipv4_in_ipv6_is_ipv4() {
        let address = |text: &str| parse_address(text).map(|address| address.to_string());
        assert_eq!(address("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(address("::FFFF:c000:0201").as_deref(), Some("192.0.2.1"));
        assert_eq!(
            address("::192.0.2.1").as_deref(),
            Some("::c000:201"),
            "another form, long gone"
        );
        let network = |text: &str| Network::parse(text).map(|network| network.to_string());
        assert_eq!(network("::ffff:192.0.2.0/120"), Ok("192.0.2.0/24".to_owned()));
        assert_eq!(network("::ffff:192.0.2.1/128"), Ok("192.0.2.1/32".to_owned()));
        assert_eq!(network("::ffff:0:0/96"), Ok("0.0.0.0/0".to_owned()));
        assert_eq!(network("::fffe:0:0/96"), Ok("::fffe:0:0/96".to_owned()));
        for text in ["::/0", "::/80", "::ffff:0:0/95", "::ffff:192.0.2.0/80", "::fffe:0:0/95"] {
            assert_eq!(network(text), Err(NoNetwork::HoldsBoth), "{text}");
        }
    }

    /// By hand: the second half of a /24 begins at 128.
    #[test]
    fn the_narrowest_network_comes_first_and_widths_are_apart() {
        let mut networks = Networks::default();
        for (text, value) in
            [("192.0.2.0/24", 1), ("192.0.2.128/25", 2), ("0.0.0.0/0", 3), ("2000::/3", 4)]
        {
            networks.insert(Network::parse(text).unwrap(), value);
        }
        let around =
            |text: &str| -> Vec<i32> { networks.around(text.parse().unwrap()).copied().collect() };
        assert_eq!(around("192.0.2.127"), [1, 3]);
        assert_eq!(around("192.0.2.128"), [2, 1, 3]);
        assert_eq!(around("192.0.3.0"), [3]);
        assert_eq!(around("2001:db8::1"), [4]);
    }
}
