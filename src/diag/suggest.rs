//! "Did you mean": the nearest known name, or none when nothing is near.
