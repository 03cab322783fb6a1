//! The named bounds of a rule set. All of them are far above what people write by hand.

/// Most files in one rule set.
pub(super) const MAX_FILES: usize = 10_000;
/// Most rules in one rule set.
pub(super) const MAX_RULES: usize = 10_000;
/// Most event types.
pub(super) const MAX_EVENTS: usize = 1_000;
/// Most models.
pub(super) const MAX_MODELS: usize = 64;
/// Most features of one model.
pub(super) const MAX_MODEL_FEATURES: usize = 16;
/// Most features of one learned model.
pub(super) const MAX_LEARNED_FEATURES: usize = 256;
/// Longest window of a model: 90 days.
pub(super) const MAX_MODEL_WINDOW_MS: i64 = 90 * 86_400_000;
/// Most lists.
pub(super) const MAX_LISTS: usize = 10_000;
/// Most snoozes.
pub(super) const MAX_SNOOZES: usize = 10_000;
/// Most members that one list file may hold.
pub(super) const MAX_LIST_MEMBERS: usize = 5_000_000;
/// Most rates of a table of exchange rates.
pub(super) const MAX_RATES: usize = 1_000_000;
/// Most state tables, look-ups of one event type, and measures of one table (their ids are 16 bits wide).
pub(super) const MAX_STATE_IDS: usize = 65_000;
/// Largest expression after its `let` and `feature` names are written out, in nodes.
pub(super) const MAX_EXPANDED_NODES: u32 = 10_000;
/// Deepest expression after its `let` and `feature` names are written out.
pub(super) const MAX_EXPANDED_DEPTH: u32 = 512;
/// Most steps of one sequence, each of `3 times` counted.
pub(super) const MAX_SEQUENCE_STEPS: u16 = 64;
/// Longest window: ten years.
pub(super) const MAX_WINDOW_MS: i64 = 3_653 * 86_400_000;
/// Longest bound of holds: what commands may come to at most.
pub(super) const MAX_HOLD_BOUND_MS: i64 = 400 * 86_400_000;
/// Most events of a window by number.
pub(super) const MAX_NEWEST: u16 = crate::window::spec::MAX_NEWEST;
/// Most events that one `given` may stand for.
pub(super) const MAX_GIVEN_EVENTS: u32 = 100_000;
/// Longest regular expression in bytes.
pub(super) const MAX_PATTERN_TEXT_BYTES: usize = 1 << 10;
/// Most repetitions that counts such as `{3}` in one another come to in a regular expression.
pub(super) const MAX_PATTERN_REPEATS: u64 = 1_000;
/// Largest compiled regular expression in bytes.
pub(super) const MAX_PATTERN_BYTES: usize = 1 << 20;
/// Most fields and events that a help text lists.
pub(super) const MAX_LISTED: usize = 40;
/// Most diagnostics that one compilation reports.
pub(super) const MAX_DIAGNOSTICS: usize = 1_000;
