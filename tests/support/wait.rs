//! Waiting in tests: for a condition or for a future, never for a length of time.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails. Far beyond what any step takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Asks `condition` again and again until it holds.
///
/// # Panics
///
/// When it does not hold within [`PATIENCE`]; the message is what `describe` says then.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool, describe: impl FnOnce() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {}", describe());
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Lets time pass: for loads and loops of faults that are about time. Whoever waits for something asks [`until`].
pub(crate) fn pass(length: Duration) {
    let deadline = Instant::now() + length;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future to its end on this thread; for the admin client of `rdkafka`, which wakes from its own thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
