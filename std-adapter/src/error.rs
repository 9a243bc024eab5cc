//! What can go wrong, and what to do about it.

use std::any::Any;
use std::fmt;

use pinfold_affinity::{PlanError, TopologyError};
use pinfold_core::platform::WorkerId;

use crate::platform::PanicPayload;

/// Why a pool was not built. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No worker, or too many.
    #[error("{given} workers: give between 1 and {most}")]
    Workers {
        /// The number asked for.
        given: usize,
        /// The largest number.
        most: usize,
    },
    /// No slot, or too many.
    #[error("{given} slots: give between 1 and {most}")]
    Slots {
        /// The number asked for.
        given: usize,
        /// The largest number.
        most: usize,
    },
    /// The name has a NUL in it, which no thread's name may have.
    #[error("the name {name:?} has a NUL at byte {at}: leave it out")]
    Name {
        /// The name asked for.
        name: String,
        /// Where the first NUL is, in bytes from the start.
        at: usize,
    },
    /// The slots need more memory than there is.
    #[error("no memory for {bytes} bytes of slots: configure fewer slots or workers")]
    OutOfMemory {
        /// How much was needed at once.
        bytes: usize,
    },
    /// The machine could not be read, and the placement, or the default number of workers, needs that.
    #[error("cannot place workers: {0}")]
    Topology(#[from] TopologyError),
    /// The placement cannot be followed on this machine.
    #[error("cannot place workers: {0}")]
    Placement(#[from] PlanError),
    /// The system gave no thread.
    #[error(
        "cannot start the thread of worker {worker}: {source}; \
         configure fewer workers or a smaller stack, or raise the limit"
    )]
    Thread {
        /// The worker.
        worker: WorkerId,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Why a task was not taken; the closure comes back.
#[non_exhaustive]
pub enum SubmitError<F> {
    /// All slots are in use.
    Full {
        /// The closure.
        task: F,
        /// How many slots the pool has.
        slots: usize,
        /// The most that were in use at once.
        high_water: usize,
    },
    /// The pool was shut down.
    ShutDown {
        /// The closure.
        task: F,
    },
}

impl<F> SubmitError<F> {
    /// The closure.
    pub fn into_task(self) -> F {
        match self {
            SubmitError::Full { task, .. } | SubmitError::ShutDown { task } => task,
        }
    }
}

impl<F> fmt::Display for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubmitError::Full {
                slots, high_water, ..
            } => write!(
                f,
                "all {slots} slots are in use (high-water mark {high_water}): \
                 wait for tasks to end, or configure more slots"
            ),
            SubmitError::ShutDown { .. } => {
                f.write_str("the pool was shut down: submit before `shutdown`")
            }
        }
    }
}

impl<F> fmt::Debug for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubmitError::Full {
                slots, high_water, ..
            } => f
                .debug_struct("Full")
                .field("slots", slots)
                .field("high_water", high_water)
                .finish_non_exhaustive(),
            SubmitError::ShutDown { .. } => f.debug_struct("ShutDown").finish_non_exhaustive(),
        }
    }
}

impl<F> std::error::Error for SubmitError<F> {}

/// Why a task has no result.
#[non_exhaustive]
pub enum JoinError {
    /// It panicked; the payload is what the panic carried.
    Panicked(PanicPayload),
    /// It was cancelled before it started, or its pool was shut down.
    Cancelled,
}

impl JoinError {
    /// Whether the task panicked; else it was cancelled.
    pub fn is_panic(&self) -> bool {
        matches!(self, JoinError::Panicked(_))
    }

    /// What the task's panic carried; `None` if it was cancelled.
    ///
    /// ```
    /// let pool = pinfold::Pool::new(1)?;
    /// let handle = pool.submit(|| panic!("no more")).expect("a slot is free");
    /// let error = handle.join().expect_err("it panics");
    /// assert!(error.is_panic());
    /// let payload = error.into_panic().expect("it was not cancelled");
    /// assert_eq!(payload.downcast_ref(), Some(&"no more"));
    /// # Ok::<(), pinfold::BuildError>(())
    /// ```
    pub fn into_panic(self) -> Option<PanicPayload> {
        match self {
            JoinError::Panicked(payload) => Some(payload),
            JoinError::Cancelled => None,
        }
    }

    /// Goes on with the task's panic; returns if it was cancelled.
    pub fn resume_panic(self) {
        if let Some(payload) = self.into_panic() {
            std::panic::resume_unwind(payload);
        }
    }
}

/// The text of a panic, if it has one.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(payload) => f
                .debug_tuple("Panicked")
                .field(&panic_text(payload.as_ref()))
                .finish(),
            JoinError::Cancelled => f.write_str("Cancelled"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(payload) => {
                write!(f, "the task panicked: {}", panic_text(payload.as_ref()))
            }
            JoinError::Cancelled => f.write_str("the task was cancelled before it started"),
        }
    }
}

impl std::error::Error for JoinError {}
