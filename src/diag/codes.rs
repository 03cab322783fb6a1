//! The registry of stable codes. A code is never reused; each has a page `docs/errors/<CODE>.md`.

/// A stable code such as `E0101`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);
