//! Input files: NDJSON and CSV, plain, gzip or zstd, told apart by their names.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// How UTF-8 says that it is UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// How records lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// A header line, then one record a line.
    Csv,
}

/// An input could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system refused.
    #[error("could not read `{}`: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name says nothing about the content.
    #[error(
        "cannot tell the format of `{}` by its name: use .ndjson, .jsonl, .json or .csv, maybe with .gz or .zst",
        path.display()
    )]
    UnknownFormat {
        /// Which file.
        path: PathBuf,
    },
    /// A line is longer than anything that can be a record.
    #[error("line {line} of `{}` is longer than {limit} bytes: is this the right format?", path.display())]
    LineTooLong {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: i64,
        /// The limit.
        limit: usize,
    },
    /// The CSV has no usable header or is broken.
    #[error("could not read `{}` as CSV: {message}", path.display())]
    Csv {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl InputError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn csv(path: &Path, error: &csv::Error) -> Self {
        Self::Csv { path: path.to_owned(), message: error.to_string() }
    }
}

/// An opened input.
pub struct Opened {
    /// How to read it.
    pub format: Format,
    /// The decompressed bytes, without a byte order mark.
    pub bytes: Box<dyn Read + Send>,
}

impl core::fmt::Debug for Opened {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Opened").field("format", &self.format).finish_non_exhaustive()
    }
}

/// The name by which records of a file are known: its last component.
pub fn source_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Opens a file for reading from its start.
///
/// # Errors
/// When it cannot be opened, or its name tells no format.
pub fn open(path: &Path) -> Result<Opened, InputError> {
    let name = source_name(path);
    let (stem, packing) = match name.rsplit_once('.') {
        Some((stem, packing @ ("gz" | "zst"))) => (stem, packing),
        _ => (name.as_str(), ""),
    };
    let format = match stem.rsplit_once('.').map(|(_, extension)| extension) {
        Some("ndjson" | "jsonl" | "json") => Format::Ndjson,
        Some("csv") => Format::Csv,
        _ => return Err(InputError::UnknownFormat { path: path.to_owned() }),
    };
    let file = File::open(path).map_err(|source| InputError::io(path, source))?;
    let bytes: Box<dyn Read + Send> = match packing {
        "gz" => Box::new(MultiGzDecoder::new(file)),
        "zst" => {
            let decoder = zstd::stream::read::Decoder::new(file);
            Box::new(decoder.map_err(|source| InputError::io(path, source))?)
        }
        _ => Box::new(file),
    };
    let bytes = without_mark(bytes).map_err(|source| InputError::io(path, source))?;
    Ok(Opened { format, bytes })
}

/// What somebody sent instead of a file.
///
/// # Errors
/// Never: memory can be read.
pub(crate) fn sent(format: Format, bytes: Vec<u8>, path: &Path) -> Result<Opened, InputError> {
    let bytes = without_mark(Box::new(Cursor::new(bytes)));
    let bytes = bytes.map_err(|source| InputError::io(path, source))?;
    Ok(Opened { format, bytes })
}

/// The bytes behind a byte order mark, which some editors and exports write before UTF-8; it is no part of the first
/// record.
fn without_mark(mut bytes: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
    let mut begin = Vec::with_capacity(BYTE_ORDER_MARK.len());
    bytes.as_mut().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut begin)?;
    if begin == BYTE_ORDER_MARK {
        return Ok(bytes);
    }
    Ok(Box::new(Cursor::new(begin).chain(bytes)))
}
