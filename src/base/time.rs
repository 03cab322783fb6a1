//! Time: milliseconds since 1970-01-01T00:00:00Z, read from and written as RFC 3339.
