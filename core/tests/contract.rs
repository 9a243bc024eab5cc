//! What the core promises to whoever drives it by hand, whatever they do in safe code.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex};
use std::thread;

use pinfold_core::graph::{Node, NodeIndex, Outcome, Plan, PlanError, Run};
use pinfold_core::platform::{Aborting, Platform, Unwind, WorkerId};
use pinfold_core::scheduler::{Fixed, Scheduler};
use pinfold_core::worker::Worker;

/// Parks on a condition variable; counts unhandled panics.
#[derive(Default)]
struct Desk {
    tokens: Mutex<[bool; 2]>,
    unparked: Condvar,
    unhandled: AtomicUsize,
    has_clock: bool,
    reads: AtomicUsize,
    freed: AtomicUsize,
}

impl Desk {
    fn with_clock(has_clock: bool) -> Self {
        Desk {
            has_clock,
            ..Desk::default()
        }
    }
}

impl Platform for Desk {
    fn park(&self, worker: WorkerId) {
        let tokens = self.tokens.lock().unwrap();
        let mut tokens = self
            .unparked
            .wait_while(tokens, |tokens| !tokens[worker.index()])
            .unwrap();
        tokens[worker.index()] = false;
    }

    fn unpark(&self, worker: WorkerId) {
        self.tokens.lock().unwrap()[worker.index()] = true;
        self.unparked.notify_all();
    }

    fn slots_freed(&self, _: bool) {
        self.freed.fetch_add(1, SeqCst);
    }

    /// If there is a clock, a millisecond passes between two looks.
    fn now_ns(&self) -> Option<u64> {
        let reads = self.reads.fetch_add(1, SeqCst) as u64;
        self.has_clock.then_some(1_000_000 * (reads + 1))
    }
}

// SAFETY: `catch_unwind` catches what unwinds.
unsafe impl Unwind for Desk {
    type Panic = Box<dyn Any + Send>;

    fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Self::Panic> {
        catch_unwind(AssertUnwindSafe(f))
    }

    fn resume(panic: Self::Panic) -> ! {
        resume_unwind(panic)
    }

    fn unhandled(&self, _: Self::Panic) {
        self.unhandled.fetch_add(1, SeqCst);
    }
}

type Pair<const SLOTS: usize> = Scheduler<Fixed<2, SLOTS, 16>, Desk>;

fn pair<const SLOTS: usize>() -> Pair<SLOTS> {
    Scheduler::fixed(Desk::default())
}

const ZERO: WorkerId = WorkerId::new(0).unwrap();
const ONE: WorkerId = WorkerId::new(1).unwrap();

/// The arrays of a plan of up to four nodes and edges.
#[derive(Default)]
struct Arrays([[u32; 5]; 4]);

impl Arrays {
    fn plan(&mut self, offsets: &[u32], edges: &[u32]) -> Result<Plan<&mut [u32]>, PlanError> {
        let nodes = offsets.len() - 1;
        let [a, b, c, d] = &mut self.0;
        a[..offsets.len()].copy_from_slice(offsets);
        b[..edges.len()].copy_from_slice(edges);
        Plan::new(
            &mut a[..offsets.len()],
            &mut b[..edges.len()],
            &mut c[..nodes],
            &mut d[..],
            &mut vec![0; 2 * nodes],
        )
    }
}

fn run_of<const N: usize>() -> Run<[Node; N]> {
    Run::fixed()
}

#[test]
fn slots_that_a_worker_keeps_leave_room_for_others() {
    let pair = pair::<16>();
    let worker = pair.worker(ZERO, &[ONE]).unwrap();
    for _ in 0..4 {
        pair.spawn(|worker| {
            worker.spawn(|_| ()).unwrap();
            worker.spawn(|_| ()).unwrap();
        })
        .unwrap();
        assert!(worker.run_one());
        assert_eq!(pair.spawn(|_| ()).map_err(|_| ()), Ok(()));
    }
    while worker.run_one() {}
    // Now it keeps none: all are within reach.
    let held: Vec<_> = (0..16).map(|_| pair.reserve().unwrap()).collect();
    assert!(pair.reserve().is_err());
    drop(held);
}

#[test]
fn a_worker_that_leaves_leaves_its_mail() {
    let pair = pair::<16>();
    let served = AtomicUsize::new(0);
    let zero = pair.worker(ZERO, &[ONE]).unwrap();
    zero.scope(|scope| {
        for _ in 0..3 {
            let serve = |_: &_, worker: &Worker<'_, _, Desk>| {
                assert_eq!(worker.id(), ONE);
                served.fetch_add(1, SeqCst);
            };
            scope.spawn_on(&zero, ONE, serve).unwrap();
        }
        for expected in 1..=3 {
            let one = pair.worker(ONE, &[ZERO]).unwrap();
            assert!(one.run_one());
            assert_eq!(served.load(SeqCst), expected);
        }
    });
}

#[test]
fn a_graph_ends_though_the_worker_of_its_last_node_goes_away() {
    let pair = pair::<16>();
    let mut arrays = Arrays::default();
    let plan = arrays.plan(&[0, 0, 0], &[]).unwrap();
    let zero = pair.worker(ZERO, &[ONE]).unwrap();
    let stolen = AtomicBool::new(false);
    zero.run_graph(&plan, &mut run_of::<2>(), &|worker, _, _| {
        if worker.id() == ZERO && !stolen.load(SeqCst) {
            let one = pair.worker(ONE, &[ZERO]).unwrap();
            stolen.store(one.run_one(), SeqCst);
            // It lives on until the other thread could be waiting for it.
            std::mem::forget(one);
        }
        Outcome::Ok
    })
    .unwrap();
    assert!(stolen.load(SeqCst));
}

#[test]
fn a_worker_without_victims_wakes_others_too() {
    let pair = pair::<64>();
    let ran = AtomicUsize::new(0);
    thread::scope(|threads| {
        threads.spawn(|| {
            let one = pair.worker(ONE, &[ZERO]).unwrap();
            one.run_until_closed();
        });
        while pair.figures().asleep == 0 {
            thread::yield_now();
        }
        let zero = pair.worker(ZERO, &[]).unwrap();
        zero.scope(|scope| {
            scope
                .spawn(&zero, |_, worker| {
                    assert_eq!(worker.id(), ONE);
                    ran.fetch_add(1, SeqCst);
                })
                .unwrap();
            // Runs nothing itself before the other has.
            while ran.load(SeqCst) == 0 {
                thread::yield_now();
            }
        });
        drop(zero);
        pair.close();
    });
}

#[test]
fn a_node_that_panics_has_failed_and_the_run_ends() {
    let pair = pair::<16>();
    let mut arrays = Arrays::default();
    // 0 -> 2, 1 -> 3
    let plan = arrays.plan(&[0, 1, 2, 2, 2], &[2, 3]).unwrap();
    let worker = pair.worker(ZERO, &[ONE]).unwrap();
    let mut run = run_of::<4>();
    for _ in 0..2 {
        let body = |_: &Worker<'_, _, Desk>, _: &Run<_>, node: NodeIndex| {
            assert_ne!(node, 0, "this one");
            Outcome::Ok
        };
        worker.run_graph(&plan, &mut run, &body).unwrap();
        let outcomes = [0, 1, 2, 3].map(|node| run.outcome(node).unwrap());
        let skipped = Outcome::Skipped { root_cause: 0 };
        assert_eq!(
            outcomes,
            [Outcome::Failed, Outcome::Ok, skipped, Outcome::Ok]
        );
        assert!(!worker.run_one(), "nothing of the run is left");
    }
    assert_eq!(pair.platform().unhandled.load(SeqCst), 2);
}

#[test]
fn a_run_goes_from_plan_to_plan() {
    let pair = pair::<16>();
    let (mut one, mut other) = (Arrays::default(), Arrays::default());
    // 0, 1, 2 -> 3, and 0, 2 -> 3, 1 -> 0
    let plans = [
        one.plan(&[0, 1, 2, 3, 3], &[3, 3, 3]).unwrap(),
        other.plan(&[0, 1, 2, 3, 3], &[3, 0, 3]).unwrap(),
    ];
    let worker = pair.worker(ZERO, &[ONE]).unwrap();
    let mut run = run_of::<4>();
    for turn in 0..6 {
        let order = Mutex::new(Vec::new());
        let plan = &plans[turn * 5 % 3 % 2];
        let body = |_: &Worker<'_, _, Desk>, _: &Run<_>, node: NodeIndex| {
            order.lock().unwrap().push(node);
            Outcome::Ok
        };
        worker.run_graph(plan, &mut run, &body).unwrap();
        let order = order.into_inner().unwrap();
        assert_eq!((order.len(), order.last()), (4, Some(&3)), "{order:?}");
    }
}

#[test]
fn edges_without_nodes_are_refused() {
    let [mut offsets, mut edges] = [[0]; 2];
    let plan = Plan::new(&mut offsets[..], &mut edges, &mut [], &mut [], &mut []);
    assert_eq!(plan.unwrap_err(), PlanError::Offsets { node: 0 });
}

/// A name from elsewhere may hit a half of a join that was offered to thieves.
#[test]
fn a_join_survives_a_cancelled_half() {
    let pair: Pair<16> = Scheduler::fixed(Desk::with_clock(true));
    let other = self::pair::<16>();
    let names: Vec<_> = (0..16)
        .map(|_| {
            let ticket = other.submit(|_| ()).unwrap();
            let name = other.task_id(&ticket);
            // SAFETY: the ticket is of this scheduler.
            assert_eq!(unsafe { other.release(ticket) }, None);
            name
        })
        .collect();
    thread::scope(|threads| {
        threads.spawn(|| pair.worker(ONE, &[ZERO]).unwrap().run_until_closed());
        while pair.figures().asleep == 0 {
            thread::yield_now();
        }
        let zero = pair.worker(ZERO, &[ONE]).unwrap();
        let cancelled = Cell::new(0);
        for round in 0..200_u64 {
            let (_, b) = zero.join(
                |_| {
                    let hits = names.iter().filter(|&&name| pair.cancel(name)).count();
                    cancelled.set(cancelled.get() + hits);
                },
                |_| round,
            );
            assert_eq!(b, round);
        }
        pair.close();
    });
    let worker = other.worker(ZERO, &[]).unwrap();
    while worker.run_one() {}
}

/// Without a clock joins are offered all the same, if not as often.
#[test]
fn joins_are_shared_without_a_clock() {
    for has_clock in [false, true] {
        let pair: Pair<64> = Scheduler::fixed(Desk::with_clock(has_clock));
        thread::scope(|threads| {
            threads.spawn(|| pair.worker(ONE, &[ZERO]).unwrap().run_until_closed());
            while pair.figures().asleep == 0 {
                thread::yield_now();
            }
            let zero = pair.worker(ZERO, &[ONE]).unwrap();
            let stolen = AtomicUsize::new(0);
            while stolen.load(SeqCst) < 3 {
                let mine = |worker: &Worker<'_, _, Desk>| worker.id();
                let (_, by) = zero.join(|_| thread::yield_now(), mine);
                stolen.fetch_add(usize::from(by == ONE), SeqCst);
            }
            pair.close();
        });
        let counters = pair.counters(ZERO).unwrap();
        assert!(counters.promotions() >= 3);
        if !has_clock {
            let looks = pair.platform().reads.load(SeqCst) as u64;
            assert!(counters.promotions() <= looks);
        }
    }
}

#[test]
fn a_scope_outlives_its_tasks_or_the_program_ends() {
    if std::env::var_os("PINFOLD_TEST_ABORTS").is_some() {
        return panic_in_a_scope();
    }
    let own = std::env::current_exe().unwrap();
    let output = std::process::Command::new(own)
        .args(["--exact", "a_scope_outlives_its_tasks_or_the_program_ends"])
        .args(["--nocapture", "--test-threads=1"])
        .env("PINFOLD_TEST_ABORTS", "1")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), None, "it was not ended by a signal");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("on which that ends the program"), "{said}");
    assert!(!said.contains("the task ran"), "{said}");
}

/// The body of a scope panics on a platform that cannot catch, while a task is queued.
fn panic_in_a_scope() {
    struct Bare;
    impl Platform for Bare {
        fn park(&self, _: WorkerId) {}
        fn unpark(&self, _: WorkerId) {}
    }
    let bare: Scheduler<Fixed<1, 16, 16>, Aborting<Bare>> = Scheduler::fixed(Aborting(Bare));
    let worker = bare.worker(ZERO, &[]).unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        worker.scope(|scope| {
            let late = |_: &_, _: &Worker<'_, _, _>| eprintln!("the task ran");
            scope.spawn(&worker, late).unwrap();
            panic!("the body");
        })
    }));
    drop(caught);
    worker.run_one();
}

/// Slots that a worker had kept come within reach, and who starves for one is told.
#[test]
fn who_starves_is_told_of_what_a_worker_had_kept() {
    for leaves in [false, true] {
        let pair = pair::<32>();
        let held: Vec<_> = (0..30).map(|_| pair.reserve().unwrap()).collect();
        let worker = pair.worker(ZERO, &[ONE]).unwrap();
        pair.spawn(|_| ()).unwrap();
        pair.spawn(|_| ()).unwrap();
        pair.enter_starvation();
        assert!(pair.reserve().is_err());
        assert!(worker.run_one() && worker.run_one());
        if leaves {
            drop(worker);
        } else {
            assert!(!worker.run_one());
        }
        assert!(pair.platform().freed.load(SeqCst) > 0);
        assert!(pair.reserve().is_ok());
        pair.leave_starvation();
        drop(held);
    }
}
