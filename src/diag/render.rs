//! Rendering of diagnostics: text with carets for people, JSON for tools.
