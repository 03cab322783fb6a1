//! Writes another text into a rule folder: all of it or nothing, also where the machine stops in between.
//!
//! The new files are written aside, within the folder, under a name that begins with a dot and that nobody reads. When they are on
//! the disk, one rename decides ([`PENDING`] is there): from then on the change is done, by this process or by [`finish`] at the next
//! start. Until it is done the folder cannot be read ([`LoadError::Changing`]), so nobody compiles half of it.
//!
//! Refused before anything is touched: a path that is none of a rule file, a link or anything else that is no regular file in the place
//! of a file, a link or another file system in the place of a folder, what must not be written.
//!
//! # Source
//! Write aside, sync, rename, sync the folder: Pillai et al., All File Systems Are Not Created Equal, OSDI 2014. A journal that is
//! done again is the redo log of every database.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::loader::{LoadError, MAX_DEPTH, io_error};

/// Where a change that is decided lies until it is done.
pub(super) const PENDING: &str = ".riskweir-change";

/// Where a change is written before it is decided.
const STAGED: &str = ".riskweir-staged";

/// What is to be done, in either.
const MANIFEST: &str = "manifest.json";

/// Longest path of a file.
const MAX_PATH_BYTES: usize = 256;

/// By path, with `/`: the new text of a file, or none where it goes.
pub type Edits = BTreeMap<String, Option<String>>;

/// What a change does, in its order.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    /// Files that come: the one of this number takes the place of this path.
    put: Vec<String>,
    /// Files that go.
    drop: Vec<String>,
}

/// Whether this may be a file of a rule set: `cards/velocity.risk`, of letters, digits, `-`, `_` and `.`, in few folders.
pub fn is_rule_path(path: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-/.".contains(&b);
    let is_kind = [".risk", ".csv"].iter().any(|kind| path.ends_with(kind));
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.');
    is_kind
        && path.len() <= MAX_PATH_BYTES
        && path.bytes().all(fits)
        && path.split('/').all(is_part)
        && path.split('/').count() <= MAX_DEPTH + 1
}

/// Whether these files can be written into a folder. Leaves nothing behind.
///
/// # Errors
/// Why not.
pub fn check(folder: &Path, edits: &Edits) -> Result<(), LoadError> {
    let root = root(folder)?;
    for path in edits.keys() {
        if !is_rule_path(path) {
            return Err(LoadError::NotAFile { path: root.join(path) });
        }
        check_place(&root, path)?;
    }
    Ok(())
}

/// Writes these files into a folder, all or nothing.
///
/// # Errors
/// Nothing was changed, or, where the system fails behind the rename that decides, the rest comes with the next [`finish`].
pub fn apply(folder: &Path, edits: &Edits) -> Result<(), LoadError> {
    finish(folder)?;
    check(folder, edits)?;
    let root = root(folder)?;
    let (staged, pending) = (root.join(STAGED), root.join(PENDING));
    stage(&staged, edits).map_err(|source| io_error(&staged, source))?;
    let decide = || fs::rename(&staged, &pending).and_then(|()| sync(&root));
    decide().map_err(|source| io_error(&pending, source))?;
    finish(&root).map(drop)
}

/// Does the rest of a change that a crash cut off. Whether there was one.
///
/// # Errors
/// As the file system says.
pub fn finish(folder: &Path) -> Result<bool, LoadError> {
    let Ok(root) = fs::canonicalize(folder) else { return Ok(false) };
    let pending = root.join(PENDING);
    if !pending.is_dir() {
        return Ok(false);
    }
    redo(&root, &pending).map_err(|source| io_error(&pending, source))?;
    Ok(true)
}

fn root(folder: &Path) -> Result<PathBuf, LoadError> {
    let root = fs::canonicalize(folder).map_err(|source| io_error(folder, source))?;
    if root.is_dir() {
        return Ok(root);
    }
    let source = io::Error::new(io::ErrorKind::NotADirectory, "it is no folder");
    Err(io_error(folder, source))
}

/// Whether a file may be put there: nothing on the way is a link, and nothing lies elsewhere.
fn check_place(root: &Path, path: &str) -> Result<(), LoadError> {
    let mut folder = root.to_owned();
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in parents.split('/').filter(|part| !part.is_empty()) {
        let next = folder.join(part);
        match fs::symlink_metadata(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return probe(&folder),
            Err(source) => return Err(io_error(&next, source)),
            Ok(facts) if !facts.is_dir() || is_elsewhere(root, &facts) => {
                return Err(LoadError::NotAFile { path: next });
            }
            Ok(_) => folder = next,
        }
    }
    let file = folder.join(name);
    match fs::symlink_metadata(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => probe(&folder),
        Err(source) => Err(io_error(&file, source)),
        Ok(facts) if facts.is_file() => probe(&folder),
        Ok(_) => Err(LoadError::NotAFile { path: file }),
    }
}

/// Whether a folder is of another file system than the rule folder: nothing can be renamed into it.
fn is_elsewhere(root: &Path, facts: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(root).map_or(true, |root| root.dev() != facts.dev())
    }
    #[cfg(not(unix))]
    {
        false
    }
}

/// Whether something can be written in a folder.
fn probe(folder: &Path) -> Result<(), LoadError> {
    let probe = folder.join(format!(".riskweir-probe-{}", std::process::id()));
    let tried = File::create(&probe).and_then(|_| fs::remove_file(&probe));
    tried.map_err(|source| io_error(folder, source))
}

fn stage(staged: &Path, edits: &Edits) -> io::Result<()> {
    if staged.exists() {
        // WHY: nobody decided about it.
        fs::remove_dir_all(staged)?;
    }
    fs::create_dir(staged)?;
    let mut manifest = Manifest::default();
    for (path, text) in edits {
        match text {
            None => manifest.drop.push(path.clone()),
            Some(text) => {
                let file = staged.join(manifest.put.len().to_string());
                write(&file, text.as_bytes())?;
                manifest.put.push(path.clone());
            }
        }
    }
    let text = serde_json::to_vec(&manifest).map_err(io::Error::other)?;
    write(&staged.join(MANIFEST), &text)?;
    sync(staged)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Does what the manifest says and was not done yet: a file that is no longer there is in its place.
fn redo(root: &Path, pending: &Path) -> io::Result<()> {
    let text = fs::read(pending.join(MANIFEST))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(io::Error::other)?;
    let mut folders = Vec::new();
    for (number, path) in manifest.put.iter().enumerate().filter(|(_, path)| is_rule_path(path)) {
        let (from, to) = (pending.join(number.to_string()), root.join(path));
        let folder = to.parent().unwrap_or(root).to_owned();
        fs::create_dir_all(&folder)?;
        keep_mode(&to, &from);
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => folders.push(folder),
        }
    }
    for path in manifest.drop.iter().filter(|path| is_rule_path(path)) {
        let file = root.join(path);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => folders.extend(file.parent().map(Path::to_owned)),
        }
    }
    folders.sort();
    folders.dedup();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        // A folder that was made stands in the ones above it.
        let above = folder.ancestors().take_while(|above| above.starts_with(root));
        above.into_iter().try_for_each(sync)?;
    }
    // WHY: the manifest goes last but for its folder; what is without it is no change that is decided.
    let done = root.join(STAGED);
    if done.exists() {
        fs::remove_dir_all(&done)?;
    }
    fs::rename(pending, &done)?;
    sync(root)?;
    fs::remove_dir_all(&done)
}

/// A file that takes the place of another one is for whoever that was for.
fn keep_mode(old: &Path, new: &Path) {
    if let Ok(facts) = fs::symlink_metadata(old)
        && facts.is_file()
    {
        // WHY: where that cannot be, it has the mode of any new file.
        _ = fs::set_permissions(new, facts.permissions());
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::load;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn edits(all: &[(&str, Option<&str>)]) -> Edits {
        all.iter().map(|(path, text)| ((*path).to_owned(), text.map(str::to_owned))).collect()
    }

    fn texts(folder: &Path) -> Vec<(String, String)> {
        let sources = load(folder).unwrap();
        sources.files.into_iter().map(|file| (file.path, file.text)).collect()
    }

    fn named(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    const OLD: [(&str, &str); 3] = [("a.risk", "a"), ("b/c.csv", "c"), ("d.risk", "d")];
    const NEW: [(&str, Option<&str>); 4] =
        [("a.risk", Some("A")), ("b/c.csv", None), ("e/f/g.risk", Some("G")), ("none.csv", None)];
    const THEN: [(&str, &str); 3] = [("a.risk", "A"), ("d.risk", "d"), ("e/f/g.risk", "G")];

    #[test]
    fn all_files_change_and_nothing_is_left_behind() {
        let folder = folder(&OLD);
        apply(folder.path(), &edits(&NEW)).unwrap();
        assert_eq!(texts(folder.path()), named(&THEN));
        let hidden = fs::read_dir(folder.path()).unwrap().flatten();
        let hidden = hidden.filter(|it| it.file_name().to_string_lossy().starts_with('.'));
        assert_eq!(hidden.count(), 0);
        assert!(!finish(folder.path()).unwrap());
    }

    /// The machine stops behind each single step of what is done once it is decided.
    #[test]
    fn a_change_that_was_cut_off_is_none_or_whole_and_nobody_reads_half_of_it() {
        for n_done in 0..=4 {
            let folder = folder(&OLD);
            let root = folder.path().canonicalize().unwrap();
            stage(&root.join(STAGED), &edits(&NEW)).unwrap();
            // Before it is decided it is none.
            assert_eq!(texts(&root), named(&OLD));
            assert!(!finish(&root).unwrap());
            fs::rename(root.join(STAGED), root.join(PENDING)).unwrap();
            let steps: [&dyn Fn(); 4] = [
                &|| fs::rename(root.join(PENDING).join("0"), root.join("a.risk")).unwrap(),
                &|| fs::create_dir_all(root.join("e/f")).unwrap(),
                &|| fs::rename(root.join(PENDING).join("1"), root.join("e/f/g.risk")).unwrap(),
                &|| fs::remove_file(root.join("b/c.csv")).unwrap(),
            ];
            steps.iter().take(n_done).for_each(|step| step());
            assert!(matches!(load(&root), Err(LoadError::Changing { .. })), "{n_done}");
            assert!(finish(&root).unwrap());
            assert_eq!(texts(&root), named(&THEN), "{n_done}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link_or_out_of_the_folder() {
        use std::os::unix::fs::symlink;
        let (folder, other) = (folder(&OLD), folder(&[("x.risk", "x")]));
        symlink(other.path(), folder.path().join("out")).unwrap();
        symlink(folder.path().join("b"), folder.path().join("in")).unwrap();
        symlink(folder.path().join("a.risk"), folder.path().join("link.risk")).unwrap();
        for path in [
            "out/x.risk",
            "in/c.csv",
            "link.risk",
            "a.risk/b.risk",
            "../x.risk",
            "/tmp/x.risk",
            "b/../../x.risk",
            ".hidden/x.risk",
            "b/.x.risk",
            "b//x.risk",
            "x.rwm",
            "x.RISK",
            "b\\x.risk",
            "1/2/3/4/5/6/7/8/9/x.risk",
        ] {
            let refused = apply(folder.path(), &edits(&[("d.risk", None), (path, Some("X"))]));
            assert!(refused.is_err(), "{path}");
        }
        assert_eq!(fs::read_to_string(other.path().join("x.risk")).unwrap(), "x");
        assert_eq!(fs::read_to_string(folder.path().join("d.risk")).unwrap(), "d");
        assert!(!is_rule_path(&format!("{}.risk", "x".repeat(MAX_PATH_BYTES))));
    }
}
