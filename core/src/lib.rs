//! Core.
#![cfg_attr(not(any(test, pinfold_loom)), no_std)]
pub mod deque;
pub mod idle;
pub mod injector;
pub mod latch;
pub mod platform;
pub mod sync;
