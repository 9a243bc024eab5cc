//! Std adapter.
