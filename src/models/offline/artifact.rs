//! The file of a learned model: what it reads, its scorer, and what its training data looked like.
//!
//! # Shape
//! `RWMODEL\n`, a version of 4 bytes, the length of the body in 8, its SHA-256, and the body in the code of
//! [`crate::base::codec`]. Written by one machine it is read by any.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::base::{Currency, Digest};
use crate::models::offline::{MAX_FEATURES, Scorer, load_signed, save_signed};

/// First bytes of every such file.
pub const MAGIC: &[u8; 8] = b"RWMODEL\n";

/// The version that is written.
pub const VERSION: u32 = 2;

/// The oldest version that is read: it knew nothing of fields.
const OLDEST: u32 = 1;

/// Largest file: 64 MiB.
pub const MAX_BYTES: usize = 64 << 20;

/// Longest name, in bytes.
const MAX_NAME: usize = 256;

/// Longest meaning of a feature, in bytes.
const MAX_IDENTITY: usize = 1 << 16;

/// Longest card, in bytes.
const MAX_FACTS: usize = 1 << 20;

/// Most fields of which features are made.
const MAX_FIELDS: usize = 1 << 12;

/// Most quantiles of the scores.
const MAX_QUANTILES: usize = 1 << 10;

/// Bounds of a reference histogram: deciles.
pub const MAX_BOUNDS: usize = 9;

/// Bytes before the body.
const HEAD: usize = 8 + 4 + 8 + 32;

/// What a whole number of a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 0 or 1.
    Truth,
    /// Itself.
    Whole,
    /// Milliseconds.
    Millis,
    /// Minor units of a currency.
    Minor(Currency),
    /// Millionths.
    Micro,
}

impl Unit {
    /// How many of it make one of what people write: `100` for cents, `1000` for seconds.
    pub fn per_natural(self) -> i64 {
        match self {
            Self::Truth | Self::Whole => 1,
            Self::Millis => 1_000,
            Self::Minor(currency) => 10_i64.pow(currency.minor_digits().min(18).into()),
            Self::Micro => 1_000_000,
        }
    }

    /// What people call that one.
    pub fn natural(self) -> String {
        match self {
            Self::Truth => "truth".to_owned(),
            Self::Whole => "count".to_owned(),
            Self::Millis => "seconds".to_owned(),
            Self::Minor(currency) => currency.to_string(),
            Self::Micro => "number".to_owned(),
        }
    }

    fn save(self, code: &mut Encoder<'_>) {
        let (kind, currency) = match self {
            Self::Truth => (0, 0),
            Self::Whole => (1, 0),
            Self::Millis => (2, 0),
            Self::Minor(currency) => (3, currency.0),
            Self::Micro => (4, 0),
        };
        code.byte(kind);
        code.var(currency.into());
    }

    fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "unit of a feature";
        let (kind, currency) = (code.byte(WHAT)?, code.narrow(WHAT)?);
        Ok(match kind {
            0 => Self::Truth,
            1 => Self::Whole,
            2 => Self::Millis,
            3 => {
                let currency = Currency(currency);
                code.demand(currency.letters().is_some(), WHAT)?;
                Self::Minor(currency)
            }
            4 => Self::Micro,
            _ => return Err(code.damaged(WHAT)),
        })
    }
}

/// Most values in one bin of a histogram: more than anybody trains on, and sums of all bins stay small.
const MAX_COUNT: u64 = 1 << 48;

/// How values lie, for a comparison with later ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Bounds, strictly ascending: deciles, those that are equal once.
    pub bounds: Vec<i64>,
    /// How many values lie up to each bound and above the one before, and above the last.
    pub counts: Vec<u64>,
    /// How many are missing.
    pub missing: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::of([])
    }
}

impl Histogram {
    /// That of values, in any order.
    pub fn of(values: impl IntoIterator<Item = Option<i64>>) -> Self {
        let (mut known, mut missing) = (Vec::new(), 0);
        for value in values {
            match value {
                Some(value) => known.push(value),
                None => missing += 1,
            }
        }
        known.sort_unstable();
        let decile =
            |tenth: usize| known.get((known.len() * tenth / 10).saturating_sub(1)).copied();
        let mut bounds: Vec<i64> = (1..=MAX_BOUNDS).filter_map(decile).collect();
        bounds.dedup();
        let mut histogram = Self { counts: vec![0; bounds.len() + 1], bounds, missing };
        for value in known {
            let bin = histogram.bin(value);
            if let Some(count) = histogram.counts.get_mut(bin) {
                *count += 1;
            }
        }
        histogram
    }

    /// The place among the counts where a value belongs.
    pub fn bin(&self, value: i64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }

    fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.bounds.len());
        self.bounds.iter().for_each(|bound| save_signed(*bound, code));
        self.counts.iter().for_each(|count| code.var(*count));
        code.var(self.missing);
    }

    fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "reference histogram";
        let n = code.count(1, WHAT)?;
        code.demand(n <= MAX_BOUNDS, WHAT)?;
        let bounds: Result<Vec<i64>, _> = (0..n).map(|_| load_signed(code, WHAT)).collect();
        let bounds = bounds?;
        code.demand(bounds.is_sorted_by(|before, after| before < after), WHAT)?;
        let mut count = || {
            let count = code.var(WHAT)?;
            code.demand(count <= MAX_COUNT, WHAT)?;
            Ok(count)
        };
        let counts: Result<Vec<u64>, Damaged> = (0..=n).map(|_| count()).collect();
        Ok(Self { bounds, counts: counts?, missing: count()? })
    }
}

/// A feature as the model was trained on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name in the rules.
    pub name: String,
    /// Its meaning in the canonical words of the rule language; empty where the trainer knew only the name.
    pub identity: String,
    /// What its numbers stand for.
    pub unit: Unit,
    /// What is usual of it: the median of the training data.
    pub median: Option<i64>,
    /// How it lay in the training data.
    pub reference: Histogram,
}

impl Feature {
    /// What tells its meaning from others in a few letters.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(&[self.identity.as_bytes()])
    }

    fn save(&self, code: &mut Encoder<'_>) {
        code.text(&self.name);
        code.text(&self.identity);
        self.unit.save(code);
        code.flag(self.median.is_some());
        save_signed(self.median.unwrap_or(0), code);
        self.reference.save(code);
    }

    fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "feature of a model";
        let name = bounded_text(MAX_NAME, code, WHAT)?;
        let identity = bounded_text(MAX_IDENTITY, code, WHAT)?;
        let unit = Unit::load(code)?;
        let is_known = code.flag(WHAT)?;
        let median = load_signed(code, WHAT)?;
        code.demand(is_known || median == 0, WHAT)?;
        let reference = Histogram::load(code)?;
        Ok(Self { name, identity, unit, median: is_known.then_some(median), reference })
    }
}

/// A field of which features are made, and how it was read from a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldSource {
    /// Its event and name: `card_payment.amount`.
    pub name: String,
    /// Its type, how it is written, and where: `money EUR in minor units at /amount`.
    pub read: String,
}

/// A score, and the share of the training data's scores that lie below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantile {
    /// Share below, in millionths.
    pub share_ppm: u32,
    /// The score in millionths.
    pub score_micro: i64,
}

/// A learned model.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// Its name.
    pub name: String,
    /// The event type whose events it scores.
    pub event: String,
    /// What it reads, ascending by name: the columns of its rows.
    pub features: Vec<Feature>,
    /// The fields that those are made of, ascending; empty in files of before version 2.
    pub fields: Vec<FieldSource>,
    /// What makes a score of a row.
    pub scorer: Scorer,
    /// Scores of events it was not fitted to, both numbers ascending.
    pub quantiles: Vec<Quantile>,
    /// How those scores lay.
    pub reference: Histogram,
    /// The card: how it was trained and what it reached, as JSON text.
    pub facts: String,
}

/// Why a file is no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// More bytes than are read.
    #[error("the model is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// It does not begin like one.
    #[error("this is no model written by `riskweir train` or `riskweir import`")]
    NotAModel,
    /// Written by a version that this one does not know.
    #[error(
        "the model has version {0}; this program reads up to version {VERSION}: train or import it again"
    )]
    Version(u32),
    /// Cut off, or something follows it.
    #[error("the model is cut off, or more than one file")]
    Length,
    /// Other bytes than were written.
    #[error("the model is damaged: its checksum differs")]
    Checksum,
    /// Bytes that mean no model.
    #[error("the model cannot be used: {} (at byte {})", .0.what, .0.at)]
    Damaged(Damaged),
}

impl Artifact {
    /// The bytes of its file. The same model gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.save(&mut Encoder::new(&mut body));
        let mut out = Vec::with_capacity(HEAD + body.len());
        let mut code = Encoder::new(&mut out);
        code.raw(MAGIC);
        code.raw(&VERSION.to_le_bytes());
        code.word(body.len() as u64);
        code.raw(&Digest::of_parts(&[&body]).0);
        code.raw(&body);
        out
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Where the bytes are not those of a model: nothing of them is trusted, not even with a good checksum.
    pub fn decode(bytes: &[u8]) -> Result<Self, ArtifactError> {
        if bytes.len() > MAX_BYTES {
            return Err(ArtifactError::TooLarge);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(ArtifactError::NotAModel)?;
        let (version, rest) = rest.split_first_chunk().ok_or(ArtifactError::Length)?;
        let version = u32::from_le_bytes(*version);
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(ArtifactError::Version(version));
        }
        let (length, rest) = rest.split_first_chunk().ok_or(ArtifactError::Length)?;
        let (digest, body) = rest.split_first_chunk().ok_or(ArtifactError::Length)?;
        if usize::try_from(u64::from_le_bytes(*length)) != Ok(body.len()) {
            return Err(ArtifactError::Length);
        }
        if Digest::of_parts(&[body]) != Digest(*digest) {
            return Err(ArtifactError::Checksum);
        }
        Self::load(version, &mut Decoder::new(body))
            .map_err(|damaged| ArtifactError::Damaged(Damaged { at: damaged.at + HEAD, ..damaged }))
    }

    /// The score at a share of the training data's scores: of the least that has so many below it.
    pub fn score_at(&self, share_ppm: u32) -> Option<i64> {
        let at = self.quantiles.partition_point(|known| known.share_ppm < share_ppm);
        self.quantiles.get(at).map(|known| known.score_micro)
    }

    fn save(&self, code: &mut Encoder<'_>) {
        code.text(&self.name);
        code.text(&self.event);
        code.count(self.features.len());
        self.features.iter().for_each(|feature| feature.save(code));
        code.count(self.fields.len());
        for field in &self.fields {
            code.text(&field.name);
            code.text(&field.read);
        }
        self.scorer.save(code);
        code.count(self.quantiles.len());
        for quantile in &self.quantiles {
            code.var(quantile.share_ppm.into());
            save_signed(quantile.score_micro, code);
        }
        self.reference.save(code);
        code.text(&self.facts);
    }

    fn load(version: u32, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        let name = bounded_text(MAX_NAME, code, "name of a model")?;
        let event = bounded_text(MAX_NAME, code, "event of a model")?;
        let features = load_features(code)?;
        let fields = if version > OLDEST { load_fields(code)? } else { Vec::new() };
        let scorer = Scorer::load(features.len(), code)?;
        let quantiles = load_quantiles(code)?;
        let reference = Histogram::load(code)?;
        let facts = bounded_text(MAX_FACTS, code, "card of a model")?;
        code.end("end of a model")?;
        Ok(Self { name, event, features, fields, scorer, quantiles, reference, facts })
    }
}

fn load_features(code: &mut Decoder<'_>) -> Result<Vec<Feature>, Damaged> {
    const WHAT: &str = "features of a model";
    let n = code.count(8, WHAT)?;
    code.demand((1..=MAX_FEATURES).contains(&n), WHAT)?;
    let features: Result<Vec<Feature>, _> = (0..n).map(|_| Feature::load(code)).collect();
    let features = features?;
    let ascend = features.is_sorted_by(|before, after| before.name < after.name);
    code.demand(ascend, WHAT)?;
    Ok(features)
}

fn load_fields(code: &mut Decoder<'_>) -> Result<Vec<FieldSource>, Damaged> {
    const WHAT: &str = "fields of a model";
    let n = code.count(2, WHAT)?;
    code.demand(n <= MAX_FIELDS, WHAT)?;
    let field = |_| {
        let name = bounded_text(MAX_NAME, code, WHAT)?;
        Ok(FieldSource { name, read: bounded_text(MAX_IDENTITY, code, WHAT)? })
    };
    let fields: Vec<FieldSource> = (0..n).map(field).collect::<Result<_, Damaged>>()?;
    let ascend = fields.is_sorted_by(|before, after| before.name < after.name);
    code.demand(ascend, WHAT)?;
    Ok(fields)
}

fn load_quantiles(code: &mut Decoder<'_>) -> Result<Vec<Quantile>, Damaged> {
    const WHAT: &str = "quantiles of a model";
    let n = code.count(2, WHAT)?;
    code.demand(n <= MAX_QUANTILES, WHAT)?;
    let quantiles: Result<Vec<Quantile>, Damaged> = (0..n)
        .map(|_| {
            let (share_ppm, score_micro) = (code.narrow(WHAT)?, load_signed(code, WHAT)?);
            Ok(Quantile { share_ppm, score_micro })
        })
        .collect();
    let quantiles = quantiles?;
    let ascend = quantiles.is_sorted_by(|before, after| {
        before.share_ppm < after.share_ppm && before.score_micro <= after.score_micro
    });
    code.demand(ascend && quantiles.iter().all(|it| it.share_ppm <= 1_000_000), WHAT)?;
    Ok(quantiles)
}

fn bounded_text(
    most: usize,
    code: &mut Decoder<'_>,
    what: &'static str,
) -> Result<String, Damaged> {
    let text = code.text(what)?;
    code.demand(text.len() <= most, what)?;
    Ok(text.to_owned())
}
