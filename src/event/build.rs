//! Rows made from values instead of records: the events of `test` blocks and of synthetic input.
//!
//! Fields that are not set are absent, also when the schema requires them: a test says what it needs and no more. All
//! texts lie in the arena, so [`Row::text`] takes an empty record.

use crate::base::{Currency, parse_address, parse_country};
use crate::event::row::Row;
use crate::event::schema::{
    EventId, EventType, Field, FieldId, FieldType, MoneyCurrency, Schema, SlotId,
};

/// A value that does not fit its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The field has another type.
    #[error("field `{field}` does not take {given}")]
    WrongType {
        /// Name of the field.
        field: String,
        /// What was given.
        given: &'static str,
    },
    /// The currency of the field is fixed.
    #[error("field `{field}` is always in {fixed}")]
    FixedCurrency {
        /// Name of the field.
        field: String,
        /// Its currency.
        fixed: Currency,
    },
    /// No such member.
    #[error("field `{field}` has no member `{member}`")]
    UnknownMember {
        /// Name of the field.
        field: String,
        /// What was given.
        member: String,
    },
    /// Not finite, or out of range.
    #[error("field `{field}` does not take this value")]
    OutOfRange {
        /// Name of the field.
        field: String,
    },
}

type Result = core::result::Result<(), BuildError>;

/// Builds one row.
#[derive(Clone, Debug)]
pub struct RowBuilder<'s> {
    event: &'s EventType,
    row: Row,
}

impl<'s> RowBuilder<'s> {
    /// An event in which every field is absent and the time is 1970.
    pub fn new(schema: &'s Schema, event: EventId) -> Self {
        let mut row = Row::default();
        let event_type = schema.event(event);
        row.reset(event, event_type.n_slots);
        Self { event: event_type, row }
    }

    /// Sets the event time, in ms since 1970.
    pub fn event_time(&mut self, ms: i64) -> &mut Self {
        self.row.time_ms = ms;
        self.row.set(self.event.field(self.event.time).slot, ms.cast_unsigned());
        self
    }

    /// Sets the id.
    ///
    /// # Errors
    /// When the id of this event is not a text.
    pub fn id(&mut self, id: &str) -> Result {
        self.text(self.event.id, id)
    }

    /// Sets a text, entity, IP address, country or currency field from its text, or a member by its name.
    ///
    /// # Errors
    /// When the field has another type, or the text is not one of its values.
    pub fn text(&mut self, field: FieldId, text: &str) -> Result {
        let field = self.event.field(field);
        let word = match &field.ty {
            FieldType::Text | FieldType::Entity(_) => Some(self.row.store_text(text.as_bytes()).0),
            FieldType::Ip => parse_address(text)
                .map(|address| self.row.store_text(address.to_string().as_bytes()).0),
            FieldType::Country => parse_country(text.as_bytes()).map(u64::from),
            FieldType::CurrencyCode => Currency::parse(text).map(|currency| u64::from(currency.0)),
            FieldType::OneOf(members) => {
                let Some(index) = members.iter().position(|member| member == text) else {
                    return Err(BuildError::UnknownMember {
                        field: field.name.clone(),
                        member: text.to_owned(),
                    });
                };
                u64::try_from(index).ok()
            }
            _ => return wrong_type(field, "a text"),
        };
        self.set(field, word)
    }

    /// Sets a money field, in minor units.
    ///
    /// # Errors
    /// When the field is no money, or its currency is fixed and another one.
    pub fn money(&mut self, field: FieldId, minor: i64, currency: Currency) -> Result {
        let field = self.event.field(field);
        match &field.ty {
            FieldType::Money { currency: MoneyCurrency::Fixed(fixed), .. }
                if *fixed != currency =>
            {
                Err(BuildError::FixedCurrency { field: field.name.clone(), fixed: *fixed })
            }
            FieldType::Money { currency: at, .. } => {
                if let MoneyCurrency::At(_, slot) = at {
                    self.row.set(*slot, u64::from(currency.0));
                }
                self.set(field, Some(minor.cast_unsigned()))
            }
            _ => wrong_type(field, "money"),
        }
    }

    /// Sets a number field; an integer field takes [`RowBuilder::integer`].
    ///
    /// # Errors
    /// When the field is no number, or the value not finite.
    pub fn number(&mut self, field: FieldId, number: f64) -> Result {
        let field = self.event.field(field);
        match field.ty {
            FieldType::Number => {
                self.set(field, number.is_finite().then_some((number + 0.0).to_bits()))
            }
            _ => wrong_type(field, "a number"),
        }
    }

    /// Sets an integer field.
    ///
    /// # Errors
    /// When the field has another type.
    pub fn integer(&mut self, field: FieldId, integer: i64) -> Result {
        let field = self.event.field(field);
        match field.ty {
            FieldType::Integer => self.set(field, Some(integer.cast_unsigned())),
            _ => wrong_type(field, "an integer"),
        }
    }

    /// Sets a truth value.
    ///
    /// # Errors
    /// When the field has another type.
    pub fn boolean(&mut self, field: FieldId, value: bool) -> Result {
        let field = self.event.field(field);
        match field.ty {
            FieldType::Bool => self.set(field, Some(u64::from(value))),
            _ => wrong_type(field, "a truth value"),
        }
    }

    /// Sets an instant, in ms since 1970; the event time as well when the field is that.
    ///
    /// # Errors
    /// When the field has another type.
    pub fn time(&mut self, field: FieldId, ms: i64) -> Result {
        if field == self.event.time {
            self.row.time_ms = ms;
        }
        let field = self.event.field(field);
        match field.ty {
            FieldType::Time { .. } => self.set(field, Some(ms.cast_unsigned())),
            _ => wrong_type(field, "a time"),
        }
    }

    /// Sets coordinates, in degrees.
    ///
    /// # Errors
    /// When the field has another type, or a coordinate is out of range.
    pub fn geo(&mut self, field: FieldId, latitude: f64, longitude: f64) -> Result {
        let field = self.event.field(field);
        let in_range = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        match field.ty {
            FieldType::Geo if in_range => {
                self.row.set(SlotId(field.slot.0 + 1), (longitude + 0.0).to_bits());
                self.set(field, Some((latitude + 0.0).to_bits()))
            }
            FieldType::Geo => self.set(field, None),
            _ => wrong_type(field, "coordinates"),
        }
    }

    /// The row.
    pub fn build(self) -> Row {
        self.row
    }

    fn set(&mut self, field: &Field, word: Option<u64>) -> Result {
        match word {
            Some(word) => {
                self.row.set(field.slot, word);
                Ok(())
            }
            None => Err(BuildError::OutOfRange { field: field.name.clone() }),
        }
    }
}

fn wrong_type(field: &Field, given: &'static str) -> Result {
    Err(BuildError::WrongType { field: field.name.clone(), given })
}
