//! The operations in which `stall.rs` stops a thread, and what the others do meanwhile.

use core::sync::atomic::{AtomicU32, Ordering};

use pinfold_core::arena::{Arena, Magazine};
use pinfold_core::deque::{self, Deque, Steal};
use pinfold_core::graph::{Node, Outcome, Plan, Run};
use pinfold_core::handle::Ended;
use pinfold_core::idle::{self, IdleSet, Slept};
use pinfold_core::injector::{Entry, Injector};
use pinfold_core::platform::WorkerId;
use pinfold_core::scheduler::{Fixed, Scheduler};
use pinfold_core::{task, worker};

#[cfg(feature = "control-lock")]
use crate::control;
use crate::linux::{self, Thread};
use crate::machine::{Machine, machine, machine_with_dead};
use crate::notify::Bell;
use crate::run::check;
use crate::stall::stoppable;

/// An operation in which a thread is stopped.
pub struct Operation {
    pub name: &'static str,
    /// Before each time; nobody else operates.
    pub prepare: fn(),
    /// What the stopped thread was doing, with one part [`stoppable`].
    pub stopped: fn(),
    /// What the others do meanwhile. `false`: they get no further.
    pub others: fn() -> bool,
}

/// All of them.
pub static OPERATIONS: &[Operation] = &[
    #[cfg(feature = "control-lock")]
    Operation {
        name: "a push under a spin lock",
        prepare: || {},
        stopped: || _ = stoppable(control::push_under_lock),
        others: control::push_under_lock,
    },
    Operation {
        name: "a push into the injector",
        prepare: drain_queue,
        stopped: || check(stoppable(|| QUEUE.push(1)).is_ok(), "there is room"),
        others: use_queue,
    },
    Operation {
        name: "a pop from the injector",
        prepare: fill_queue,
        stopped: || check(stoppable(|| QUEUE.pop()).is_some(), "there is something"),
        others: use_queue,
    },
    Operation {
        name: "an owner's push and pop",
        prepare: fill_deque,
        stopped: || _ = stoppable(own_deque),
        others: rob_deque,
    },
    Operation {
        name: "a steal",
        prepare: fill_deque,
        stopped: || _ = stoppable(|| DEQUE.steal()),
        others: own_deque,
    },
    Operation {
        name: "a steal of a batch",
        prepare: fill_deque,
        stopped: || {
            _ = BATCHES
                .owner()
                .map(|thief| stoppable(|| DEQUE.steal_batch(&thief)))
        },
        others: own_deque,
    },
    Operation {
        name: "taking and giving a slot",
        prepare: || {},
        stopped: || _ = stoppable(use_arena),
        others: || use_arena() && use_magazine(),
    },
    Operation {
        name: "taking and giving slots by the magazine",
        prepare: || {},
        stopped: || _ = stoppable(use_magazine),
        others: || use_arena() && use_magazine(),
    },
    Operation {
        name: "going to sleep",
        prepare: || {},
        stopped: || _ = stoppable(|| fall_asleep(0)),
        others: || fall_asleep(1) && wake(),
    },
    Operation {
        name: "a wake",
        prepare: || {},
        stopped: || {
            SLEEPERS.enter_hunger();
            stoppable(wake);
            SLEEPERS.leave_hunger();
        },
        others: || fall_asleep(1) && wake(),
    },
    Operation {
        name: "submitting, registering, cancelling and releasing",
        prepare: || {},
        stopped: submit_and_cancel,
        others: spawn_and_run,
    },
    Operation {
        name: "a worker's spawn and run",
        prepare: || {},
        stopped: || {
            as_stopped_worker(|worker| {
                let spawned = stoppable(|| worker.spawn(|_| {}).is_ok() && worker.run_one());
                check(spawned, "a worker spawns and runs");
            })
        },
        others: spawn_and_run,
    },
    Operation {
        name: "a join that is offered to thieves",
        prepare: || {},
        stopped: || as_stopped_worker(in_a_join),
        others: spawn_and_run,
    },
    Operation {
        name: "a scope",
        prepare: || {},
        stopped: || as_stopped_worker(in_a_scope),
        others: spawn_and_run,
    },
    Operation {
        name: "a post to a worker's mail",
        prepare: || {},
        stopped: || as_stopped_worker(post_to_itself),
        others: spawn_and_run,
    },
    Operation {
        name: "a graph's run",
        prepare: || {},
        stopped: || as_stopped_worker(in_a_graph),
        others: spawn_and_run,
    },
];

static QUEUE: Injector<[Entry; 8]> = Injector::fixed();

fn drain_queue() {
    while QUEUE.pop().is_some() {}
}

fn fill_queue() {
    drain_queue();
    let filled = QUEUE.push(3).is_ok() && QUEUE.push(4).is_ok();
    check(filled, "there is room");
}

pub fn use_queue() -> bool {
    QUEUE.push(2).is_ok() && QUEUE.pop().is_some()
}

static DEQUE: Deque<[deque::Slot; 8]> = Deque::fixed();
static BATCHES: Deque<[deque::Slot; 8]> = Deque::fixed();

/// Four words in [`DEQUE`], none in [`BATCHES`].
fn fill_deque() {
    while !matches!(DEQUE.steal(), Steal::Empty) {}
    while !matches!(BATCHES.steal(), Steal::Empty) {}
    let owner = DEQUE.owner();
    let pushed = owner.is_some_and(|owner| owner.push_all(&mut (0..4)) == 4);
    check(pushed, "there is room for four words");
}

/// What an owner does: one word in, and the same out unless the stopped thief has got it, and then nothing is left.
fn own_deque() -> bool {
    let Some(owner) = DEQUE.owner() else {
        return false;
    };
    owner.push(7).is_ok()
        && match owner.pop() {
            Some(word) => word == 7,
            None => DEQUE.is_empty(),
        }
}

/// A thief gets something, or learns that there is nothing, at once.
fn rob_deque() -> bool {
    matches!(DEQUE.steal(), Steal::Taken(_) | Steal::Empty)
}

static ARENA: Arena<[task::Slot; 64]> = Arena::fixed();

fn use_arena() -> bool {
    let taken = ARENA.take_shared();
    taken.into_iter().for_each(|slot| ARENA.give_shared(slot));
    taken.is_some()
}

fn use_magazine() -> bool {
    let magazine = Magazine::new(32);
    let taken = ARENA.take(&magazine);
    taken
        .into_iter()
        .for_each(|slot| ARENA.give(&magazine, slot));
    ARENA.empty(&magazine);
    // A magazine takes half the slots there are, so two find some.
    taken.is_some()
}

static SLEEPERS: IdleSet<[idle::Word; 1]> = IdleSet::fixed();
static MACHINE: Machine = machine();

/// A worker that finds something with its last look.
fn fall_asleep(index: usize) -> bool {
    let Some(worker) = WorkerId::new(index) else {
        return false;
    };
    SLEEPERS.enter_search();
    SLEEPERS.sleep(&MACHINE, worker, || Some(())) == Slept::Found(())
}

fn wake() -> bool {
    // Only the stopped one may be asleep.
    SLEEPERS.wake(&MACHINE, 2, &[]) <= 1
}

type Store = Fixed<3, 64, 16>;
type Worker<'w> = worker::Worker<'w, Store, Machine>;

/// Worker 0 is one of the others, worker 1 the one that is stopped, and worker 2 sleeps for ever.
static POOL: Scheduler<Store, Machine> = Scheduler::fixed(machine_with_dead(2));

/// Before all operations. With a worker asleep, joins are offered.
pub fn put_one_to_sleep() {
    static SLEEPER: Thread = Thread::new();
    extern "C" fn sleep(_: usize) {
        let worker = WorkerId::new(2).and_then(|id| POOL.worker(id, &[]));
        worker
            .into_iter()
            .for_each(|worker| worker.run_until_closed());
    }
    check(SLEEPER.start(sleep, 0), "a thread starts");
    while POOL.figures().asleep == 0 {
        linux::yield_now();
    }
}

/// The others: a task from outside is run by another worker, soon.
fn spawn_and_run() -> bool {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    const MOST_TASKS: u32 = 32;
    let ids = [0, 1].map(WorkerId::new);
    let [Some(own), Some(stopped)] = ids else {
        return false;
    };
    let victims = [stopped];
    let Some(worker) = POOL.worker(own, &victims) else {
        return false;
    };
    // Relaxed: no other thread runs.
    let before = RUNS.load(Ordering::Relaxed);
    let spawned = POOL.spawn(|_| {
        RUNS.fetch_add(1, Ordering::Relaxed);
    });
    let has_run = || RUNS.load(Ordering::Relaxed) != before;
    // The stopped one's tasks may come first.
    (0..MOST_TASKS).take_while(|_| !has_run()).for_each(|_| {
        worker.run_one();
    });
    spawned.is_ok() && has_run()
}

fn submit_and_cancel() {
    let bell = Bell::new();
    // SAFETY: `release` below ends what is left of the waker.
    let waker = unsafe { bell.waker() };
    let ended = stoppable(|| {
        let mut ticket = POOL.submit(|_| 5).ok()?;
        // SAFETY: the ticket is of this pool.
        let _ = unsafe { POOL.register(&mut ticket, &waker) };
        POOL.cancel(POOL.task_id(&ticket));
        // SAFETY: the ticket is of this pool.
        unsafe { POOL.release(ticket) }
    });
    // The others may have run it first.
    let is_known = matches!(ended, Some(Ended::Cancelled | Ended::Done(5)));
    check(is_known, "a task that was cancelled has ended");
}

/// Calls `f` as the worker that is stopped, and then runs what there is.
fn as_stopped_worker(f: impl FnOnce(&Worker<'_>)) {
    let worker = WorkerId::new(1).and_then(|id| POOL.worker(id, &[]));
    let Some(worker) = worker else {
        return check(false, "the seat is free");
    };
    f(&worker);
    while worker.run_one() {}
}

fn in_a_join(worker: &Worker<'_>) {
    let offers = || {
        POOL.counters(worker.id())
            .map_or(0, |counters| counters.promotions())
    };
    let before = offers();
    let joined = stoppable(|| worker.join(|_| 1, |_| 2));
    check(
        offers() == before + 1,
        "a join is offered when a worker is hungry",
    );
    check(joined == (1, 2), "a join joins");
}

fn in_a_scope(worker: &Worker<'_>) {
    let runs = [const { AtomicU32::new(0) }; 2];
    stoppable(|| {
        worker.scope(|scope| {
            for count in &runs {
                // Relaxed: the scope's latch publishes it.
                let spawned = scope.spawn(worker, |_, _| _ = count.fetch_add(1, Ordering::Relaxed));
                check(spawned.is_ok(), "a scope spawns");
            }
        });
    });
    let all = runs.iter().all(|count| count.load(Ordering::Relaxed) == 1);
    check(all, "a scope ends after its tasks");
}

fn post_to_itself(worker: &Worker<'_>) {
    let ran = AtomicU32::new(0);
    stoppable(|| {
        worker.scope(|scope| {
            // Relaxed: the scope's latch publishes it.
            let run = |_: &_, _: &Worker<'_>| _ = ran.fetch_add(1, Ordering::Relaxed);
            check(
                scope.spawn_on(worker, worker.id(), run).is_ok(),
                "mail is posted",
            );
        });
    });
    check(ran.load(Ordering::Relaxed) == 1, "mail arrives once");
}

fn in_a_graph(worker: &Worker<'_>) {
    // 0 → 1, 0 → 2, 1 → 3, 2 → 3.
    let (mut offsets, mut successors) = ([0, 2, 3, 4, 4], [1, 2, 3, 3]);
    let (mut in_degrees, mut roots, mut scratch) = ([0; 4], [0; 4], [0; 8]);
    let plan = Plan::new(
        &mut offsets[..],
        &mut successors,
        &mut in_degrees,
        &mut roots,
        &mut scratch,
    );
    let Ok(plan) = plan else {
        return check(false, "it is a plan");
    };
    let mut run = Run::<[Node; 4]>::fixed();
    let body = |_: &Worker<'_>, _: &Run<_>, _| Outcome::Ok;
    let ended = stoppable(|| worker.run_graph(&plan, &mut run, &body));
    check(ended.is_ok(), "the run has as many nodes as the plan");
}
