//! The rule language: text → tree ([`syntax`]) → checked program → run.

pub mod syntax;
