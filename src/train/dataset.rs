//! What a model reads of every event of a history, taken from the engine as it decides.
//!
//! INVARIANT: a row is what the model would have scored: worked out from what was remembered before the event.

use std::io::{self, Write};

use crate::base::EntityKey;
use crate::base::count::nearest_signed_f64;
use crate::base::time::format_rfc3339;
use crate::engine::{Judged, OutputTopic, Sink};
use crate::event::schema::{FieldType, SlotId};
use crate::models::online::Scored;
use crate::models::online::spec::Row;

use crate::rules::program::{LearnedFeature, MadeOf, ModelId, Program};

/// Most values of a dataset: 4 GB of memory.
const MAX_VALUES: usize = 250_000_000;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its id.
    pub id: Box<str>,
    /// Its time in ms.
    pub time_ms: i64,
    /// Its card or customer, where one was named.
    pub card: Option<EntityKey>,
}

/// A learned model as a rule set declares it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its place in the program.
    pub model: ModelId,
    /// Its name.
    pub name: String,
    /// The event type that it scores.
    pub event: String,
    /// What it reads, ascending by name.
    pub features: Vec<LearnedFeature>,
    /// The field that holds the card or customer.
    pub card: Option<SlotId>,
}

/// A rule set has no such model or field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// No model of that name is learned.
    #[error("the rules have no model `{name}` of kind `learned`: {known}")]
    NoModel {
        /// The name.
        name: String,
        /// Those that there are, as a clause.
        known: String,
    },
    /// Its event has no such field.
    #[error(
        "event `{event}` has no key or text `{field}`: name a key of it, such as its card or customer"
    )]
    NoField {
        /// The event.
        event: String,
        /// The field.
        field: String,
    },
}

impl Wanted {
    /// The model of a name; `card`: the field by which cards are told apart.
    ///
    /// # Errors
    /// Where the rule set has no such model or field.
    pub fn find(program: &Program, name: &str, card: Option<&str>) -> Result<Self, WantedError> {
        let learned = || {
            (0_u16..).map(ModelId).zip(&program.models).filter_map(|(id, plan)| {
                match &plan.made_of {
                    MadeOf::Learned(spec) => Some((id, plan, spec)),
                    MadeOf::Online(_) => None,
                }
            })
        };
        let Some((model, plan, spec)) = learned().find(|(_, plan, _)| plan.name == name) else {
            let names: Vec<&str> = learned().map(|(_, plan, _)| plan.name.as_str()).collect();
            let known = if names.is_empty() {
                "declare it with `model`, `kind learned` and what it reads".to_owned()
            } else {
                format!("they have {}", names.join(", "))
            };
            return Err(WantedError::NoModel { name: name.to_owned(), known });
        };
        let event = program.schema.event(plan.event);
        let slot = |field: &str| {
            let found = event.fields.iter().find(|known| known.name == field);
            let is_text = |ty: &FieldType| matches!(ty, FieldType::Text | FieldType::Entity(_));
            let found = found.filter(|known| is_text(&known.ty));
            found.map(|known| known.slot).ok_or_else(|| WantedError::NoField {
                event: event.name.clone(),
                field: field.to_owned(),
            })
        };
        Ok(Self {
            model,
            name: name.to_owned(),
            event: event.name.clone(),
            features: spec.features.clone(),
            card: card.map(slot).transpose()?,
        })
    }
}

/// Events with what a model reads of them, in the order in which they were decided.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    n_features: usize,
    examples: Vec<Example>,
    values: Vec<Option<i64>>,
}

impl Dataset {
    /// One event and its row.
    pub fn push(&mut self, example: Example, row: Row<'_>) {
        self.n_features = row.len();
        self.examples.push(example);
        self.values.extend_from_slice(row);
    }

    /// All events with their rows.
    pub fn iter(&self) -> impl Iterator<Item = (&Example, Row<'_>)> {
        self.examples.iter().zip(self.values.chunks_exact(self.n_features.max(1)))
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// The times of the earliest and the latest event in ms.
    pub fn span_ms(&self) -> Option<(i64, i64)> {
        let times = || self.examples.iter().map(|example| example.time_ms);
        times().min().zip(times().max())
    }

    /// Writes events with what is known of each as CSV: id, time, the features in the units that people use, and the last
    /// columns as `about` gives them. Gaps are empty.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write_csv<const N: usize>(
        &self,
        features: &[LearnedFeature],
        header: [&str; N],
        about: impl Fn(&Example) -> [String; N],
        out: impl Write,
    ) -> io::Result<()> {
        let mut out = csv::Writer::from_writer(out);
        let names = features.iter().map(|feature| feature.name.as_str());
        out.write_record(["event_id", "time"].into_iter().chain(names).chain(header))?;
        for (example, row) in self.iter() {
            out.write_field(&*example.id)?;
            out.write_field(format_rfc3339(example.time_ms))?;
            for (value, feature) in row.iter().zip(features) {
                let per_natural = feature.unit.per_natural();
                out.write_field(value.map_or(String::new(), |value| natural(value, per_natural)))?;
            }
            out.write_record(about(example))?;
        }
        out.flush()
    }
}

/// A whole number of a row as people write it: exact, where a double holds it.
fn natural(value: i64, per_natural: i64) -> String {
    if per_natural == 1 {
        return value.to_string();
    }
    (nearest_signed_f64(value) / nearest_signed_f64(per_natural)).to_string()
}

/// Watches a run and keeps what a model reads.
#[derive(Debug)]
pub struct Collect {
    wanted: Wanted,
    period: (i64, i64),
    row: Option<Vec<Option<i64>>>,
    dataset: Dataset,
    is_full: bool,
}

/// More events than memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the events have more than {MAX_VALUES} values of features: choose a shorter period, see the flags of periods in `--help`"
)]
pub struct TooMany;

impl Collect {
    /// Keeps events from a time on and before another.
    pub fn new(wanted: Wanted, from_ms: i64, before_ms: i64) -> Self {
        let period = (from_ms, before_ms);
        Self { wanted, period, row: None, dataset: Dataset::default(), is_full: false }
    }

    /// What was kept.
    ///
    /// # Errors
    /// Where there was more than memory is for.
    pub fn finish(self) -> Result<(Wanted, Dataset), TooMany> {
        if self.is_full { Err(TooMany) } else { Ok((self.wanted, self.dataset)) }
    }
}

impl Sink for Collect {
    fn emit(&mut self, _: OutputTopic, _: &[u8], _: &[u8]) {}

    fn watches(&self) -> bool {
        true
    }

    fn scored(&mut self, model: ModelId, row: Row<'_>, _: Option<Scored>) {
        if model == self.wanted.model {
            self.row = Some(row.to_vec());
        }
    }

    fn judged(&mut self, judged: &Judged<'_>) {
        let Some(row) = self.row.take() else { return };
        let (from_ms, before_ms) = self.period;
        if judged.time_ms < from_ms || judged.time_ms >= before_ms {
            return;
        }
        if self.dataset.values.len() + row.len() > MAX_VALUES {
            self.is_full = true;
            return;
        }
        // WHY: events without a card are not all of one.
        let card = self.wanted.card.map(|slot| judged.text(slot)).filter(|text| !text.is_empty());
        let card = card.map(|text| EntityKey::of_text(text.as_bytes()));
        let example = Example { id: judged.id.into(), time_ms: judged.time_ms, card };
        self.dataset.push(example, &row);
    }
}
