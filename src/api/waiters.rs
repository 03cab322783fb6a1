//! Who waits for what a record brings about, by the `traceparent` that was written with it and comes back with its outputs.
//!
//! INVARIANT: a waiter is here before its record is written, so no answer can come too early; and it is taken out when it is
//! dropped, so none stays for ever.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::oneshot;

use crate::api::store::Kind;
use crate::runtime::Followed;

/// Most that wait at once.
const MAX_WAITERS: usize = 10_000;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// What kind of record.
    pub(crate) kind: Kind,
    /// Its bytes.
    pub(crate) body: Vec<u8>,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// A decision.
    Decision,
    /// The answer to a command.
    Answer,
}

impl Awaited {
    /// A dead letter answers either.
    fn is(self, kind: Kind) -> bool {
        match kind {
            Kind::Decision => self == Self::Decision,
            Kind::Audit => self == Self::Answer,
            Kind::DeadLetter => true,
            Kind::Alert | Kind::Episode | Kind::Hold => false,
        }
    }
}

type Waiting = DashMap<String, (Awaited, oneshot::Sender<Came>)>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiters(Arc<Waiting>);

/// Somebody who waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    name: String,
    waiters: Waiters,
    came: oneshot::Receiver<Came>,
}

impl Waiters {
    /// Waits for what carries this `traceparent`; none where too many wait.
    pub(crate) fn wait(&self, traceparent: &str, awaited: Awaited) -> Option<Waiter> {
        if self.0.len() >= MAX_WAITERS {
            return None;
        }
        let (sender, came) = oneshot::channel();
        self.0.insert(traceparent.to_owned(), (awaited, sender));
        Some(Waiter { name: traceparent.to_owned(), waiters: self.clone(), came })
    }

    /// Tells whoever waits for it.
    pub(crate) fn tell(&self, kind: Kind, record: &Followed) {
        let Some(name) = record.traceparent.as_ref() else { return };
        let is_it =
            |_: &_, (awaited, _): &_| Awaited::is(*awaited, kind) && is_about(kind, &record.body);
        if let Some((_, (_, sender))) = self.0.remove_if(name, is_it) {
            // WHY: whoever waited may have gone meanwhile.
            _ = sender.send(Came { kind, body: record.body.clone() });
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Whether a record is about the one that is waited for. WHY: that a rule set is active, or that a rule tripped, is told beside
/// the answer to the record at which it was so.
fn is_about(kind: Kind, body: &[u8]) -> bool {
    let is_answer = |value: serde_json::Value| value["kind"] == "command";
    kind != Kind::Audit || serde_json::from_slice(body).is_ok_and(is_answer)
}

impl Waiter {
    /// What came, once it has; none if the service stops first.
    pub(crate) async fn came(&mut self) -> Option<Came> {
        (&mut self.came).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.0.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(traceparent: &str) -> Followed {
        Followed {
            topic: "t".to_owned(),
            partition: 0,
            offset: 0,
            logged_ms: 0,
            key: Vec::new(),
            body: b"{}".to_vec(),
            traceparent: Some(traceparent.to_owned()),
            source_partition: None,
            source_topic: None,
        }
    }

    #[test]
    fn whoever_waits_is_told_once_and_leaves_nothing_behind() {
        let waiters = Waiters::default();
        let mut one = waiters.wait("a", Awaited::Decision).unwrap();
        let other = waiters.wait("b", Awaited::Answer).unwrap();
        for kind in [Kind::Alert, Kind::Hold, Kind::Audit] {
            waiters.tell(kind, &record("a"));
        }
        assert_eq!(waiters.len(), 2);
        waiters.tell(Kind::Decision, &record("a"));
        waiters.tell(Kind::Decision, &record("b"));
        assert_eq!((one.came.try_recv().unwrap().kind, waiters.len()), (Kind::Decision, 1));
        drop((one, other));
        assert_eq!(waiters.len(), 0);
    }

    #[test]
    fn what_else_the_audit_trail_says_at_a_command_is_not_its_answer() {
        let waiters = Waiters::default();
        let mut waiter = waiters.wait("a", Awaited::Answer).unwrap();
        for (kind, n_waiting) in
            [("ruleset_active", 1), ("rule_tripped_breaker", 1), ("command", 0)]
        {
            let body = format!(r#"{{"kind":"{kind}"}}"#).into_bytes();
            waiters.tell(Kind::Audit, &Followed { body, ..record("a") });
            assert_eq!(waiters.len(), n_waiting, "{kind}");
        }
        assert!(waiter.came.try_recv().is_ok());
    }
}
