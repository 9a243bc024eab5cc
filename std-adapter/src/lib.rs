//! Pools of worker threads over Pinfold's lock-free core.
//!
//! | to | use |
//! |---|---|
//! | call two things in parallel, if that pays | [`join`], [`Pool::join`] |
//! | spawn tasks that borrow | [`scope`], [`Pool::scope`] |
//! | hand a task over and get its result later | [`Pool::submit`] → [`JoinHandle`] |
//! | hand a task over and forget it | [`spawn`], [`Pool::spawn`] |
//! | run tasks in the order of their dependencies | [`graph`], [`Pool::run`] |
//! | run something once on each worker | [`Pool::broadcast`] |
//! | bind workers to CPUs | [`Builder::placement`] |
//!
//! ```
//! fn sum(numbers: &[u64]) -> u64 {
//!     if numbers.len() < 1_000 {
//!         return numbers.iter().sum();
//!     }
//!     let (left, right) = numbers.split_at(numbers.len() / 2);
//!     let (a, b) = pinfold::join(|| sum(left), || sum(right));
//!     a + b
//! }
//!
//! let numbers: Vec<u64> = (1..=100_000).collect();
//! assert_eq!(sum(&numbers), 5_000_050_000);
//! ```
//!
//! The free functions work in the pool of the worker that calls them, and elsewhere in the [`global`]
//! pool.
//!
//! # What is different here
//!
//! - **Bounded.** A pool holds as many tasks as it was given slots. When they are used up, a worker runs
//!   what it spawns at once, [`Pool::spawn`] from outside waits, [`Pool::submit`] gives the closure
//!   back. Nothing is allocated per task whose closure and result fit a slot (80 bytes).
//! - **A worker that waits helps only with descendants of what it waits for.** It never runs somebody
//!   else's task on top of a lock that you hold.
//! - **An idle pool does nothing at all**: no timer, no polling.
//!
//! # When not to use it
//!
//! For tasks that block on input and output (a worker that blocks is a worker less), and for
//! asynchronous programs: a [`JoinHandle`] is a `Future`, but a pool is no executor of futures.

/// The README's programs, as it shows them: the first is run, the second compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

mod alone;
mod broadcast;
mod builder;
mod call;
mod current;
mod error;
pub mod global;
pub mod graph;
mod handle;
mod inner;
mod lock;
mod outside;
mod platform;
mod pool;
mod scope;
mod shutdown;
mod status;
mod storage;

/// Topologies, plans and bindings: what [`Builder::placement`] rests on, to look at before a pool is
/// built, and the errors that a [`BuildError`] may hold.
///
/// ```
/// use pinfold::affinity::{Allowed, Plan, Topology};
///
/// let topology = Topology::read()?;
/// let plan = Plan::new(&topology, &Allowed::current(), &"spread".parse()?, 2)?;
/// println!("{plan}"); // who goes where, and why
/// assert_eq!(plan.victim_order(0), [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub use pinfold_affinity as affinity;

pub use broadcast::BroadcastContext;
pub use builder::{Builder, Start};
pub use error::{BuildError, JoinError, SubmitError};
pub use global::{current_worker, join, scope, spawn};
pub use handle::JoinHandle;
pub use pinfold_affinity::{Binding, Placement};
pub use pinfold_core::platform::WorkerId;
pub use pinfold_core::task::TaskId;
pub use platform::PanicPayload;
pub use pool::Pool;
pub use scope::Scope;
pub use shutdown::{Shutdown, ShutdownReport};
pub use status::{PoolMetrics, WorkerStatus};
