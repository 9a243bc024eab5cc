//! What a pool, its threads and its handles share.

use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;

use pinfold_affinity::{Binding, Plan, bind_current};
use pinfold_core::arena::{MAGAZINE, MAX_RESERVE};
use pinfold_core::idle::WORKERS_PER_WORD;
use pinfold_core::platform::WorkerId;
use pinfold_core::scheduler::{Parts, Scheduler, Seat};

use crate::alone::Settling;
use crate::broadcast::Broadcasts;
use crate::current::{self, Shared};
use crate::error::BuildError;
use crate::lock::lock;
use crate::platform::{PanicHandler, Threads};
use crate::storage::{Boxed, DequeMemory, OutOfMemory, zeroed};

/// The most words in one worker's deque. What does not fit goes to the injector.
const DEQUE_WORDS: usize = 4096;

/// The size and shape of a pool.
pub(crate) struct Layout {
    pub(crate) workers: usize,
    pub(crate) slots: usize,
    pub(crate) name: String,
    pub(crate) stack_size: Option<usize>,
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
    pub(crate) broadcasts: Broadcasts,
    pub(crate) settling: Mutex<Settling>,
    pub(crate) settled: Condvar,
}

/// A scheduler and its memory.
pub(crate) struct Housed {
    pub(crate) scheduler: Shared,
    /// Used by the scheduler's seats, hence behind it: fields are dropped in this order.
    deque_memory: DequeMemory,
}

impl Housed {
    pub(crate) fn new(
        seats: usize,
        slots: usize,
        deque_words: usize,
        threads: Threads,
    ) -> Result<Self, BuildError> {
        let no_memory = |OutOfMemory { bytes }| BuildError::OutOfMemory { bytes };
        let deque_memory = DequeMemory::new(seats, deque_words).map_err(no_memory)?;
        // SAFETY: `Housed`, and who takes it apart, drops the scheduler, and with it the seats, before
        // the memory.
        let parts = unsafe { deque_memory.parts() };
        let parts = Parts::<Boxed> {
            slots: zeroed(slots).map_err(no_memory)?,
            reserve: MAX_RESERVE,
            entries: zeroed(slots.next_power_of_two()).map_err(no_memory)?,
            seats: parts
                .map(|part| Seat::with_storage(part).expect("a power of two"))
                .collect(),
            words: zeroed(seats.div_ceil(WORKERS_PER_WORD)).map_err(no_memory)?,
        };
        // SAFETY: all of it is new, and ours.
        let scheduler = unsafe { Scheduler::with_storage(parts, threads) };
        Ok(Housed {
            scheduler: scheduler.expect("the builder checked the numbers"),
            deque_memory,
        })
    }
}

/// How many slots there are beyond those that were asked for: so many may be free and out of reach in
/// the workers' magazines, and a few are set aside for callers from outside.
pub(crate) const fn beyond_slots(workers: usize) -> usize {
    (workers + 1) * MAGAZINE as usize + MAX_RESERVE
}

impl Inner {
    pub(crate) fn new(
        layout: Layout,
        panic_handler: Option<PanicHandler>,
    ) -> Result<Self, BuildError> {
        let workers = layout.workers;
        let slots = layout.slots + beyond_slots(workers);
        let deque_words = layout.slots.next_power_of_two().min(DEQUE_WORDS);
        // One seat more, for what comes too late for the workers.
        let threads = Threads::new(workers + 1, panic_handler);
        let Housed {
            scheduler,
            deque_memory,
        } = Housed::new(workers + 1, slots, deque_words, threads)?;
        Ok(Inner {
            scheduler,
            _deque_memory: deque_memory,
            bound: (0..workers).map(|_| OnceLock::new()).collect(),
            layout,
            threads: Mutex::default(),
            started: OnceLock::new(),
            broadcasts: Broadcasts::new(workers),
            settling: Mutex::default(),
            settled: Condvar::new(),
        })
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

    /// Starts the threads of a pool that was just made.
    pub(crate) fn start_now(self: &Arc<Self>) -> Result<(), BuildError> {
        self.started.get_or_init(|| self.layout.workers);
        self.start_threads()
    }

    /// Makes a thread for each worker, up to the first that the system refuses.
    fn start_threads(self: &Arc<Self>) -> Result<(), BuildError> {
        let mut threads = lock(&self.threads);
        threads.reserve_exact(self.layout.workers);
        for index in 0..self.layout.workers {
            let worker = WorkerId::new(index).expect("the builder checked the number");
            let inner = Arc::clone(self);
            let mut thread = thread::Builder::new().name(format!("{}-{index}", self.layout.name));
            if let Some(bytes) = self.layout.stack_size {
                thread = thread.stack_size(bytes);
            }
            let thread = thread
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
                assert!(!lock(&self.threads).is_empty(), "{error}");
            }
            lock(&self.threads).len()
        });
    }

    /// How many workers have a thread.
    pub(crate) fn started(self: &Arc<Self>) -> usize {
        self.ensure_started();
        self.started.get().copied().unwrap_or(0)
    }

    /// Waits for the threads, and for whoever does what came too late for them, unless they may be
    /// waiting for the caller.
    pub(crate) fn join_threads(&self) {
        if self.is_inside() {
            return;
        }
        // Held while joining, so that a second caller waits as well.
        let mut threads = lock(&self.threads);
        for thread in threads.drain(..) {
            // A worker catches its tasks' panics; should it die all the same, the process's panic
            // hook has said so.
            let _ = thread.join();
        }
        self.wait_until_settled();
    }
}

impl Layout {
    /// Whom `worker` steals from, nearest first.
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
