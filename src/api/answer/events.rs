//! What comes, as it comes: server-sent events from the read model, to go on with where a stream broke.
//!
//! The id of an event is its number in the read model. Whoever comes again with `Last-Event-ID` gets all that came since; where
//! that number is of another read model or gone, the first event is `reset`, and what is shown must be asked for anew.
//!
//! A stream ends when its token would no longer be let in, within a second or two of that.
//!
//! # Source
//! WHATWG HTML, section 9.2, "Server-sent events".

use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use tokio::sync::mpsc;

use crate::api::call::{Call, Pass, Reply};
use crate::api::problem::{BUSY, Problem, RATE_LIMITED};
use crate::api::query::MAX_CURSOR_BYTES;
use crate::api::records::{number, read_number};
use crate::api::state::State;
use crate::api::store::read::{Kept, behind};
use crate::api::store::{Kind, Store};
use crate::api::streams::{Full, MAX_STREAMS_EACH, Place};
use crate::telemetry::requests::OpenStream;

/// Most records of one read.
const BATCH: i64 = 200;

/// Most events that wait for a slow reader; the read model waits for nobody.
const WAITING: usize = 16;

/// How often a quiet stream shows that it is there.
const ALIVE: Duration = Duration::from_secs(15);

/// How often it is looked whether the token still lets somebody in.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// `GET /v1/events`
#[expect(
    clippy::unused_async,
    reason = "routes of the table are async, and this one waits for nothing"
)]
pub(crate) async fn stream(call: Call) -> Result<Reply, Problem> {
    let place = call.state.streams.take(&call.person.name).map_err(|full| match full {
        Full::All => Problem::new(BUSY, "too many streams"),
        Full::Own => Problem::new(RATE_LIMITED, "the token has too many streams open")
            .with("limit", MAX_STREAMS_EACH),
    })?;
    let store = call.state.store.clone();
    let wanted = call.query.words("kinds");
    // WHY: the audit trail and raw dead letters are not for everybody who may read decisions.
    let kinds: Vec<&'static str> = [Kind::Decision, Kind::Alert, Kind::Episode, Kind::Hold]
        .into_iter()
        .map(Kind::name)
        .filter(|kind| wanted.is_empty() || wanted.contains(kind))
        .collect();
    let last = call.header("last-event-id", MAX_CURSOR_BYTES)?;
    let newest = *store.news().borrow();
    let known = last.map(|text| read_number(&store, text).ok().filter(|seq| *seq <= newest));
    let (first, after) = match known {
        None => (": ready\n\n", newest),
        Some(Some(seq)) => (": ready\n\n", seq),
        Some(None) => ("event: reset\ndata: {}\n\n", newest),
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    let head = format!("retry: 2000\n{first}");
    let books = Arc::clone(&call.state.books);
    let sending = Sending { state: call.state, pass: call.pass, kinds, after, sender };
    tokio::spawn(sending.run(head));
    let open = books.stream();
    let body = Body::new(Events { receiver, _place: place, _open: open });
    Ok(Reply::text("text/event-stream", body))
}

/// A stream that is being written.
struct Sending {
    state: Arc<State>,
    pass: Pass,
    kinds: Vec<&'static str>,
    after: i64,
    sender: mpsc::Sender<Bytes>,
}

impl Sending {
    /// Sends until nobody reads any more, or may.
    async fn run(mut self, head: String) {
        let mut news = self.state.store.news();
        let mut said = Instant::now();
        let mut looked = Instant::now();
        if self.sender.send(Bytes::from(head)).await.is_err() {
            return;
        }
        loop {
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                if !self.pass.holds(&self.state) {
                    return;
                }
            }
            let newest = *news.borrow_and_update();
            match self.catch_up(newest).await {
                Some(0) => {}
                Some(_) => {
                    said = Instant::now();
                    continue;
                }
                None => return,
            }
            if said.elapsed() >= ALIVE {
                said = Instant::now();
                if self.sender.send(Bytes::from_static(b": alive\n\n")).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = self.sender.closed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Sends what came since, a batch of it, and says how much; none where nobody reads any more.
    async fn catch_up(&mut self, newest: i64) -> Option<usize> {
        let (after, kinds) = (self.after, self.kinds.clone());
        let scope = self.pass.scope.clone();
        if after >= newest {
            return Some(0);
        }
        let store = self.state.store.clone();
        let found =
            store.ask(move |connection| behind(connection, after, (&kinds, &scope), BATCH)).await;
        let found = found.ok()?;
        for kept in &found {
            self.after = kept.seq;
            self.sender.send(Bytes::from(event(&store, kept))).await.ok()?;
        }
        if i64::try_from(found.len()).unwrap_or(BATCH) < BATCH {
            // What is of no kind that is asked for was looked at, too.
            self.after = self.after.max(newest);
        }
        Some(found.len())
    }
}

/// A body is one line, as we write it; should one have more, each is a line of data.
fn event(store: &Store, kept: &Kept) -> String {
    let mut out = format!("id: {}\nevent: {}\n", number(store, kept.seq), kept.kind);
    for line in kept.body.lines() {
        out.push_str(&format!("data: {line}\n"));
    }
    out.push('\n');
    out
}

/// The body of an answer that goes on.
struct Events {
    receiver: mpsc::Receiver<Bytes>,
    _place: Place,
    _open: OpenStream,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = core::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.receiver.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
