//! A model: a detector for all traffic, one for each segment, and the scores of the newest days.
//!
//! An event is scored first and learned afterwards, so it is never compared with itself. What was alerted or stopped is
//! not learned, or clustered fraud would teach the model that fraud is normal; its score counts among the scores all the
//! same, because a place among the scores is a promise about all traffic.
//!
//! # Cost
//! Two detectors learn each row; the one that scores it is the segment's, once that has learned enough.

use std::collections::BTreeMap;

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::models::online::forest::Forest;
use crate::models::online::panes::is_kept;
use crate::models::online::spec::{DetectorKind, ENOUGH_EVENTS, ModelSpec, Row};
use crate::models::online::tails::Tails;
use crate::models::online::{Detector, Part};
use crate::models::places::{Lot, Places};
use crate::window::spec::Coverage;

/// The score of one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The detector's own score, in millionths.
    pub raw_micro: i64,
    /// The share of the newest scores that lie below it, 0 to less than 1, equal ones by [`Lot`]; none until there are
    /// enough of them.
    pub percentile: Option<f64>,
    /// Warming until the window has filled, and again after it has held too little.
    pub coverage: Coverage,
}

impl Scored {
    /// The percentile in millionths, rounded down.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a million; a float-to-integer cast saturates"
    )]
    pub fn percentile_ppm(self) -> Option<u32> {
        self.percentile.map(|share| (share * 1e6) as u32)
    }
}

/// What follows from a row that was scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// It is what is usual.
    Usual,
    /// It was alerted or stopped: only its score counts.
    Suspicious,
}

/// All that a model has learned.
///
/// A copy is cheap: what is large is shared until it changes.
#[derive(Clone, Debug)]
pub struct OnlineModel {
    whole: Unit,
    segments: BTreeMap<EntityKey, Unit>,
    scores: Places,
    /// The newest pane of rows.
    newest: i64,
    /// The event time of the first row since there was too little last, in ms.
    since_ms: Option<i64>,
}

/// The detector of all traffic or of a segment.
#[derive(Clone, Debug)]
enum Unit {
    Tails(Tails),
    Forest(Forest),
}

impl Unit {
    fn new(kind: DetectorKind, n_features: usize) -> Self {
        match kind {
            DetectorKind::TailSum => Self::Tails(Tails::new(n_features)),
            DetectorKind::IsolationForest => Self::Forest(Forest::new(n_features)),
        }
    }

    fn load(
        kind: DetectorKind,
        n_features: usize,
        code: &mut Decoder<'_>,
    ) -> Result<Self, Damaged> {
        Ok(match kind {
            DetectorKind::TailSum => Self::Tails(Tails::load(n_features, code)?),
            DetectorKind::IsolationForest => Self::Forest(Forest::load(n_features, code)?),
        })
    }

    fn detector(&self) -> &dyn Detector {
        match self {
            Self::Tails(tails) => tails,
            Self::Forest(forest) => forest,
        }
    }

    fn detector_mut(&mut self) -> &mut dyn Detector {
        match self {
            Self::Tails(tails) => tails,
            Self::Forest(forest) => forest,
        }
    }
}

impl OnlineModel {
    /// One that has learned nothing.
    pub fn new(spec: &ModelSpec) -> Self {
        Self {
            whole: Unit::new(spec.kind, spec.features.len()),
            segments: BTreeMap::new(),
            scores: Places::default(),
            newest: i64::MIN,
            since_ms: None,
        }
    }

    /// Forgets what lies before the windows that end at an event time in ms. Where one of them then holds too little, it
    /// fills anew. To be called before an event is scored, but for a model that does not learn.
    pub fn turn(&mut self, spec: &ModelSpec, time_ms: i64) {
        let had_enough = self.events() >= ENOUGH_EVENTS;
        let pane = spec.pane(time_ms);
        if pane > self.newest {
            self.turn_rows(spec, pane);
        }
        let lacks_rows = had_enough && self.events() < ENOUGH_EVENTS;
        if self.scores.turn(spec.score_pane(time_ms)) || lacks_rows {
            self.since_ms = None;
        }
    }

    /// Scores a row of a segment's event as of its time in ms. None where the model has not learned enough, or nothing of
    /// the row is known.
    pub fn score(
        &self,
        spec: &ModelSpec,
        (segment, row): (Option<EntityKey>, Row<'_>),
        (time_ms, lot): (i64, Lot),
    ) -> Option<Scored> {
        let raw_micro = self.judge(segment).score(spec, row)?;
        let filled =
            self.since_ms.is_some_and(|since| time_ms.saturating_sub(since) >= spec.window_ms);
        let coverage = if filled { Coverage::Complete } else { Coverage::Warming };
        Some(Scored { raw_micro, percentile: self.scores.share(raw_micro, lot), coverage })
    }

    /// What the newest scores are like.
    pub(crate) fn places(&self) -> &Places {
        &self.scores
    }

    /// What the features add to a row's score, largest first.
    pub fn parts(&self, spec: &ModelSpec, segment: Option<EntityKey>, row: Row<'_>) -> Vec<Part> {
        self.judge(segment).parts(spec, row)
    }

    /// Whether it has learned enough to give a score its place among the others.
    pub fn is_ready(&self) -> bool {
        self.scores.is_ready()
    }

    /// Learns a row, and what it scored before. One whose pane has left the window changes nothing.
    pub fn learn(
        &mut self,
        spec: &ModelSpec,
        (segment, row): (Option<EntityKey>, Row<'_>),
        time_ms: i64,
        (raw_micro, lesson): (Option<i64>, Lesson),
    ) {
        self.turn(spec, time_ms);
        if let Some(raw_micro) = raw_micro {
            self.scores.count(raw_micro, spec.score_pane(time_ms));
        }
        if lesson == Lesson::Suspicious {
            return;
        }
        let pane = spec.pane(time_ms);
        if !is_kept(pane, self.newest) {
            return;
        }
        self.since_ms.get_or_insert(time_ms);
        self.whole.detector_mut().learn(spec, row, pane);
        if let Some(unit) = segment.and_then(|segment| self.segment_mut(spec, segment)) {
            unit.detector_mut().learn(spec, row, pane);
        }
    }

    /// How many rows of the window it has learned.
    pub fn events(&self) -> u64 {
        self.whole.detector().events()
    }

    /// Segments that have a detector of their own.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Heap bytes.
    pub fn bytes(&self) -> usize {
        let unit = |unit: &Unit| unit.detector().bytes() + size_of::<(EntityKey, Unit)>();
        unit(&self.whole) + self.segments.values().map(unit).sum::<usize>() + self.scores.bytes()
    }

    /// Gives up the segment that has learned least; its events are judged by all traffic until it has learned anew. None
    /// where there is no segment.
    pub fn shrink(&mut self) -> Option<()> {
        let least = self.segments.iter().min_by_key(|(_, unit)| unit.detector().events());
        let least = least.map(|(segment, _)| *segment)?;
        self.segments.remove(&least);
        Some(())
    }

    /// The pieces that it is saved in.
    pub fn pieces(&self) -> usize {
        2 + self.segments.len()
    }

    /// Writes a piece.
    pub fn save_piece(&self, piece: usize, code: &mut Encoder<'_>) {
        match piece {
            0 => {
                code.count(self.segments.len());
                self.segments.keys().for_each(|segment| code.wide(segment.0));
                code.int(self.newest);
                code.int(self.scores.newest());
                code.flag(self.since_ms.is_some());
                code.int(self.since_ms.unwrap_or(0));
                self.scores.save(code);
            }
            1 => self.whole.detector().save(code),
            piece => {
                if let Some(unit) = self.segments.values().nth(piece - 2) {
                    unit.detector().save(code);
                }
            }
        }
    }

    /// The detector that judges events of a segment.
    fn judge(&self, segment: Option<EntityKey>) -> &dyn Detector {
        let own = segment.and_then(|segment| self.segments.get(&segment)).map(Unit::detector);
        own.filter(|own| own.events() >= ENOUGH_EVENTS).unwrap_or_else(|| self.whole.detector())
    }

    fn segment_mut(&mut self, spec: &ModelSpec, segment: EntityKey) -> Option<&mut Unit> {
        let full = self.segments.len() >= spec.kind.max_segments();
        if full && !self.segments.contains_key(&segment) {
            return None;
        }
        let new = || Unit::new(spec.kind, spec.features.len());
        Some(self.segments.entry(segment).or_insert_with(new))
    }

    fn turn_rows(&mut self, spec: &ModelSpec, pane: i64) {
        self.newest = pane;
        self.whole.detector_mut().turn(spec, pane);
        self.segments.values_mut().for_each(|unit| unit.detector_mut().turn(spec, pane));
        self.segments.retain(|_, unit| unit.detector().events() > 0);
    }
}

/// Reads a model, piece by piece.
#[derive(Debug)]
pub struct ModelLoader {
    kind: DetectorKind,
    n_features: usize,
    model: Option<OnlineModel>,
    /// The segments whose pieces have not come yet, the next one last.
    open: Vec<EntityKey>,
    whole_came: bool,
}

impl ModelLoader {
    /// For a model of this kind.
    pub fn new(kind: DetectorKind, n_features: usize) -> Self {
        Self { kind, n_features, model: None, open: Vec::new(), whole_came: false }
    }

    /// Reads the next piece.
    ///
    /// # Errors
    /// Where it does not read as such, or none is open.
    pub fn piece(&mut self, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        const WHAT: &str = "piece of a model";
        let Some(model) = &mut self.model else {
            self.model = Some(self.head(code)?);
            return Ok(());
        };
        let unit = Unit::load(self.kind, self.n_features, code)?;
        if !self.whole_came {
            self.whole_came = true;
            model.whole = unit;
            return Ok(());
        }
        let segment = self.open.pop().ok_or_else(|| code.damaged(WHAT))?;
        model.segments.insert(segment, unit);
        Ok(())
    }

    /// The model, once all pieces came.
    ///
    /// # Errors
    /// Where pieces are missing.
    pub fn finish(self) -> Result<OnlineModel, Damaged> {
        let missing = Damaged { what: "pieces of a model are missing", at: 0 };
        let whole = self.whole_came && self.open.is_empty();
        self.model.filter(|_| whole).ok_or(missing)
    }

    fn head(&mut self, code: &mut Decoder<'_>) -> Result<OnlineModel, Damaged> {
        const WHAT: &str = "head of a model";
        let n = code.count(16, WHAT)?;
        code.demand(n <= self.kind.max_segments(), WHAT)?;
        for _ in 0..n {
            let segment = EntityKey(code.wide(WHAT)?);
            code.demand(self.open.last().is_none_or(|before| *before < segment), WHAT)?;
            self.open.push(segment);
        }
        self.open.reverse();
        let (newest, newest_scores) = (code.int(WHAT)?, code.int(WHAT)?);
        let (known, since_ms) = (code.flag(WHAT)?, code.int(WHAT)?);
        let scores = Places::load(newest_scores, code)?;
        Ok(OnlineModel {
            whole: Unit::new(self.kind, self.n_features),
            segments: BTreeMap::new(),
            scores,
            newest,
            since_ms: known.then_some(since_ms),
        })
    }
}
