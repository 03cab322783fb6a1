//! One file per kind of record, in the order in which the engine emits them.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::engine::{OutputTopic, Sink};

/// Bytes buffered per file.
const BUFFER_BYTES: usize = 1 << 18;

/// An output file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write `{}`: {source}", path.display())]
pub struct OutputError {
    /// Which file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// The output files of a backtest, as a sink. The first failure is kept and reported by [`FileSink::finish`].
#[derive(Debug)]
pub struct FileSink {
    files: Vec<OutputFile>,
    failed: Option<OutputError>,
}

#[derive(Debug)]
struct OutputFile {
    topic: OutputTopic,
    path: PathBuf,
    writer: BufWriter<File>,
}

/// Name of the file for a kind of record.
pub fn file_name(topic: OutputTopic) -> &'static str {
    match topic {
        OutputTopic::Decisions => "decisions.ndjson",
        OutputTopic::Alerts => "alerts.ndjson",
        OutputTopic::Episodes => "episodes.ndjson",
        OutputTopic::Holds => "holds.ndjson",
        OutputTopic::Audit => "audit.ndjson",
        OutputTopic::Checkpoints => "checkpoints.ndjson",
        OutputTopic::DeadLetter => "dead_letter.ndjson",
    }
}

impl FileSink {
    /// Creates the folder and its files (existing ones are emptied).
    ///
    /// # Errors
    /// When the folder or a file cannot be created.
    pub fn create(folder: &Path) -> Result<Self, OutputError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| OutputError { path: folder.to_owned(), source })?;
        let mut files = Vec::new();
        for topic in OutputTopic::ALL {
            let path = folder.join(file_name(topic));
            let file = File::create(&path);
            let file = file.map_err(|source| OutputError { path: path.clone(), source })?;
            let writer = BufWriter::with_capacity(BUFFER_BYTES, file);
            files.push(OutputFile { topic, path, writer });
        }
        Ok(Self { files, failed: None })
    }

    /// Whether a write has failed; there is no point in going on.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// The first failure of this sink.
    pub fn finish(mut self) -> Result<(), OutputError> {
        for file in &mut self.files {
            if let (Err(source), None) = (file.writer.flush(), &self.failed) {
                self.failed = Some(OutputError { path: file.path.clone(), source });
            }
        }
        self.failed.map_or(Ok(()), Err)
    }
}

impl Sink for FileSink {
    fn emit(&mut self, topic: OutputTopic, _key: &[u8], body: &[u8]) {
        let Some(file) = self.files.iter_mut().find(|file| file.topic == topic) else { return };
        let written = file.writer.write_all(body).and_then(|()| file.writer.write_all(b"\n"));
        if let (Err(source), None) = (written, &self.failed) {
            self.failed = Some(OutputError { path: file.path.clone(), source });
        }
    }
}
