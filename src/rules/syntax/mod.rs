//! Lexer, parser and tree of the rule language.

pub mod ast;
