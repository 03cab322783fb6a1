//! Work that reads much of the log: on a thread of its own, one at a time, bounded, and ended when nobody waits for it.
//!
//! The decision path shares nothing with it but the machine: it has consumers and an engine of its own, and its thread (those
//! of its client among them) stands behind all others that want a core.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::api::problem::{BUSY, INTERNAL, Problem, TOO_MUCH};
use crate::api::state::State;
use crate::runtime::rederive::bounds::{Bounds, Limit};
use crate::telemetry::log;

/// Most of these at once. WHY: each may hold an engine as large as the service's own.
pub(crate) const MAX_ASIDE: usize = 1;

/// What these threads are behind the others, as `nice` counts it: the furthest.
const NICE: i32 = 19;

/// How long behind its time work may come to an end by itself: a snapshot is loaded whole.
const GRACE: Duration = Duration::from_secs(5);

/// What somebody may ask for here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// How long it may take.
    pub(crate) time: Duration,
    /// Most records of the log that are read.
    pub(crate) records: u64,
}

/// Nobody waits any more when this is dropped: the caller went away, or has the answer.
struct Waiting(Arc<Bounds>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Does some work aside. `command` is what does the same without bounds.
///
/// # Errors
/// Somebody else's is under way, or it took more than it may.
pub(crate) async fn aside<T: Send + 'static>(
    state: &State,
    (allowance, command): (Allowance, &str),
    work: impl FnOnce(&Bounds) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let busy = |_| Problem::new(BUSY, "the log is read for somebody else");
    let place = Arc::clone(&state.aside).try_acquire_owned().map_err(busy)?;
    let Allowance { time, records } = allowance;
    let bounds = Arc::new(Bounds::new(Instant::now() + time, records));
    let waiting = Waiting(Arc::clone(&bounds));
    let (tell, told) = oneshot::channel();
    let failed = |what: &str| Problem::new(INTERNAL, what);
    let body = move || {
        // WHY: where the system does not let it, it is a thread like others.
        _ = rustix::process::setpriority_process(None, NICE);
        // WHY: what a recovery tells operators is not true of the service here.
        let done = log::unheard(|| work(&bounds));
        drop(place);
        // WHY: whoever asked may have gone.
        _ = tell.send((done, bounds.reached()));
    };
    let thread = thread::Builder::new().name("api-aside".to_owned()).spawn(body);
    thread.map_err(|_| failed("no thread could be started"))?;
    let too_much = |limit: Limit| {
        let what = match limit {
            Limit::Records => format!("it takes more than {records} records of the log"),
            Limit::Time | Limit::Unwanted => format!("it takes longer than {time:?}"),
        };
        Problem::new(TOO_MUCH, format!("{what}; `{command}` has no such bounds"))
    };
    let answered = tokio::time::timeout(time + GRACE, told).await;
    drop(waiting);
    match answered {
        Ok(Ok((Ok(done), _))) => Ok(done),
        Ok(Ok((Err(_), Some(limit)))) => Err(too_much(limit)),
        Ok(Ok((Err(problem), None))) => Err(problem),
        Ok(Err(_)) => Err(failed("what was asked for ended by a broken promise")),
        Err(_) => Err(too_much(Limit::Time)),
    }
}
