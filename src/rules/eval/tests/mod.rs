//! The evaluator against arithmetic and semantics written by hand.

mod arithmetic;
mod big;
