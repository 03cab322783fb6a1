//! Riskweir reads transaction events, scores them with rules over sliding windows and says what to do.

pub mod demo;
