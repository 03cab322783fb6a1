//! What comes, as it comes: server-sent events from the read model, to go on with where a stream broke.
//!
//! The id of an event is its number in the read model. Whoever comes again with `Last-Event-ID` gets all that came since; where
//! that number is of another read model or gone, the first event is `reset`, and what is shown must be asked for anew.
//!
//! # Source
//! WHATWG HTML, section 9.2, "Server-sent events".

use core::pin::Pin;
use core::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::api::call::{Call, Reply};
use crate::api::problem::{BUSY, Problem};
use crate::api::query::MAX_CURSOR_BYTES;
use crate::api::records::{number, read_number};
use crate::api::store::read::{Kept, behind};
use crate::api::store::{Kind, Store};

/// Most records of one read.
const BATCH: i64 = 200;

/// Most events that wait for a slow reader; the read model waits for nobody.
const WAITING: usize = 16;

/// How often a quiet stream shows that it is there.
const ALIVE: Duration = Duration::from_secs(15);

/// `GET /v1/events`
#[expect(
    clippy::unused_async,
    reason = "routes of the table are async, and this one waits for nothing"
)]
pub(crate) async fn stream(call: Call) -> Result<Reply, Problem> {
    let streams = std::sync::Arc::clone(&call.state.streams);
    let place = streams.try_acquire_owned().map_err(|_| Problem::new(BUSY, "too many streams"))?;
    let store = call.state.store.clone();
    let wanted = call.query.words("kinds");
    // WHY: the audit trail and raw dead letters are not for everybody who may read decisions.
    let kinds: Vec<&'static str> = [Kind::Decision, Kind::Alert, Kind::Hold]
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
    tokio::spawn(send(store, kinds, after, head, sender));
    let body = Body::new(Events { receiver, _place: place });
    Ok(Reply::text("text/event-stream", body))
}

/// Sends until nobody reads any more.
async fn send(
    store: Store,
    kinds: Vec<&'static str>,
    mut after: i64,
    head: String,
    sender: mpsc::Sender<Bytes>,
) {
    let mut news = store.news();
    if sender.send(Bytes::from(head)).await.is_err() {
        return;
    }
    loop {
        let newest = *news.borrow_and_update();
        let wanted = kinds.clone();
        let asked = store.ask(move |connection| behind(connection, after, &wanted, BATCH)).await;
        let Ok(found) = asked else { return };
        let is_more = i64::try_from(found.len()).unwrap_or(BATCH) >= BATCH;
        for kept in &found {
            after = kept.seq;
            if sender.send(Bytes::from(event(&store, kept))).await.is_err() {
                return;
            }
        }
        if is_more {
            continue;
        }
        // What is of no kind that is asked for was looked at, too.
        after = after.max(newest);
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
            () = tokio::time::sleep(ALIVE) => {
                if sender.send(Bytes::from_static(b": alive\n\n")).await.is_err() {
                    return;
                }
            }
        }
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
    _place: OwnedSemaphorePermit,
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
