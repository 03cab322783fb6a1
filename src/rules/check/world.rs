//! What every expression of a rule set may refer to: fixed before the first expression is read.

use std::collections::BTreeMap;

use crate::base::Currency;
use crate::diag::Sources;
use crate::event::schema::{EventId, FieldId, Schema};
use crate::rules::check::learned::Artifacts;
use crate::rules::program::ListSpec;
use crate::rules::syntax::ast::{Feature, Literal, LiteralKind};

/// The names and settings of a rule set.
#[derive(Debug)]
pub(super) struct World<'a> {
    /// Texts, for expressions inside messages.
    pub(super) sources: &'a Sources,
    /// Whether learned models need theirs.
    pub(super) artifacts: Artifacts,
    /// The input.
    pub(super) schema: &'a Schema,
    /// Lists by their index.
    pub(super) lists: &'a [ListSpec],
    /// Money of several currencies meets in this one.
    pub(super) base_currency: Currency,
    /// There is a table of exchange rates.
    pub(super) converts: bool,
    /// Where days begin.
    pub(super) timezone: jiff::tz::TimeZone,
    /// Named features.
    pub(super) features: BTreeMap<&'a str, &'a Feature>,
    /// Those that are defined by their own past, with their identities.
    pub(super) cycles: BTreeMap<&'a str, String>,
}

impl World<'_> {
    /// A field of an event by its own name or by an entity's name.
    pub(super) fn field(&self, event: EventId, name: &str) -> Option<FieldId> {
        self.schema.key_named(event, name)
    }

    /// The beginning of a day in the policy's time zone, in ms since 1970.
    pub(super) fn day_start_ms(&self, literal: &Literal) -> Option<i64> {
        self.day_ms(literal, 0)
    }

    /// The beginning of the day after.
    pub(super) fn day_end_ms(&self, literal: &Literal) -> Option<i64> {
        self.day_ms(literal, 1)
    }

    fn day_ms(&self, literal: &Literal, days_later: i32) -> Option<i64> {
        let LiteralKind::Date(year, month, day) = literal.kind else { return None };
        let date = jiff::civil::Date::new(year, month, day).ok()?;
        let date = date.checked_add(jiff::Span::new().days(days_later)).ok()?;
        let start = date.to_zoned(self.timezone.clone()).ok()?;
        Some(start.timestamp().as_millisecond())
    }
}
