//! The rule sets of a running service: the one that is wanted, those that a replay needs, and how each becomes an engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::base::{Digest, Privacy};
use crate::diag::{Binary, Source, Sources};
use crate::durable::container::Next;
use crate::durable::{LoadError, Parts};
use crate::engine::{ActivationReport, Engine, EngineOptions, Restore, RestoreError};
use crate::rules::compile;
use crate::rules::eval::EvalError;
use crate::rules::locality::{Foreign, foreign};
use crate::rules::program::Program;
use crate::runtime::backfill::{Planned, Since};
use crate::runtime::decide::Deciding;
use crate::runtime::error::RunError;
use crate::runtime::port::{Engines, News, Spread};
use crate::telemetry::Board;

/// A compiled rule set with the settings that it decides by.
#[derive(Clone, Debug)]
struct RuleSet {
    /// Identity of both, worked out once: the cell asks for it at every turn.
    id: String,
    program: Arc<Program>,
    options: EngineOptions,
}

/// A rule set as it is kept beside snapshots.
#[derive(Debug, Serialize, Deserialize)]
struct Bundle {
    options: EngineOptions,
    files: Vec<(String, String)>,
    /// Artifacts of learned models, in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<(String, String)>,
}

/// A rule set that is to decide from now on.
#[derive(Debug)]
pub struct Wish {
    /// It.
    pub program: Arc<Program>,
    /// Whether the past is to be read again for it.
    pub backfill: Option<Asked>,
    /// Where it is told what became of it.
    pub told: Option<Sender<Became>>,
}

/// What became of a rule set that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Became {
    /// It decides.
    Active,
    /// It does not, and why.
    Refused(String),
}

/// The past is to be read again for a rule set.
#[derive(Debug)]
pub struct Asked {
    /// From when on.
    pub since: Since,
    /// Where it is told what will be read.
    pub answer: Option<Sender<Planned>>,
}

/// A backfill of the wanted rule set.
#[derive(Debug)]
struct Wanted {
    asked: Asked,
    /// Also where the rule set is active already.
    if_active: bool,
}

/// The rule set that decides now, for whoever shows it: set by the cell, read by other threads.
#[derive(Clone, Debug)]
pub struct ActiveRules(Arc<RwLock<Arc<Program>>>);

impl ActiveRules {
    /// Until a cell says otherwise it is this one.
    pub fn new(program: Arc<Program>) -> Self {
        Self(Arc::new(RwLock::new(program)))
    }

    /// It.
    pub fn get(&self) -> Arc<Program> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, program: &Arc<Program>) {
        // WHY: the cell says so often, and readers must not wait for a writer that has no news.
        if Arc::ptr_eq(&self.get(), program) {
            return;
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(program);
    }
}

/// See the module.
#[derive(Debug)]
pub struct DecidingEngines {
    wanted: RuleSet,
    /// Of the past, by identity.
    known: BTreeMap<String, RuleSet>,
    /// Where compiled rule sets come from while the service runs.
    incoming: Option<Receiver<Wish>>,
    /// What is to be read again for the wanted rule set.
    backfill: Option<Wanted>,
    /// Who wants to know what becomes of the wanted rule set.
    askers: Vec<Sender<Became>>,
    /// The wanted rule set could not be kept and is tried again.
    is_held_back: bool,
    /// Where it is told which rule set decides.
    board: Option<Arc<Board>>,
    /// Where the rule set that decides is shown.
    shown: Option<ActiveRules>,
    /// The identity that the board was told of last.
    told: Option<String>,
    /// The entity by which input records are spread over partitions.
    partitioned_by: Option<String>,
    /// The topic of commands.
    commands: Option<String>,
    /// Engines that share the memory.
    engines: u32,
    /// Keys of tokens, for rule sets of the past.
    privacy: Privacy,
}

/// The identity of a rule set with its settings.
fn identity(program: &Program, options: &EngineOptions) -> String {
    let settings = options.digest().short_hex();
    let key = program.schema.token_key.as_ref();
    match key.map(|key| key.id().as_bytes()) {
        Some(key) => Digest::of_parts(&[&program.digest.0, settings.as_bytes(), key]),
        None => Digest::of_parts(&[&program.digest.0, settings.as_bytes()]),
    }
    .short_hex()
}

impl RuleSet {
    fn new(program: Arc<Program>, options: EngineOptions) -> Self {
        Self { id: identity(&program, &options), program, options }
    }
}

impl DecidingEngines {
    /// Engines of one rule set.
    pub fn new(program: Arc<Program>, options: EngineOptions) -> Self {
        let wanted = RuleSet::new(program, options);
        Self {
            wanted,
            known: BTreeMap::new(),
            incoming: None,
            backfill: None,
            askers: Vec::new(),
            is_held_back: false,
            board: None,
            shown: None,
            told: None,
            partitioned_by: None,
            commands: None,
            engines: 1,
            privacy: Privacy::default(),
        }
    }

    /// Takes further rule sets from a channel, and tells a board which one decides.
    #[must_use]
    pub fn following(self, incoming: Receiver<Wish>, board: Arc<Board>) -> Self {
        Self { incoming: Some(incoming), board: Some(board), ..self }
    }

    /// Shows the rule set that decides.
    #[must_use]
    pub fn shown_in(self, shown: ActiveRules) -> Self {
        Self { shown: Some(shown), ..self }
    }

    /// The past is read again for the first rule set, where another one decided last.
    #[must_use]
    pub fn backfilled(self, since: Option<Since>) -> Self {
        let asked = |since| Asked { since, answer: None };
        let wanted = |since| Wanted { asked: asked(since), if_active: false };
        Self { backfill: since.map(wanted), ..self }
    }

    /// The input records are spread over partitions by this entity.
    #[must_use]
    pub fn partitioned_by(self, entity: Option<&str>) -> Self {
        Self { partitioned_by: entity.map(str::to_owned), ..self }
    }

    /// Commands come from this topic.
    #[must_use]
    pub fn commanded_from(self, topic: Option<&str>) -> Self {
        Self { commands: topic.map(str::to_owned), ..self }
    }

    /// Rule sets of the past have tokens of these keys, and store no values of these members.
    #[must_use]
    pub fn keeping(self, privacy: Privacy) -> Self {
        Self { privacy, ..self }
    }

    /// The rule set with tokens of each key.
    fn each_keyed(&self, program: Program, options: EngineOptions) -> Vec<RuleSet> {
        let program = program.never_storing(&self.privacy.never_store);
        if program.schema.tokenized_field().is_none() {
            return vec![RuleSet::new(Arc::new(program), options)];
        }
        let keyed = |key| RuleSet::new(Arc::new(program.clone().keyed(key)), options);
        self.privacy.keys().map(keyed).collect()
    }

    /// Knows a rule set of the past, with the settings of the wanted one: its identity, for each key of tokens one.
    pub fn remember(&mut self, program: Program) -> Vec<String> {
        let all = self.each_keyed(program, self.wanted.options);
        let ids = all.iter().map(|ruleset| ruleset.id.clone()).collect();
        self.known.extend(all.into_iter().map(|ruleset| (ruleset.id.clone(), ruleset)));
        ids
    }

    /// A rule set with the part of the memory that one engine has.
    fn part(&self, ruleset: &RuleSet) -> (Arc<Program>, EngineOptions) {
        (Arc::clone(&ruleset.program), EngineOptions { sharers: self.engines, ..ruleset.options })
    }

    /// Tells whoever asked what became of the wanted rule set.
    fn answer(&mut self, became: &Became) {
        for asker in self.askers.drain(..) {
            // WHY: whoever asked may not wait any more.
            _ = asker.send(became.clone());
        }
    }

    /// Notes whether the wanted rule set is held back. True: that is news.
    fn set_held_back(&mut self, is_held_back: bool) -> bool {
        let is_news = self.is_held_back != is_held_back;
        self.is_held_back = is_held_back;
        if let Some(board) = self.board.as_ref().filter(|_| is_news) {
            board.set_held_back(is_held_back);
        }
        is_news
    }

    fn count(&self, outcome: &'static str) {
        if let Some(board) = &self.board {
            board.count_reload(outcome);
        }
    }

    fn find(&self, id: &str) -> &RuleSet {
        // WHY: whoever asks has made sure that it is at hand; the wanted one is the best answer if not.
        if self.wanted.id == id { &self.wanted } else { self.known.get(id).unwrap_or(&self.wanted) }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
fn refused(error: EvalError) -> RunError {
    RunError::Engine { reason: error.to_string() }
}

impl Engines for DecidingEngines {
    type Engine = Deciding;

    fn wanted(&self) -> &str {
        &self.wanted.id
    }

    fn poll(&mut self) -> News {
        let wishes: Vec<Wish> = self
            .incoming
            .as_ref()
            .map(|incoming| incoming.try_iter().collect())
            .unwrap_or_default();
        let mut news = News::None;
        for Wish { program, backfill, told } in wishes {
            let changed = program.digest != self.wanted.program.digest;
            if changed {
                let new = RuleSet::new(program, self.wanted.options);
                let old = core::mem::replace(&mut self.wanted, new);
                self.known.insert(old.id.clone(), old);
                self.answer(&Became::Refused("another one came before it was active".to_owned()));
                self.set_held_back(false);
            }
            if told.is_some() {
                self.askers.extend(told);
                news = news.max(News::AskedAgain);
            }
            // WHY: a folder that is looked at once more does not take back what somebody asked for.
            if changed || backfill.is_some() {
                news = News::Another;
                self.backfill = backfill.map(|asked| Wanted { asked, if_active: true });
            }
        }
        news
    }

    fn backfill(&self, is_active: bool) -> Option<Since> {
        let wanted = self.backfill.as_ref().filter(|wanted| wanted.if_active || !is_active)?;
        Some(wanted.asked.since)
    }

    fn tell_backfill(&mut self, planned: &Planned) {
        let answer = self.backfill.as_mut().and_then(|wanted| wanted.asked.answer.take());
        if let Some(answer) = answer {
            // WHY: whoever asked may not wait any more.
            _ = answer.send(*planned);
        }
    }

    fn end_backfill(&mut self) {
        self.tell_backfill(&Planned::default());
        if let Some(wanted) = &mut self.backfill {
            wanted.if_active = false;
        }
    }

    fn hold_back(&mut self, reason: &str) {
        let told = format!(
            "{reason}; the active rule set stays, and it is tried again when there is room"
        );
        self.answer(&Became::Refused(told));
        if let Some(wanted) = &mut self.backfill {
            // WHY: it waits for a plan that does not come now.
            drop(wanted.asked.answer.take());
        }
        if self.set_held_back(true) {
            self.count("refused");
        }
    }

    fn refuse(&mut self, active: &str, reason: &str) {
        self.answer(&Became::Refused(reason.to_owned()));
        self.count("refused");
        self.set_held_back(false);
        self.backfill = None;
        if let Some(active) = self.known.remove(active) {
            self.wanted = active;
        }
    }

    fn tell_active(&mut self) {
        if let Some(shown) = &self.shown {
            shown.set(&self.wanted.program);
        }
        if self.told.as_ref() != Some(&self.wanted.id)
            && let Some(board) = &self.board
        {
            board.set_ruleset(&self.wanted.program.digest.short_hex());
            if self.told.replace(self.wanted.id.clone()).is_some() {
                board.count_reload("taken");
            }
        }
        // WHY: after the board, so that whoever is answered finds it there.
        self.answer(&Became::Active);
        self.set_held_back(false);
    }

    fn bundle(&self) -> Vec<u8> {
        let file = |file: &Source| (file.path.clone(), file.text.clone());
        let Sources { files, artifacts } = &self.wanted.program.sources;
        let files = files.iter().map(file).collect();
        let artifact = |file: &Binary| (file.path.clone(), BASE64.encode(&file.bytes));
        let artifacts = artifacts.iter().map(artifact).collect();
        let bundle = Bundle { options: self.wanted.options, files, artifacts };
        // WHY: texts and numbers always become JSON.
        serde_json::to_vec(&bundle).unwrap_or_default()
    }

    fn learn(&mut self, id: &str, bundle: &[u8]) -> bool {
        let Ok(Bundle { options, files, artifacts }) = serde_json::from_slice(bundle) else {
            return false;
        };
        let files = files.into_iter().map(|(path, text)| Source { path, text }).collect();
        let artifact = |(path, text): (String, String)| {
            let bytes = BASE64.decode(text).ok()?.into();
            Some(Binary { path, bytes })
        };
        let artifacts = artifacts.into_iter().map(artifact).collect::<Option<Vec<Binary>>>();
        let Some(artifacts) = artifacts else { return false };
        let (Some(program), _) = compile(&Sources { files, artifacts }) else { return false };
        let options = EngineOptions { decisions: self.wanted.options.decisions, ..options };
        let all = self.each_keyed(program, options);
        let found = all.into_iter().find(|ruleset| ruleset.id == id);
        let is_it = found.is_some();
        self.known.extend(found.map(|ruleset| (id.to_owned(), ruleset)));
        is_it
    }

    fn retain(&mut self, named: &BTreeSet<String>) {
        self.known.retain(|id, _| named.contains(id));
    }

    fn spread(&self) -> Spread {
        let any = |program: &Program| {
            let name = program.rules.first().map_or("?", |rule| rule.name.as_str());
            format!("rule `{name}`")
        };
        let program = &self.wanted.program;
        let Some(entity) = &self.partitioned_by else {
            return Spread::Whole { who: any(program), key: None };
        };
        let Some(found) = foreign(program, entity) else {
            let key = Some(format!("anything but `{entity}`"));
            return Spread::Whole { who: any(program), key };
        };
        found.into_iter().next().map_or(Spread::ByPartition, |Foreign { who, key }| Spread::Whole {
            who,
            key: Some(key),
        })
    }

    fn share(&mut self, engines: u32) {
        self.engines = engines.max(1);
    }

    fn knows(&self, id: &str) -> bool {
        self.wanted.id == id || self.known.contains_key(id)
    }

    fn fresh(&mut self, id: &str) -> Result<Deciding, RunError> {
        let (program, options) = self.part(self.find(id));
        let engine = Engine::new(program, options).map_err(refused)?;
        Ok(Deciding::of(engine, self.commands.as_deref()))
    }

    fn restore(
        &mut self,
        id: &str,
        parts: &mut Parts<'_>,
        tick: &mut dyn FnMut(),
    ) -> Result<Deciding, LoadError> {
        let refused = |error: RestoreError| LoadError::Refused(error.to_string());
        let (program, options) = self.part(self.find(id));
        let mut restore = Restore::new(program, options);
        let mut part = Vec::new();
        while parts.next_part(&mut part)? == Next::Part {
            restore.part(&part).map_err(refused)?;
            tick();
        }
        let engine = restore.finish().map_err(refused)?;
        Ok(Deciding::of(engine, self.commands.as_deref()))
    }

    fn activate(&mut self, engine: &mut Deciding, id: &str) -> Result<ActivationReport, RunError> {
        let (program, options) = self.part(self.find(id));
        engine.activate(program, options, None).map_err(refused)
    }

    fn activate_filled(
        &mut self,
        engine: &mut Deciding,
        id: &str,
        past: (Deciding, i64),
    ) -> Result<ActivationReport, RunError> {
        let (program, options) = self.part(self.find(id));
        engine.activate(program, options, Some(past)).map_err(refused)
    }
}

#[cfg(test)]
pub(in crate::runtime) mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A rule set with one rule, which hits above so many payments.
    pub(in crate::runtime) fn program(most: u32) -> Arc<Program> {
        let text = format!(
            "event pay from \"t\"\n  id i : text\n  time at : time\n  key card : card\nrule often \"many\"\n  id \"R-1\"  owner tests  severity low\n  on pay\n  when count(pay) by card over last 1h > {most}\n  then score +1 in often\n"
        );
        let files = vec![Source { path: "rules.risk".to_owned(), text }];
        let (program, found) = compile(&Sources::of(files));
        Arc::new(program.unwrap_or_else(|| panic!("{found:#?}")))
    }

    #[test]
    fn rule_sets_that_no_epoch_names_are_let_go() {
        let (wishes, incoming) = channel();
        let board = Arc::new(Board::new(1, crate::telemetry::board::Identity::default()));
        let engines = DecidingEngines::new(program(0), EngineOptions::default());
        let mut engines = engines.following(incoming, board);
        let first = engines.wanted().to_owned();
        let mut last = first.clone();
        for most in 1..20 {
            wishes.send(Wish { program: program(most), backfill: None, told: None }).unwrap();
            assert_eq!(engines.poll(), News::Another);
            assert!(engines.knows(&last), "a refused rule set gives way to the one before");
            last = engines.wanted().to_owned();
            engines.retain(&BTreeSet::from([first.clone(), last.clone()]));
        }
        assert!(engines.knows(&first) && engines.knows(&last));
        assert_eq!(engines.known.len(), 1);
    }
}
