//! Task graphs with closures and names.
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::sync::Arc;
//! use pinfold::graph::{Builder, Outcome};
//!
//! let total = Arc::new(AtomicU32::new(0));
//! let builder = Builder::new();
//! let add = |n: u32| {
//!     let total = Arc::clone(&total);
//!     move || { total.fetch_add(n, Ordering::Relaxed); }
//! };
//! let left = builder.task("left", add(1));
//! let right = builder.task("right", add(2));
//! let check = { let total = Arc::clone(&total); move || {
//!     if total.load(Ordering::Relaxed) == 3 { Ok(()) } else { Err("too early") }
//! } };
//! builder.task("both", check).after([left, right]).cost(120);
//! let graph = builder.build()?;
//!
//! let pool = pinfold::Pool::new(2)?;
//! let report = pool.run(&graph);
//! assert!(report.is_ok());
//! assert!(report.tasks().all(|task| matches!(task.outcome(), Outcome::Ok)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Graph`] is built once and run any number of times, also at the same time. A later run reuses the
//! memory of an earlier one whose [`RunReport`] was dropped: it allocates nothing.
//!
//! If a task fails (returns an error, or panics), those that depend on it are skipped, and the others
//! go on.

mod build;
mod report;
mod run;

use std::fmt;

pub use build::{Builder, Graph, GraphError, Task};
pub use report::{Outcome, RunReport, TaskReport};
pub use run::RunOptions;

/// Any error of a task.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The error by which a task says that it ran out of time: its outcome is [`Outcome::TimedOut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task ran out of time")
    }
}

impl std::error::Error for TimedOut {}

/// What a task may return: nothing, or a result whose error fails it.
pub trait TaskResult: sealed::Sealed {
    /// The result.
    ///
    /// # Errors
    ///
    /// The task's error.
    fn into_result(self) -> Result<(), BoxError>;
}

impl TaskResult for () {
    #[inline(always)]
    fn into_result(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> TaskResult for Result<(), E> {
    #[inline(always)]
    fn into_result(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E> Sealed for Result<(), E> {}
}
