//! Pinfold for the standard library.

mod builder;
mod current;
mod error;
pub mod global;
pub mod graph;
mod handle;
mod outside;
mod platform;
mod pool;
mod scope;
mod shutdown;
mod status;
mod storage;

pub use builder::{Builder, Start};
pub use error::{BuildError, JoinError, SubmitError};
pub use global::{current_worker, join, scope, spawn};
pub use handle::JoinHandle;
pub use pinfold_affinity::{Binding, Placement};
pub use pinfold_core::platform::WorkerId;
pub use pinfold_core::task::TaskId;
pub use platform::PanicPayload;
pub use pool::{BroadcastContext, Pool};
pub use scope::Scope;
pub use shutdown::{Shutdown, ShutdownReport};
pub use status::{PoolMetrics, WorkerStatus};
