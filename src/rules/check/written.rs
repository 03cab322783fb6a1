//! What a record says at each place, by the fields that a test gives: two fields may be read from one place, and then no record
//! has both of two values.

use std::collections::BTreeMap;

use crate::base::Currency;
use crate::base::amount::format_minor;
use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{Field, FieldType, MoneyCurrency, MoneyUnit, Pointer};
use crate::rules::program::{Constant, TestValue};

/// What stands at the places of one event: by their pointers the field that said so, what, and where that is written.
#[derive(Debug, Default)]
pub(super) struct Written {
    places: BTreeMap<Vec<Pointer>, (String, String, Span)>,
}

impl Written {
    /// Adds the value of a field; tells where another one says something else of the same place.
    pub(super) fn add(
        &mut self,
        field: &Field,
        value: &TestValue,
        span: Span,
    ) -> Option<Diagnostic> {
        let mut contrary = None;
        for (from, text) in said(field, value) {
            let Some((other, before, first)) = self.places.get(&from) else {
                self.places.insert(from, (field.name.clone(), text, span));
                continue;
            };
            if *before == text {
                continue;
            }
            let places: Vec<String> = from.iter().map(|place| format!("`{place}`")).collect();
            let message = format!(
                "`{other}` and `{}` are read from one place, {}: no record has `{before}` and `{text}` there",
                field.name,
                places.join(", else ")
            );
            contrary = Some(
                Diagnostic::new(codes::E0507, span, message)
                    .with_related(*first, format!("says `{before}`"))
                    .with_help("give both the same value, or leave one out"),
            );
        }
        contrary
    }
}

/// What a record has to say, and at which pointers, for a field to have a value. Nothing is said of times and places, which are
/// written in several ways.
fn said(field: &Field, value: &TestValue) -> Vec<(Vec<Pointer>, String)> {
    let from = || field.from.clone();
    match (&field.ty, value) {
        (FieldType::Geo | FieldType::Time { .. }, _) | (_, TestValue::Geo(..)) => Vec::new(),
        (_, TestValue::Missing) => vec![(from(), "missing".to_owned())],
        (FieldType::Money { currency, unit }, TestValue::Money(minor, given)) => {
            let amount = match unit {
                MoneyUnit::Major => shortest(&format_minor(*minor, given.minor_digits())),
                MoneyUnit::Minor => minor.to_string(),
            };
            let currency = match currency {
                MoneyCurrency::At(at, _) => Some((vec![at.clone()], given.to_string())),
                MoneyCurrency::Fixed(_) => None,
            };
            [(from(), amount)].into_iter().chain(currency).collect()
        }
        (_, TestValue::Money(..)) => Vec::new(),
        (ty, TestValue::Constant(constant)) => {
            word(ty, constant).map(|text| (from(), text)).into_iter().collect()
        }
    }
}

fn word(ty: &FieldType, constant: &Constant) -> Option<String> {
    Some(match (ty, constant) {
        (FieldType::OneOf(members), Constant::Code(code)) => {
            members.get(usize::try_from(*code).ok()?)?.clone()
        }
        (FieldType::Country, Constant::Code(code)) => {
            let letters = [code >> 8, code & 0xff].map(char::from_u32);
            letters.into_iter().collect::<Option<String>>()?
        }
        (FieldType::CurrencyCode, Constant::Code(code)) => Currency(*code).to_string(),
        (_, Constant::Text(text)) => text.clone(),
        (_, Constant::Int(int)) => int.to_string(),
        (_, Constant::Number(number)) => shortest(&number.to_string()),
        (_, Constant::Bool(truth)) => truth.to_string(),
        (_, Constant::Code(_) | Constant::Money(_)) => return None,
    })
}

/// A decimal without the zeros that say nothing.
fn shortest(decimal: &str) -> String {
    if !decimal.contains('.') {
        return decimal.to_owned();
    }
    decimal.trim_end_matches('0').trim_end_matches('.').to_owned()
}
