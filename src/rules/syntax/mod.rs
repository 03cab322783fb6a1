//! Lexer, parser and tree of the rule language.
//!
//! Start at [`parse`]. One file at a time, nothing resolved: names, types and units are the checker's business.
//! Every mistake becomes a diagnostic and the rest of the file is still read.

pub mod ast;
pub mod lexer;
pub mod message;
mod parser;
mod phrases;
pub mod token;
pub mod words;

pub use parser::{parse, parse_expression};

/// Largest file in bytes. A hand-written rule file is far below; the bound keeps offsets small and time bounded.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Most diagnostics per file; after that the rest is noise.
pub const MAX_DIAGNOSTICS: usize = 100;

/// Deepest nesting of brackets, `not`, filters and sequences in one expression.
pub const MAX_DEPTH: u32 = 64;

/// Most `+ - * /` and `default` in one expression, so that the tree is never deeper than a few hundred levels.
pub const MAX_OPERATIONS: u32 = 256;
