//! The pool: workers in threads.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pinfold_affinity::{Binding, Plan, bind_current};
use pinfold_core::arena::MAGAZINE;
use pinfold_core::idle::WORKERS_PER_WORD;
use pinfold_core::platform::WorkerId;
use pinfold_core::scheduler::{Scheduler, Seat};

use crate::alone::Settling;
use crate::builder::{Builder, Start};
use crate::current::{self, Shared, Worker};
use crate::error::{BuildError, SubmitError};
use crate::handle::JoinHandle;
use crate::platform::{PanicHandler, Threads};
use crate::scope::Scope;
use crate::shutdown::{Shutdown, ShutdownReport};
use crate::storage::{Boxed, DequeMemory, OutOfMemory, zeroed};

/// The most words in one worker's deque. What does not fit goes to the injector.
const DEQUE_WORDS: usize = 4096;

/// How long a broadcast waits for slots.
const BROADCAST_PATIENCE: Duration = Duration::from_secs(1);

/// The size and shape of a pool.
pub(crate) struct Layout {
    pub(crate) workers: usize,
    pub(crate) slots: usize,
    pub(crate) name: String,
    pub(crate) plan: Option<Plan>,
}

/// What a worker's binding came to: where it is bound, if anywhere, or why not.
pub(crate) type Bound = Result<Option<Binding>, String>;

/// What a pool, its threads and its handles share.
pub(crate) struct Inner {
    pub(crate) scheduler: Shared,
    pub(crate) layout: Layout,
    /// Used by the scheduler's seats, hence behind it: fields are dropped in this order.
    _deque_memory: DequeMemory,
    /// What each worker's binding came to, once it has started.
    pub(crate) bound: Box<[OnceLock<Bound>]>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    /// How many of the workers have a thread, once that is decided.
    started: OnceLock<usize>,
    broadcasts: Mutex<Broadcasts>,
    broadcasts_changed: Condvar,
    pub(crate) settling: Mutex<Settling>,
    pub(crate) settled: Condvar,
}

/// The broadcasts under way. While there are any, no worker leaves: it waits until the last has ended, or
/// another one has begun, which is going to reach it. Nobody else waits for a broadcast.
struct Broadcasts {
    active: usize,
    /// How many have begun, and have reached, or will reach, every worker.
    begun: usize,
    /// How many of those have reached each worker.
    reached: Box<[usize]>,
    /// Some worker has left: no broadcast enters any more.
    left: bool,
}

/// A scheduler and its memory.
pub(crate) struct Parts {
    pub(crate) scheduler: Shared,
    /// Used by the scheduler's seats, hence behind it: fields are dropped in this order.
    deque_memory: DequeMemory,
}

impl Parts {
    pub(crate) fn new(
        seats: usize,
        slots: usize,
        deque_words: usize,
        threads: Threads,
    ) -> Result<Self, BuildError> {
        let no_memory = |OutOfMemory { bytes }| BuildError::OutOfMemory { bytes };
        let count = seats;
        let deque_memory = DequeMemory::new(seats, deque_words).map_err(no_memory)?;
        // SAFETY: `Parts`, and who takes them apart, drops the scheduler, and with it the seats, before
        // the memory.
        let parts = unsafe { deque_memory.parts() };
        let seats = parts
            .map(|part| Seat::with_storage(part).expect("a power of two"))
            .collect();
        let scheduler = Scheduler::<Boxed, _>::with_storage(
            zeroed(slots).map_err(no_memory)?,
            zeroed(slots.next_power_of_two()).map_err(no_memory)?,
            seats,
            zeroed(count.div_ceil(WORKERS_PER_WORD)).map_err(no_memory)?,
            threads,
        )
        .expect("the builder checked the numbers");
        Ok(Parts {
            scheduler,
            deque_memory,
        })
    }
}

impl Inner {
    fn new(layout: Layout, panic_handler: Option<PanicHandler>) -> Result<Self, BuildError> {
        let workers = layout.workers;
        // So many may be free and out of reach in the workers' magazines.
        let slots = layout.slots + (workers + 1) * MAGAZINE as usize;
        let deque_words = layout.slots.next_power_of_two().min(DEQUE_WORDS);
        // One seat more, for what comes too late for the workers.
        let threads = Threads::new(workers + 1, panic_handler);
        let Parts {
            scheduler,
            deque_memory,
        } = Parts::new(workers + 1, slots, deque_words, threads)?;
        Ok(Inner {
            scheduler,
            _deque_memory: deque_memory,
            bound: (0..workers).map(|_| OnceLock::new()).collect(),
            layout,
            threads: Mutex::default(),
            started: OnceLock::new(),
            broadcasts: Mutex::new(Broadcasts {
                active: 0,
                begun: 0,
                reached: vec![0; workers].into(),
                left: false,
            }),
            broadcasts_changed: Condvar::new(),
            settling: Mutex::default(),
            settled: Condvar::new(),
        })
    }

    fn threads(&self) -> MutexGuard<'_, Vec<thread::JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broadcasts(&self) -> MutexGuard<'_, Broadcasts> {
        self.broadcasts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread of `worker` does.
    fn run_worker(&self, id: WorkerId) {
        self.scheduler.platform().enter(id);
        let binding = self
            .layout
            .plan
            .as_ref()
            .and_then(|plan| plan.binding(id.index()));
        let bound = match binding {
            None => Ok(None),
            Some(binding) => match bind_current(binding) {
                Ok(_) => Ok(Some(binding.clone())),
                Err(error) => Err(error.to_string()),
            },
        };
        let first = self.bound[id.index()].set(bound);
        debug_assert!(first.is_ok(), "a worker starts once");
        let victims = self.layout.victims(id.index());
        let worker = self.scheduler.worker(id, &victims);
        let worker = worker.expect("each seat is taken once");
        current::enter(&worker, Some(id), || self.run_until_left(&worker));
    }

    /// Starts the threads; the second call and later ones do nothing.
    fn start_threads(self: &Arc<Self>) -> Result<(), BuildError> {
        let mut threads = self.threads();
        threads.reserve_exact(self.layout.workers);
        for index in 0..self.layout.workers {
            let worker = WorkerId::new(index).expect("the builder checked the number");
            let inner = Arc::clone(self);
            let thread = thread::Builder::new()
                .name(format!("{}-{index}", self.layout.name))
                .spawn(move || inner.run_worker(worker))
                .map_err(|source| BuildError::Thread { worker, source })?;
            threads.push(thread);
        }
        Ok(())
    }

    /// Makes sure that there are threads.
    #[inline]
    pub(crate) fn ensure_started(self: &Arc<Self>) {
        if self.started.get().is_none() {
            self.start_late();
        }
    }

    #[cold]
    fn start_late(self: &Arc<Self>) {
        self.started.get_or_init(|| {
            // Fewer threads than asked for still do all the work, unless there are none.
            if let Err(error) = self.start_threads() {
                assert!(!self.threads().is_empty(), "{error}");
            }
            self.threads().len()
        });
    }

    /// Waits for the threads, and for whoever does what came too late for them, unless they may be
    /// waiting for the caller.
    pub(crate) fn join_threads(&self) {
        if self.is_inside() {
            return;
        }
        // Held while joining, so that a second caller waits as well.
        let mut threads = self.threads();
        for thread in threads.drain(..) {
            // A worker catches its tasks' panics; should it die all the same, the process's panic
            // hook has said so.
            let _ = thread.join();
        }
        self.wait_until_settled();
    }

    /// Runs tasks until the pool is closed, nothing is left, and no broadcast is under way.
    fn run_until_left(&self, worker: &Worker<'_>) {
        loop {
            worker.run_until_closed();
            let mut broadcasts = self.broadcasts();
            loop {
                if broadcasts.active == 0 {
                    broadcasts.left = true;
                    return;
                }
                if broadcasts.reached[worker.id().index()] != broadcasts.begun {
                    break;
                }
                broadcasts = self
                    .broadcasts_changed
                    .wait(broadcasts)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(broadcasts);
            // Who has begun it posts it right now, or within `BROADCAST_PATIENCE`.
            thread::yield_now();
        }
    }

    /// Counts a broadcast; `None` if workers have left.
    fn enter_broadcast(&self) -> Option<BroadcastEntered<'_>> {
        let mut broadcasts = self.broadcasts();
        if broadcasts.left {
            return None;
        }
        broadcasts.active += 1;
        Some(BroadcastEntered(self))
    }

    /// Calls `reach` once on each of the first `workers` workers. A slot for each may be a matter of waiting
    /// for the tasks that hold them; the workers that have nothing to do stay meanwhile.
    fn broadcast_by(
        &self,
        worker: &Worker<'_>,
        workers: usize,
        reach: &(impl for<'w> Fn(&Worker<'w>) + Sync),
    ) {
        self.broadcasts().begun += 1;
        self.broadcasts_changed.notify_all();
        let deadline = Instant::now() + BROADCAST_PATIENCE;
        while let Err(exhausted) = worker.broadcast(workers, reach) {
            if Instant::now() >= deadline {
                self.broadcasts().begun -= 1;
                self.broadcasts_changed.notify_all();
                panic!("a broadcast finds no slots: {exhausted}");
            }
            thread::yield_now();
        }
    }
}

struct BroadcastEntered<'p>(&'p Inner);

impl Drop for BroadcastEntered<'_> {
    fn drop(&mut self) {
        self.0.broadcasts().active -= 1;
        self.0.broadcasts_changed.notify_all();
    }
}

impl Layout {
    /// Whom `worker` robs, nearest first.
    fn victims(&self, worker: usize) -> Vec<WorkerId> {
        let order = match &self.plan {
            Some(plan) => plan.victim_order(worker),
            None => (1..self.workers)
                .map(|step| (worker + step) % self.workers)
                .collect(),
        };
        order.into_iter().filter_map(WorkerId::new).collect()
    }
}

/// A pool of workers that share tasks among themselves.
///
/// Dropping it waits until all that it accepted has run. See the crate's page for an overview.
///
/// ```
/// let pool = pinfold::Pool::new(2)?;
/// let (sum, product) = pool.join(|| (1..=10).sum::<u64>(), || (1..=10).product::<u64>());
/// assert_eq!((sum, product), (55, 3_628_800));
/// # Ok::<(), pinfold::BuildError>(())
/// ```
pub struct Pool {
    /// Empty until a lazy pool is used: then not even its memory exists.
    inner: OnceLock<Arc<Inner>>,
    /// What `inner` is made of.
    recipe: Mutex<Option<Recipe>>,
}

struct Recipe {
    layout: Layout,
    panic_handler: Option<PanicHandler>,
}

impl Pool {
    /// A pool of `workers` workers, otherwise with the defaults of [`Builder`].
    ///
    /// # Errors
    ///
    /// [`BuildError`].
    pub fn new(workers: usize) -> Result<Pool, BuildError> {
        Pool::builder().workers(workers).build()
    }

    /// Configures a pool.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn start(
        layout: Layout,
        start: Start,
        panic_handler: Option<PanicHandler>,
    ) -> Result<Pool, BuildError> {
        if start == Start::Lazy {
            let recipe = Some(Recipe {
                layout,
                panic_handler,
            });
            return Ok(Pool {
                inner: OnceLock::new(),
                recipe: Mutex::new(recipe),
            });
        }
        let inner = Arc::new(Inner::new(layout, panic_handler)?);
        inner.started.get_or_init(|| inner.layout.workers);
        let pool = Pool {
            inner: OnceLock::from(inner),
            recipe: Mutex::default(),
        };
        // On failure `pool` is dropped here, and ends the threads that there are.
        pool.inner().start_threads()?;
        Ok(pool)
    }

    #[inline]
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        self.inner.get_or_init(|| self.make())
    }

    /// Makes a lazy pool, as the standard library makes a vector: without memory it panics.
    #[cold]
    fn make(&self) -> Arc<Inner> {
        let recipe = self
            .recipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Recipe {
            layout,
            panic_handler,
        } = recipe.expect("a lazy pool is made once");
        match Inner::new(layout, panic_handler) {
            Ok(inner) => Arc::new(inner),
            Err(error) => panic!("a lazy pool cannot be made: {error}"),
        }
    }

    /// Calls `f` on a worker of this pool and returns its result; inside `f`, the free functions
    /// of this crate mean this pool. The caller waits; if it is a worker of this pool, `f` is simply
    /// called.
    ///
    /// # Panics
    ///
    /// If `f` does.
    pub fn install<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        self.on_worker(|_| f())
    }

    /// Calls `a` and `b`, in parallel if a worker has nothing to do, and returns both results.
    ///
    /// # Panics
    ///
    /// If `a` or `b` does; the other one has ended by then, or will not start.
    #[inline]
    pub fn join<A, B, RA, RB>(&self, a: A, b: B) -> (RA, RB)
    where
        A: FnOnce() -> RA + Send,
        B: FnOnce() -> RB + Send,
        RA: Send,
        RB: Send,
    {
        self.on_worker(|worker| worker.join(|_| a(), |_| b()))
    }

    /// Calls `body` with a scope in which tasks that borrow may be spawned, waits until all of
    /// them are done, and returns what `body` returned.
    ///
    /// ```
    /// let pool = pinfold::Pool::new(2)?;
    /// let mut squares = vec![0; 8];
    /// pool.scope(|s| {
    ///     for (i, square) in squares.iter_mut().enumerate() {
    ///         s.spawn(move |_| *square = i * i);
    ///     }
    /// });
    /// assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49]);
    /// # Ok::<(), pinfold::BuildError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `body` does, or else with the first panic of a task, after all tasks are done.
    pub fn scope<'scope, R: Send>(&self, body: impl FnOnce(&Scope<'scope>) -> R + Send) -> R {
        self.on_worker(|worker| worker.scope(|scope| body(Scope::of(scope))))
    }

    /// Runs `task` on some worker, at some time. A panic in it goes to the panic handler.
    ///
    /// Called outside of the pool while all slots are in use, it waits for one; called by a
    /// worker, the worker then runs the task itself. After a shutdown the caller does.
    pub fn spawn(&self, task: impl FnOnce() + Send + 'static) {
        current::with_worker_for(&self.inner().scheduler, |worker| match worker {
            Some(worker) => spawn_inside(worker, task),
            None => {
                self.inner().ensure_started();
                // SAFETY: the task is `'static`.
                unsafe { self.inner().inject(move |_: &Worker<'_>| task()) };
            }
        });
    }

    /// Runs `task` on some worker and keeps its result for the handle.
    ///
    /// ```
    /// let pool = pinfold::Pool::new(1)?;
    /// let handle = pool.submit(|| 6 * 7).expect("a new pool has free slots");
    /// assert_eq!(handle.join().unwrap(), 42);
    /// # Ok::<(), pinfold::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SubmitError`] with the closure, if all slots are in use or the pool was shut down.
    pub fn submit<F, R>(&self, task: F) -> Result<JoinHandle<R>, SubmitError<F>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.inner().ensure_started();
        JoinHandle::submit(self.inner(), task)
    }

    /// Calls `f` once on each worker and returns the results in the workers' order.
    ///
    /// A worker runs `f` between two tasks, or while it waits for something: do not hold a lock that `f`
    /// takes across a `join`, a `scope` or a wait. After a shutdown, or if one comes before it has begun, the
    /// list is empty; else it is complete. A broadcast needs a free slot for each worker. In a lazy pool
    /// that got fewer threads than it asked for, the workers are those that have one.
    ///
    /// # Panics
    ///
    /// If `f` does, after it has ended everywhere; or if all slots stay in use for a second, because
    /// the caller itself holds them.
    pub fn broadcast<R: Send>(&self, f: impl Fn(BroadcastContext) -> R + Sync) -> Vec<R> {
        let inner = self.inner();
        inner.ensure_started();
        let workers = inner.started.get().copied().unwrap_or(0);
        let Some(_entered) = inner.enter_broadcast() else {
            return Vec::new();
        };
        let results: Vec<Mutex<Option<R>>> = (0..workers).map(|_| Mutex::new(None)).collect();
        let begun = self.on_worker(|worker| {
            if current::id().is_none() {
                // It came too late, and is made by the caller, who is none of the workers.
                return false;
            }
            let reach = |worker: &Worker<'_>| {
                inner.broadcasts().reached[worker.id().index()] += 1;
                let context = BroadcastContext {
                    worker: worker.id(),
                    workers,
                };
                let result = f(context);
                let place = &results[worker.id().index()];
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            };
            inner.broadcast_by(worker, workers, &reach);
            true
        });
        if !begun {
            return Vec::new();
        }
        let result = |place: Mutex<Option<R>>| {
            place
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner)
                .expect("each worker was reached")
        };
        results.into_iter().map(result).collect()
    }

    /// Takes no more tasks, deals with what was accepted as `how` says, and waits for the end of the
    /// threads. Idempotent. Called inside one of the pool's own tasks, it does not wait.
    pub fn shutdown(&self, how: Shutdown) -> ShutdownReport {
        self.inner().shut_down(how)
    }

    /// Calls `f` with a worker of this pool: here if this thread is one, else there.
    #[inline]
    pub(crate) fn on_worker<R: Send>(&self, f: impl FnOnce(&Worker<'_>) -> R + Send) -> R {
        current::with_worker_for(&self.inner().scheduler, |worker| match worker {
            Some(worker) => f(worker),
            None => self.outside(f),
        })
    }

    #[cold]
    fn outside<R: Send>(&self, f: impl FnOnce(&Worker<'_>) -> R + Send) -> R {
        self.inner().ensure_started();
        self.inner().call(f)
    }
}

/// A detached task, spawned by a worker.
pub(crate) fn spawn_inside(worker: &Worker<'_>, task: impl FnOnce() + Send + 'static) {
    let Err(error) = worker.spawn(move |_: &Worker<'_>| task()) else {
        return;
    };
    let boxed: Box<dyn for<'w> FnOnce(&Worker<'w>) + Send> = Box::new(error.into_inner());
    let spawned = worker.spawn(boxed);
    debug_assert!(spawned.is_ok(), "a box fits a slot");
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.get() {
            inner.shut_down(Shutdown::Drain);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pool = f.debug_struct("Pool");
        if let Some(inner) = self.inner.get() {
            pool.field("name", &inner.layout.name)
                .field("workers", &inner.layout.workers)
                .field("scheduler", &inner.scheduler);
        }
        pool.finish_non_exhaustive()
    }
}

/// Which worker a broadcast has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastContext {
    worker: WorkerId,
    workers: usize,
}

impl BroadcastContext {
    /// The worker that runs this.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// How many workers are reached: all that there are.
    pub fn workers(&self) -> usize {
        self.workers
    }
}
