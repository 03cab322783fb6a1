//! The producer: sends messages, writes acknowledgements down, runs transactions.
//!
//! The calls that commit a transaction block for a few round trips, so they run on a thread of their own; the client
//! takes nothing else for the transaction meanwhile, and the cell goes on computing.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::kafka::source::{log_line, position_list};
use crate::runtime::kafka::{classify, client};
use crate::runtime::log::{ErrorKind, LogError, Partition, Position, Report, Sent, Wire, Writer};
use crate::telemetry::happening;

/// Most events of the client that one call serves.
const MOST_EVENTS: usize = 64;

type Client = BaseProducer<Reports>;

/// What the client's callbacks write down.
#[derive(Debug, Default)]
struct Reports {
    reports: Mutex<Vec<Report>>,
}

impl Reports {
    fn len(&self) -> usize {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = classify::name(&error);
        happening::KafkaTrouble { attempted: "write outputs", code: &code, error: reason }.emit();
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let (message, error) = match result {
            Ok(message) => (message, None),
            Err((error, message)) => (message, Some(error)),
        };
        let size = (message.key_len() + message.payload_len()) as u64;
        let failure = error.map(|error| {
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            let wire = Wire {
                topic: message.topic().into(),
                key: message.key().unwrap_or_default().to_vec(),
                body: message.payload().unwrap_or_default().to_vec(),
                headers: headers
                    .map(|header| {
                        (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
                    })
                    .collect(),
            };
            Box::new((classify::error(error), wire))
        });
        let report = Report { token: token as u64, size, failure };
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }
}

/// One commit: positions, who we are in the group, how long each call may take.
struct Commit {
    positions: Vec<(Partition, Position)>,
    membership: ConsumerGroupMetadata,
    timeout: Duration,
}

/// The thread that commits. It ends when this is dropped and its last call has come back.
struct Committer {
    requests: Sender<Commit>,
    outcomes: Receiver<Result<(), LogError>>,
}

impl Committer {
    fn start(client: Arc<Client>) -> Result<Self, RunError> {
        let (requests, incoming) = channel::<Commit>();
        let (outgoing, outcomes) = channel();
        let work = move || {
            for request in incoming {
                if outgoing.send(commit(&client, &request)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("commit".to_owned())
            .spawn(work)
            .map_err(|error| RunError::Process { reason: error.to_string() })?;
        Ok(Self { requests, outcomes })
    }
}

fn commit(client: &Client, request: &Commit) -> Result<(), LogError> {
    let Commit { positions, membership, timeout } = request;
    let commit = || {
        let list = position_list(positions)?;
        client.send_offsets_to_transaction(&list, membership, *timeout)?;
        client.commit_transaction(*timeout)
    };
    commit().map_err(|error| classify::error(&error))
}

/// See the module.
pub(crate) struct Producer {
    client: Arc<Client>,
    committer: Option<Committer>,
}

impl Producer {
    /// Makes a producer.
    pub(crate) fn open(config: &Config) -> Result<Self, RunError> {
        let client: Client = client::producer(config)
            .create_with_context(Reports::default())
            .map_err(|error| RunError::Settings { reason: error.to_string() })?;
        Ok(Self { client: Arc::new(client), committer: None })
    }
}

fn headers(wire: &Wire) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(wire.headers.len());
    wire.headers
        .iter()
        .fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

impl Writer for Producer {
    type Membership = ConsumerGroupMetadata;

    fn send(&mut self, wire: &Wire, token: u64) -> Result<Sent, LogError> {
        let token = usize::try_from(token).unwrap_or(usize::MAX);
        let record = BaseRecord::with_opaque_to(&wire.topic, token)
            .key(&wire.key)
            .payload(&wire.body)
            .headers(headers(wire));
        match self.client.send(record) {
            Ok(()) => Ok(Sent::Taken),
            Err((error, _)) => match classify::code(&error) {
                Some(RDKafkaErrorCode::QueueFull) => Ok(Sent::Full),
                _ => Err(classify::error(&error)),
            },
        }
    }

    fn serve(&mut self, wait: Duration) {
        // WHY: one poll serves one event, and an event holds the acknowledgements of one batch of one partition.
        let mut wait = wait;
        for _ in 0..MOST_EVENTS {
            let before = self.client.context().len();
            self.client.poll(wait);
            wait = Duration::ZERO;
            if self.client.context().len() == before {
                return;
            }
        }
    }

    fn take_reports(&mut self, into: &mut Vec<Report>) {
        let reports = &self.client.context().reports;
        into.append(&mut reports.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.client.in_flight_count()).unwrap_or(0)
    }

    fn fatal(&self) -> Option<LogError> {
        self.client.client().fatal_error().map(|(code, text)| classify::of_code(code, text))
    }

    fn register(&mut self, timeout: Duration) -> Result<(), LogError> {
        self.client.init_transactions(timeout).map_err(|error| classify::error(&error))
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.client.begin_transaction().map_err(|error| classify::error(&error))
    }

    fn start_commit(
        &mut self,
        positions: Vec<(Partition, Position)>,
        membership: ConsumerGroupMetadata,
        timeout: Duration,
    ) {
        if self.committer.is_none() {
            // WHY: without a thread there is no outcome but "unknown", which the next call tells.
            self.committer = Committer::start(Arc::clone(&self.client)).ok();
        }
        if let Some(committer) = &self.committer {
            // WHY: when the thread is gone, the outcome says so.
            _ = committer.requests.send(Commit { positions, membership, timeout });
        }
    }

    fn commit_outcome(&mut self) -> Option<Result<(), LogError>> {
        let gone = || LogError {
            kind: ErrorKind::Unknown,
            code: "Other".to_owned(),
            text: "the thread that commits is gone".to_owned(),
        };
        match self.committer.as_ref().map(|committer| committer.outcomes.try_recv()) {
            Some(Ok(outcome)) => Some(outcome),
            Some(Err(TryRecvError::Empty)) => None,
            Some(Err(TryRecvError::Disconnected)) | None => Some(Err(gone())),
        }
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), LogError> {
        self.client.abort_transaction(timeout).map_err(|error| classify::error(&error))
    }
}
