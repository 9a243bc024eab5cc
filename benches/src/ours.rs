//! Pinfold's contenders: the only module that knows Pinfold's interface.
//!
//! Where a workload has several, the first is Pinfold as one finds it, which the ratio is of; the
//! others show what one of its settings does.

use std::sync::Arc;
use std::time::Duration;

use pinfold::{Builder, Pool, Start};
use pinfold_core::deque::{self, Deque, Steal};
use pinfold_core::injector::{self, Injector};

use crate::fault::Fault;
use crate::fork_join::{self, ForkJoin, Tree};
use crate::graph::{self, Reruns, Shape};
use crate::rounds::{Contender, Role};
use crate::tally::Tally;
use crate::wake::Submit;
use crate::{flood, idle, startup, wake};

fn pool(workers: usize) -> Result<Pool, Fault> {
    built(Pool::builder().workers(workers))
}

/// A pool that holds `tasks` tasks at once, where the default makes those wait, or be run by their
/// spawner, that find no slot.
fn roomy_pool(workers: usize, tasks: usize) -> Result<Pool, Fault> {
    built(Pool::builder().workers(workers).slots(tasks))
}

fn lazy_pool(workers: usize) -> Result<Pool, Fault> {
    built(Pool::builder().workers(workers).start(Start::Lazy))
}

fn built(builder: Builder) -> Result<Pool, Fault> {
    builder
        .build()
        .map_err(|error| Fault::start("pinfold", error))
}

impl ForkJoin for Pool {
    fn fib(&self, n: u32) -> u64 {
        fn fib(n: u32) -> u64 {
            if n < 2 {
                return u64::from(n);
            }
            let (a, b) = pinfold::join(|| fib(n - 1), || fib(n - 2));
            a + b
        }
        self.install(|| fib(n))
    }

    fn sums(&self, tree: &Tree, times: u32) -> u64 {
        fn sum(tree: &Tree) -> u64 {
            let (left, right) = pinfold::join(
                || tree.left.as_deref().map_or(0, sum),
                || tree.right.as_deref().map_or(0, sum),
            );
            tree.value + left + right
        }
        self.install(|| (0..times).map(|_| sum(std::hint::black_box(tree))).sum())
    }
}

/// For [`fork_join`](mod@crate::fork_join).
pub fn fork_join(workers: usize) -> Vec<Contender> {
    let build = move || pool(workers);
    vec![fork_join::contender("pinfold", Role::Ours, build)]
}

/// For [`spawn`](mod@crate::spawn).
pub fn spawn(workers: usize, tasks: usize) -> Vec<Contender> {
    let contender = |name, build: fn(usize, usize) -> Result<Pool, Fault>| {
        let build = move || build(workers, tasks);
        flood::contender(name, Role::Ours, tasks, build, scope_flood)
    };
    vec![
        contender("pinfold scope", |workers, _| pool(workers)),
        contender("pinfold scope, a slot per task", roomy_pool),
    ]
}

fn scope_flood(pool: &Pool, tally: &'static Tally) {
    pool.scope(|scope| {
        for index in 0..tally.len() {
            scope.spawn(move |_| tally.mark(index));
        }
    });
}

/// For [`submit`](mod@crate::submit).
pub fn submit(workers: usize, tasks: usize) -> Vec<Contender> {
    type Build = fn(usize, usize) -> Result<Pool, Fault>;
    type Flood = fn(&Pool, &'static Tally);
    let contender = |name, build: Build, flood: Flood| {
        let build = move || build(workers, tasks);
        flood::contender(name, Role::Ours, tasks, build, flood)
    };
    vec![
        contender("pinfold spawn", |workers, _| pool(workers), spawn_flood),
        contender("pinfold spawn, a slot per task", roomy_pool, spawn_flood),
        contender("pinfold submit, a slot per task", roomy_pool, submit_flood),
    ]
}

fn spawn_flood(pool: &Pool, tally: &'static Tally) {
    for index in 0..tally.len() {
        pool.spawn(move || tally.mark(index));
    }
    tally.wait();
}

fn submit_flood(pool: &Pool, tally: &'static Tally) {
    for index in 0..tally.len() {
        let mut refused = pool.submit(move || tally.mark(index)).err();
        // There is a slot for each task, but the last flood's tasks may not all have left theirs.
        while let Some(error) = refused {
            std::thread::yield_now();
            refused = pool.submit(error.into_task()).err();
        }
    }
    tally.wait();
}

type Ring = Deque<Box<[deque::Slot]>>;

/// The owner's end of a deque that lives as long as the process, for a thief's sake.
type Owner = deque::Owner<'static, Box<[deque::Slot]>>;

/// Hands out the owner's end of one deque, again whenever the last owner is gone.
fn owner() -> impl Fn() -> Owner {
    let slots = (0..crate::deque::CAPACITY).map(|_| deque::Slot::new());
    let ring = Ring::with_storage(slots.collect()).expect("the capacity is a power of two");
    let ring: &'static Ring = Box::leak(Box::new(ring));
    || ring.owner().expect("runs follow each other")
}

impl crate::deque::Deque for Owner {
    type Thief = &'static Ring;

    #[inline]
    fn push(&mut self, item: usize) -> Result<(), usize> {
        Owner::push(self, item).map_err(|deque::Full(item)| item)
    }

    #[inline]
    fn pop(&mut self) -> Option<usize> {
        Owner::pop(self)
    }

    fn thief(&mut self) -> &'static Ring {
        Owner::deque(self)
    }
}

impl crate::deque::Steal for &'static Ring {
    #[inline]
    fn steal(&mut self) -> Option<usize> {
        match Ring::steal(self) {
            Steal::Taken(item) => Some(item),
            Steal::Empty | Steal::Contended | Steal::Declined => None,
        }
    }
}

/// For [`deque`](mod@crate::deque), its owner alone.
pub fn deque_alone(pairs: usize) -> Vec<Contender> {
    vec![crate::deque::alone("pinfold", Role::Ours, pairs, owner())]
}

/// For [`deque`](mod@crate::deque), its owner against a thief.
pub fn deque_robbed(items: usize) -> Vec<Contender> {
    vec![crate::deque::robbed("pinfold", Role::Ours, items, owner())]
}

type Indices = Injector<Box<[injector::Entry]>>;

fn indices() -> Indices {
    let entries = (0..crate::injector::CAPACITY).map(|_| injector::Entry::new());
    Indices::with_storage(entries.collect()).expect("the capacity is a power of two")
}

impl crate::injector::Queue for Indices {
    #[inline]
    fn push(&self, item: usize) -> Result<(), usize> {
        Indices::push(self, item as u32).map_err(|_| item)
    }

    #[inline]
    fn pop(&self) -> Option<usize> {
        Indices::pop(self).map(|index| index as usize)
    }
}

/// For [`injector`](mod@crate::injector), one thread.
pub fn injector_alone(pairs: usize) -> Vec<Contender> {
    let contender = crate::injector::alone("pinfold", Role::Ours, pairs, indices);
    vec![contender]
}

/// For [`injector`](mod@crate::injector), many threads.
pub fn injector_contended(threads: usize, pairs: usize) -> Vec<Contender> {
    let contender = crate::injector::contended("pinfold", Role::Ours, threads, pairs, indices);
    vec![contender]
}

/// For [`graph`](mod@crate::graph): tasks that mark the tally, each called by its closure's address, as a library does.
pub fn graph(
    shape: &Arc<Shape>,
    tally: &'static Tally,
    workers: usize,
    reruns: Reruns,
) -> Vec<Contender> {
    let graph = marking_graph(shape, tally);
    let build = move || pool(workers);
    let rerun = |pool: &Pool, graph: &pinfold::graph::Graph| drop(pool.run(graph));
    let contender = graph::contender("pinfold", Role::Ours, reruns, tally, graph, build, rerun);
    vec![contender]
}

fn marking_graph(shape: &Shape, tally: &'static Tally) -> pinfold::graph::Graph {
    let builder = pinfold::graph::Builder::new();
    let mut tasks = Vec::with_capacity(shape.nodes());
    for (node, predecessors) in shape.predecessors().into_iter().enumerate() {
        let task = builder.task(node.to_string(), move || tally.mark(node));
        tasks.push(task.after(predecessors.into_iter().map(|before| tasks[before])));
    }
    builder
        .build()
        .expect("a shape has no cycle, and numbers as names are unique")
}

/// For [`wake`](mod@crate::wake).
pub fn wake(workers: usize, samples: usize) -> Vec<Contender> {
    let build = move |bell: Arc<wake::Bell>| {
        let pool = pool(workers)?;
        let submit: Submit = Box::new(move || {
            let bell = Arc::clone(&bell);
            pool.spawn(move || bell.ring());
        });
        Ok(submit)
    };
    vec![wake::contender("pinfold", Role::Ours, samples, build)]
}

/// For [`idle`](mod@crate::idle).
pub fn idle(workers: usize, span: Duration) -> Vec<Contender> {
    let rouse = |pool: &Pool| drop(pool.broadcast(|_| ()));
    let build = move || pool(workers);
    vec![idle::contender("pinfold", Role::Ours, span, build, rouse)]
}

/// For [`startup`](mod@crate::startup).
pub fn startup() -> Vec<Contender> {
    let eager = |workers, task: fn() -> u64| Ok(pool(workers)?.install(task));
    let lazy = |workers, task: fn() -> u64| Ok(lazy_pool(workers)?.install(task));
    // The task is called by this thread, so that no worker is ever started.
    let unused = |workers, task: fn() -> u64| lazy_pool(workers).map(|_| task());
    vec![
        startup::contender("pinfold", Role::Ours, eager),
        startup::contender("pinfold, lazy", Role::Ours, lazy),
        startup::contender("pinfold, lazy, never used", Role::Ours, unused),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fork_join::Tree;

    #[test]
    fn pinfold_agrees_with_the_serial_program() {
        let pool = pool(2).unwrap();
        assert_eq!(pool.fib(15), 610);
        assert_eq!(pool.sums(&Tree::full(6), 3), 189);
    }

    #[test]
    fn every_slot_setting_runs_each_task_once() {
        for mut contender in spawn(2, 9_000).into_iter().chain(submit(2, 9_000)) {
            (contender.run)().unwrap();
        }
    }

    #[test]
    fn every_start_runs_the_task() {
        for mut contender in startup() {
            assert_eq!((contender.run)().unwrap().0.len(), 3);
        }
    }
}
