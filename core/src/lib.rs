//! Core.
#![cfg_attr(not(any(test, pinfold_loom)), no_std)]
pub mod arena;
pub mod deque;
pub mod graph;
pub mod handle;
pub mod idle;
pub mod injector;
pub mod join;
pub mod latch;
mod mailbox;
pub mod metrics;
pub mod platform;
pub mod scheduler;
pub mod scope;
pub mod sync;
pub mod task;
pub mod worker;
pub mod zero;
