//! Signed whole numbers of any size by school arithmetic, decimal digit by decimal digit: slow and obvious.

use core::cmp::Ordering;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Big {
    negative: bool,
    /// Least significant first, no leading zeros.
    digits: Vec<u8>,
}

impl Big {
    pub(super) fn of(value: i128) -> Self {
        let digits = value.unsigned_abs().to_string().bytes().rev().map(|b| b - b'0').collect();
        Self { negative: value < 0, digits }.trimmed()
    }

    pub(super) fn power_of_two(exponent: u32) -> Self {
        (0..exponent).fold(Self::of(1), |power, _| power.plus(&power))
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        if self.negative == other.negative {
            return Self { negative: self.negative, digits: add(&self.digits, &other.digits) };
        }
        match size_cmp(&self.digits, &other.digits) {
            Ordering::Less => other.plus(self),
            _ => Self { negative: self.negative, digits: subtract(&self.digits, &other.digits) }
                .trimmed(),
        }
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        let opposite = Self { negative: !other.negative, digits: other.digits.clone() };
        self.plus(&opposite.trimmed())
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        let mut sum = vec![];
        for (shift, digit) in other.digits.iter().enumerate() {
            let mut row = vec![0; shift];
            row.extend(&self.digits);
            for _ in 0..*digit {
                sum = add(&sum, &row);
            }
        }
        Self { negative: self.negative != other.negative, digits: sum }.trimmed()
    }

    pub(super) fn size(&self) -> Self {
        Self { negative: false, digits: self.digits.clone() }
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let rest = self.minus(other);
        match (rest.digits.is_empty(), rest.negative) {
            (true, _) => Ordering::Equal,
            (false, true) => Ordering::Less,
            (false, false) => Ordering::Greater,
        }
    }

    fn trimmed(mut self) -> Self {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        self.negative &= !self.digits.is_empty();
        self
    }
}

fn size_cmp(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.iter().rev().cmp(b.iter().rev()))
}

fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    let mut carry = 0;
    for i in 0..a.len().max(b.len()) {
        let sum = a.get(i).unwrap_or(&0) + b.get(i).unwrap_or(&0) + carry;
        out.push(sum % 10);
        carry = sum / 10;
    }
    if carry > 0 {
        out.push(carry);
    }
    out
}

fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    a.iter()
        .enumerate()
        .map(|(i, digit)| {
            let take = b.get(i).unwrap_or(&0) + borrow;
            borrow = u8::from(*digit < take);
            digit + 10 * borrow - take
        })
        .collect()
}
