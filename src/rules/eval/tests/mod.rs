//! The evaluator against arithmetic and semantics written by hand.

mod arithmetic;
mod big;
mod by_hand;
mod fixture;
mod naive;
mod random;
