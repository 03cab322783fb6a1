//! What the routes do: one file per kind of thing.

pub(crate) mod activation;
pub(crate) mod alerts;
pub(crate) mod decisions;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod holds;
pub(crate) mod imports;
pub(crate) mod lists;
pub(crate) mod me;
pub(crate) mod others;
mod page;
pub(crate) mod proof;
pub(crate) mod reason;
pub(crate) mod requests;
pub(crate) mod rules;
pub(crate) mod score;
pub(crate) mod standing;
