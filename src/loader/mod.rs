//! Reads a rule folder into memory: `.risk` files, lists and artifacts of models, sorted by path, within bounds. The compiler itself never
//! touches a file.
//!
//! Artifacts may also lie in the folder `models` beside the rule folder. Of those only what a rule file names belongs to the rule set, as
//! `../models/NAME.rwm`: a draft that lies there, too, is not part of its digest.
//!
//! Refused: a symbolic link that leads out of the folder, what is no regular file, more files or bytes than a rule set can have, a name or a
//! text that is not UTF-8.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::diag::{Binary, Source, Sources};

pub mod change;

/// Most files in a rule folder.
const MAX_FILES: usize = 10_000;

/// Endings of what a rule set is made of: rules, lists and rates, artifacts of learned models.
const ENDINGS: [&str; 3] = ["risk", "csv", ARTIFACT];

/// The ending of artifacts.
const ARTIFACT: &str = "rwm";

/// How a rule file names an artifact that lies beside the rule folder.
const BESIDE: &str = "../models/";

/// Most bytes of one file: lists may be long, and forests large.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Most files and folders whose refusal is told.
const MAX_REFUSED: usize = 100;

/// Deepest nesting of folders.
const MAX_DEPTH: usize = 8;

/// A rule folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The system refused.
    #[error("could not read `{}`: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not UTF-8.
    #[error("`{}` is not UTF-8: save it as UTF-8 text", path.display())]
    NotText {
        /// Which file.
        path: PathBuf,
    },
    /// A link out of the folder.
    #[error("`{}` is a link that leads out of the rule folder: copy the file instead", path.display())]
    LinkOutside {
        /// Which link.
        path: PathBuf,
    },
    /// A pipe, a socket or a device: reading it may never end.
    #[error("`{}` is no regular file: put the rules into a file", path.display())]
    NotAFile {
        /// Which one.
        path: PathBuf,
    },
    /// A bound was passed.
    #[error("`{}` has {what}: a rule set has at most {limit}", path.display())]
    TooLarge {
        /// Which file or folder.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// A file that another system would take for one of the rules, and that nobody would read.
    #[error(
        "`{}` would be left out: write the ending in small letters, `.risk`, `.csv` or `.rwm`", path.display()
    )]
    Ending {
        /// Which file.
        path: PathBuf,
    },
    /// A single file that holds no rules.
    #[error(
        "`{}` is no rule file: rules stand in files that end in `.risk`; name one of those, or the folder that holds them", path.display()
    )]
    NoRules {
        /// Which file.
        path: PathBuf,
    },
    /// A change of the folder was cut off, or is being made.
    #[error(
        "`{}` is a change of the rules that is not done yet: a start of the service does the rest; to go without it, delete that folder and look at what lies beside it", path.display()
    )]
    Changing {
        /// Where it lies.
        path: PathBuf,
    },
    /// Nothing to compile.
    #[error("there is no `.risk` file in `{}`: name the folder that holds the rules", path.display())]
    Empty {
        /// Which folder.
        path: PathBuf,
    },
}

/// Reads a rule folder, or a single `.risk` file.
///
/// # Errors
/// When something cannot be read or is out of bounds; the path is named.
pub fn load(path: &Path) -> Result<Sources, LoadError> {
    let (sources, refused) = load_what_can_be(path);
    if let Some(first) = refused.into_iter().next() {
        return Err(first);
    }
    let is_rules =
        |file: &Source| Path::new(&file.path).extension().is_some_and(|kind| kind == "risk");
    if sources.files.iter().any(is_rules) {
        Ok(sources)
    } else {
        Err(LoadError::Empty { path: path.to_owned() })
    }
}

/// Reads what can be read of a rule folder or a single `.risk` file, and says what cannot: for an editor, which goes on
/// with the rest. A folder without rules is no refusal here.
pub fn load_what_can_be(path: &Path) -> (Sources, Vec<LoadError>) {
    let mut found = Found::default();
    let done = match fs::canonicalize(path) {
        Err(source) => Err(io_error(path, source)),
        Ok(root) if root.is_file() && misspelt(&root) => {
            Err(LoadError::Ending { path: path.to_owned() })
        }
        Ok(root) if root.is_file() && root.extension().is_none_or(|ending| ending != "risk") => {
            Err(LoadError::NoRules { path: path.to_owned() })
        }
        Ok(root) if root.is_file() => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            read(&root, name).map(|source| found.sources.files.push(source))
        }
        Ok(root) => still(&root)
            .and_then(|()| walk(&root, &root, 0, &mut found))
            .and_then(|()| read_beside(&root, &mut found))
            // WHY: one that began meanwhile made what was read half of both.
            .and_then(|()| still(&root)),
    };
    found.refused.extend(done.err());
    found.sources.files.sort_by(|a, b| a.path.cmp(&b.path));
    found.sources.artifacts.sort_by(|a, b| a.path.cmp(&b.path));
    (found.sources, found.refused)
}

/// That no change of the folder is under way.
fn still(root: &Path) -> Result<(), LoadError> {
    let path = root.join(change::PENDING);
    if path.exists() { Err(LoadError::Changing { path }) } else { Ok(()) }
}

/// The folder `models` beside a rule folder, if there is one: artifacts of models may lie there, too.
pub fn models_beside(folder: &Path) -> Option<PathBuf> {
    let root = fs::canonicalize(folder).ok().filter(|root| root.is_dir())?;
    let beside = fs::canonicalize(root.parent()?.join("models")).ok()?;
    // WHY: of a rule folder that itself is called `models` everything is read anyway.
    (beside.is_dir() && beside != root).then_some(beside)
}

#[derive(Default)]
struct Found {
    sources: Sources,
    refused: Vec<LoadError>,
}

/// Walks a folder. What is wrong with one file is noted; what is wrong with the folder is returned.
fn walk(root: &Path, folder: &Path, depth: usize, found: &mut Found) -> Result<(), LoadError> {
    if depth > MAX_DEPTH {
        let (path, what) = (folder.to_owned(), "too many folders within folders");
        return Err(LoadError::TooLarge { path, what, limit: MAX_DEPTH as u64 });
    }
    for entry in fs::read_dir(folder).map_err(|source| io_error(folder, source))? {
        let path = entry.map_err(|source| io_error(folder, source))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if let Err(refused) = entry_of(root, &path, depth, found) {
            found.refused.push(refused);
        }
        if found.refused.len() > MAX_REFUSED {
            break;
        }
    }
    Ok(())
}

fn entry_of(root: &Path, path: &Path, depth: usize, found: &mut Found) -> Result<(), LoadError> {
    let real = fs::canonicalize(path).map_err(|source| io_error(path, source))?;
    if !real.starts_with(root) {
        return Err(LoadError::LinkOutside { path: path.to_owned() });
    }
    if real.is_dir() {
        walk(root, path, depth + 1, found)?;
    } else if path.extension().is_some_and(|kind| ENDINGS.iter().any(|ours| kind == *ours)) {
        found.room(root)?;
        let name = relative(root, path);
        if path.extension().is_some_and(|kind| kind == ARTIFACT) {
            found.sources.artifacts.push(Binary { path: name, bytes: bytes(path)?.into() });
        } else {
            found.sources.files.push(read(path, name)?);
        }
    } else if path.extension().is_some_and(looks_like_ours) {
        return Err(LoadError::Ending { path: path.to_owned() });
    }
    Ok(())
}

impl Found {
    fn room(&self, root: &Path) -> Result<(), LoadError> {
        if self.sources.files.len() + self.sources.artifacts.len() < MAX_FILES {
            return Ok(());
        }
        let (path, what) = (root.to_owned(), "too many files");
        Err(LoadError::TooLarge { path, what, limit: MAX_FILES as u64 })
    }
}

/// Reads the artifacts beside the rule folder that its rule files name. One that is not there is the compiler's to tell.
fn read_beside(root: &Path, found: &mut Found) -> Result<(), LoadError> {
    let Some(folder) = models_beside(root) else { return Ok(()) };
    let texts = found.sources.files.iter().map(|file| file.text.as_str());
    let names: BTreeSet<String> = texts.flat_map(named_beside).map(str::to_owned).collect();
    for name in names {
        let path = folder.join(&name);
        if !path.exists() {
            continue;
        }
        found.room(root)?;
        match artifact_beside(&folder, &path) {
            Ok(bytes) => {
                let path = format!("{BESIDE}{name}");
                found.sources.artifacts.push(Binary { path, bytes: bytes.into() });
            }
            Err(refused) => found.refused.push(refused),
        }
    }
    Ok(())
}

fn artifact_beside(folder: &Path, path: &Path) -> Result<Vec<u8>, LoadError> {
    let real = fs::canonicalize(path).map_err(|source| io_error(path, source))?;
    if !real.starts_with(folder) {
        return Err(LoadError::LinkOutside { path: path.to_owned() });
    }
    bytes(path)
}

/// What stands in quotes after [`BESIDE`], as far as it is the path of an artifact in that folder.
fn named_beside(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('"').filter_map(|part| part.strip_prefix(BESIDE));
    quoted.filter(|name| {
        let leads_out = name.split('/').any(|part| part.is_empty() || part.starts_with('.'));
        let is_artifact = Path::new(name).extension().is_some_and(|ending| ending == ARTIFACT);
        is_artifact && !leads_out && !name.contains('\\')
    })
}

/// Whether a single file has nearly the ending of rules.
fn misspelt(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("risk") && ending != "risk")
}

fn looks_like_ours(ending: &OsStr) -> bool {
    ENDINGS.iter().any(|ours| ending.eq_ignore_ascii_case(ours))
}

fn read(path: &Path, name: String) -> Result<Source, LoadError> {
    let text = String::from_utf8(bytes(path)?)
        .map_err(|_| LoadError::NotText { path: path.to_owned() })?;
    Ok(Source { path: name, text })
}

fn bytes(path: &Path) -> Result<Vec<u8>, LoadError> {
    let found = fs::metadata(path).map_err(|source| io_error(path, source))?;
    if !found.is_file() {
        return Err(LoadError::NotAFile { path: path.to_owned() });
    }
    let size = found.len();
    if size > MAX_FILE_BYTES {
        let (path, what) = (path.to_owned(), "too many bytes");
        return Err(LoadError::TooLarge { path, what, limit: MAX_FILE_BYTES });
    }
    fs::read(path).map_err(|source| io_error(path, source))
}

fn relative(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

impl LoadError {
    /// The file or folder that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::NotText { path }
            | Self::LinkOutside { path }
            | Self::NotAFile { path }
            | Self::TooLarge { path, .. }
            | Self::Ending { path }
            | Self::NoRules { path }
            | Self::Changing { path }
            | Self::Empty { path } => path,
        }
    }
}

fn io_error(path: &Path, source: io::Error) -> LoadError {
    LoadError::Io { path: path.to_owned(), source }
}
