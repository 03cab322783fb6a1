//! Another rule set while the service runs: looked for in the rule folder, on SIGHUP, or when somebody asks.
//!
//! All or nothing: the folder is read and compiled as a whole, and only a rule set without errors is handed to the
//! cell. A folder that is being written is left alone until it has stood still for one look.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use crate::base::Privacy;
use crate::diag::render::{self, Style};
use crate::diag::{Severity, Sources};
use crate::loader::{load, models_beside};
use crate::rules::compile;
use crate::rules::locality::{Foreign, foreign};
use crate::rules::program::Program;
use crate::runtime::backfill::{Planned, Since};
use crate::runtime::privacy::kept_private;
use crate::runtime::rulesets::{Asked, Became, Wish};
use crate::telemetry::{Board, happening};

/// How often signals are looked for.
const SIGNALS_EVERY: Duration = Duration::from_millis(200);
/// How long whoever asks waits until the rule set decides. WHY: less than a client waits for an answer.
const ACTIVE_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait until it is known what a backfill reads.
const PLAN_LIMIT: Duration = Duration::from_secs(10);
/// Why nothing is handed over any more.
const STOPPING: &str = "the service is stopping";
/// Most files that one look at the folder counts.
const MOST_FILES: usize = 20_000;

/// What became of a look at the rule folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It holds the rule set that is active.
    Unchanged {
        /// Its digest.
        ruleset: String,
        /// What is read again for it, if that was asked for.
        backfill: Option<Backfill>,
    },
    /// It compiled and was handed to the cell, which makes it active between two records.
    Taken {
        /// Its digest.
        ruleset: String,
        /// What is read again for it, if that was asked for.
        backfill: Option<Backfill>,
    },
    /// It compiled and was handed to the cell, which has not come to it yet: it has no partitions, or rebuilds windows.
    Waiting {
        /// Its digest.
        ruleset: String,
        /// What is read again for it, if that was asked for.
        backfill: Option<Backfill>,
    },
    /// It cannot be read, has errors or cannot be kept beside the snapshots; the active rule set stays.
    Refused {
        /// What is wrong: one paragraph per finding.
        reason: String,
    },
}

/// What is known of a backfill that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backfill {
    /// This will be read.
    Planned(Planned),
    /// The cell has not come to it yet: it has no partitions, or rebuilds windows.
    Waiting,
}

/// What a service decided on when it started and cannot change while it runs: which topics it reads, and how its state is
/// divided.
#[derive(Clone, Debug, Default)]
pub struct Laid {
    /// The input topics where the schema names them; `None` where the configuration does.
    pub inputs: Option<Vec<String>>,
    /// `kafka.partitioned_by`, and whether the first rule set could be decided partition by partition.
    pub spread: Option<(String, bool)>,
    /// Keys of tokens, and what is never stored.
    pub privacy: Privacy,
    /// Another rule set becomes active only where somebody approved it.
    pub needs_approval: bool,
}

impl Laid {
    /// Whether a rule set can take over without a restart.
    ///
    /// # Errors
    /// Why not, and what to do.
    fn check(&self, program: &Program) -> Result<(), String> {
        if let Some(inputs) = &self.inputs {
            let wanted = program.schema.topics();
            if wanted != *inputs {
                return Err(format!(
                    "the schema names the topics {}, and this process reads {}: restart it with the new rules",
                    wanted.join(", "),
                    inputs.join(", ")
                ));
            }
        }
        let Some((entity, by_partition)) = &self.spread else { return Ok(()) };
        let Some(foreign) = foreign(program, entity) else {
            return Err(format!(
                "`kafka.partitioned_by` names `{entity}`, which is no entity of these rules"
            ));
        };
        match (foreign.first(), by_partition) {
            (Some(Foreign { who, key }), true) => Err(format!(
                "{who} reads by `{key}`, which other partitions know, too, and this process keeps its windows partition by partition: write it by `{entity}`, or restart one instance alone with the new rules"
            )),
            (None, false) => Err(format!(
                "these rules can be decided partition by partition by `{entity}`, and this process keeps its windows in one piece: restart it with the new rules"
            )),
            _ => Ok(()),
        }
    }
}

/// A rule set that people approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// Which one.
    pub digest: String,
    /// When the log took that they did, ms since 1970.
    pub at_ms: i64,
}

/// When somebody was told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was long known when this process began to listen.
    Before,
    /// A moment ago.
    Now,
}

/// Looks at the rule folder and hands rule sets over.
#[derive(Debug)]
pub struct Reloader {
    folder: PathBuf,
    laid: Laid,
    board: Arc<Board>,
    /// Where rule sets go, and the digest of the last that went there. One look at a time.
    outgoing: Mutex<(Sender<Wish>, Option<String>)>,
    /// The rule set that was approved last, here or in another instance.
    approved: Mutex<Option<Approved>>,
}

/// What a folder looks like from outside: names, lengths, times.
type Fingerprint = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

impl Reloader {
    /// A reloader beside the rule set that the board names, and where further ones arrive.
    pub fn new(folder: &Path, laid: Laid, board: Arc<Board>) -> (Self, Receiver<Wish>) {
        let (outgoing, incoming) = channel();
        let outgoing = Mutex::new((outgoing, None));
        let approved = Mutex::default();
        (Self { folder: folder.to_owned(), laid, board, outgoing, approved }, incoming)
    }

    /// Reads and compiles the folder, and hands the rule set over if it is another one. With `backfill` the past is read
    /// again for it, or, if it is active already, for what is warming; this waits a while to be told what will be read.
    pub fn check(&self, backfill: Option<Since>) -> Reload {
        self.take(|| self.compiled(), backfill)
    }

    /// The same for somebody who wants to know what comes of it, and waits a while for that.
    pub fn ask(&self, backfill: Option<Since>) -> Reload {
        let (outcome, became) = self.look(|| self.compiled(), backfill);
        told(outcome, became, ACTIVE_LIMIT)
    }

    /// The rule set of the folder, if it may become active because it lies there.
    fn compiled(&self) -> Result<Arc<Program>, String> {
        let program = self.compile()?;
        let found = program.digest.short_hex();
        let is_let_in = || found == self.board.ruleset() || self.is_approved(&found);
        if self.laid.needs_approval && !is_let_in() {
            return Err(format!(
                "rule set {found} lies in the folder and nobody approved it: with `rules.approval: on` it becomes active by `POST /v1/rules:request-activation` and the approval of somebody else"
            ));
        }
        Ok(Arc::new(program))
    }

    /// People approved a rule set, here or in another instance: from now on it may become active because it lies in the folder.
    /// `told`: whether that is news, and it becomes active at once if it lies there.
    pub fn approve(&self, newer: Approved, told: Told) {
        let digest = newer.digest.clone();
        let mut last = self.approved.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|last| last.at_ms > newer.at_ms) {
            return;
        }
        *last = Some(newer);
        drop(last);
        if told == Told::Before || digest == self.board.ruleset() {
            return;
        }
        // WHY: what else lies there is nobody's wish, and no refusal.
        if let Ok(program) = self.compile()
            && program.digest.short_hex() == digest
        {
            self.take(|| Ok(Arc::new(program)), None);
        }
    }

    fn is_approved(&self, digest: &str) -> bool {
        let last = self.approved.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|last| last.digest == digest)
    }

    /// Hands a rule set over if it is another one than decides, or than is about to; `backfill` as in [`Reloader::check`].
    pub fn take(
        &self,
        compile: impl FnOnce() -> Result<Arc<Program>, String>,
        backfill: Option<Since>,
    ) -> Reload {
        self.look(compile, backfill).0
    }

    /// The same for a rule set that people let in: what fits this process is made ready before it is handed over, while nobody
    /// else looks at the folder.
    pub fn activate(
        &self,
        program: Arc<Program>,
        make_ready: impl FnOnce() -> Result<(), String>,
    ) -> Reload {
        let compile = || {
            self.laid.check(&program)?;
            kept_private(Arc::clone(&program), &self.laid.privacy)?;
            make_ready()?;
            Ok(program)
        };
        self.look(compile, None).0
    }

    /// Also where it is told what becomes of what was handed over.
    fn look(
        &self,
        compile: impl FnOnce() -> Result<Arc<Program>, String>,
        backfill: Option<Since>,
    ) -> (Reload, Option<Receiver<Became>>) {
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |program: Arc<Program>| {
            self.laid.check(&program).and_then(|()| kept_private(program, &self.laid.privacy))
        };
        let (outcome, became) = match compile().and_then(fits) {
            Err(reason) => (Reload::Refused { reason }, None),
            Ok(program) => self.offer(&mut outgoing, program, backfill),
        };
        drop(outgoing);
        let reason = if let Reload::Refused { reason } = &outcome { Some(reason) } else { None };
        self.board.set_folder_refused(reason.is_some());
        if let Some(reason) = reason {
            self.board.count_reload("refused");
            let first = reason.lines().take(3).collect::<Vec<_>>().join(" ");
            happening::RuleSetRefused { reason: &first }.emit();
        }
        (outcome, became)
    }

    fn offer(
        &self,
        (sender, last): &mut (Sender<Wish>, Option<String>),
        program: Arc<Program>,
        backfill: Option<Since>,
    ) -> (Reload, Option<Receiver<Became>>) {
        let ruleset = program.digest.short_hex();
        // WHY: what was handed over last and is not active is still to become so, or was refused; in either case only
        // another hand-over says that this one is wanted instead.
        let is_last = last.as_ref().is_none_or(|last| *last == ruleset);
        let is_active = is_last && ruleset == self.board.ruleset();
        if is_active && backfill.is_none() {
            return (Reload::Unchanged { ruleset, backfill: None }, None);
        }
        let Ok((backfill, became)) = hand_over(sender, program, backfill) else {
            return (Reload::Refused { reason: STOPPING.to_owned() }, None);
        };
        *last = Some(ruleset.clone());
        let outcome = if is_active {
            Reload::Unchanged { ruleset, backfill }
        } else {
            Reload::Taken { ruleset, backfill }
        };
        (outcome, Some(became))
    }

    fn compile(&self) -> Result<Program, String> {
        let sources: Sources = load(&self.folder).map_err(|error| error.to_string())?;
        let (program, mut diagnostics) = compile(&sources);
        diagnostics.retain(|found| found.severity() == Severity::Error);
        match program {
            Some(program) if diagnostics.is_empty() => Ok(program),
            _ => Err(render::text(&sources, &diagnostics, Style::Plain)),
        }
    }

    /// Starts a thread that checks on SIGHUP, and when the folder has changed and then stood still. `every`: time
    /// between two looks; zero looks only on signals. The thread ends when the watch is dropped.
    ///
    /// # Errors
    /// The system does not let the signal be handled or gives no thread.
    pub fn watch(self: &Arc<Self>, every: Duration) -> io::Result<Watch> {
        let signal = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&signal))?;
        let (stop, stopped) = channel::<()>();
        let reloader = Arc::clone(self);
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            let pace = if every.is_zero() { SIGNALS_EVERY } else { SIGNALS_EVERY.min(every) };
            // WHY: the first folder that stands still is checked too: it may have changed since the start read it.
            let (mut seen, mut checked) = (fingerprint(&reloader.folder), None);
            let mut left = every;
            while stopped.recv_timeout(pace) == Err(RecvTimeoutError::Timeout) {
                if signal.swap(false, Ordering::Relaxed) {
                    reloader.check(None);
                }
                left = left.saturating_sub(pace);
                if every.is_zero() || !left.is_zero() {
                    continue;
                }
                left = every;
                let now = fingerprint(&reloader.folder);
                // WHY: a half-written folder looks otherwise a moment later; only what stood still is read.
                if now == seen && now != checked {
                    checked.clone_from(&now);
                    reloader.check(None);
                }
                seen = now;
            }
        })?;
        Ok(Watch { _stop: stop })
    }
}

/// Hands a rule set to the cell; what will be read again for it, and where it is told what becomes of it.
fn hand_over(
    outgoing: &Sender<Wish>,
    program: Arc<Program>,
    backfill: Option<Since>,
) -> Result<(Option<Backfill>, Receiver<Became>), ()> {
    let (answer, planned) = channel();
    let (told, became) = channel();
    let asked = backfill.map(|since| Asked { since, answer: Some(answer) });
    let wish = Wish { program, backfill: asked, told: Some(told) };
    outgoing.send(wish).map_err(|_| ())?;
    let backfill = backfill.map(|_| match planned.recv_timeout(PLAN_LIMIT) {
        Ok(planned) => Backfill::Planned(planned),
        Err(_) => Backfill::Waiting,
    });
    Ok((backfill, became))
}

/// What became of what was handed over, as far as that is known after so long.
fn told(outcome: Reload, became: Option<Receiver<Became>>, limit: Duration) -> Reload {
    let Some(became) = became else { return outcome };
    // WHY: it is active when the past is read, and that may take hours.
    let has_plan = matches!(
        outcome,
        Reload::Taken { backfill: Some(_), .. } | Reload::Unchanged { backfill: Some(_), .. }
    );
    match (became.recv_timeout(if has_plan { Duration::ZERO } else { limit }), outcome) {
        (Ok(Became::Refused(reason)), _) => Reload::Refused { reason },
        (Err(RecvTimeoutError::Disconnected), Reload::Taken { .. }) => {
            Reload::Refused { reason: STOPPING.to_owned() }
        }
        (Err(RecvTimeoutError::Timeout), Reload::Taken { ruleset, backfill: None }) => {
            Reload::Waiting { ruleset, backfill: None }
        }
        (Ok(Became::Active) | Err(_), outcome) => outcome,
    }
}

/// A watch over the rule folder.
#[derive(Debug)]
pub struct Watch {
    _stop: Sender<()>,
}

fn fingerprint(folder: &Path) -> Option<Fingerprint> {
    let mut found = Fingerprint::new();
    look(folder, &mut found).ok()?;
    if let Some(models) = models_beside(folder) {
        look(&models, &mut found).ok()?;
    }
    Some(found)
}

fn look(path: &Path, found: &mut Fingerprint) -> io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_dir() {
        found.insert(path.to_owned(), (metadata.len(), metadata.modified().ok()));
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && found.len() < MOST_FILES {
            look(&entry.path(), found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Source;
    use crate::runtime::rulesets::tests::program;
    use crate::telemetry::board::Identity;

    #[test]
    fn the_watch_sees_models_beside_the_rule_folder() {
        let place = tempfile::tempdir().unwrap();
        let (rules, models) = (place.path().join("rules"), place.path().join("models"));
        std::fs::create_dir(&rules).unwrap();
        let before = fingerprint(&rules);
        std::fs::create_dir(&models).unwrap();
        assert_eq!(fingerprint(&rules), before);
        std::fs::write(models.join("one.rwm"), "one").unwrap();
        let one = fingerprint(&rules);
        std::fs::write(models.join("one.rwm"), "another").unwrap();
        let other = fingerprint(&rules);
        assert!(before.is_some() && before != one && one != other);
        // Whose name is `models` has none beside it.
        assert_eq!(fingerprint(&models).map(|files| files.len()), Some(1));
    }

    #[test]
    fn a_folder_that_goes_back_before_the_other_rule_set_is_active_takes_that_back_too() {
        let (one, other) = (program(1), program(2));
        let identity = Identity { ruleset: one.digest.short_hex(), ..Identity::default() };
        let board = Arc::new(Board::new(1, identity));
        let (reloader, incoming) =
            Reloader::new(Path::new("rules"), Laid::default(), Arc::clone(&board));
        let give = |program: &Arc<Program>| reloader.take(|| Ok(Arc::clone(program)), None);
        let digest = |program: &Arc<Program>| program.digest.short_hex();
        let taken =
            |program: &Arc<Program>| Reload::Taken { ruleset: digest(program), backfill: None };
        let unchanged =
            |program: &Arc<Program>| Reload::Unchanged { ruleset: digest(program), backfill: None };
        assert_eq!(give(&one), unchanged(&one));
        assert_eq!(give(&other), taken(&other));
        // The board still names the first: the cell has not come to it yet.
        assert_eq!(give(&one), taken(&one));
        let wanted: Vec<_> = incoming.try_iter().map(|wish| wish.program.digest).collect();
        assert_eq!(wanted, [other.digest, one.digest]);
        assert_eq!(give(&one), unchanged(&one));
        // A rule set that was handed over and refused by the cell can be handed over again.
        assert_eq!(give(&other), taken(&other));
        assert_eq!(give(&other), taken(&other));
        board.set_ruleset(&other.digest.short_hex());
        assert_eq!(give(&other), unchanged(&other));
        assert_eq!(give(&one), taken(&one));
    }

    fn of_text(text: &str) -> Program {
        let files = vec![Source { path: "rules.risk".to_owned(), text: text.to_owned() }];
        let (program, found) = compile(&Sources::of(files));
        program.unwrap_or_else(|| panic!("{found:#?}"))
    }

    const TWO_KEYS: &str = "event pay from \"t\"\n  id i : text\n  time at : time\n  key card : card\n  key device : device\n";

    fn counting(key: &str) -> String {
        format!(
            "{TWO_KEYS}rule often \"many\"\n  id \"R-1\"  owner tests  severity low\n  on pay\n  when count(pay) by {key} over last 1h > 3\n  then score +1 in often\n"
        )
    }

    #[test]
    fn rules_that_read_another_topic_need_a_restart() {
        let laid = Laid { inputs: Some(vec!["t".to_owned()]), ..Laid::default() };
        assert_eq!(laid.check(&of_text(&counting("card"))), Ok(()));
        let other = format!(
            "{}event login from \"u\"\n  id i : text\n  time at : time\n",
            counting("card")
        );
        let refused = laid.check(&of_text(&other)).unwrap_err();
        assert!(refused.contains("topics t, u") && refused.contains("restart"), "{refused}");
        // Where the configuration names the topics, the schema has no say.
        let laid = Laid::default();
        assert_eq!(laid.check(&of_text(&other)), Ok(()));
    }

    /// As a signal or a request asks for it; what somebody approved is handed over as a program.
    #[test]
    fn a_rule_set_that_nobody_approved_is_refused_where_that_is_needed() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("rules.risk");
        let text = |program: &Program| program.sources.files[0].text.clone();
        let (one, other) = (program(1), program(2));
        let identity = Identity { ruleset: one.digest.short_hex(), ..Identity::default() };
        let board = Arc::new(Board::new(1, identity));
        let laid = Laid { needs_approval: true, ..Laid::default() };
        let (reloader, incoming) = Reloader::new(place.path(), laid, board);
        std::fs::write(&file, text(&other)).unwrap();
        let Reload::Refused { reason } = reloader.check(None) else { panic!("it was taken") };
        assert!(reason.contains("nobody approved it"), "{reason}");
        assert!(incoming.try_recv().is_err());
        let taken = reloader.take(|| Ok(Arc::clone(&other)), None);
        assert!(matches!(taken, Reload::Taken { .. }), "{taken:?}");
        assert!(incoming.try_recv().is_ok());
    }

    #[test]
    fn rules_that_divide_state_otherwise_need_a_restart() {
        let laid = |by_partition| Laid {
            spread: Some(("card".to_owned(), by_partition)),
            ..Laid::default()
        };
        let (own, foreign) = (of_text(&counting("card")), of_text(&counting("device")));
        assert_eq!(laid(true).check(&own), Ok(()));
        assert_eq!(laid(false).check(&foreign), Ok(()));
        let refused = laid(true).check(&foreign).unwrap_err();
        assert!(refused.contains("`often`") && refused.contains("`device`"), "{refused}");
        assert!(laid(false).check(&own).unwrap_err().contains("restart"));
        let misspelt = Laid { spread: Some(("crad".to_owned(), true)), ..Laid::default() };
        assert!(misspelt.check(&own).unwrap_err().contains("no entity"));
    }
}
