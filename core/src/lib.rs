//! A scheduling core without locks, without an allocator and without an operating system.
//!
//! | to find out | read |
//! |---|---|
//! | how an idle worker sleeps and is woken | [`idle`] |
//! | how a worker's tasks are kept and stolen | [`deque`] |
//! | how tasks come in from outside | [`injector`] |
//! | what a worker does next, and while it waits | [`worker`] |
//! | what fork-join costs, and when it shares | [`join`] |
//! | how tasks that borrow are kept in bounds | [`scope`] |
//! | how a task graph runs | [`graph`] |
//! | where a task's closure and result live | [`task`], [`arena`], [`handle`] |
//! | how to embed all that | [`scheduler`], [`platform`] |
//! | how orderings are named, and proved | [`sync`] |
//!
//! One idea carries the crate: **only one-word values move through atomics**, the index of a slot, or of
//! a node of a graph run. So a thief may read first and claim afterwards, no queue contains `unsafe`, and
//! a model checker sees every step.
//!
//! Nothing here allocates, takes a lock, reads a clock of its own, or panics because something failed
//! in operation. Every structure is generic over where its memory is: arrays in a `static`, borrowed
//! slices, boxes.
//!
//! # Example
//!
//! A scheduler for one core and no threads, driven by hand:
//!
//! ```
//! use core::sync::atomic::{AtomicU32, Ordering};
//! use pinfold_core::platform::{Aborting, Platform, WorkerId};
//! use pinfold_core::scheduler::{Fixed, Scheduler};
//!
//! struct Bare;
//! impl Platform for Bare {
//!     fn park(&self, _: WorkerId) {}
//!     fn unpark(&self, _: WorkerId) {}
//! }
//!
//! static SCHEDULER: Scheduler<Fixed<1, 16, 16>, Aborting<Bare>> = Scheduler::fixed(Aborting(Bare));
//! static RAN: AtomicU32 = AtomicU32::new(0);
//!
//! SCHEDULER.spawn(|worker| {
//!     let (a, b) = worker.join(|_| 20, |_| 22);
//!     RAN.store(a + b, Ordering::Relaxed);
//! }).unwrap();
//! let worker = SCHEDULER.worker(WorkerId::new(0).unwrap(), &[]).unwrap();
//! while worker.run_one() {}
//! assert_eq!(RAN.load(Ordering::Relaxed), 42);
//! ```

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
pub mod storage;
pub mod sync;
pub mod task;
pub mod worker;
pub mod zero;
