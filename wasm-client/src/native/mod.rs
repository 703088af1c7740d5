//! The native socket adapter.
