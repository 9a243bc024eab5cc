//! How a pool is configured.

use std::fmt;
use std::sync::Arc;

use pinfold_affinity::{Allowed, Placement, Plan, Topology};
use pinfold_core::arena::{MAGAZINE, MAX_SLOTS};

use crate::error::BuildError;
use crate::platform::{PanicHandler, PanicPayload};
use crate::pool::{Layout, Pool};

/// When a pool's threads are started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// In [`Builder::build`].
    #[default]
    Eager,
    /// When the first work arrives. Building the pool makes no thread and takes no memory; should
    /// there be none when it is needed, the first use panics.
    Lazy,
}

/// Configures a [`Pool`].
///
/// ```
/// let pool = pinfold::Pool::builder().workers(2).name("crunch").slots(1024).build()?;
/// assert_eq!(pool.install(|| 6 * 7), 42);
/// # Ok::<(), pinfold::BuildError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    workers: Option<usize>,
    name: String,
    slots: usize,
    start: Start,
    placement: Placement,
    panic_handler: Option<PanicHandler>,
}

impl Builder {
    /// The number of tasks that a pool holds by default, queued or running.
    pub const DEFAULT_SLOTS: usize = 4096;

    /// The largest number of workers.
    pub const MAX_WORKERS: usize = 1024;

    /// The defaults: as many workers as CPUs may be used, [`Builder::DEFAULT_SLOTS`], started
    /// eagerly, placed nowhere in particular.
    pub fn new() -> Self {
        Builder {
            workers: None,
            name: "pinfold".to_owned(),
            slots: Self::DEFAULT_SLOTS,
            start: Start::default(),
            placement: Placement::default(),
            panic_handler: None,
        }
    }

    /// The number of workers, 1 to [`Builder::MAX_WORKERS`]. Default: the CPUs that this process may
    /// use (affinity mask, cgroup), or fewer if its CPU quota allows less.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// What the threads are called; each gets its number behind it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many tasks may be queued, or running, or ended with their result still in a handle, at once,
    /// at least; an open scope counts as one, too. The memory of a slot is 128 bytes,
    /// used when the slot is first used.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// When the threads are started.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Which CPUs the workers are bound to.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Is called, on the worker, with the payload of a panic in a task that nobody joins. The
    /// process's panic hook has reported it by then.
    pub fn panic_handler(mut self, handler: impl Fn(PanicPayload) + Send + Sync + 'static) -> Self {
        self.panic_handler = Some(Arc::new(handler));
        self
    }

    /// Builds the pool.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; threads that were started by then have ended.
    pub fn build(self) -> Result<Pool, BuildError> {
        let (workers, plan) = self.plan()?;
        let most = MAX_SLOTS - (workers + 1) * MAGAZINE as usize;
        if self.slots == 0 || self.slots > most {
            return Err(BuildError::Slots {
                given: self.slots,
                most,
            });
        }
        let layout = Layout {
            workers,
            slots: self.slots,
            name: self.name,
            plan,
        };
        Pool::start(layout, self.start, self.panic_handler)
    }

    /// The number of workers, and where they go, if anywhere.
    fn plan(&self) -> Result<(usize, Option<Plan>), BuildError> {
        let check = |given| match given {
            1..=Self::MAX_WORKERS => Ok(given),
            _ => Err(BuildError::Workers {
                given,
                most: Self::MAX_WORKERS,
            }),
        };
        let placed = self.placement != Placement::default();
        if let (Some(workers), false) = (self.workers, placed) {
            return Ok((check(workers)?, None));
        }
        let allowed = Allowed::current();
        let topology = Topology::read()?;
        let workers = match self.workers {
            Some(workers) => check(workers)?,
            None => Plan::default_workers(&topology, &allowed).min(Self::MAX_WORKERS),
        };
        if !placed {
            return Ok((workers, None));
        }
        Ok((
            workers,
            Some(Plan::new(&topology, &allowed, &self.placement, workers)?),
        ))
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("name", &self.name)
            .field("slots", &self.slots)
            .field("start", &self.start)
            .field("placement", &self.placement)
            .finish_non_exhaustive()
    }
}
