//! How models are explored, and the machine under them.

#![allow(dead_code, reason = "each file of models uses its part")]

pub mod rings;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread::{self, Thread};
use pinfold_core::platform::{Platform, Unwind, WorkerId};
use pinfold_core::scheduler::{Fixed, Scheduler};
use pinfold_core::storage::Stable;
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

/// One token per worker, as of `std::thread::park`. Without spurious returns, so that a wake-up
/// that is lost leaves its worker parked for good and the checker reports a deadlock.
#[derive(Debug)]
pub struct Parking {
    places: Vec<Place>,
    /// How often somebody outside was told of free slots. No step of the model.
    freed: std::sync::atomic::AtomicUsize,
    /// Rings whenever a worker parks.
    parks: Option<Arc<Bell>>,
}

#[derive(Debug)]
struct Place {
    token: AtomicBool,
    /// Who parks here. No step of the model: held only between two of them.
    parked: Mutex<Option<Thread>>,
}

impl Parking {
    /// Room for the workers `0..workers`.
    pub fn new(workers: usize) -> Self {
        let place = |_| Place {
            token: AtomicBool::new(false),
            parked: Mutex::new(None),
        };
        Parking {
            places: (0..workers).map(place).collect(),
            freed: std::sync::atomic::AtomicUsize::new(0),
            parks: None,
        }
    }

    /// The same, and `bell` rings whenever a worker parks.
    pub fn heard(workers: usize, bell: Arc<Bell>) -> Self {
        Parking {
            parks: Some(bell),
            ..Self::new(workers)
        }
    }

    /// How often somebody outside was told of free slots.
    pub fn freed(&self) -> usize {
        self.freed.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Platform for Parking {
    fn park(&self, worker: WorkerId) {
        let place = &self.places[worker.index()];
        if let Some(bell) = &self.parks {
            bell.ring();
        }
        while !place.token.swap(false, Ordering::Acquire) {
            *place.parked.lock().unwrap() = Some(thread::current());
            thread::park();
            *place.parked.lock().unwrap() = None;
        }
    }

    fn unpark(&self, worker: WorkerId) {
        let place = &self.places[worker.index()];
        place.token.swap(true, Ordering::Release);
        if let Some(thread) = place.parked.lock().unwrap().take() {
            thread.unpark();
        }
    }

    fn now_ns(&self) -> Option<u64> {
        Some(0)
    }

    fn slots_freed(&self, _last: bool) {
        self.freed
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// In the models nothing panics but a failed assertion, which ends the exploration.
// SAFETY: a panic ends the exploration.
unsafe impl Unwind for Parking {
    type Panic = Infallible;

    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Infallible> {
        Ok(f())
    }

    fn resume(panic: Infallible) -> ! {
        match panic {}
    }

    fn unhandled(&self, panic: Infallible) {
        match panic {}
    }
}

/// Rings for one thread, from anywhere, and for whoever waits for a task.
#[derive(Debug)]
pub struct Bell(Parking);

impl Bell {
    /// Nobody has rung.
    pub fn new() -> Arc<Self> {
        Arc::new(Bell(Parking::new(1)))
    }

    /// Lets the thread go on that waits or will wait.
    pub fn ring(&self) {
        self.0.unpark(worker(0));
    }

    /// Waits until somebody rings.
    pub fn wait(&self) {
        self.0.park(worker(0));
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

/// Storage for `WORKERS` workers, `SLOTS` tasks, and deques of two words.
pub type Small<const WORKERS: usize, const SLOTS: usize> = Fixed<WORKERS, SLOTS, 2>;

/// A scheduler that lives as long as one execution.
pub fn scheduler<const WORKERS: usize, const SLOTS: usize>()
-> Arc<Scheduler<Small<WORKERS, SLOTS>, Parking>> {
    Arc::new(Scheduler::fixed(Parking::new(WORKERS)))
}

/// The worker numbered `index`.
pub fn worker(index: usize) -> WorkerId {
    WorkerId::new(index).expect("models have few workers")
}

/// The memory of a plan.
#[derive(Clone, Debug)]
pub struct Words(pub Vec<u32>);

impl AsRef<[u32]> for Words {
    fn as_ref(&self) -> &[u32] {
        &self.0
    }
}

impl AsMut<[u32]> for Words {
    fn as_mut(&mut self) -> &mut [u32] {
        &mut self.0
    }
}

// SAFETY: a vector that is only read stays the same.
unsafe impl Stable<u32> for Words {}

thread_local! {
    /// The checker runs the threads of a model by turns on one thread of the machine.
    static OTHERS_FIRST: Cell<bool> = const { Cell::new(false) };
}

/// Explores `model` with any number of preemptions, and then with at most four.
///
/// The checker skips interleavings that it takes for equivalent; with a bound it skips fewer, and has
/// found what the other run had missed.
pub fn model(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    explore(None, model.clone());
    explore(Some(4), model);
}

/// Explores a model whose unbounded run takes longer than 20 s: with at most `preemptions` switches
/// away from a thread that could have gone on.
pub fn bounded(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    explore(Some(preemptions), Arc::new(model));
}

/// Held by who explores. The checker maps a new stack for every thread of every execution, and two
/// models side by side in one process take twice as long as one after the other.
static EXPLORING: Mutex<()> = Mutex::new(());

fn explore(preemption_bound: Option<usize>, model: Arc<dyn Fn() + Send + Sync>) {
    // Poisoned by a model that failed; the next one is none the worse.
    let _exploring = EXPLORING.lock().unwrap_or_else(PoisonError::into_inner);
    for others_first in [false, true] {
        OTHERS_FIRST.set(others_first);
        let model = model.clone();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemption_bound;
        builder.check(move || model());
    }
}

/// Called by the first thread of a model when it has spawned the others: half of the explorations
/// start from the execution in which they have already run.
///
/// The checker remembers one access per object, so a thread that loads before it exchanges hides
/// from it that the exchange raced with an earlier load of another thread. Whoever comes last is
/// offered every old value, so both must have come last.
pub fn start() {
    if OTHERS_FIRST.get() {
        thread::spawn(|| ()).join().unwrap();
    }
}
