//! How a pool is configured.

use std::fmt;
use std::sync::Arc;

use pinfold_affinity::{Allowed, Placement, Plan, Topology};
use pinfold_core::arena::MAX_SLOTS;

use crate::error::BuildError;
use crate::inner::{Layout, beyond_slots};
use crate::platform::{PanicHandler, PanicPayload};
use crate::pool::Pool;

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
    stack_size: Option<usize>,
    slots: usize,
    start: Start,
    placement: Placement,
    panic_handler: Option<PanicHandler>,
}

impl Builder {
    /// The number of tasks that a pool holds by default, queued or running.
    pub const DEFAULT_SLOTS: usize = 4096;

    /// The largest number of workers. (The core alone takes
    /// [`WorkerId::MAX_WORKERS`](crate::WorkerId::MAX_WORKERS).)
    pub const MAX_WORKERS: usize = 1024;

    /// The defaults: as many workers as CPUs may be used, [`Builder::DEFAULT_SLOTS`], started
    /// eagerly, placed nowhere in particular.
    pub fn new() -> Self {
        Builder {
            workers: None,
            name: "pinfold".to_owned(),
            stack_size: None,
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

    /// What the threads are called; each gets its number behind it: `"crunch"` makes `crunch-0`,
    /// `crunch-1` and so on. A name with a NUL in it is refused by [`Builder::build`]. Default:
    /// `pinfold`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many bytes of stack each worker's thread has, at least; the system may give more, and takes
    /// memory only for what is used. Default: the standard library's, 2 MiB or `RUST_MIN_STACK`.
    ///
    /// What the system cannot give makes [`Builder::build`] fail with [`BuildError::Thread`].
    ///
    /// ```
    /// fn depth(n: usize) -> usize {
    ///     let mut frame = [n; 8192]; // 64 KiB
    ///     std::hint::black_box(&mut frame);
    ///     if n == 0 { 0 } else { depth(n - 1) + frame[0] / n }
    /// }
    /// let pool = pinfold::Pool::builder().workers(1).stack_size(32 << 20).build()?;
    /// assert_eq!(pool.install(|| depth(128)), 128); // over 8 MiB
    /// # Ok::<(), pinfold::BuildError>(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
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
    /// Nothing of the pool is left behind; threads that were started have ended.
    ///
    /// - [`BuildError::Workers`], [`BuildError::Slots`], [`BuildError::Name`]: the number is out of
    ///   range, or the name has a NUL. Found before anything is made, also for a lazy pool.
    /// - [`BuildError::Topology`], [`BuildError::Placement`]: the machine cannot be read, or the placement
    ///   cannot be followed on it. Only with a [placement](Builder::placement), or (the first) without a
    ///   number of [workers](Builder::workers); before anything is made.
    /// - [`BuildError::OutOfMemory`], [`BuildError::Thread`]: the system gives too little memory, or too
    ///   few threads. Never for a lazy pool, whose first use panics instead.
    pub fn build(self) -> Result<Pool, BuildError> {
        if let Some(at) = self.name.find('\0') {
            let name = self.name;
            return Err(BuildError::Name { name, at });
        }
        let (workers, plan) = self.plan()?;
        let most = MAX_SLOTS - beyond_slots(workers);
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
            stack_size: self.stack_size,
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
            .field("stack_size", &self.stack_size)
            .field("slots", &self.slots)
            .field("start", &self.start)
            .field("placement", &self.placement)
            .finish_non_exhaustive()
    }
}
