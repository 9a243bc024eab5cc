//! Allocations: none in steady state for what fits a slot. One test, for the count is the process's.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use common::{figure, until, watchdog};
use pinfold::{Pool, graph};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: it does what the system's allocator does, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duty.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duty.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TIMES: usize = 10_000;
static DONE: AtomicUsize = AtomicUsize::new(0);

fn done() {
    DONE.fetch_add(1, Ordering::SeqCst);
}

/// Calls `f` once to warm up, and again; the allocations of the second time.
fn allocations(what: &str, f: impl Fn()) -> u64 {
    f();
    let before = COUNT.load(Ordering::SeqCst);
    f();
    let count = COUNT.load(Ordering::SeqCst) - before;
    figure(format_args!("allocations per 10 000 {what}: {count}"));
    count
}

fn spawn_in_scopes(pool: &Pool) {
    pool.install(|| {
        for _ in 0..TIMES / 1000 {
            pinfold::scope(|s| (0..1000).for_each(|_| s.spawn(|_| done())));
        }
    });
}

/// Scopes of one task each, inside of each other by tens.
fn open_scopes(pool: &Pool) {
    fn nested(depth: usize) {
        pinfold::scope(|s| {
            s.spawn(|_| done());
            if depth > 1 {
                nested(depth - 1);
            }
        });
    }
    pool.install(|| (0..TIMES / 10).for_each(|_| nested(10)));
}

/// Tasks each of which is stolen: the worker that spawns them does nothing but wait for their end, and
/// not in a way in which it would help.
fn steal_all(pool: &Pool) {
    let before = pool.metrics().steals;
    pool.install(|| {
        for _ in 0..TIMES / 100 {
            let done_before = DONE.load(Ordering::SeqCst);
            pinfold::scope(|s| {
                (0..100).for_each(|_| s.spawn(|_| done()));
                until(|| DONE.load(Ordering::SeqCst) == done_before + 100);
            });
        }
    });
    assert!(pool.metrics().steals > before, "nothing was stolen");
}

/// A tree of joins with `leaves` leaves.
fn join_tree(leaves: usize) {
    if leaves <= 1 {
        let start = std::time::Instant::now();
        until(|| start.elapsed().as_nanos() > 500);
        return done();
    }
    pinfold::join(|| join_tree(leaves / 2), || join_tree(leaves - leaves / 2));
}

/// Joins until some were promoted and some tasks stolen.
fn join_with_thieves(pool: &Pool) {
    let before = pool.metrics();
    until(|| {
        pool.install(|| join_tree(TIMES + 1));
        let now = pool.metrics();
        now.promotions > before.promotions && now.steals > before.steals
    });
}

fn submit_and_join(pool: &Pool, join_inside: bool) {
    let work = || {
        for index in 0..TIMES {
            let handle = pool.submit(move || index + 1).unwrap();
            assert_eq!(handle.join().unwrap(), index + 1);
        }
    };
    if join_inside {
        pool.install(work);
    } else {
        work();
    }
}

fn spawn_detached(pool: &Pool) {
    let before = DONE.load(Ordering::SeqCst);
    (0..TIMES).for_each(|_| pool.spawn(done));
    until(|| DONE.load(Ordering::SeqCst) == before + TIMES);
}

/// A graph of 100 tasks, in layers of ten, each after the whole layer before.
fn layers() -> graph::Graph {
    let builder = graph::Builder::new();
    let mut before: Vec<graph::Task<'_>> = Vec::new();
    for layer in 0..10 {
        let task = |index| {
            builder
                .task(format!("{layer}/{index}"), done)
                .after(before.iter().copied())
        };
        before = (0..10).map(task).collect();
    }
    builder.build().unwrap()
}

#[test]
fn steady_state_allocates_nothing() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    // Threads allocate while they start, which may take long: both have started after this.
    pool.broadcast(|_| ());
    let graph = layers();
    let run = || (0..TIMES / 100).for_each(|_| assert!(pool.run(&graph).is_ok()));
    let counts = [
        allocations("spawns in a scope", || spawn_in_scopes(&pool)),
        allocations("scopes", || open_scopes(&pool)),
        allocations("tasks, all of them stolen", || steal_all(&pool)),
        allocations("joins, promoted and stolen ones too", || {
            join_with_thieves(&pool);
        }),
        allocations("submits and joins from outside", || {
            submit_and_join(&pool, false);
        }),
        allocations("submits and joins on a worker", || {
            submit_and_join(&pool, true);
        }),
        allocations("detached spawns", || spawn_detached(&pool)),
        allocations("graph tasks, run again", run),
    ];
    assert_eq!(counts, [0; 8]);

    // The control: what does not fit a slot is boxed, and seen.
    let large = [1_u64; 64];
    let boxed = allocations("spawns larger than a slot", || {
        let before = DONE.load(Ordering::SeqCst);
        (0..TIMES).for_each(|_| pool.spawn(move || large.iter().take(1).for_each(|_| done())));
        until(|| DONE.load(Ordering::SeqCst) == before + TIMES);
    });
    assert!(boxed >= TIMES as u64, "{boxed}");
}
