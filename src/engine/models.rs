//! The models of a rule set with what they have learned: state beside the tables, asked when a rule asks.
//!
//! A model that a rule set carries over is known by what it is made of ([`ModelPlan::identity`]); one that is new says
//! nothing until it has learned enough. Whatever is asked about an event is asked before the event is learned.

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::engine::activate::ActivationReport;
use crate::engine::memory::{KeyPart, key_parts};
use crate::models::online::model::ModelLoader;
use crate::models::online::spec::Row;
use crate::models::online::{DetectorKind, Lesson, ModelSpec, OnlineModel, Part, Scored};
use crate::rules::eval::ModelAnswer;
use crate::rules::program::{ModelId, ModelPlan, Program};

/// All models, in the order of the program.
#[derive(Debug)]
pub(super) struct Models {
    held: Vec<Held>,
    saving: Option<Saving>,
}

#[derive(Debug)]
struct Held {
    identity: String,
    spec: ModelSpec,
    segments: Vec<KeyPart>,
    learns: bool,
    model: OnlineModel,
}

/// A snapshot under way: copies, which share with the models what has not changed since.
#[derive(Debug)]
struct Saving {
    models: Vec<OnlineModel>,
    /// The model and the piece that come next.
    at: usize,
    piece: usize,
}

/// What the models that were asked said about the present event. Reused from event to event.
#[derive(Debug, Default)]
pub(super) struct AskedModels {
    asked: Vec<Asked>,
    used: usize,
}

#[derive(Debug, Default)]
struct Asked {
    model: u16,
    segment: Option<EntityKey>,
    row: Vec<Option<i64>>,
    scored: Option<Scored>,
}

impl AskedModels {
    /// Begins an event.
    pub(super) fn reset(&mut self) {
        self.used = 0;
    }

    fn find(&self, model: ModelId) -> Option<&Asked> {
        self.asked.iter().take(self.used).find(|asked| asked.model == model.0)
    }

    /// What a model said, where it was asked.
    pub(super) fn scored(&self, model: ModelId) -> ModelAnswer {
        self.find(model).map_or(ModelAnswer::NotAsked, |asked| ModelAnswer::Says(asked.scored))
    }
}

impl Models {
    /// Models that have learned nothing.
    pub(super) fn new(program: &Program) -> Self {
        Self::of(program, Vec::new(), Vec::new())
    }

    /// Models of this program with what others held, and what is new with what was read of the past.
    pub(super) fn of(
        program: &Program,
        mut held: Vec<(String, OnlineModel)>,
        mut past: Vec<(String, OnlineModel)>,
    ) -> Self {
        let take = |list: &mut Vec<(String, OnlineModel)>, plan: &ModelPlan| {
            let at = list.iter().position(|(identity, _)| *identity == plan.identity)?;
            Some(list.remove(at).1)
        };
        let held = program.models.iter().map(|plan| {
            let known = take(&mut held, plan).or_else(|| take(&mut past, plan));
            Held {
                identity: plan.identity.clone(),
                spec: plan.spec.clone(),
                segments: key_parts(program.schema.event(plan.event), &plan.segments),
                learns: plan.learns,
                model: known.unwrap_or_else(|| OnlineModel::new(&plan.spec)),
            }
        });
        Self { held: held.collect(), saving: None }
    }

    /// Takes the models out, with what makes them the same in another rule set.
    pub(super) fn take(&mut self) -> Vec<(String, OnlineModel)> {
        self.saving = None;
        self.held.drain(..).map(|held| (held.identity, held.model)).collect()
    }

    /// Tells what became of the models that were there.
    pub(super) fn report(&self, mut before: Vec<String>, report: &mut ActivationReport) {
        for held in &self.held {
            let text = named(&held.identity);
            before.retain(|known| *known != held.identity);
            let names = if held.model.is_ready() { &mut report.kept } else { &mut report.warming };
            names.push(text);
        }
        report.dropped.extend(before.iter().map(|identity| named(identity)));
    }

    pub(super) fn identities(&self) -> Vec<String> {
        self.held.iter().map(|held| held.identity.clone()).collect()
    }

    /// The fields by which a model divides traffic.
    pub(super) fn segments(&self, model: ModelId) -> &[KeyPart] {
        self.held.get(usize::from(model.0)).map_or(&[], |held| held.segments.as_slice())
    }

    /// Scores an event, and keeps what was asked and said.
    pub(super) fn score(
        &self,
        model: ModelId,
        (segment, row): (Option<EntityKey>, Row<'_>),
        time_ms: i64,
        asked: &mut AskedModels,
    ) -> Option<Scored> {
        let held = self.held.get(usize::from(model.0))?;
        let scored = held.model.score(&held.spec, segment, row, time_ms);
        if asked.asked.len() == asked.used {
            asked.asked.push(Asked::default());
        }
        let place = asked.asked.get_mut(asked.used)?;
        asked.used += 1;
        place.model = model.0;
        place.segment = segment;
        place.row.clear();
        place.row.extend_from_slice(row);
        place.scored = scored;
        scored
    }

    /// What the features added to a score.
    pub(super) fn parts(&self, model: ModelId, asked: &AskedModels) -> Vec<Part> {
        let held = self.held.get(usize::from(model.0));
        held.zip(asked.find(model)).map_or_else(Vec::new, |(held, asked)| {
            held.model.parts(&held.spec, asked.segment, &asked.row)
        })
    }

    /// Learns the present event.
    pub(super) fn learn(&mut self, asked: &AskedModels, time_ms: i64, lesson: Lesson) {
        for asked in asked.asked.iter().take(asked.used) {
            let Some(held) = self.held.get_mut(usize::from(asked.model)) else { continue };
            if held.learns {
                let row = (asked.segment, asked.row.as_slice());
                let raw_micro = asked.scored.map(|scored| scored.raw_micro);
                held.model.learn(&held.spec, row, time_ms, (raw_micro, lesson));
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.held.iter().map(|held| held.model.bytes()).sum()
    }

    /// Gives up segments, those of the largest model first, until all fit.
    pub(super) fn shrink(&mut self, budget: usize) {
        while self.bytes() > budget {
            let divided = self.held.iter_mut().filter(|held| held.model.segments() > 0);
            let largest = divided.max_by_key(|held| held.model.bytes());
            if largest.and_then(|held| held.model.shrink()).is_none() {
                return;
            }
        }
    }

    /// Begins a save; writes what the loader must know of each model.
    pub(super) fn begin_save(&mut self, code: &mut Encoder<'_>) {
        code.count(self.held.len());
        for held in &self.held {
            code.text(&held.identity);
            code.flag(held.spec.kind == DetectorKind::IsolationForest);
            code.count(held.spec.features.len());
        }
        let models = self.held.iter().map(|held| held.model.clone()).collect();
        self.saving = Some(Saving { models, at: 0, piece: 0 });
    }

    /// The model whose piece is saved next.
    pub(super) fn next_saved(&self) -> Option<usize> {
        let saving = self.saving.as_ref()?;
        (saving.at < saving.models.len()).then_some(saving.at)
    }

    /// Writes the next piece.
    pub(super) fn save_piece(&mut self, code: &mut Encoder<'_>) {
        let Some(saving) = &mut self.saving else { return };
        let Some(model) = saving.models.get(saving.at) else { return };
        model.save_piece(saving.piece, code);
        saving.piece += 1;
        if saving.piece >= model.pieces() {
            (saving.at, saving.piece) = (saving.at + 1, 0);
        }
    }

    pub(super) fn end_save(&mut self) {
        self.saving = None;
    }
}

/// How a model is named among aggregates.
fn named(identity: &str) -> String {
    format!("model {identity}")
}

/// The loaders of all models of a snapshot.
pub(super) fn loaders(code: &mut Decoder<'_>) -> Result<Vec<(String, ModelLoader)>, Damaged> {
    const WHAT: &str = "models of a snapshot";
    let n = code.count(3, WHAT)?;
    let mut loaders = Vec::with_capacity(n);
    for _ in 0..n {
        let identity = code.text(WHAT)?.to_owned();
        let forest = code.flag(WHAT)?;
        let kind = if forest { DetectorKind::IsolationForest } else { DetectorKind::TailSum };
        let n_features = code.index(WHAT)?;
        code.demand(n_features <= MOST_FEATURES, WHAT)?;
        loaders.push((identity, ModelLoader::new(kind, n_features)));
    }
    Ok(loaders)
}

/// More features than any model reads.
const MOST_FEATURES: usize = 1 << 10;
