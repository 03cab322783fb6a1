//! Ids of everything in the made-up world. They are opaque: nothing in them tells fraud from honest.

use crate::demo::traffic::random::mix;

/// What a name is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Event,
    Customer,
    Wallet,
    Iban,
    Card,
    Device,
    Merchant,
    Terminal,
    Branch,
    Order,
    Mandate,
}

/// An id, 16 bytes, written out only when a record is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) kind: Kind,
    pub(super) number: u64,
}

/// Makes names; never the same twice.
#[derive(Clone, Debug)]
pub(super) struct Mint {
    seed: u64,
    counter: u64,
}

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Eighteen digits of an account number.
const IBAN_DIGITS: u64 = 1_000_000_000_000_000_000;
/// Odd and not a multiple of five, so multiplication by it permutes the residues of both 2^64 and 10^18.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C17;

impl Mint {
    pub(super) fn new(seed: u64) -> Self {
        Mint { seed: mix(seed), counter: 0 }
    }

    /// A new name. Counting, then a bijection: unique by construction.
    pub(super) fn fresh(&mut self, kind: Kind) -> Name {
        self.counter += 1;
        let number = match kind {
            Kind::Iban => {
                let wide = u128::from(self.counter + self.seed % 1_000_003) * u128::from(STRIDE);
                u64::try_from(wide % u128::from(IBAN_DIGITS)).unwrap_or(0)
            }
            _ => mix(self.counter ^ self.seed),
        };
        Name { kind, number }
    }
}

impl Name {
    /// Appends the id as records carry it.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let prefix: &[u8] = match self.kind {
            // Check digits 00 never occur in a real IBAN.
            Kind::Iban => b"DE00",
            Kind::Event => b"evt_",
            Kind::Customer => b"cus_",
            Kind::Wallet => b"wal_",
            Kind::Card => b"crd_",
            Kind::Device => b"dev_",
            Kind::Merchant => b"mer_",
            Kind::Terminal => b"trm_",
            Kind::Branch => b"brn_",
            Kind::Order => b"ord_",
            Kind::Mandate => b"mdt_",
        };
        out.extend_from_slice(prefix);
        if self.kind == Kind::Iban {
            let number = i64::try_from(self.number).unwrap_or(0);
            crate::demo::traffic::calendar::write_digits(out, number, 18);
        } else {
            for shift in (0..16).rev() {
                let nibble = usize::try_from(self.number >> (shift * 4) & 15).unwrap_or(0);
                out.push(HEX[nibble]);
            }
        }
    }

    /// The id as a text.
    pub(super) fn text(self) -> String {
        let mut out = Vec::with_capacity(22);
        self.write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}
