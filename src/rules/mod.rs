//! The rule language: text → tree ([`syntax`]) → checked program → run.

pub mod eval;
pub mod oracle;
pub mod program;
pub mod syntax;
