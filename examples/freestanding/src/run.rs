//! A scheduler with three workers on threads of its own, put through what the core can do.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pinfold_core::graph::{Node, Outcome, Plan, Run};
use pinfold_core::handle::{Ended, Ticket};
use pinfold_core::idle;
use pinfold_core::injector::Entry;
use pinfold_core::platform::WorkerId;
use pinfold_core::scheduler::{Parts, Scheduler, Seat, SpawnError};
use pinfold_core::{deque, task, worker};

use crate::every::{Arrays, Borrowed};
use crate::linux::{self, Thread};
use crate::machine::{Machine, WORKERS, machine};
use crate::notify::Bell;

type Pool = Scheduler<Arrays, Machine>;
type Worker<'w> = worker::Worker<'w, Arrays, Machine>;

static POOL: Pool = Scheduler::fixed(machine());
static THREADS: [Thread; WORKERS] = [const { Thread::new() }; WORKERS];
static CHECKS: AtomicU32 = AtomicU32::new(0);

/// Ends the program with 1 unless `ok`.
pub fn check(ok: bool, claim: &str) {
    // Relaxed: a count.
    CHECKS.fetch_add(1, Ordering::Relaxed);
    if !ok {
        linux::say("freestanding: not true: ");
        linux::say(claim);
        linux::say("\n");
        linux::exit(1);
    }
}

/// All of it. Returns the number of checks.
pub fn everything() -> u32 {
    for (index, thread) in THREADS.iter().enumerate() {
        check(thread.start(worker_main, index), "a thread starts");
    }
    a_submitted_task_has_a_result();
    spawned_tasks_are_run_once();
    a_join_forks();
    a_scope_waits_for_what_borrows();
    others_steal_from_a_busy_worker();
    a_broadcast_reaches_every_worker();
    a_graph_keeps_its_order();
    a_failure_skips_what_depends_on_it();
    a_queued_task_can_be_cancelled();
    a_full_arena_gives_the_closure_back();
    a_closed_pool_ends();
    borrowed_storage_serves_as_well();
    // Relaxed: the other threads are gone.
    CHECKS.load(Ordering::Relaxed)
}

extern "C" fn worker_main(index: usize) {
    let ids = [0, 1, 2].map(WorkerId::new);
    let [Some(a), Some(b), Some(c)] = ids else {
        return check(false, "there are three workers");
    };
    let (id, victims) = match index {
        0 => (a, [b, c]),
        1 => (b, [c, a]),
        _ => (c, [a, b]),
    };
    match POOL.worker(id, &victims) {
        Some(worker) => worker.run_until_closed(),
        None => check(false, "a seat is free"),
    }
}

/// Submits `task` and sleeps until it has ended.
fn run<R, F>(task: F) -> Option<R>
where
    F: for<'w> FnOnce(&Worker<'w>) -> R + Send + 'static,
    R: Send + 'static,
{
    let Ok(ticket) = POOL.submit(task) else {
        return None;
    };
    match wait(ticket) {
        Some(Ended::Done(result)) => Some(result),
        _ => None,
    }
}

/// Sleeps until the task has ended.
fn wait<R>(mut ticket: Ticket<R>) -> Option<Ended<R>> {
    static BELL: Bell = Bell::new();
    let heard = BELL.count();
    // SAFETY: the bell is there for ever.
    let waker = unsafe { BELL.waker() };
    // SAFETY: the ticket is of this pool.
    if unsafe { POOL.register(&mut ticket, &waker) } {
        BELL.sleep_until_rung(heard);
    }
    // SAFETY: the ticket is of this pool.
    check(
        unsafe { POOL.is_finished(&ticket) },
        "who is woken finds the task ended",
    );
    // SAFETY: the ticket is of this pool.
    unsafe { POOL.release(ticket) }
}

/// Waits until `is_true`, without sleeping.
fn wait_until(is_true: impl Fn() -> bool) {
    while !is_true() {
        linux::yield_now();
    }
}

fn a_submitted_task_has_a_result() {
    check(run(|_| 6 * 7) == Some(42), "a task's result comes back");
    let nested = run(|worker: &Worker<'_>| {
        let Ok(mut inner) = worker.scheduler().submit(|worker| worker.id().index()) else {
            return None;
        };
        // SAFETY: the ticket is of this pool.
        unsafe { worker.wait(&mut inner) };
        // SAFETY: the ticket is of this pool.
        match unsafe { worker.scheduler().release(inner) } {
            Some(Ended::Done(index)) => Some(index),
            _ => None,
        }
    });
    let inner = nested.flatten();
    check(
        inner.is_some_and(|index| index < WORKERS),
        "a worker waits for another task",
    );
}

fn spawned_tasks_are_run_once() {
    static RUNS: [AtomicU32; 100] = [const { AtomicU32::new(0) }; 100];
    for runs in &RUNS {
        let from_outside = POOL.spawn(|worker| {
            // Relaxed: read after the second half was counted with Release.
            runs.fetch_add(1, Ordering::Relaxed);
            let from_inside = worker.spawn(|_| {
                runs.fetch_add(1, Ordering::Release);
            });
            check(from_inside.is_ok(), "a worker spawns");
        });
        check(from_outside.is_ok(), "the outside spawns");
    }
    wait_until(|| RUNS.iter().all(|runs| runs.load(Ordering::Acquire) >= 2));
    let twice = RUNS.iter().all(|runs| runs.load(Ordering::Acquire) == 2);
    check(twice, "each spawned task ran once");
}

fn fib(worker: &Worker<'_>, n: u32) -> u64 {
    if n < 2 {
        return u64::from(n);
    }
    let (a, b) = worker.join(|worker| fib(worker, n - 1), |worker| fib(worker, n - 2));
    a + b
}

fn a_join_forks() {
    check(
        run(|worker| fib(worker, 24)) == Some(46_368),
        "joins compute fib(24)",
    );
}

fn a_scope_waits_for_what_borrows() {
    let sum = run(|worker: &Worker<'_>| {
        let squares = [const { AtomicU32::new(0) }; 64];
        worker.scope(|scope| {
            for (n, square) in squares.iter().enumerate() {
                let spawned = scope.spawn(worker, move |_, _| {
                    // Relaxed: the scope's latch publishes it.
                    square.store((n * n) as u32, Ordering::Relaxed);
                });
                check(spawned.is_ok(), "a scope spawns");
            }
        });
        squares
            .iter()
            .map(|square| square.load(Ordering::Relaxed))
            .sum::<u32>()
    });
    check(sum == Some(85_344), "a scope ends after its tasks");
}

fn others_steal_from_a_busy_worker() {
    static STOLEN: AtomicU32 = AtomicU32::new(0);
    let home = run(|worker: &Worker<'_>| {
        let id = worker.id();
        for _ in 0..8 {
            let spawned = worker.spawn(move |thief| {
                if thief.id() != id {
                    STOLEN.fetch_add(1, Ordering::Release);
                }
            });
            check(spawned.is_ok(), "a worker spawns");
        }
        // This worker runs none of them meanwhile.
        wait_until(|| STOLEN.load(Ordering::Acquire) > 0);
        id
    });
    let steals = |id: WorkerId| POOL.counters(id).map_or(0, |counters| counters.steals());
    let others = (0..WORKERS)
        .filter_map(WorkerId::new)
        .filter(|&id| Some(id) != home);
    check(
        others.map(steals).sum::<u64>() > 0,
        "a thief counts what it stole",
    );
}

fn a_broadcast_reaches_every_worker() {
    let calls = run(|worker: &Worker<'_>| {
        let calls = [const { AtomicU32::new(0) }; WORKERS];
        let everywhere = worker.broadcast(WORKERS, &|worker: &Worker<'_>| {
            if let Some(count) = calls.get(worker.id().index()) {
                // Relaxed: the broadcast's latch publishes it.
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        check(everywhere.is_ok(), "there are slots for a broadcast");
        calls.map(|count| count.load(Ordering::Relaxed))
    });
    check(
        calls == Some([1; WORKERS]),
        "a broadcast calls each worker once",
    );
}

/// The edges 0 → 1, 0 → 2, 1 → 3, 2 → 3, and 4 alone.
const OFFSETS: [u32; 6] = [0, 2, 3, 4, 4, 4];
const SUCCESSORS: [u32; 4] = [1, 2, 3, 3];

/// Runs that graph `times` times; node `failing` fails. The moments at which the nodes ran, and how they ended.
fn run_diamond(
    worker: &Worker<'_>,
    times: u32,
    failing: u32,
) -> Option<([u32; 5], [Option<Outcome>; 5])> {
    let (mut offsets, mut successors) = (OFFSETS, SUCCESSORS);
    let (mut in_degrees, mut roots, mut scratch) = ([0; 5], [0; 5], [0; 10]);
    let plan = Plan::new(
        &mut offsets[..],
        &mut successors,
        &mut in_degrees,
        &mut roots,
        &mut scratch,
    )
    .ok()?;
    let mut state = Run::<[Node; 5]>::fixed();
    let (clock, moments) = (AtomicU32::new(0), [const { AtomicU32::new(0) }; 5]);
    for _ in 0..times {
        let body = |_: &Worker<'_>, _: &Run<_>, node: u32| {
            let moment = clock.fetch_add(1, Ordering::Relaxed);
            if let Some(place) = moments.get(node as usize) {
                // Relaxed, both: the run's latch publishes them.
                place.store(moment, Ordering::Relaxed);
            }
            if node == failing {
                Outcome::Failed
            } else {
                Outcome::Ok
            }
        };
        worker.run_graph(&plan, &mut state, &body).ok()?;
    }
    let outcomes = [0, 1, 2, 3, 4].map(|node| state.outcome(node));
    Some((
        moments.map(|moment| moment.load(Ordering::Relaxed)),
        outcomes,
    ))
}

fn a_graph_keeps_its_order() {
    let ran = run(|worker: &Worker<'_>| run_diamond(worker, 5, u32::MAX)).flatten();
    let in_order =
        ran.is_some_and(|([a, b, c, d, _], _)| a < b && a < c && b < d && c < d && a >= 20);
    check(
        in_order,
        "a node runs after its predecessors, in each of five runs",
    );
    let ended = ran.map(|(_, outcomes)| outcomes);
    check(ended == Some([Some(Outcome::Ok); 5]), "all nodes succeed");
}

fn a_failure_skips_what_depends_on_it() {
    let skipped = Outcome::Skipped { root_cause: 1 };
    let ended = run(|worker: &Worker<'_>| run_diamond(worker, 1, 1)).flatten();
    let outcomes = ended.map(|(_, outcomes)| outcomes);
    let expected = [
        Outcome::Ok,
        Outcome::Failed,
        Outcome::Ok,
        skipped,
        Outcome::Ok,
    ]
    .map(Some);
    check(
        outcomes == Some(expected),
        "a failure skips what depends on it and nothing else",
    );
}

static GATE: AtomicBool = AtomicBool::new(false);
static AT_GATE: AtomicU32 = AtomicU32::new(0);

/// Keeps all workers busy until [`open_gate`].
fn close_gate() {
    // Relaxed: published with the tasks.
    GATE.store(false, Ordering::Relaxed);
    for _ in 0..WORKERS {
        let spawned = POOL.spawn(|_| {
            AT_GATE.fetch_add(1, Ordering::Release);
            wait_until(|| GATE.load(Ordering::Acquire));
            AT_GATE.fetch_sub(1, Ordering::Release);
        });
        check(spawned.is_ok(), "the outside spawns");
    }
    wait_until(|| AT_GATE.load(Ordering::Acquire) == WORKERS as u32);
}

/// Lets them go on, and waits until they have.
fn open_gate() {
    GATE.store(true, Ordering::Release);
    wait_until(|| AT_GATE.load(Ordering::Acquire) == 0);
}

fn a_queued_task_can_be_cancelled() {
    close_gate();
    let Ok(mut ticket) = POOL.submit(|_| check(false, "a cancelled task does not run")) else {
        return check(false, "a task is accepted");
    };
    let id = POOL.task_id(&ticket);
    let bell = Bell::new();
    // SAFETY: `unregister` below takes the waker's clone back.
    let waker = unsafe { bell.waker() };
    // SAFETY: the ticket is of this pool.
    check(
        unsafe { POOL.register(&mut ticket, &waker) },
        "the task has not ended",
    );
    // SAFETY: the ticket is of this pool.
    unsafe { POOL.unregister(&mut ticket) };
    check(POOL.cancel(id), "a queued task is cancelled");
    check(!POOL.cancel(id), "only once");
    // SAFETY: the ticket is of this pool.
    check(
        unsafe { POOL.release(ticket) } == Some(Ended::Cancelled),
        "its handle says so",
    );
    open_gate();
}

fn a_full_arena_gives_the_closure_back() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    close_gate();
    let mut accepted = 0;
    let refused = loop {
        match POOL.spawn(|_| {
            RUNS.fetch_add(1, Ordering::Release);
        }) {
            Ok(()) => accepted += 1,
            Err(refused) => break refused,
        }
    };
    check(
        matches!(&refused, SpawnError::Exhausted(_, full) if full.slots == 256),
        "a full arena says so",
    );
    check(accepted > 0, "there were slots before");
    let task = refused.into_inner();
    POOL.enter_starvation();
    check(POOL.starving(), "somebody waits for a slot");
    open_gate();
    // Slots come back as tasks end.
    while let Err(refused) = POOL.reserve() {
        check(
            matches!(refused, pinfold_core::handle::ReserveError::Exhausted(_)),
            "the pool is open",
        );
        linux::yield_now();
    }
    POOL.leave_starvation();
    check(run(task).is_some(), "a refused closure can be used");
    wait_until(|| RUNS.load(Ordering::Acquire) == accepted + 1);
}

fn a_closed_pool_ends() {
    POOL.close();
    for thread in &THREADS {
        thread.join();
    }
    check(
        matches!(POOL.spawn(|_| {}), Err(SpawnError::Closed(_))),
        "a closed pool takes nothing",
    );
    check(POOL.drop_leftovers() == 0, "and nothing was left");
}

/// A scheduler in slices on this stack, driven by hand.
fn borrowed_storage_serves_as_well() {
    let slots = [const { task::Slot::new() }; 16];
    let entries = [const { Entry::new() }; 16];
    let deque = [const { deque::Slot::new() }; 16];
    let words = [const { idle::Word::new() }; 1];
    let Ok(seat) = Seat::with_storage(&deque[..]) else {
        return check(false, "sixteen slots are a ring");
    };
    let seats = [seat];
    let parts = Parts::<Borrowed<'_>> {
        slots: &slots,
        reserve: 2,
        entries: &entries,
        seats: &seats,
        words: &words,
    };
    // SAFETY: all of it is new, and nobody else's.
    let pool = unsafe { Scheduler::with_storage(parts, machine()) };
    let Ok(pool) = pool else {
        return check(false, "the storage fits together");
    };
    let worker = WorkerId::new(0).and_then(|id| pool.worker(id, &[]));
    let Some(worker) = worker else {
        return check(false, "there is a seat");
    };
    let Ok(ticket) = pool.submit(|worker| worker.join(|_| 40, |_| 2)) else {
        return check(false, "there is a slot");
    };
    check(
        worker.run_one() && !worker.run_one(),
        "one task was submitted",
    );
    // SAFETY: the ticket is of this pool.
    let ended = unsafe { pool.release(ticket) };
    check(
        ended == Some(Ended::Done((40, 2))),
        "a scheduler works in slices",
    );
}
