//! What a model reads of every event of a history, taken from the engine as it decides.
//!
//! INVARIANT: a row is what the model would have scored: worked out from what was remembered before the event.

use std::collections::HashSet;
use std::io::{self, Write};

use crate::backtest::labels::{Labels, Verdict};
use crate::base::EntityKey;
use crate::base::count::nearest_signed_f64;
use crate::base::time::format_rfc3339;
use crate::engine::{Judged, ModelSays, OutputTopic, Sink};
use crate::event::schema::{FieldType, SlotId};
use crate::models::offline::FieldSource;
use crate::models::online::DetectorKind;
use crate::models::online::spec::Row;
use crate::rules::program::{LearnedFeature, LearnedSpec, MadeOf, ModelId, ModelPlan, Program};
use crate::train::metrics::Score;

/// Most values of a dataset: 4 GB of memory.
const MAX_VALUES: usize = 250_000_000;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// Its id.
    pub id: Box<str>,
    /// Its time in ms.
    pub time_ms: i64,
    /// Its card or customer, where one was named.
    pub card: Option<EntityKey>,
    /// What the model itself said of it, before it was learned.
    pub said: Option<Said>,
    /// The place of the feature that added most to that, of frauds alone.
    pub reason: Option<usize>,
}

/// A score of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said {
    /// Its own.
    pub raw: Score,
    /// The share of the newest scores that lie below it, 0 to less than 1; none until there are enough of them.
    pub place: Option<f64>,
}

/// A model as a rule set declares it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its place in the program.
    pub model: ModelId,
    /// Its name.
    pub name: String,
    /// The event type that it scores.
    pub event: String,
    /// What it is made of.
    pub kind: WantedKind,
    /// The field that holds the card or customer.
    pub card: Option<SlotId>,
}

/// What a model is made of.
#[derive(Clone, Debug)]
pub enum WantedKind {
    /// It is trained on labels. What it reads, ascending by name.
    Learned {
        /// By name.
        features: Vec<LearnedFeature>,
        /// The fields of which those are made.
        fields: Vec<FieldSource>,
    },
    /// It learns what is usual as events pass.
    Online {
        /// By which detector.
        detector: DetectorKind,
        /// What it reads, ascending.
        features: Vec<String>,
    },
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
    /// The learned model of a name; `card`: the field by which cards are told apart.
    ///
    /// # Errors
    /// Where the rule set has no such model or field.
    pub fn find(program: &Program, name: &str, card: Option<&str>) -> Result<Self, WantedError> {
        let learned = |plan: &&ModelPlan| matches!(plan.made_of, MadeOf::Learned(_));
        let is_it = |(_, plan): &(ModelId, &ModelPlan)| plan.name == name && learned(plan);
        if let Some((model, plan)) = (0_u16..).map(ModelId).zip(&program.models).find(is_it) {
            return Self::of(program, (model, plan), card);
        }
        let names = program.models.iter().filter(learned);
        let names: Vec<&str> = names.map(|plan| plan.name.as_str()).collect();
        let known = if names.is_empty() {
            "declare it with `model`, `kind learned` and what it reads".to_owned()
        } else {
            format!("they have {}", names.join(", "))
        };
        Err(WantedError::NoModel { name: name.to_owned(), known })
    }

    /// All models with one of these names, or all there are, in the order of the program.
    ///
    /// # Errors
    /// Where one of their events has no such field.
    pub fn all(
        program: &Program,
        names: &[String],
        card: Option<&str>,
    ) -> Result<Vec<Self>, WantedError> {
        let is_meant = |plan: &ModelPlan| names.is_empty() || names.contains(&plan.name);
        let meant = (0_u16..).map(ModelId).zip(&program.models);
        let meant = meant.filter(|(_, plan)| is_meant(plan));
        meant.map(|of| Self::of(program, of, card)).collect()
    }

    fn of(
        program: &Program,
        (model, plan): (ModelId, &ModelPlan),
        card: Option<&str>,
    ) -> Result<Self, WantedError> {
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
        let kind = match &plan.made_of {
            MadeOf::Learned(LearnedSpec { features, fields, .. }) => {
                WantedKind::Learned { features: features.clone(), fields: fields.clone() }
            }
            MadeOf::Online(spec) => WantedKind::Online {
                detector: spec.kind,
                features: spec.features.iter().map(|feature| feature.name.clone()).collect(),
            },
        };
        let (name, event) = (plan.name.clone(), event.name.clone());
        Ok(Self { model, name, event, kind, card: card.map(slot).transpose()? })
    }

    /// What it reads, as training must mean it; nothing of a model that is not trained.
    pub fn learned(&self) -> &[LearnedFeature] {
        match &self.kind {
            WantedKind::Learned { features, .. } => features,
            WantedKind::Online { .. } => &[],
        }
    }

    /// The fields of which that is made.
    pub fn fields(&self) -> &[FieldSource] {
        match &self.kind {
            WantedKind::Learned { fields, .. } => fields,
            WantedKind::Online { .. } => &[],
        }
    }

    /// The name of a feature by its place.
    pub fn feature(&self, at: usize) -> Option<&str> {
        match &self.kind {
            WantedKind::Learned { features, .. } => features.get(at).map(|it| it.name.as_str()),
            WantedKind::Online { features, .. } => features.get(at).map(String::as_str),
        }
    }
}

/// Events with what a model reads of them, in the order in which they were decided.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Events that were left out because their id had come before.
    pub n_again: u64,
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

/// Watches a run and keeps what a model reads, and what it said where it learns by itself.
#[derive(Debug)]
pub struct Collect<'l> {
    wanted: Wanted,
    period: (i64, i64),
    labels: &'l Labels,
    dataset: Dataset,
    ids: HashSet<EntityKey>,
    is_full: bool,
}

/// More events than memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the events have more than {MAX_VALUES} values of features: choose a shorter period, see the flags of periods in `--help`"
)]
pub struct TooMany;

impl<'l> Collect<'l> {
    /// Keeps events from a time on and before another, of those with one id the first: one label is one lesson. The labels say of which a model gives its reasons.
    pub fn new(wanted: Wanted, (from_ms, before_ms): (i64, i64), labels: &'l Labels) -> Self {
        let period = (from_ms, before_ms);
        let (dataset, ids) = (Dataset::default(), HashSet::new());
        Self { wanted, period, labels, dataset, ids, is_full: false }
    }

    /// What was kept.
    ///
    /// # Errors
    /// Where there was more than memory is for.
    pub fn finish(self) -> Result<(Wanted, Dataset), TooMany> {
        if self.is_full { Err(TooMany) } else { Ok((self.wanted, self.dataset)) }
    }

    fn reason(&self, id: &str, says: &ModelSays<'_>) -> Option<usize> {
        let label = self.labels.get(&self.wanted.event, id, i64::MAX)?;
        let is_fraud = label.verdict == Some(Verdict::Fraud);
        is_fraud.then(|| says.parts().first().map(|part| part.feature)).flatten()
    }
}

impl Sink for Collect<'_> {
    fn emit(&mut self, _: OutputTopic, _: &[u8], _: &[u8]) {}

    fn watches(&self) -> bool {
        true
    }

    fn scored(&mut self, judged: &Judged<'_>, says: &ModelSays<'_>) {
        let (from_ms, before_ms) = self.period;
        let is_meant = says.model == self.wanted.model;
        if !is_meant || judged.time_ms < from_ms || judged.time_ms >= before_ms {
            return;
        }
        if self.dataset.values.len() + says.row.len() > MAX_VALUES {
            self.is_full = true;
            return;
        }
        if !self.ids.insert(EntityKey::of_text(judged.id.as_bytes())) {
            self.dataset.n_again += 1;
            return;
        }
        // WHY: events without a card are not all of one.
        let card = self.wanted.card.map(|slot| judged.text(slot)).filter(|text| !text.is_empty());
        let said = says.scored.map(|scored| Said {
            raw: Score::of_micro(scored.raw_micro),
            place: scored.percentile,
        });
        let example = Example {
            id: judged.id.into(),
            time_ms: judged.time_ms,
            card: card.map(|text| EntityKey::of_text(text.as_bytes())),
            said,
            reason: said.and_then(|_| self.reason(judged.id, says)),
        };
        self.dataset.push(example, says.row);
    }
}

/// Watches a run for several models at once.
#[derive(Debug)]
pub struct CollectAll<'l>(pub Vec<Collect<'l>>);

impl Sink for CollectAll<'_> {
    fn emit(&mut self, _: OutputTopic, _: &[u8], _: &[u8]) {}

    fn watches(&self) -> bool {
        true
    }

    fn scored(&mut self, judged: &Judged<'_>, says: &ModelSays<'_>) {
        self.0.iter_mut().for_each(|collect| collect.scored(judged, says));
    }
}
