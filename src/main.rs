//! The `riskweir` command.

fn main() {}
