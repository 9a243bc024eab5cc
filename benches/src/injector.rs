//! `injector` and `injector-contended`: queues that anybody pushes to and anybody pops from.
//!
//! Alone: one thread pushes and pops, one by one and in bursts. Contended: each of 8 threads (more
//! than this machine has cores, as in a busy process) pushes one number and pops one, over and
//! over. *Per pair* is wall time over all threads' pairs together: from the first thread's start
//! to the last one's end, divided by threads × pairs, so a queue that scales reads less than
//! alone. The tail is of single pairs, each timed with two clock readings, in a pass of its own.
//!
//! Each queue holds 1024 numbers; `SegQueue` grows. The numbers are below 1024 for all, since
//! Pinfold's queue carries slot indices and no others.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use concurrent_queue::ConcurrentQueue;
use crossbeam_queue::{ArrayQueue, SegQueue};

use crate::contest::{Contest, Metric};
use crate::fault::{Fault, expect_equal};
use crate::options::Options;
use crate::ours;
use crate::report::Report;
use crate::rounds::{Contender, Measurement, Role, ns_per_op};
use crate::stats::{quantile, sorted};

/// How many numbers a queue must hold.
pub const CAPACITY: usize = 1024;
const BURST: usize = 64;

const ALONE: &[Metric] = &[
    Metric {
        name: "push+pop pair",
        unit: "ns",
    },
    Metric {
        name: "push+pop in bursts of 64, per pair",
        unit: "ns",
    },
];

const CONTENDED: &[Metric] = &[
    Metric {
        name: "wall time per pair",
        unit: "ns",
    },
    Metric {
        name: "single pair, p99.9",
        unit: "ns",
    },
];

/// A queue with many producers and many consumers.
pub trait Queue: Send + Sync + 'static {
    /// Adds an item; gives it back if there is no room.
    fn push(&self, item: usize) -> Result<(), usize>;

    /// Takes an item.
    fn pop(&self) -> Option<usize>;
}

impl Queue for ArrayQueue<usize> {
    #[inline]
    fn push(&self, item: usize) -> Result<(), usize> {
        ArrayQueue::push(self, item)
    }

    #[inline]
    fn pop(&self) -> Option<usize> {
        ArrayQueue::pop(self)
    }
}

impl Queue for SegQueue<usize> {
    #[inline]
    fn push(&self, item: usize) -> Result<(), usize> {
        SegQueue::push(self, item);
        Ok(())
    }

    #[inline]
    fn pop(&self) -> Option<usize> {
        SegQueue::pop(self)
    }
}

impl Queue for ConcurrentQueue<usize> {
    #[inline]
    fn push(&self, item: usize) -> Result<(), usize> {
        ConcurrentQueue::push(self, item).map_err(|error| error.into_inner())
    }

    #[inline]
    fn pop(&self) -> Option<usize> {
        ConcurrentQueue::pop(self).ok()
    }
}

/// heapless's queue, deprecated since it is not truly lock-free: a yardstick all the same.
type Heapless = heapless::mpmc::Queue<usize, CAPACITY>;

impl Queue for Heapless {
    #[inline]
    fn push(&self, item: usize) -> Result<(), usize> {
        self.enqueue(item)
    }

    #[inline]
    fn pop(&self) -> Option<usize> {
        self.dequeue()
    }
}

/// A contender with one thread.
pub fn alone<Q: Queue>(
    name: &'static str,
    role: Role,
    pairs: usize,
    make: impl Fn() -> Q + 'static,
) -> Contender {
    Contender::new(name, role, move || {
        let queue = Box::new(make());
        work_alone(name, &*queue, BURST, 1)?;
        let mut readings = Vec::new();
        for burst in [1, BURST] {
            let start = Instant::now();
            work_alone(name, &*queue, burst, pairs / burst)?;
            readings.push(ns_per_op(start.elapsed(), pairs / burst * burst));
        }
        Ok(Measurement(readings))
    })
}

/// The item that stands for the `count`-th.
#[inline]
fn number(count: usize) -> usize {
    count % CAPACITY
}

/// First in, first out: each pop must return the oldest item.
fn work_alone(
    name: &'static str,
    queue: &impl Queue,
    burst: usize,
    times: usize,
) -> Result<(), Fault> {
    let (mut refused, mut misplaced) = (0, 0);
    for round in 0..times {
        for item in 0..burst {
            refused += u64::from(queue.push(black_box(number(round + item))).is_err());
        }
        for item in 0..burst {
            misplaced += u64::from(queue.pop() != Some(number(round + item)));
        }
    }
    expect_equal(name, "items refused", 0, refused)?;
    expect_equal(name, "items lost or out of order", 0, misplaced)
}

/// A contender with `threads` threads that do `pairs` pairs each for the wall time, and a quarter
/// of that for the tail.
pub fn contended<Q: Queue>(
    name: &'static str,
    role: Role,
    threads: usize,
    pairs: usize,
    make: impl Fn() -> Q + 'static,
) -> Contender {
    Contender::new(name, role, move || {
        let queue = Arc::new(make());
        let wall = crowd(name, &queue, threads, pairs, hurry)?;
        let per_pair = wall.elapsed_ns / (threads * pairs) as f64;
        let timed = crowd(name, &queue, threads, pairs / 4, time_each)?;
        let tail = quantile(&sorted(&timed.latencies), 0.999).unwrap_or(f64::NAN);
        Ok(Measurement(vec![per_pair, tail]))
    })
}

/// What one thread of a crowd did.
struct Shift {
    start: Instant,
    end: Instant,
    /// The sum of what it popped.
    sum: u64,
    latencies: Vec<f64>,
}

/// What a crowd did.
struct CrowdTimes {
    elapsed_ns: f64,
    latencies: Vec<f64>,
}

/// Lets `threads` threads do `pairs` pairs each at once, and checks that nothing was lost.
fn crowd<Q: Queue>(
    name: &'static str,
    queue: &Arc<Q>,
    threads: usize,
    pairs: usize,
    work: fn(&Q, usize) -> Shift,
) -> Result<CrowdTimes, Fault> {
    let gate = Arc::new(Barrier::new(threads));
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (queue, gate) = (Arc::clone(queue), Arc::clone(&gate));
            thread::spawn(move || {
                gate.wait();
                work(&queue, pairs)
            })
        })
        .collect();
    let shifts: Vec<Shift> = workers
        .into_iter()
        .filter_map(|worker| worker.join().ok())
        .collect();
    let sum = shifts.iter().map(|shift| shift.sum).sum();
    let expected = threads * (0..pairs).map(number).sum::<usize>();
    expect_equal(name, "the sum of items", expected as u64, sum)?;
    let start = shifts.iter().map(|shift| shift.start).min();
    let end = shifts.iter().map(|shift| shift.end).max();
    let elapsed = start.zip(end).map(|(start, end)| end - start);
    Ok(CrowdTimes {
        elapsed_ns: elapsed.unwrap_or_default().as_nanos() as f64,
        latencies: shifts.into_iter().flat_map(|s| s.latencies).collect(),
    })
}

fn hurry(queue: &impl Queue, pairs: usize) -> Shift {
    let start = Instant::now();
    let sum = (0..pairs).map(|count| pair(queue, number(count))).sum();
    Shift {
        start,
        end: Instant::now(),
        sum,
        latencies: Vec::new(),
    }
}

fn time_each(queue: &impl Queue, pairs: usize) -> Shift {
    let mut latencies = Vec::with_capacity(pairs);
    let mut sum = 0;
    let start = Instant::now();
    for count in 0..pairs {
        let before = Instant::now();
        sum += pair(queue, number(count));
        latencies.push(before.elapsed().as_nanos() as f64);
    }
    Shift {
        start,
        end: Instant::now(),
        sum,
        latencies,
    }
}

/// Pushes `item` and pops one, which there must be: each thread pushes before it pops. A queue
/// that says otherwise waits for a thread that stands in the middle of its push, so that thread
/// gets the processor.
#[inline]
fn pair(queue: &impl Queue, item: usize) -> u64 {
    let mut item = item;
    while let Err(refused) = queue.push(item) {
        item = refused;
        thread::yield_now();
    }
    loop {
        if let Some(popped) = queue.pop() {
            return popped as u64;
        }
        thread::yield_now();
    }
}

fn array() -> ArrayQueue<usize> {
    ArrayQueue::new(CAPACITY)
}

fn bounded() -> ConcurrentQueue<usize> {
    ConcurrentQueue::bounded(CAPACITY)
}

#[expect(deprecated, reason = "a yardstick")]
fn heapless_queue() -> Heapless {
    Heapless::new()
}

/// All contenders, one thread.
pub fn contest_alone(pairs: usize) -> Contest {
    let mut contenders = vec![
        alone("crossbeam ArrayQueue", Role::Peer, pairs, array),
        alone("crossbeam SegQueue", Role::Peer, pairs, SegQueue::new),
        alone("concurrent-queue bounded", Role::Peer, pairs, bounded),
        alone("heapless mpmc", Role::Peer, pairs, heapless_queue),
    ];
    contenders.extend(ours::injector_alone(pairs));
    Contest {
        title: "injector, one thread".to_owned(),
        metrics: ALONE,
        contenders,
    }
}

/// All contenders, `threads` threads of `pairs` pairs each.
pub fn contest_contended(threads: usize, pairs: usize) -> Contest {
    let role = Role::Peer;
    let mut contenders = vec![
        contended("crossbeam ArrayQueue", role, threads, pairs, array),
        contended("crossbeam SegQueue", role, threads, pairs, SegQueue::new),
        contended("concurrent-queue bounded", role, threads, pairs, bounded),
        contended("heapless mpmc", role, threads, pairs, heapless_queue),
    ];
    contenders.extend(ours::injector_contended(threads, pairs));
    Contest {
        title: format!("injector, {threads} threads of push+pop pairs"),
        metrics: CONTENDED,
        contenders,
    }
}

/// Runs the workload `injector`.
pub fn run_alone(options: &Options) -> Result<Report, Fault> {
    let contest = contest_alone(options.pick(1_000_000, 200_000));
    let outcome = contest.run_for(options, 21, 5)?;
    let mut report = Report::new("injector");
    report
        .show(&outcome)
        .ratio("/burst", outcome.ratio_to_best(1, 0.0))
        .ratio("", outcome.ratio_to_best(0, 0.0));
    Ok(report)
}

/// Runs the workload `injector-contended`.
pub fn run_contended(options: &Options) -> Result<Report, Fault> {
    let contest = contest_contended(options.workers_or(8), options.pick(100_000, 50_000));
    let outcome = contest.run_for(options, 11, 3)?;
    let mut report = Report::new("injector-contended");
    report
        .show(&outcome)
        .ratio("/p99.9", outcome.ratio_to_best(1, 0.0))
        .ratio("", outcome.ratio_to_best(0, 0.0));
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Makes up the items it hands out.
    struct Forger(AtomicUsize);

    impl Queue for Forger {
        fn push(&self, _: usize) -> Result<(), usize> {
            Ok(())
        }

        fn pop(&self) -> Option<usize> {
            Some(self.0.fetch_add(2, Ordering::Relaxed))
        }
    }

    #[test]
    fn a_made_up_item_is_caught() {
        let forger = || Forger(AtomicUsize::new(0));
        assert!((alone("forger", Role::Peer, 200, forger).run)().is_err());
        let fault = (contended("forger", Role::Peer, 2, 40, forger).run)().unwrap_err();
        assert_eq!(
            fault.to_string(),
            "forger did not do the work: the sum of items is 6320, expected 1560"
        );
    }

    #[test]
    fn every_peer_loses_nothing() {
        for mut contender in contest_alone(10_000).contenders {
            assert_eq!((contender.run)().unwrap().0.len(), 2);
        }
        for mut contender in contest_contended(3, 4_000).contenders {
            assert_eq!((contender.run)().unwrap().0.len(), 2);
        }
    }
}
