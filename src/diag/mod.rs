//! Diagnostics: what the author of a rule file is told, with the place, the reason and the mend.
//!
//! A diagnostic carries a stable code from [`codes`], spans into [`Source`] files and an optional fix. Rendering is
//! apart from collecting: the compiler returns `(T, Vec<Diagnostic>)` and never stops at the first mistake.

pub mod codes;
pub mod render;
pub mod suggest;

use core::fmt;
use std::sync::Arc;

pub use codes::Code;

/// Index of a source file in its [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FileId(pub u32);

/// A range of bytes of one source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The smallest span that covers both (same file).
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Whether it lies inside of another.
    pub fn is_within(self, other: Self) -> bool {
        self.file == other.file && other.start <= self.start && self.end <= other.end
    }
}

/// One file of a rule set: its path as the author knows it, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Path relative to the rule folder, `/` as separator: `cards/velocity.risk`.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// A file of a rule set that is no text: the artifact of a learned model.
#[derive(Clone, PartialEq, Eq)]
pub struct Binary {
    /// Path relative to the rule folder, as of a [`Source`].
    pub path: String,
    /// The whole file.
    pub bytes: Arc<[u8]>,
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.path, self.bytes.len())
    }
}

/// All files of a rule set: `.risk` files and lists, and the artifacts of learned models, each sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The texts; a [`FileId`] is an index into this.
    pub files: Vec<Source>,
    /// What is no text.
    pub artifacts: Vec<Binary>,
}

impl Sources {
    /// Texts without artifacts.
    pub fn of(files: Vec<Source>) -> Self {
        Self { files, artifacts: Vec::new() }
    }

    /// The file of a span.
    pub fn get(&self, file: FileId) -> Option<&Source> {
        usize::try_from(file.0).ok().and_then(|index| self.files.get(index))
    }

    /// The text that a span covers.
    pub fn text(&self, span: Span) -> &str {
        let range = span.start as usize..span.end as usize;
        self.get(span.file).and_then(|source| source.text.get(range)).unwrap_or_default()
    }
}

/// How grave a diagnostic is: an error refuses the rule set, a warning does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The rule set does not compile.
    Error,
    /// It compiles, and somebody should look.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code; its first letter gives the severity.
    pub code: Code,
    /// One sentence, lower case, no period, user words in backticks.
    pub message: String,
    /// The words it is about.
    pub span: Span,
    /// Short text under the caret (may be empty).
    pub label: String,
    /// Further places with a text each.
    pub related: Vec<(Span, String)>,
    /// How to mend it, one sentence.
    pub help: Option<String>,
    /// A replacement of a span by a text, when the mend is certain enough to offer.
    pub fix: Option<(Span, String)>,
}

impl Diagnostic {
    /// A diagnostic with its message; add the rest with the `with_` functions.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        let (message, label) = (message.into(), String::new());
        Self { code, message, span, label, related: Vec::new(), help: None, fix: None }
    }

    /// Sets the text under the caret.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Sets the help line.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn with_related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push((span, text.into()));
        self
    }

    /// Offers a replacement.
    #[must_use]
    pub fn with_fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some((span, replacement.into()));
        self
    }

    /// Error or warning, by the code.
    pub fn severity(&self) -> Severity {
        if self.code.0.starts_with('W') { Severity::Warning } else { Severity::Error }
    }
}
