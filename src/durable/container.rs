//! The file of one snapshot: a prelude, a header, parts in compressed frames, a trailer.
//!
//! ```text
//! prelude   magic 8 · format version u16 · reserved u16 · header length u32 · checksum u64
//! header    JSON · checksum u64
//! frame     kind 1 u8 · raw length u32 · stored length u32 · checksum u64 · zstd payload       any number
//! trailer   kind 2 u8 · frames u64 · raw bytes u64 · bytes before the trailer u64 · checksum u64 · end mark 8
//! ```
//!
//! Numbers are little-endian. Every checksum is XXH3 over all that it stands for, seeded with the checksum before it. So
//! a frame fits only where it was written: flipped bits, cut ends, frames that are swapped, repeated, left out or of
//! another file are all found, at the latest at the frame after them. The prelude has one layout in all versions of the
//! format; so a newer file can be told from a damaged one.
//!
//! A checksum finds accidents, not forgery. Whoever may write into the folder may change state.
//!
//! # Invariants
//! - One part is one frame, up to [`MAX_PART_BYTES`]; the reader checks lengths before it allocates, and reads no more
//!   than the frame says.
//! - The reader says that the end is reached only when the trailer agrees and nothing follows it.
//!
//! # Cost
//! Memory of one part, raw and compressed. Writing does no input or output: bytes are appended to a buffer.

use std::io::{ErrorKind, Read};

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::durable::error::{ContainerError, Damage};
use crate::durable::header::Header;

/// Version of the format that this program writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

/// Largest part before compression.
pub const MAX_PART_BYTES: usize = 64 << 20;

/// Largest header.
pub const MAX_HEADER_BYTES: usize = 4 << 20;

/// Largest payload of a frame: zstd may lengthen what it cannot compress.
const MAX_STORED_BYTES: usize = MAX_PART_BYTES + MAX_PART_BYTES / 128 + 1024;

const MAGIC: &[u8; 8] = b"RWSNAP\r\n";
const END: &[u8; 8] = b"\r\nRWEND\n";
const PRELUDE_BYTES: usize = 24;
const FRAME_HEAD_BYTES: usize = 16;
const TRAILER_BYTES: usize = 40;
const KIND_PART: u8 = 1;
const KIND_TRAILER: u8 = 2;
const ZSTD_LEVEL: i32 = 1;

/// What stands in a snapshot, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Parts.
    pub frames: u64,
    /// Bytes of all parts before compression.
    pub raw_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// Lays parts into a container.
pub struct ContainerWriter {
    compressor: zstd::bulk::Compressor<'static>,
    chain: u64,
    totals: Totals,
}

impl std::fmt::Debug for ContainerWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContainerWriter").field("totals", &self.totals).finish_non_exhaustive()
    }
}

impl ContainerWriter {
    /// Appends prelude and header to `out`.
    ///
    /// # Errors
    /// When the header is longer than [`MAX_HEADER_BYTES`].
    pub fn begin(header: &Header, out: &mut Vec<u8>) -> Result<Self, ContainerError> {
        let json = serde_json::to_vec(header).map_err(|_| ContainerError::HeaderTooLarge)?;
        let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= MAX_HEADER_BYTES);
        let length = length.ok_or(ContainerError::HeaderTooLarge)?;
        let begin = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        let prelude = xxh3_64_with_seed(&out[begin..], 0);
        out.extend_from_slice(&prelude.to_le_bytes());
        let chain = xxh3_64_with_seed(&json, prelude);
        out.extend_from_slice(&json);
        out.extend_from_slice(&chain.to_le_bytes());
        let totals = Totals { file_bytes: count(out.len() - begin), ..Totals::default() };
        let compressor =
            zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(ContainerError::Compressor)?;
        Ok(Self { compressor, chain, totals })
    }

    /// Appends one part to `out`.
    ///
    /// # Errors
    /// When it is longer than [`MAX_PART_BYTES`] or cannot be compressed.
    pub fn part(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), ContainerError> {
        let too_large = || ContainerError::PartTooLarge { bytes: raw.len() };
        let raw_length = u32::try_from(raw.len()).ok().filter(|_| raw.len() <= MAX_PART_BYTES);
        let raw_length = raw_length.ok_or_else(too_large)?;
        let stored = self.compressor.compress(raw).map_err(ContainerError::Compressor)?;
        let stored_length = u32::try_from(stored.len()).map_err(|_| too_large())?;
        let lengths = lengths(raw_length, stored_length);
        self.chain = frame_checksum(self.chain, &lengths, &stored);
        out.push(KIND_PART);
        out.extend_from_slice(&lengths);
        out.extend_from_slice(&self.chain.to_le_bytes());
        out.extend_from_slice(&stored);
        self.totals.frames += 1;
        self.totals.raw_bytes += u64::from(raw_length);
        self.totals.file_bytes += count(1 + FRAME_HEAD_BYTES) + u64::from(stored_length);
        Ok(())
    }

    /// Appends the trailer to `out`: the container is whole.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Totals {
        let counts = trailer_counts(&self.totals);
        out.push(KIND_TRAILER);
        out.extend_from_slice(&counts);
        out.extend_from_slice(&xxh3_64_with_seed(&counts, self.chain).to_le_bytes());
        out.extend_from_slice(END);
        self.totals.file_bytes += count(1 + TRAILER_BYTES);
        self.totals
    }
}

/// What [`ContainerReader::next_part`] came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A part; it is in the buffer.
    Part,
    /// The trailer; it agrees, and nothing follows it.
    End,
}

/// Takes a container apart, front to back.
pub struct ContainerReader<R> {
    input: R,
    at: u64,
    header: Header,
    chain: u64,
    totals: Totals,
    decompressor: zstd::bulk::Decompressor<'static>,
    stored: Vec<u8>,
    ended: bool,
}

impl<R> std::fmt::Debug for ContainerReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("ContainerReader");
        shown.field("header", &self.header).field("at", &self.at).finish_non_exhaustive()
    }
}

impl<R: Read> ContainerReader<R> {
    /// Reads prelude and header.
    ///
    /// # Errors
    /// When it is no snapshot, one of a newer format, or damaged so far; when the input cannot be read.
    pub fn open(input: R) -> Result<Self, ContainerError> {
        let decompressor = zstd::bulk::Decompressor::new().map_err(ContainerError::Compressor)?;
        let header = Header {
            product_version: String::new(),
            shard: String::new(),
            sequence: 0,
            epoch: 0,
            ruleset: String::new(),
            engine_digest: String::new(),
            positions: Vec::new(),
            event_time_ms: None,
            created_at_ms: 0,
        };
        let (stored, totals) = (Vec::new(), Totals::default());
        let mut reader =
            Self { input, at: 0, header, chain: 0, totals, decompressor, stored, ended: false };
        let header_bytes = reader.prelude()?;
        reader.header = reader.read_header(header_bytes)?;
        Ok(reader)
    }

    /// What the snapshot says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What was read so far; all of it once the end is reached.
    pub fn totals(&self) -> Totals {
        Totals { file_bytes: self.at, ..self.totals }
    }

    /// Reads the next part into `out`, in place of what it held.
    ///
    /// # Errors
    /// When the container is damaged or the input cannot be read. `out` is empty then.
    pub fn next_part(&mut self, out: &mut Vec<u8>) -> Result<Next, ContainerError> {
        out.clear();
        if self.ended {
            return Ok(Next::End);
        }
        let (begin, [kind]) = (self.at, self.array::<1>()?);
        match kind {
            KIND_PART => self.frame(begin, out).map(|()| Next::Part).inspect_err(|_| out.clear()),
            KIND_TRAILER => self.trailer(begin).map(|()| Next::End),
            _ => Err(damaged(begin, Damage::UnknownFrame)),
        }
    }

    /// The length of the header.
    fn prelude(&mut self) -> Result<usize, ContainerError> {
        let mut prelude = [0; PRELUDE_BYTES];
        let filled = self.fill(&mut prelude)?;
        let told = filled.min(MAGIC.len());
        if prelude[..told] != MAGIC[..told] {
            return Err(ContainerError::Foreign);
        }
        if filled < PRELUDE_BYTES {
            return Err(damaged(self.at, Damage::CutOff));
        }
        let (facts, checksum) = prelude.split_at(16);
        self.chain = xxh3_64_with_seed(facts, 0);
        if self.chain.to_le_bytes() != *checksum {
            return Err(damaged(0, Damage::Prelude));
        }
        let version = u16::from_le_bytes([facts[8], facts[9]]);
        if version != FORMAT_VERSION {
            return Err(ContainerError::OtherFormat { found: version });
        }
        let length = u32::from_le_bytes([facts[12], facts[13], facts[14], facts[15]]);
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= MAX_HEADER_BYTES)
            .ok_or_else(|| damaged(12, Damage::TooLong))
    }

    fn read_header(&mut self, length: usize) -> Result<Header, ContainerError> {
        let begin = self.at;
        self.take(length)?;
        let checksum = self.array::<8>()?;
        self.chain = xxh3_64_with_seed(&self.stored, self.chain);
        if self.chain.to_le_bytes() != checksum {
            return Err(damaged(begin, Damage::Header));
        }
        serde_json::from_slice(&self.stored)
            .map_err(|error| damaged(begin, Damage::HeaderText { reason: error.to_string() }))
    }

    fn frame(&mut self, begin: u64, out: &mut Vec<u8>) -> Result<(), ContainerError> {
        let head = self.array::<FRAME_HEAD_BYTES>()?;
        let [r0, r1, r2, r3, s0, s1, s2, s3, checksum @ ..] = head;
        let (raw, stored) = ([r0, r1, r2, r3], [s0, s1, s2, s3]);
        let (raw, stored) = (u32::from_le_bytes(raw), u32::from_le_bytes(stored));
        let raw_length = usize::try_from(raw).ok().filter(|length| *length <= MAX_PART_BYTES);
        let stored_length =
            usize::try_from(stored).ok().filter(|length| *length <= MAX_STORED_BYTES);
        let (Some(raw_length), Some(stored_length)) = (raw_length, stored_length) else {
            return Err(damaged(begin, Damage::TooLong));
        };
        self.take(stored_length)?;
        let frame = self.totals.frames + 1;
        self.chain = frame_checksum(self.chain, &lengths(raw, stored), &self.stored);
        if self.chain.to_le_bytes() != checksum {
            return Err(damaged(begin, Damage::Frame { frame }));
        }
        out.reserve_exact(raw_length);
        let length = self.decompressor.decompress_to_buffer(&self.stored, out);
        if length.ok() != Some(raw_length) {
            return Err(damaged(begin, Damage::Undecodable { frame }));
        }
        self.totals.frames = frame;
        self.totals.raw_bytes += u64::from(raw);
        Ok(())
    }

    fn trailer(&mut self, begin: u64) -> Result<(), ContainerError> {
        let trailer = self.array::<TRAILER_BYTES>()?;
        let (counts, rest) = trailer.split_at(24);
        let expected = trailer_counts(&Totals { file_bytes: begin, ..self.totals });
        let checksum = xxh3_64_with_seed(counts, self.chain).to_le_bytes();
        let agrees = counts == expected && rest[..8] == checksum && rest[8..] == *END;
        if !agrees {
            return Err(damaged(begin, Damage::Trailer));
        }
        let end = self.at;
        if self.fill(&mut [0])? > 0 {
            return Err(damaged(end, Damage::SomethingFollows));
        }
        self.ended = true;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ContainerError> {
        let mut bytes = [0; N];
        if self.fill(&mut bytes)? < N {
            return Err(damaged(self.at, Damage::CutOff));
        }
        Ok(bytes)
    }

    /// Reads so many bytes into `self.stored`. Grows with what really comes, not with what was promised.
    fn take(&mut self, length: usize) -> Result<(), ContainerError> {
        self.stored.clear();
        let read = (&mut self.input).take(count(length)).read_to_end(&mut self.stored);
        let read = read.map_err(ContainerError::Unreadable)?;
        self.at += count(read);
        if read < length { Err(damaged(self.at, Damage::CutOff)) } else { Ok(()) }
    }

    /// Reads until the buffer is full or the input ends; how many bytes came.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ContainerError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ContainerError::Unreadable(error)),
            }
        }
        self.at += count(filled);
        Ok(filled)
    }
}

fn damaged(at_byte: u64, damage: Damage) -> ContainerError {
    ContainerError::Damaged { at_byte, damage }
}

fn lengths(raw: u32, stored: u32) -> [u8; 8] {
    let ([r0, r1, r2, r3], [s0, s1, s2, s3]) = (raw.to_le_bytes(), stored.to_le_bytes());
    [r0, r1, r2, r3, s0, s1, s2, s3]
}

fn frame_checksum(chain: u64, lengths: &[u8; 8], stored: &[u8]) -> u64 {
    let mut hasher = Xxh3::with_seed(chain);
    hasher.update(lengths);
    hasher.update(stored);
    hasher.digest()
}

fn trailer_counts(totals: &Totals) -> [u8; 24] {
    let mut counts = [0; 24];
    counts[..8].copy_from_slice(&totals.frames.to_le_bytes());
    counts[8..16].copy_from_slice(&totals.raw_bytes.to_le_bytes());
    counts[16..].copy_from_slice(&totals.file_bytes.to_le_bytes());
    counts
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
