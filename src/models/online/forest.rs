//! A windowed isolation forest: how few random cuts it takes to set a row apart from a sample of the window.
//!
//! Each pane keeps the rows that a hash of their content ranks first, so the sample does not depend on the order of
//! arrival. The trees are drawn from the samples of the whole window when a pane ends (and while the first one lasts,
//! whenever the number of rows has doubled); in between they stay, so a score does not move with every event.
//!
//! The score is `1 - E / c`: E the mean depth at which the trees isolate the row, c the mean depth for a sample of that
//! size. It orders rows as the published `2^(-E / c)` does. A missing value stands for the median of the sample: it
//! speaks neither for nor against. What a feature adds is what the score loses when its value is put to that median.
//!
//! # Source
//! Liu, Ting, Zhou 2008, "Isolation Forest": 100 trees over 256 rows each. The sample is a bottom-k sample (Cohen, Kaplan
//! 2007).
//!
//! # Cost
//! Asking: 100 walks of about 8 steps. Drawing the trees: some milliseconds, once a pane.

use std::collections::VecDeque;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::models::online::panes::is_kept;
use crate::models::online::spec::{ENOUGH_EVENTS, ModelSpec, Row};
use crate::models::online::trees::{Dice, Trees};
use crate::models::online::{Detector, Part, Side};

/// Rows that a pane keeps.
const PANE_ROWS: usize = 512;

/// More rows than any pane has ever seen.
const MOST_ROWS: u64 = 1 << 48;

/// A value that was missing.
const ABSENT: i64 = i64::MIN;

/// A sample of the window, and the trees that were drawn from it.
#[derive(Clone, Debug)]
pub struct Forest {
    n_features: usize,
    /// Ascending; none is empty.
    panes: VecDeque<SampledPane>,
    n_rows: u64,
    /// The number of rows at which the first trees are drawn, or again.
    next_at: u64,
    drawn: Arc<Trees>,
}

/// What is kept of one pane.
#[derive(Clone, Debug)]
struct SampledPane {
    pane: i64,
    /// Rows that it has seen.
    seen: u64,
    /// By rank, the first [`PANE_ROWS`]: rank and values.
    rows: Arc<Vec<(u64, Box<[i64]>)>>,
}

impl Forest {
    /// One that has learned nothing.
    pub fn new(n_features: usize) -> Self {
        Self {
            n_features,
            panes: VecDeque::new(),
            n_rows: 0,
            next_at: ENOUGH_EVENTS,
            drawn: Arc::default(),
        }
    }

    /// Reads what [`Detector::save`] wrote.
    ///
    /// # Errors
    /// Where it does not read as such.
    pub fn load(n_features: usize, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "sample of a forest";
        let next_at = code.var(WHAT)?;
        code.demand((ENOUGH_EVENTS..=MOST_ROWS << 6).contains(&next_at), WHAT)?;
        let mut panes: VecDeque<SampledPane> = VecDeque::new();
        for _ in 0..code.count(10, WHAT)? {
            let (pane, seen) = (code.int(WHAT)?, code.var(WHAT)?);
            let n = code.count(8, WHAT)?;
            let follows = panes.back().is_none_or(|before| before.pane < pane);
            let fits = panes.front().is_none_or(|first| is_kept(first.pane, pane));
            let counts = n > 0 && n <= PANE_ROWS && seen >= n as u64 && seen <= MOST_ROWS;
            code.demand(follows && fits && counts, WHAT)?;
            let mut rows: Vec<(u64, Box<[i64]>)> = Vec::with_capacity(n);
            for _ in 0..n {
                let rank = code.word(WHAT)?;
                code.demand(rows.last().is_none_or(|(before, _)| *before <= rank), WHAT)?;
                rows.push((rank, code.words(n_features, WHAT)?.map(u64::cast_signed).collect()));
            }
            panes.push_back(SampledPane { pane, seen, rows: Arc::new(rows) });
        }
        let n_rows = panes.iter().map(|pane| pane.seen).sum();
        let drawn = Arc::new(Trees::load(n_features, code)?);
        Ok(Self { n_features, panes, n_rows, next_at, drawn })
    }

    /// Draws the trees anew from what is held.
    fn draw(&mut self, spec: &ModelSpec) {
        let mut pool: Vec<&(u64, Box<[i64]>)> =
            self.panes.iter().flat_map(|pane| pane.rows.iter()).collect();
        // By content, so that the trees depend on the rows alone.
        pool.sort_unstable();
        let mut rows: Vec<Vec<i64>> = pool.iter().map(|(_, values)| values.to_vec()).collect();
        let medians: Vec<i64> = (0..self.n_features).map(|at| median(&rows, at)).collect();
        for row in &mut rows {
            for (value, median) in row.iter_mut().zip(&medians) {
                if *value == ABSENT {
                    *value = *median;
                }
            }
        }
        self.drawn = Arc::new(Trees::draw(&rows, medians, &mut Dice::new(spec.seed)));
    }

    /// The row with the median in place of what is missing.
    fn whole(&self, row: Row<'_>) -> Vec<i64> {
        row.iter()
            .zip(self.drawn.medians())
            .map(|(value, median)| value.unwrap_or(*median))
            .collect()
    }
}

/// The lower median of what is there; 0 where nothing is.
fn median(rows: &[Vec<i64>], at: usize) -> i64 {
    let value = |row: &Vec<i64>| row.get(at).copied().filter(|value| *value != ABSENT);
    let mut known: Vec<i64> = rows.iter().filter_map(value).collect();
    known.sort_unstable();
    known.get(known.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

/// A hash of a row's content: rows with a smaller one are kept.
fn rank(spec: &ModelSpec, values: &[i64], pane: i64) -> u64 {
    let mut hasher = Xxh3::with_seed(spec.seed);
    hasher.update(&pane.to_le_bytes());
    for value in values {
        hasher.update(&value.to_le_bytes());
    }
    hasher.digest()
}

impl Detector for Forest {
    fn score(&self, _: &ModelSpec, row: Row<'_>) -> Option<i64> {
        let known = !self.drawn.is_empty() && row.iter().any(Option::is_some);
        known.then(|| self.drawn.score(&self.whole(row)))
    }

    fn parts(&self, _: &ModelSpec, row: Row<'_>) -> Vec<Part> {
        if self.drawn.is_empty() {
            return Vec::new();
        }
        let mut whole = self.whole(row);
        let score = self.drawn.score(&whole);
        let mut parts: Vec<Part> = Vec::new();
        for (feature, median) in self.drawn.medians().iter().enumerate() {
            let value = core::mem::replace(&mut whole[feature], *median);
            let size_micro = score - self.drawn.score(&whole);
            whole[feature] = value;
            if size_micro > 0 {
                let side = if value < *median { Side::Low } else { Side::High };
                parts.push(Part { feature, size_micro, side, tail_ppm: None });
            }
        }
        // Stable: by the name of the feature among equals.
        parts.sort_by_key(|part| core::cmp::Reverse(part.size_micro));
        parts
    }

    fn learn(&mut self, spec: &ModelSpec, row: Row<'_>, pane: i64) {
        let values: Box<[i64]> =
            row.iter().map(|value| value.map_or(ABSENT, |value| value.max(ABSENT + 1))).collect();
        let at = self.panes.partition_point(|held| held.pane < pane);
        if self.panes.get(at).is_none_or(|held| held.pane != pane) {
            self.panes.insert(at, SampledPane { pane, seen: 0, rows: Arc::default() });
        }
        if let Some(held) = self.panes.get_mut(at) {
            held.seen += 1;
            let rank = rank(spec, &values, pane);
            let place = held.rows.partition_point(|kept| *kept < (rank, values.clone()));
            if place < PANE_ROWS {
                let rows = Arc::make_mut(&mut held.rows);
                rows.insert(place, (rank, values));
                rows.truncate(PANE_ROWS);
            }
        }
        self.n_rows += 1;
        if self.n_rows >= self.next_at {
            self.draw(spec);
            // The panes draw from here on, but for the first one.
            self.next_at = self.n_rows.saturating_mul(2);
        }
    }

    fn turn(&mut self, spec: &ModelSpec, newest: i64) {
        while self.panes.front().is_some_and(|held| !is_kept(held.pane, newest)) {
            let gone = self.panes.pop_front();
            self.n_rows -= gone.map_or(0, |gone| gone.seen);
        }
        if self.n_rows >= ENOUGH_EVENTS {
            self.draw(spec);
            self.next_at = self.n_rows.saturating_mul(2);
        } else {
            self.drawn = Arc::default();
            self.next_at = ENOUGH_EVENTS;
        }
    }

    fn events(&self) -> u64 {
        self.n_rows
    }

    fn bytes(&self) -> usize {
        let row = size_of::<(u64, Box<[i64]>)>() + self.n_features * size_of::<i64>();
        let rows: usize = self.panes.iter().map(|pane| pane.rows.len() * row).sum();
        self.panes.len() * size_of::<SampledPane>() + rows + self.drawn.bytes()
    }

    fn save(&self, code: &mut Encoder<'_>) {
        code.var(self.next_at);
        code.count(self.panes.len());
        for SampledPane { pane, seen, rows } in &self.panes {
            code.int(*pane);
            code.var(*seen);
            code.count(rows.len());
            for (rank, values) in rows.iter() {
                code.word(*rank);
                values.iter().for_each(|value| code.int(*value));
            }
        }
        self.drawn.save(code);
    }
}
