//! The pool: what its users call.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use crate::builder::{Builder, Start};
use crate::current::{self, Worker};
use crate::error::{BuildError, SubmitError};
use crate::handle::JoinHandle;
use crate::inner::{Inner, Layout};
use crate::lock::lock;
use crate::platform::PanicHandler;
use crate::scope::Scope;
use crate::shutdown::{Shutdown, ShutdownReport};

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
    workers: usize,
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
    /// [`BuildError::Workers`] for none or more than [`Builder::MAX_WORKERS`],
    /// [`BuildError::OutOfMemory`], and [`BuildError::Thread`] if the system gives too few threads.
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
        let workers = layout.workers;
        if start == Start::Lazy {
            let recipe = Some(Recipe {
                layout,
                panic_handler,
            });
            return Ok(Pool {
                inner: OnceLock::new(),
                recipe: Mutex::new(recipe),
                workers,
            });
        }
        let inner = Arc::new(Inner::new(layout, panic_handler)?);
        let pool = Pool {
            inner: OnceLock::from(inner),
            recipe: Mutex::default(),
            workers,
        };
        // On failure `pool` is dropped here, and ends the threads that there are.
        pool.inner().start_now()?;
        Ok(pool)
    }

    #[inline]
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        self.inner.get_or_init(|| self.make())
    }

    /// Makes a lazy pool, as the standard library makes a vector: without memory it panics.
    #[cold]
    fn make(&self) -> Arc<Inner> {
        let recipe = lock(&self.recipe).take();
        let Recipe {
            layout,
            panic_handler,
        } = recipe.expect("a lazy pool is made once");
        match Inner::new(layout, panic_handler) {
            Ok(inner) => Arc::new(inner),
            Err(error) => panic!("a lazy pool cannot be made: {error}"),
        }
    }

    /// How many workers there are, at least 1. O(1), and a lazy pool stays unmade.
    ///
    /// ```
    /// let pool = pinfold::Pool::new(3)?;
    /// let chunk = 1000_usize.div_ceil(pool.worker_count());
    /// assert_eq!((pool.worker_count(), chunk), (3, 334));
    /// # Ok::<(), pinfold::BuildError>(())
    /// ```
    pub fn worker_count(&self) -> usize {
        self.workers
    }

    /// Calls `f` on a worker of this pool and returns its result; inside `f`, the free functions
    /// of this crate mean this pool. The caller waits; if it is a worker of this pool, `f` is simply
    /// called, and after a shutdown the caller runs it.
    ///
    /// ```
    /// let pool = pinfold::Pool::builder().workers(1).name("crunch").build()?;
    /// let words = ["fold", "pin"];
    /// let (longest, thread) = pool.install(|| {
    ///     let longest = words.iter().map(|word| word.len()).max();
    ///     (longest, std::thread::current().name().map(str::to_owned))
    /// });
    /// assert_eq!((longest, thread.as_deref()), (Some(4), Some("crunch-0")));
    /// # Ok::<(), pinfold::BuildError>(())
    /// ```
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
    /// With the closure: [`SubmitError::Full`] while all slots are in use (wait for tasks to end, or
    /// configure more [slots](Builder::slots)), [`SubmitError::ShutDown`] after a shutdown.
    pub fn submit<F, R>(&self, task: F) -> Result<JoinHandle<R>, SubmitError<F>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.inner().ensure_started();
        JoinHandle::submit(self.inner(), task)
    }

    /// Takes no more tasks, deals with what was accepted as `how` says, and waits for the end of the
    /// threads. Idempotent. Called inside one of the pool's own tasks, it does not wait.
    ///
    /// ```
    /// use pinfold::{Pool, Shutdown, SubmitError};
    ///
    /// let pool = Pool::new(2)?;
    /// let submit = |n: u32| pool.submit(move || n * n).expect("a slot is free");
    /// let handles: Vec<_> = (0..10).map(submit).collect();
    /// let report = pool.shutdown(Shutdown::Drain);
    /// assert!(report.cancelled == 0 && report.executed <= 10);
    /// // What was accepted has run; nothing more is accepted.
    /// assert!(handles.iter().all(|handle| handle.is_finished()));
    /// assert!(matches!(pool.submit(|| 0), Err(SubmitError::ShutDown { .. })));
    /// # Ok::<(), pinfold::BuildError>(())
    /// ```
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
