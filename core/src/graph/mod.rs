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
//! # Source
//!
//! Counting only where nodes merge is as in marl; a node's last arrival without a
//! read-modify-write is Pinfold's: who reads a count one below the target is the only one missing.

mod execute;
mod plan;
mod run;

pub use plan::{MAX_NODES, NodeIndex, Plan, PlanError};
pub use run::{Node, Outcome, Run, RunError};
