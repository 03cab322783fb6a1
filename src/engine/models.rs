//! The models of a rule set with what they have learned: state beside the tables, asked when a rule asks.
//!
//! A model that a rule set carries over is known by what it is made of ([`ModelPlan::identity`]); one that is new says
//! nothing until it has learned enough. Whatever is asked about an event is asked before the event is learned. What a
//! learned model knows belongs to the rule set; only its newest scores are state.

use std::sync::Arc;

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::engine::activate::ActivationReport;
use crate::event::key::{KeyPart, key_parts};
use crate::models::drift::Moved;
use crate::models::offline::Artifact;
use crate::models::online::model::ModelLoader;
use crate::models::online::spec::Row;
use crate::models::online::{DetectorKind, Lesson, ModelSpec, OnlineModel, Part, Scored};
use crate::models::places::{Lot, Places};
use crate::models::serving::{Serving, parts};
use crate::rules::eval::ModelAnswer;
use crate::rules::program::{LearnedSpec, MadeOf, ModelId, ModelPlan, Program};

/// All models, in the order of the program.
#[derive(Debug)]
pub(super) struct Models {
    held: Vec<Held>,
    saving: Option<Saving>,
}

#[derive(Debug)]
struct Held {
    identity: String,
    known: Known,
    segments: Vec<KeyPart>,
    learns: bool,
    state: ModelState,
    /// Since the rule set became active in this process: no part of the state.
    tally: Tally,
}

/// What a model said of events, for whoever watches it.
#[derive(Clone, Debug, Default)]
struct Tally {
    scored: u64,
    unscored: u64,
    high: u64,
    /// By feature.
    missing: Vec<u64>,
    /// The newest event that it was asked about: its time in ms, its segment and what was read of it.
    newest: Option<(i64, Option<EntityKey>)>,
    newest_row: Vec<Option<i64>>,
}

impl Tally {
    fn count(&mut self, asked: &Asked, time_ms: i64) {
        self.newest = Some((time_ms, asked.segment));
        self.newest_row.clone_from(&asked.row);
        match asked.scored {
            Some(_) => self.scored += 1,
            None => self.unscored += 1,
        }
        let place = asked.scored.and_then(Scored::percentile_ppm);
        self.high += u64::from(place.is_some_and(|ppm| ppm >= HIGH_PPM));
        self.missing.resize(asked.row.len().max(self.missing.len()), 0);
        for (count, value) in self.missing.iter_mut().zip(&asked.row) {
            *count += u64::from(value.is_none());
        }
    }
}

/// What counts as a high place among the scores, in millionths: the usual budget of alerts.
pub(super) const HIGH_PPM: u32 = 995_000;

/// Figures of a model, for whoever watches it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFigures<'a> {
    /// Which.
    pub model: ModelId,
    /// Events that it scored since the rule set became active in this process.
    pub scored: u64,
    /// Events that it could not score.
    pub unscored: u64,
    /// Scored events whose place was 0.995 or more.
    pub high: u64,
    /// Events that lacked a feature, by its place.
    pub missing: &'a [u64],
    /// The largest place that a score can have now, in millionths; none until there are enough scores.
    pub largest_ppm: Option<u32>,
    /// The share of the newest scores that are equal to the largest, in millionths; none until there are enough.
    pub tied_ppm: Option<u32>,
    /// Of a learned model how far its features and its score have moved from the training.
    pub moved: Vec<Moved<'a>>,
}

/// What a model read of an event, and what it said: as of before the event.
#[derive(Clone, Copy, Debug)]
pub struct ModelSays<'a> {
    /// Which.
    pub model: ModelId,
    /// What it read.
    pub row: Row<'a>,
    /// The score; none where it had none.
    pub scored: Option<Scored>,
    models: &'a Models,
    asked: &'a AskedModels,
}

impl ModelSays<'_> {
    /// What the features added to the score, largest first.
    ///
    /// # Cost
    /// They are worked out now.
    pub fn parts(&self) -> Vec<Part> {
        self.models.parts(self.model, self.asked)
    }
}

/// What a rule set says of a model.
#[derive(Debug)]
enum Known {
    Online(ModelSpec),
    /// Without its artifact it says nothing.
    Learned(Option<Arc<Artifact>>),
}

impl Known {
    fn of(plan: &ModelPlan) -> Self {
        match &plan.made_of {
            MadeOf::Online(spec) => Self::Online(spec.clone()),
            MadeOf::Learned(LearnedSpec { artifact, .. }) => Self::Learned(artifact.clone()),
        }
    }
}

/// What a model holds of the past.
#[derive(Clone, Debug)]
pub(super) enum ModelState {
    Online(OnlineModel),
    Learned(Serving),
}

impl ModelState {
    fn new(known: &Known) -> Self {
        match known {
            Known::Online(spec) => Self::Online(OnlineModel::new(spec)),
            Known::Learned(_) => Self::Learned(Serving::default()),
        }
    }

    fn is_of(&self, known: &Known) -> bool {
        match known {
            Known::Online(_) => matches!(self, Self::Online(_)),
            Known::Learned(_) => matches!(self, Self::Learned(_)),
        }
    }

    fn places(&self) -> &Places {
        match self {
            Self::Online(model) => model.places(),
            Self::Learned(serving) => serving.places(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Online(model) => model.bytes(),
            Self::Learned(serving) => serving.bytes(),
        }
    }

    fn segments(&self) -> usize {
        match self {
            Self::Online(model) => model.segments(),
            Self::Learned(_) => 0,
        }
    }

    /// Gives up a segment, where there is one.
    fn shrink(&mut self) -> Option<()> {
        match self {
            Self::Online(model) => model.shrink(),
            Self::Learned(_) => None,
        }
    }

    fn pieces(&self) -> usize {
        match self {
            Self::Online(model) => model.pieces(),
            Self::Learned(_) => 1,
        }
    }

    fn save_piece(&self, piece: usize, code: &mut Encoder<'_>) {
        match self {
            Self::Online(model) => model.save_piece(piece, code),
            Self::Learned(serving) => serving.save(code),
        }
    }
}

impl Held {
    fn turn(&mut self, time_ms: i64) {
        match (&self.known, &mut self.state) {
            (Known::Online(spec), ModelState::Online(model)) => model.turn(spec, time_ms),
            (Known::Learned(_), ModelState::Learned(serving)) => serving.turn(time_ms),
            // INVARIANT: state is of the kind of its model.
            _ => {}
        }
    }

    fn score(&self, row: (Option<EntityKey>, Row<'_>), at: (i64, Lot)) -> Option<Scored> {
        match (&self.known, &self.state) {
            (Known::Online(spec), ModelState::Online(model)) => model.score(spec, row, at),
            (Known::Learned(Some(artifact)), ModelState::Learned(serving)) => {
                serving.score(&artifact.scorer, row.1, at)
            }
            // Without an artifact.
            _ => None,
        }
    }

    fn parts(&self, segment: Option<EntityKey>, row: Row<'_>) -> Vec<Part> {
        match (&self.known, &self.state) {
            (Known::Online(spec), ModelState::Online(model)) => model.parts(spec, segment, row),
            (Known::Learned(Some(artifact)), _) => parts(&artifact.scorer, row),
            _ => Vec::new(),
        }
    }

    fn learn(&mut self, asked: &Asked, time_ms: i64, lesson: Lesson) {
        let raw_micro = asked.scored.map(|scored| scored.raw_micro);
        match (&self.known, &mut self.state) {
            (Known::Online(spec), ModelState::Online(model)) => {
                let row = (asked.segment, asked.row.as_slice());
                model.learn(spec, row, time_ms, (raw_micro, lesson));
            }
            (Known::Learned(Some(artifact)), ModelState::Learned(serving)) => {
                serving.count(artifact, (&asked.row, raw_micro), time_ms);
            }
            _ => {}
        }
    }
}

/// A snapshot under way: copies, which share with the models what has not changed since.
#[derive(Debug)]
struct Saving {
    models: Vec<ModelState>,
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

    /// All that were asked: what they read and said.
    pub(super) fn all(&self) -> impl Iterator<Item = (ModelId, Row<'_>, Option<Scored>)> {
        let asked = self.asked.iter().take(self.used);
        asked.map(|asked| (ModelId(asked.model), asked.row.as_slice(), asked.scored))
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
        mut held: Vec<(String, ModelState)>,
        mut past: Vec<(String, ModelState)>,
    ) -> Self {
        // Each takes the next one of its identity. WHY: the last one stays for those that come after it, so that a frozen
        // copy beside a model that learns begins with what that has learned.
        let take = |list: &mut Vec<(String, ModelState)>, plan: &ModelPlan| {
            let of_it = |(identity, _): &(String, ModelState)| *identity == plan.identity;
            let at = list.iter().position(of_it)?;
            if list.iter().skip(at + 1).any(of_it) {
                return Some(list.remove(at).1);
            }
            list.get(at).map(|(_, state)| state.clone())
        };
        let held = program.models.iter().map(|plan| {
            let known = Known::of(plan);
            let state = take(&mut held, plan).or_else(|| take(&mut past, plan));
            // INVARIANT: state is of the kind of its model, whatever a snapshot says.
            let state = state.filter(|state| state.is_of(&known));
            Held {
                identity: plan.identity.clone(),
                segments: key_parts(program.schema.event(plan.event), &plan.segments),
                learns: plan.learns,
                state: state.unwrap_or_else(|| ModelState::new(&known)),
                known,
                tally: Tally::default(),
            }
        });
        Self { held: held.collect(), saving: None }
    }

    /// Takes the models out, with what makes them the same in another rule set.
    pub(super) fn take(&mut self) -> Vec<(String, ModelState)> {
        self.saving = None;
        self.held.drain(..).map(|held| (held.identity, held.state)).collect()
    }

    /// Tells what became of the models that were there.
    pub(super) fn report(&self, mut before: Vec<String>, report: &mut ActivationReport) {
        for held in &self.held {
            let text = named(&held.identity);
            before.retain(|known| *known != held.identity);
            let names =
                if held.state.places().is_ready() { &mut report.kept } else { &mut report.warming };
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

    /// Brings models that learn to an event time in ms, before an event of it is scored: what lies before their windows is
    /// forgotten.
    pub(super) fn turn(&mut self, models: impl Iterator<Item = ModelId>, time_ms: i64) {
        for model in models {
            let held = self.held.get_mut(usize::from(model.0)).filter(|held| held.learns);
            if let Some(held) = held {
                held.turn(time_ms);
            }
        }
    }

    /// Scores an event of a time in ms and with a lot, and keeps what was asked and said.
    pub(super) fn score(
        &self,
        model: ModelId,
        (segment, row): (Option<EntityKey>, Row<'_>),
        at: (i64, Lot),
        asked: &mut AskedModels,
    ) -> Option<Scored> {
        let held = self.held.get(usize::from(model.0))?;
        let scored = held.score((segment, row), at);
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

    /// All that were asked: what they read and said.
    pub(super) fn said<'a>(
        &'a self,
        asked: &'a AskedModels,
    ) -> impl Iterator<Item = ModelSays<'a>> {
        let models = self;
        asked.all().map(move |(model, row, scored)| ModelSays { model, row, scored, models, asked })
    }

    /// What the features added to a score.
    pub(super) fn parts(&self, model: ModelId, asked: &AskedModels) -> Vec<Part> {
        let held = self.held.get(usize::from(model.0));
        let asked = held.zip(asked.find(model));
        asked.map_or_else(Vec::new, |(held, asked)| held.parts(asked.segment, &asked.row))
    }

    /// Learns the present event.
    pub(super) fn learn(&mut self, asked: &AskedModels, time_ms: i64, lesson: Lesson) {
        for asked in asked.asked.iter().take(asked.used) {
            let Some(held) = self.held.get_mut(usize::from(asked.model)) else { continue };
            held.tally.count(asked, time_ms);
            if held.learns {
                held.learn(asked, time_ms, lesson);
            }
        }
    }

    /// Scores the newest event of a model once more, for whoever measures how long that takes: nothing changes by it.
    /// None where the model has no score of it, or was asked about none.
    pub(super) fn score_again(&self, model: ModelId) -> Option<Scored> {
        let held = self.held.get(usize::from(model.0))?;
        let (time_ms, segment) = held.tally.newest?;
        held.score((segment, &held.tally.newest_row), (time_ms, Lot::default()))
    }

    /// Figures of all models.
    pub(super) fn figures(&self) -> impl Iterator<Item = ModelFigures<'_>> {
        (0_u16..).map(ModelId).zip(&self.held).map(|(model, held)| {
            let moved = match (&held.known, &held.state) {
                (Known::Learned(Some(artifact)), ModelState::Learned(serving)) => {
                    serving.moved(artifact)
                }
                _ => Vec::new(),
            };
            let Tally { scored, unscored, high, missing, .. } = &held.tally;
            let (scored, unscored, high) = (*scored, *unscored, *high);
            let places = held.state.places();
            let (largest_ppm, tied_ppm) = (places.largest_ppm(), places.tied_ppm());
            ModelFigures { model, scored, unscored, high, missing, largest_ppm, tied_ppm, moved }
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.held.iter().map(|held| held.state.bytes()).sum()
    }

    /// Gives up segments, those of the largest model first, until all fit; gives the bytes that stay.
    pub(super) fn shrink(&mut self, budget: usize) -> usize {
        loop {
            let bytes = self.bytes();
            if bytes <= budget {
                return bytes;
            }
            let divided = self.held.iter_mut().filter(|held| held.state.segments() > 0);
            let largest = divided.max_by_key(|held| held.state.bytes());
            if largest.and_then(|held| held.state.shrink()).is_none() {
                return bytes;
            }
        }
    }

    /// Begins a save; writes what the loader must know of each model.
    pub(super) fn begin_save(&mut self, code: &mut Encoder<'_>) {
        code.count(self.held.len());
        for held in &self.held {
            code.text(&held.identity);
            let (kind, n_features) = match &held.known {
                Known::Online(spec) => (kind_byte(spec.kind), spec.features.len()),
                Known::Learned(_) => (LEARNED, 0),
            };
            code.byte(kind);
            code.count(n_features);
        }
        let models = self.held.iter().map(|held| held.state.clone()).collect();
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

/// The kinds of models in a snapshot.
const TAIL_SUM: u8 = 0;
const ISOLATION_FOREST: u8 = 1;
const LEARNED: u8 = 2;

fn kind_byte(kind: DetectorKind) -> u8 {
    match kind {
        DetectorKind::TailSum => TAIL_SUM,
        DetectorKind::IsolationForest => ISOLATION_FOREST,
    }
}

/// Reads a model of a snapshot, piece by piece.
#[derive(Debug)]
pub(super) enum StateLoader {
    Online(ModelLoader),
    Learned(Option<Serving>),
}

impl StateLoader {
    /// Reads the next piece.
    ///
    /// # Errors
    /// Where it does not read as such, or none is open.
    pub(super) fn piece(&mut self, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        match self {
            Self::Online(loader) => loader.piece(code),
            Self::Learned(open) => {
                code.demand(open.is_none(), "piece of a model")?;
                *open = Some(Serving::load(code)?);
                Ok(())
            }
        }
    }

    /// The model, once all pieces came.
    ///
    /// # Errors
    /// Where pieces are missing.
    pub(super) fn finish(self) -> Result<ModelState, Damaged> {
        let missing = Damaged { what: "pieces of a model are missing", at: 0 };
        match self {
            Self::Online(loader) => loader.finish().map(ModelState::Online),
            Self::Learned(open) => open.map(ModelState::Learned).ok_or(missing),
        }
    }
}

/// The loaders of all models of a snapshot.
pub(super) fn loaders(code: &mut Decoder<'_>) -> Result<Vec<(String, StateLoader)>, Damaged> {
    const WHAT: &str = "models of a snapshot";
    let n = code.count(3, WHAT)?;
    let mut loaders = Vec::with_capacity(n);
    for _ in 0..n {
        let identity = code.text(WHAT)?.to_owned();
        let kind = code.byte(WHAT)?;
        let n_features = code.index(WHAT)?;
        code.demand(n_features <= MOST_FEATURES, WHAT)?;
        let online = |kind| StateLoader::Online(ModelLoader::new(kind, n_features));
        let loader = match kind {
            TAIL_SUM => online(DetectorKind::TailSum),
            ISOLATION_FOREST => online(DetectorKind::IsolationForest),
            LEARNED => StateLoader::Learned(None),
            _ => return Err(code.damaged(WHAT)),
        };
        loaders.push((identity, loader));
    }
    Ok(loaders)
}

/// More features than any model reads.
const MOST_FEATURES: usize = 1 << 10;
