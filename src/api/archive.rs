//! Rule sets that are known by their digest: the one that decides, and those whose files the read model keeps.
//!
//! Whoever wants to know what decided last month, or to go back to it, finds its text here. Artifacts of models are kept by digest
//! alone: what is compiled from kept files takes those of the rule set that decides, and its digest tells whether they are the same.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::problem::{INTERNAL, NOT_FOUND, Problem};
use crate::api::state::{State, now_ms};
use crate::api::store::rulesets::{self, Decides};
use crate::api::store::{Answer, Store};
use crate::backtest::compare::{Changes, changes};
use crate::base::Digest;
use crate::diag::{Binary, Source, Sources};
use crate::rules::compile;
use crate::rules::program::Program;

/// The files of a rule set as they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Files {
    /// Path and text.
    pub(crate) files: Vec<(String, String)>,
    /// Path and digest.
    pub(crate) artifacts: Vec<(String, String)>,
}

impl Files {
    /// Those of a rule set.
    pub(crate) fn of(sources: &Sources) -> Self {
        let file = |file: &Source| (file.path.clone(), file.text.clone());
        let digest = |file: &Binary| Digest::of_parts(&[&file.bytes]).short_hex();
        let artifact = |file: &Binary| (file.path.clone(), digest(file));
        Self {
            files: sources.files.iter().map(file).collect(),
            artifacts: sources.artifacts.iter().map(artifact).collect(),
        }
    }

    /// With the artifacts of another rule set.
    pub(crate) fn sources(self, artifacts: Vec<Binary>) -> Sources {
        let files = self.files.into_iter().map(|(path, text)| Source { path, text }).collect();
        Sources { files, artifacts }
    }

    fn json(&self) -> String {
        // WHY: texts always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is added, removed and changed between two rule sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Differences {
    /// Rules and other items that only the later one has: `rule card_velocity`.
    pub(crate) added: Vec<String>,
    /// Those that only the former one has.
    pub(crate) removed: Vec<String>,
    /// What both have, with another meaning.
    pub(crate) changed: Vec<String>,
}

impl Differences {
    fn between(former: &Program, later: &Program) -> Self {
        let Changes { added, removed, changed, .. } = changes(former, later);
        Self { added, removed, changed: changed.into_iter().map(|it| it.what).collect() }
    }
}

/// Keeps each rule set that decides, once.
#[derive(Debug, Default)]
pub(crate) struct Keeper(Option<Arc<Program>>);

impl Keeper {
    /// Keeps the one that decides now, if it is another one than a moment ago, and what is different.
    pub(crate) fn note(&mut self, store: &Store, now: &Arc<Program>) -> Answer<()> {
        if self.0.as_ref().is_some_and(|known| known.digest == now.digest) {
            return Ok(());
        }
        let known = self.0.replace(Arc::clone(now));
        let digest = now.digest.short_hex();
        let connection = store.writer();
        let former = match known {
            Some(former) => Some(former),
            None => rulesets::last_active(&connection)?
                .filter(|(former, _)| *former != digest)
                .and_then(|(former, files)| program(&files, now, &former)),
        };
        let files = Files::of(&now.sources).json();
        rulesets::keep(&connection, (&digest, &files), now_ms(), Decides::Now)?;
        let Some(former) = former else { return Ok(()) };
        let differences = Differences::between(&former, now);
        let text = serde_json::to_string(&differences).unwrap_or_default();
        rulesets::keep_changes(&connection, (&former.digest.short_hex(), &digest), &text)
    }
}

/// Kept files as a rule set, if it still is the one of this digest with the artifacts of another.
fn program(files: &str, with: &Program, digest: &str) -> Option<Arc<Program>> {
    let files: Files = serde_json::from_str(files).ok()?;
    let (program, _) = compile(&files.sources(with.sources.artifacts.clone()));
    program.filter(|program| program.digest.short_hex() == digest).map(Arc::new)
}

/// Keeps a rule set that may decide one day.
///
/// # Errors
/// The read model cannot be used.
pub(crate) async fn keep(state: &State, program: &Program) -> Result<(), Problem> {
    let (digest, files) = (program.digest.short_hex(), Files::of(&program.sources).json());
    let work = move |connection: &mut _| {
        rulesets::keep(connection, (&digest, &files), now_ms(), Decides::NotYet)
    };
    state.store.change(work).await
}

/// The files of a rule set: of the one that decides, or as they are kept.
///
/// # Errors
/// Neither is of this digest.
pub(crate) async fn files(state: &State, digest: &str) -> Result<Files, Problem> {
    let active = state.rules.get();
    if active.digest.short_hex() == digest {
        return Ok(Files::of(&active.sources));
    }
    let wanted = digest.to_owned();
    let kept = state.store.ask(move |connection| rulesets::find(connection, &wanted)).await?;
    let unknown = || {
        let what = "the files of this rule set are not known here: it decided or was proposed long ago, or in another instance";
        Problem::new(NOT_FOUND, what)
    };
    let unreadable = |_| Problem::new(INTERNAL, "a rule set of the read model could not be read");
    serde_json::from_str(&kept.ok_or_else(unknown)?).map_err(unreadable)
}

/// The same to compile, with the artifacts of the rule set that decides.
///
/// # Errors
/// As for [`files`].
pub(crate) async fn sources(state: &State, digest: &str) -> Result<Sources, Problem> {
    let artifacts = state.rules.get().sources.artifacts.clone();
    Ok(files(state, digest).await?.sources(artifacts))
}
