//! What can go wrong with snapshots and the places where they lie.
//!
//! A message says what was attempted, on which object and where; a code leads to a page in `docs/errors`.

use std::io;

use thiserror::Error;

use crate::diag::Code;

/// What kind of trouble a storage is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No room.
    Full,
    /// The place cannot be written to.
    ReadOnly,
    /// No permission.
    Denied,
    /// Nothing of this name.
    NotFound,
    /// Another process writes there.
    Busy,
    /// The address of the place cannot be used.
    Address,
    /// Anything else: devices, networks.
    Other,
}

impl Trouble {
    /// Whether the same call may succeed later without anybody acting.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Full | Self::Busy | Self::Other)
    }
}

/// A call to a storage that failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "could not {attempted} {}: {reason}",
    if object.is_empty() { format!("`{place}`") } else { format!("`{object}` in `{place}`") }
)]
pub struct StorageError {
    /// What was attempted: a verb.
    pub attempted: &'static str,
    /// The object's name, relative to the place.
    pub object: String,
    /// The place.
    pub place: String,
    /// What kind of trouble.
    pub trouble: Trouble,
    /// The system's words.
    pub reason: String,
}

impl StorageError {
    /// From an error of the operating system.
    pub fn of_io(attempted: &'static str, object: &str, place: &str, error: &io::Error) -> Self {
        let (object, place) = (object.to_owned(), place.to_owned());
        Self { attempted, object, place, trouble: trouble(error.kind()), reason: error.to_string() }
    }

    /// How to mend it, one sentence.
    pub fn help(&self) -> &'static str {
        match self.trouble {
            Trouble::Full => {
                "make room: there must be space for `snapshot.keep` snapshots and one more"
            }
            Trouble::ReadOnly => "mount the place for writing, or set `snapshot.dir` to another",
            Trouble::Denied => {
                "let the user or the credentials of the process read and write there"
            }
            Trouble::NotFound => {
                "check the path, `snapshot.dir` in a service, and that nobody else deletes there"
            }
            Trouble::Busy => "stop the other process, or give this one a `snapshot.dir` of its own",
            Trouble::Address => {
                "use a path, or a URL such as `s3://bucket/folder` with its cargo feature built in"
            }
            Trouble::Other => "look at what stands there, at the device or the network",
        }
    }
}

fn trouble(kind: io::ErrorKind) -> Trouble {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Trouble::Full
        }
        io::ErrorKind::ReadOnlyFilesystem => Trouble::ReadOnly,
        io::ErrorKind::PermissionDenied => Trouble::Denied,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Trouble::NotFound,
        _ => Trouble::Other,
    }
}

/// How a container is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// The file ends too early.
    #[error("the file ends here, before its trailer")]
    CutOff,
    /// The prelude's checksum does not agree.
    #[error("the checksum of its first bytes does not agree")]
    Prelude,
    /// The header's checksum does not agree.
    #[error("the checksum of its header does not agree")]
    Header,
    /// The header is not what this version writes.
    #[error("its header cannot be read: {reason}")]
    HeaderText {
        /// The parser's words.
        reason: String,
    },
    /// Neither a part nor the trailer begins here.
    #[error("neither a frame nor the trailer begins here")]
    UnknownFrame,
    /// A length beyond the limit.
    #[error("a length here is beyond its limit")]
    TooLong,
    /// A frame's checksum does not agree.
    #[error("the checksum of frame {frame} does not agree")]
    Frame {
        /// Which, from 1 on.
        frame: u64,
    },
    /// A frame's payload is not what its head says, though the checksum agrees.
    #[error("frame {frame} does not decompress to what it says")]
    Undecodable {
        /// Which, from 1 on.
        frame: u64,
    },
    /// The trailer does not agree with the frames.
    #[error("the trailer does not agree with the frames before it")]
    Trailer,
    /// Bytes stand behind the trailer.
    #[error("something follows the trailer")]
    SomethingFollows,
}

/// What is wrong with one container.
#[derive(Debug, Error)]
pub enum ContainerError {
    /// It was a snapshot, and is damaged.
    #[error("it is damaged at byte {at_byte}: {damage}")]
    Damaged {
        /// Where, from 0 on.
        at_byte: u64,
        /// How.
        damage: Damage,
    },
    /// It never was a snapshot.
    #[error("it is not a snapshot: its first bytes are those of something else")]
    Foreign,
    /// Another version of the format.
    #[error(
        "it has version {found} of the snapshot format, this program reads version {known}",
        known = crate::durable::container::FORMAT_VERSION
    )]
    OtherFormat {
        /// The version in the file.
        found: u16,
    },
    /// Its bytes could not be read.
    #[error("it could not be read: {0}")]
    Unreadable(io::Error),
    /// A part that is too large for a frame.
    #[error("a part of {bytes} bytes is larger than a frame may be")]
    PartTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// A header that is too large.
    #[error("the header is larger than it may be")]
    HeaderTooLarge,
    /// The compressor refused.
    #[error("the compressor failed: {0}")]
    Compressor(io::Error),
}

/// What went wrong with a snapshot, and which.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// The place.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The file.
    #[error("snapshot `{name}`: {error}")]
    Container {
        /// Its name.
        name: String,
        /// What is wrong.
        error: ContainerError,
    },
    /// A file that is whole and in the wrong place.
    #[error("snapshot `{name}`: {reason}")]
    Misplaced {
        /// Its name.
        name: String,
        /// Where it belongs.
        reason: String,
    },
    /// A shard's name that cannot be a folder's.
    #[error("`{shard}` cannot be the name of a shard")]
    ShardName {
        /// The name.
        shard: String,
    },
    /// No number is left for another one.
    #[error("no number is left behind that of `{name}`")]
    NoNumber {
        /// The newest, by its name.
        name: String,
    },
    /// A call out of order.
    #[error("no snapshot is being written")]
    NotBegun,
}

impl ContainerError {
    /// The stable code.
    pub fn code(&self) -> Code {
        Code(match self {
            Self::Damaged { .. } => "S0001",
            Self::Foreign => "S0002",
            Self::OtherFormat { .. } => "S0003",
            Self::Unreadable(_) => "S0004",
            Self::PartTooLarge { .. } | Self::HeaderTooLarge | Self::Compressor(_) => "S0005",
        })
    }

    /// How to mend it, one sentence.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Damaged { .. } => {
                "a start passes it over and takes the newest valid one; look at the disk, and delete this file when `snapshot verify` finds a valid one beside it"
            }
            Self::Foreign => "move it out of the folder of the snapshots",
            Self::OtherFormat { .. } => {
                "start the version of the program that wrote it, or let this one rebuild its state from the input"
            }
            Self::Unreadable(_) => "look at permissions, the device and the network",
            Self::PartTooLarge { .. } | Self::HeaderTooLarge | Self::Compressor(_) => {
                "lower `state.exact_events_per_key`, and report it: this should not happen"
            }
        }
    }
}

impl SnapshotError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Storage(error) if error.trouble == Trouble::Busy => Code("S0006"),
            Self::Storage(_) => Code("S0004"),
            Self::Container { error, .. } => error.code(),
            Self::Misplaced { .. } | Self::NoNumber { .. } => Code("S0002"),
            Self::ShardName { .. } | Self::NotBegun => Code("S0005"),
        }
    }

    /// How to mend it, one sentence.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Storage(error) => error.help(),
            Self::Container { error, .. } => error.help(),
            Self::Misplaced { .. } | Self::NoNumber { .. } => ContainerError::Foreign.help(),
            Self::ShardName { .. } => "use letters, digits, `-`, `_` and `.`, at most 100",
            Self::NotBegun => "report it: this should not happen",
        }
    }
}
