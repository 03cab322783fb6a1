//! The rule language: text → tree ([`syntax`]) → checked program → run.

pub mod program;
pub mod syntax;
