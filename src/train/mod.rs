//! Training of learned models: a history through the engine, point in time, with labels as they were known.
//!
//! [`dataset`] takes what a model reads of each event from the engine that decides, before the event is remembered, so
//! training and scoring cannot differ; [`fold`] divides it by time, with the delay of labels between what is trained on
//! and what is measured; [`fit`] trains with `smartcore` and packs what was found; [`metrics`] says how good scores are;
//! [`card`] makes the model's file and its card; [`evaluate`] does all of it over several weeks, and measures models that
//! learn by themselves beside; [`budget`] counts what a bound on places alerts.
//!
//! What it knows: rule sets, events, labels. What it does not know: command lines and screens.

pub mod budget;
pub mod card;
pub mod dataset;
pub mod evaluate;
pub mod fit;
pub mod fold;
pub mod metrics;
#[cfg(test)]
mod tests;
