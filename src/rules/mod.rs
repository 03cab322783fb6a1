//! The rule language: text → tree ([`syntax`]) → checked program → run ([`eval`]).

mod action;
mod analysis;
mod check;
mod constant;
pub mod cost;
pub mod early;
pub mod eval;
mod expectation;
mod filled;
pub mod format;
mod hold_bounds;
pub mod locality;
mod model;
pub mod oracle;
pub mod origins;
pub mod place_bounds;
pub mod program;
pub mod reads;
mod renewed;
pub mod syntax;

pub use analysis::statements;
pub use check::due::{Day, due};
pub use check::{
    Beside, Study, Trees, beside, compile, compile_untrained, functions, list_member, study,
};
pub use model::model_input;
pub use renewed::renewed;
