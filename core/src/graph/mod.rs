//! Static task graphs: a plan that never changes, and runs of it.
//!
//! | operation | cost | progress |
//! |---|---|---|
//! | a node's end, per edge to a node with one predecessor | no read-modify-write | wait-free |
//! | per edge to a node with several | one read-modify-write, none for the last to arrive | wait-free |
//! | starting a run again | O(roots); nothing is reset | wait-free |
//!
//! A [`Plan`] is a compressed adjacency list in borrowed, `const` or boxed storage. A [`Run`] holds 16
//! bytes per node and is used for one execution at a time, over and over: arrivals are counted up
//! without end, and in the `g`-th run a node with `d` predecessors is ready when its count reaches
//! `g · d`.
//!
//! When a node ends, the first of its successors that became ready (put the most urgent first) goes on
//! in the same loop, so that a chain uses no queue and no stack; the others are published together,
//! with one wake. Each worker collects ended sinks (nodes without successors) and takes them off the
//! run's latch when it turns to something else.
//!
//! # Failure
//!
//! Every node ends exactly once, in every run. If a node fails or times out, its successors end as
//! [`Outcome::Skipped`] with that node as root cause, and so do theirs; everything else goes on. After
//! [`Run::stop`], what has not started ends as [`Outcome::Cancelled`].
//!
//! # Example
//!
//! A diamond whose edges are constants: 0 before 1 and 2, both before 3. (`Bare` is the platform of the
//! crate's page: one core, driven by hand.)
//!
//! ```
//! # use pinfold_core::platform::{Aborting, Platform, WorkerId};
//! # use pinfold_core::scheduler::{Fixed, Scheduler};
//! use std::sync::Mutex;
//! use pinfold_core::graph::{Outcome, Plan, Run};
//! # struct Bare;
//! # impl Platform for Bare {
//! #     fn park(&self, _: WorkerId) {}
//! #     fn unpark(&self, _: WorkerId) {}
//! # }
//! # static SCHEDULER: Scheduler<Fixed<1, 16, 16>, Aborting<Bare>> = Scheduler::fixed(Aborting(Bare));
//!
//! const OFFSETS: [u32; 5] = [0, 2, 3, 4, 4];
//! const SUCCESSORS: [u32; 4] = [1, 2, 3, 3];
//!
//! let (mut offsets, mut successors) = (OFFSETS, SUCCESSORS);
//! let (mut in_degrees, mut roots, mut scratch) = ([0; 4], [0; 1], [0; 8]);
//! let plan = Plan::new(
//!     &mut offsets[..],
//!     &mut successors[..],
//!     &mut in_degrees[..],
//!     &mut roots[..],
//!     &mut scratch,
//! )?;
//! let mut run = Run::<[_; 4]>::fixed();
//!
//! let worker = SCHEDULER.worker(WorkerId::new(0).unwrap(), &[]).expect("the seat is free");
//! for second_succeeds in [true, false] {
//!     let order = Mutex::new(Vec::new());
//!     worker.run_graph(&plan, &mut run, &|_: &_, _: &_, node| {
//!         order.lock().unwrap().push(node);
//!         if node != 2 || second_succeeds { Outcome::Ok } else { Outcome::Failed }
//!     })?;
//!     let ended = if second_succeeds { Outcome::Ok } else { Outcome::Skipped { root_cause: 2 } };
//!     assert_eq!(run.outcome(3), Some(ended));
//!     let ran: &[u32] = if second_succeeds { &[0, 1, 2, 3] } else { &[0, 1, 2] };
//!     assert_eq!(order.into_inner().unwrap(), ran);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Source
//!
//! Counting only where nodes merge is as in marl; a node's last arrival without a
//! read-modify-write is Pinfold's: who reads a count one below the target is the only one missing.

mod execute;
mod plan;
mod run;

pub use plan::{MAX_NODES, NodeIndex, Plan, PlanError};
pub use run::{Node, Outcome, Run, RunError};
