//! The read model: what the output topics said, in one SQLite file, to be looked at.
//!
//! It is derived: whoever deletes the file gets it again from the topics, as far back as they reach. The positions up to which
//! the topics were read are written in the same SQLite transaction as what was read, so nothing is lost or taken twice. What is
//! nowhere else are the files of [`rulesets`] and the card numbers of [`requests`] that wait; those are kept where the rest is made anew.
//!
//! One connection writes, behind a lock; a few others read, and see what stood when their question began. Questions block, so
//! they are asked on threads for that ([`Store::ask`]).
//!
//! Start reading at [`schema`], then [`write`] and [`read`].

pub(crate) mod read;
pub(crate) mod requests;
pub(crate) mod rulesets;
mod schema;
pub(crate) mod write;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use rusqlite::Connection;
use rusqlite::OpenFlags;
use tokio::sync::watch;

use crate::api::problem::{INTERNAL, Problem};
use crate::base::digest::hex;
use crate::telemetry::api as happening;

/// Connections that wait to be used again.
const IDLE_READERS: usize = 8;

/// How long a connection waits for another one.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a question is answered.
pub(crate) type Answer<T> = rusqlite::Result<T>;

/// What kind of record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One per event.
    Decision,
    /// Asks a person to look.
    Alert,
    /// The end of an episode of alerts; it comes with the alerts.
    Episode,
    /// A hold and its state.
    Hold,
    /// What auditors ask for.
    Audit,
    /// What could not be decided.
    DeadLetter,
}

impl Kind {
    /// As it is called in the read model and in the stream of events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Alert => "alert",
            Self::Episode => "episode",
            Self::Hold => "hold",
            Self::Audit => "audit",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// See the module. Clones are the same store.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    /// Path, or the name of a database in memory.
    name: String,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// The number of the newest record, for whoever waits for more.
    newest: watch::Sender<i64>,
    /// Tells cursors of this store from those of another one.
    epoch: String,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.0.name)
    }
}

impl Store {
    /// Opens the file, or a store in memory. A file of another form is made anew.
    ///
    /// # Errors
    /// It cannot be used, in words.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, String> {
        let token = random_name()?;
        let name = match path {
            Some(path) => path.display().to_string(),
            None => format!("file:riskweir-{token}?mode=memory&cache=shared"),
        };
        let refused = |error: rusqlite::Error| format!("could not use `{name}`: {error}");
        let mut writer = connect(&name, Access::Write).map_err(refused)?;
        schema::prepare(&mut writer, &token).map_err(refused)?;
        if let Some(path) = path {
            close_to_others(path)?;
        }
        let epoch = schema::epoch(&writer).map_err(refused)?;
        let newest = schema::newest(&writer).map_err(refused)?;
        let (newest, _) = watch::channel(newest);
        let readers = Mutex::default();
        let inner = Inner { name, writer: Mutex::new(writer), readers, newest, epoch };
        Ok(Self(Arc::new(inner)))
    }

    /// Asks a question on a thread where that may take a while.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = self.clone();
        let work = move || store.read(question);
        flat(tokio::task::spawn_blocking(work).await)
    }

    /// Changes something on a thread where that may take a while.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = self.clone();
        let work = move || work(&mut store.writer());
        flat(tokio::task::spawn_blocking(work).await)
    }

    fn read<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => connect(&self.0.name, Access::Read)?,
        };
        let answer = question(&reader);
        let mut readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS {
            readers.push(reader);
        }
        answer
    }

    /// The connection that writes.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever waits that there is more.
    pub(crate) fn announce(&self, newest: i64) {
        self.0.newest.send_replace(newest);
    }

    /// Is told when there is more.
    pub(crate) fn news(&self) -> watch::Receiver<i64> {
        self.0.newest.subscribe()
    }

    /// The name of this store's numbers.
    pub(crate) fn epoch(&self) -> &str {
        &self.0.epoch
    }
}

fn flat<T>(answer: Result<rusqlite::Result<T>, tokio::task::JoinError>) -> Result<T, Problem> {
    let failed = |error: String| {
        happening::ApiFailed { attempted: "use the read model", error: &error }.emit();
        Problem::new(INTERNAL, "the read model could not be used")
    };
    answer.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn connect(name: &str, access: Access) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags |= OpenFlags::SQLITE_OPEN_READ_WRITE;
    if access == Access::Write {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(name, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if name.starts_with("file:") {
        // WHY: connections to one database in memory lock whole tables; half of a batch may be seen instead.
        connection.pragma_update(None, "read_uncommitted", true)?;
    }
    if access == Access::Read {
        connection.pragma_update(None, "query_only", true)?;
    }
    Ok(connection)
}

/// Payment data is for the service alone.
fn close_to_others(path: &Path) -> Result<(), String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode)
            .map_err(|error| format!("could not close `{}` to others: {error}", path.display()))?;
    }
    Ok(())
}

fn random_name() -> Result<String, String> {
    let mut bytes = [0_u8; 6];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(hex(&bytes))
}
