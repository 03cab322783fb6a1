//! Models: what scores events beside the rules.
//!
//! [`online`] models hold what is usual of the newest days and say how far an event is from it, without labels;
//! [`offline`] ones were trained on labelled history. What both know: numbers by feature. What they do not know: events,
//! rules, clocks. A rule set names them, so they lie below it.

pub mod drift;
pub mod offline;
pub mod online;
pub mod places;
pub mod serving;
