//! The trees of a rule set's files, each read once: who compiles the same folder again and again, as an editor does, reads
//! only the files whose text is another one. Whoever compiles once begins with none.

use std::sync::Arc;

use crate::diag::{Diagnostic, FileId, Sources};
use crate::rules::check::is_rule_file;
use crate::rules::syntax::{ast, parse};

/// What was read, in the order of the rule files.
#[derive(Clone, Debug, Default)]
pub struct Trees {
    read: Vec<Read>,
}

/// A file with what reading it gave.
#[derive(Clone, Debug)]
struct Read {
    text: String,
    tree: Arc<ast::File>,
    found: Vec<Diagnostic>,
}

impl Trees {
    /// The trees of the rule files, in the order of the sources; reports what cannot be read.
    ///
    /// # Cost
    /// Linear in the texts that are new or stand at another place among the files, and a comparison of the others.
    pub(super) fn read(
        &mut self,
        sources: &Sources,
        report: &mut Vec<Diagnostic>,
    ) -> Vec<Arc<ast::File>> {
        let before = std::mem::take(&mut self.read);
        let mut before = before.into_iter().peekable();
        for (index, source) in (0_u32..).zip(&sources.files) {
            if !is_rule_file(&source.path) {
                continue;
            }
            let file = FileId(index);
            // Both are in the order of their places.
            while before.next_if(|known| known.tree.file < file).is_some() {}
            let known = before.next_if(|known| known.tree.file == file);
            let read = known.filter(|known| known.text == source.text).unwrap_or_else(|| {
                let (tree, found) = parse(file, &source.text);
                Read { text: source.text.clone(), tree: Arc::new(tree), found }
            });
            self.read.push(read);
        }
        report.extend(self.read.iter().flat_map(|read| read.found.iter().cloned()));
        self.read.iter().map(|read| Arc::clone(&read.tree)).collect()
    }
}
