//! One rule folder as the editor sees it: what lies on the disk, with the texts of open buffers in place of files.
//!
//! It is read anew from the disk only when a file may have changed there, and studied anew only when somebody asks or
//! the client has nothing more to say for the moment. A file that cannot be read or has vanished leaves the rest.

use core::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diag::{FileId, Source, Sources, Span};
use crate::loader::{LoadError, load_what_can_be};
use crate::lsp::names::Names;
use crate::lsp::text::Lines;
use crate::rules::{Study, Trees, study};

/// Deepest folder above a file that is looked at for the beginning of its rule folder.
const MAX_ABOVE: usize = 8;

/// How far what is known is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Behind {
    No,
    /// A buffer changed.
    Buffers,
    /// A file may have changed.
    Disk,
}

/// A rule folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    on_disk: bool,
    disk: Sources,
    /// What of it cannot be read.
    pub(super) refused: Vec<LoadError>,
    pub(super) sources: Sources,
    lines: Vec<Lines>,
    trees: Trees,
    pub(super) study: Study,
    /// Made when somebody asks: findings need none.
    names: OnceCell<Names>,
    pub(super) behind: Behind,
    /// Whether the client knows less than the study.
    pub(super) is_news: bool,
}

impl Folder {
    /// A folder that nobody has read yet. Without a disk it has buffers only.
    pub(super) fn new(root: PathBuf, on_disk: bool) -> Self {
        let sources = Sources::default();
        Self {
            root,
            on_disk,
            disk: Sources::default(),
            refused: Vec::new(),
            lines: Vec::new(),
            study: study(&sources, &mut Trees::default()),
            trees: Trees::default(),
            names: OnceCell::new(),
            sources,
            behind: Behind::Disk,
            is_news: true,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn is_behind(&mut self, behind: Behind) {
        self.behind = self.behind.max(behind);
    }

    /// Reads and studies what changed; `buffers` are the open texts by their path in the folder.
    pub(super) fn catch_up(&mut self, buffers: &BTreeMap<&str, &str>) {
        if self.behind == Behind::No {
            return;
        }
        if self.behind == Behind::Disk && self.on_disk {
            let (disk, refused) = load_what_can_be(&self.root);
            // What vanished between looking and reading is not there any more, and nothing to complain of.
            let is_there = |refused: &LoadError| refused.path().symlink_metadata().is_ok();
            self.refused = refused.into_iter().filter(is_there).collect();
            self.disk = disk;
        }
        self.behind = Behind::No;
        self.is_news = true;
        self.sources = overlaid(&self.disk, buffers);
        self.lines = self.sources.files.iter().map(|source| Lines::of(&source.text)).collect();
        self.study = study(&self.sources, &mut self.trees);
        self.names = OnceCell::new();
    }

    /// What every word names.
    pub(super) fn names(&self) -> &Names {
        self.names.get_or_init(|| Names::of(&self.study.files, &self.sources))
    }

    /// The file of a path in the folder.
    pub(super) fn file(&self, name: &str) -> Option<FileId> {
        let at = self.sources.files.iter().position(|source| source.path == name)?;
        u32::try_from(at).ok().map(FileId)
    }

    pub(super) fn text(&self, file: FileId) -> &str {
        self.sources.get(file).map_or("", |source| source.text.as_str())
    }

    pub(super) fn lines(&self, file: FileId) -> Option<&Lines> {
        self.lines.get(usize::try_from(file.0).ok()?)
    }

    /// Where a file lies, by its path in the folder.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        if self.root.is_file() { self.root.clone() } else { self.root.join(name) }
    }

    /// The path in the folder of the file of a span.
    pub(super) fn name_of(&self, span: Span) -> Option<&str> {
        self.sources.get(span.file).map(|source| source.path.as_str())
    }
}

fn overlaid(disk: &Sources, buffers: &BTreeMap<&str, &str>) -> Sources {
    let mut files: BTreeMap<&str, &str> =
        disk.files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    files.extend(buffers);
    let source =
        |(path, text): (&str, &str)| Source { path: path.to_owned(), text: text.to_owned() };
    let files = files.into_iter().map(source).collect();
    Sources { files, artifacts: disk.artifacts.clone() }
}

/// The rule folder of a file.
///
/// It is the configured one if the file lies in it; else the nearest folder called `rules` above it; else the
/// outermost of the folders above it that follow each other and hold `.risk` files. It never leaves the workspace.
pub(super) fn root_of(file: &Path, workspaces: &[PathBuf], configured: Option<&Path>) -> PathBuf {
    if let Some(root) = configured.filter(|root| file.starts_with(root)) {
        return root.to_owned();
    }
    let workspace = workspaces.iter().filter(|root| file.starts_with(root)).max();
    let inside = |folder: &&Path| workspace.is_none_or(|root| folder.starts_with(root));
    let above: Vec<&Path> = file.ancestors().skip(1).take(MAX_ABOVE).take_while(inside).collect();
    let called_rules = |folder: &&&Path| folder.file_name().is_some_and(|name| name == "rules");
    if let Some(root) = above.iter().find(called_rules) {
        return (*root).to_owned();
    }
    let Some((own, above)) = above.split_first() else { return file.to_owned() };
    let holding = above.iter().take_while(|folder| holds_rules(folder));
    holding.last().unwrap_or(own).to_path_buf()
}

fn holds_rules(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.path().extension().is_some_and(|kind| kind == "risk"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_rule_folder_begins_where_its_name_or_its_files_say() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        for name in [
            "app/rules/schema/a.risk",
            "app/rules/aml/deep/b.risk",
            "app/examples/first/c.risk",
            "app/set/top.risk",
            "app/set/part/d.risk",
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let workspaces = [root.join("app")];
        let of = |file: &str| root_of(&root.join(file), &workspaces, None);
        assert_eq!(of("app/rules/aml/deep/b.risk"), root.join("app/rules"));
        assert_eq!(of("app/examples/first/c.risk"), root.join("app/examples/first"));
        assert_eq!(of("app/set/part/d.risk"), root.join("app/set"));
        let configured = root.join("app/set/part");
        let file = root.join("app/set/part/d.risk");
        assert_eq!(root_of(&file, &workspaces, Some(&configured)), configured);
    }
}
