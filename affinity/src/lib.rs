//! CPU affinity for worker pools: read the machine, plan who works where, bind, and check.
//!
//! ```text
//! Topology::read()   what the machine is      packages, nodes, caches, cores, hardware threads
//! Allowed::current() what we may use of it    affinity mask, cpuset, CPU quota
//! Placement::parse() what the user wants      "spread,smt=off,bind=group"
//! Plan::new(…)       who works where, and why pure: testable for machines nobody here owns
//! bind_current(…)    do it, and read it back  errors keep operation, CPUs and errno
//! ```
//!
//! The crate knows no task: it hands a scheduler plain tables (worker → group, victim order).
//!
//! ```
//! use pinfold_affinity::{Allowed, Placement, Plan, Topology, bind_current};
//!
//! let machine = Topology::read()?;
//! let allowed = Allowed::current(); // once, before any pin, from an unbound thread
//! let placement = Placement::parse("spread,smt=off")?;
//! let workers = Plan::default_workers(&machine, &allowed);
//! let plan = Plan::new(&machine, &allowed, &placement, workers)?;
//! assert_eq!(plan.len(), workers);
//!
//! for worker in 0..workers {
//!     let binding = plan.binding(worker).cloned();
//!     let bound = std::thread::spawn(move || binding.map(|binding| bind_current(&binding)));
//!     if let Some(bound) = bound.join().unwrap() {
//!         assert_eq!(bound?.cpus(), plan.binding(worker).unwrap().cpus());
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Absent on purpose: binding memory to nodes, hybrid core kinds, isolated CPUs, and the calls of
//! Windows and macOS (pins there are [`BindError::Unsupported`]).

#![forbid(unsafe_code)]

mod allowed;
mod apply;
mod cpuset;
#[cfg(test)]
mod fake;
mod note;
mod placement;
mod plan;
mod platform;
mod topo;
mod tree;

pub use allowed::{Allowed, Quota};
pub use apply::{BindError, Binding, Bound, Operation, bind_current, current_binding};
pub use cpuset::{CpuId, CpuListError, CpuListErrorKind, CpuSet};
pub use note::{Level, NodeId, Note};
pub use placement::{Bind, Placement, PlacementError, PlacementErrorKind, Policy};
pub use plan::{Plan, PlanError, PlanWarning, Reason, Tier, WORKERS_MAX, WorkerPlan};
pub use topo::{Cpu, Node, Topology, TopologyError};
