//! `deque`: a worker's own queue. Push and pop by the owner alone, one by one and in bursts, and
//! the owner against one thief.
//!
//! The ratio is of single pairs; the others have tables. Each queue holds 1024 numbers (or more:
//! crossbeam's grows).

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crossbeam_deque as crossbeam;

use crate::contest::{Contest, Metric};
use crate::fault::{Fault, expect_equal};
use crate::options::Options;
use crate::ours;
use crate::report::Report;
use crate::rounds::{Contender, Measurement, Role, ns_per_op};

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

const ROBBED: &[Metric] = &[Metric {
    name: "per item",
    unit: "ns",
}];

/// The owner's end of a queue.
pub trait Deque {
    /// Another thread's end, which takes one item at a time.
    type Thief: Steal + Send + 'static;

    /// Adds an item; gives it back if there is no room.
    fn push(&mut self, item: usize) -> Result<(), usize>;

    /// Takes an item.
    fn pop(&mut self) -> Option<usize>;

    /// Makes a thief.
    fn thief(&mut self) -> Self::Thief;
}

/// A thief's end of a queue.
pub trait Steal {
    /// Takes one item, or nothing if there is none or another was faster.
    fn steal(&mut self) -> Option<usize>;
}

impl Deque for crossbeam::Worker<usize> {
    type Thief = crossbeam::Stealer<usize>;

    #[inline]
    fn push(&mut self, item: usize) -> Result<(), usize> {
        crossbeam::Worker::push(self, item);
        Ok(())
    }

    #[inline]
    fn pop(&mut self) -> Option<usize> {
        crossbeam::Worker::pop(self)
    }

    fn thief(&mut self) -> Self::Thief {
        self.stealer()
    }
}

impl Steal for crossbeam::Stealer<usize> {
    #[inline]
    fn steal(&mut self) -> Option<usize> {
        crossbeam::Stealer::steal(self).success()
    }
}

/// An st3 stealer and the queue it needs to steal into, though it steals one item at a time.
#[derive(Debug)]
pub struct St3Thief<S, W> {
    stealer: S,
    own: W,
}

/// st3's two flavours have the same interface and no trait in common.
macro_rules! st3_deque {
    ($flavour:ident) => {
        impl Deque for st3::$flavour::Worker<usize> {
            type Thief = St3Thief<st3::$flavour::Stealer<usize>, st3::$flavour::Worker<usize>>;

            #[inline]
            fn push(&mut self, item: usize) -> Result<(), usize> {
                st3::$flavour::Worker::push(self, item)
            }

            #[inline]
            fn pop(&mut self) -> Option<usize> {
                st3::$flavour::Worker::pop(self)
            }

            fn thief(&mut self) -> Self::Thief {
                St3Thief {
                    stealer: self.stealer(),
                    own: st3::$flavour::Worker::new(1),
                }
            }
        }

        impl Steal for St3Thief<st3::$flavour::Stealer<usize>, st3::$flavour::Worker<usize>> {
            #[inline]
            fn steal(&mut self) -> Option<usize> {
                let (item, _) = self.stealer.steal_and_pop(&self.own, |_| 1).ok()?;
                Some(item)
            }
        }
    };
}

st3_deque!(fifo);
st3_deque!(lifo);

/// A contender whose owner works alone.
pub fn alone<D: Deque>(
    name: &'static str,
    role: Role,
    pairs: usize,
    make: impl Fn() -> D + 'static,
) -> Contender {
    Contender::new(name, role, move || {
        let mut deque = make();
        work_alone(name, &mut deque, BURST, 1)?;
        let mut readings = Vec::new();
        for burst in [1, BURST] {
            let start = Instant::now();
            work_alone(name, &mut deque, burst, pairs / burst)?;
            readings.push(ns_per_op(start.elapsed(), pairs / burst * burst));
        }
        Ok(Measurement(readings))
    })
}

fn work_alone(
    name: &'static str,
    deque: &mut impl Deque,
    burst: usize,
    times: usize,
) -> Result<(), Fault> {
    let (mut refused, mut sum) = (0, 0);
    for round in 0..times {
        for item in 0..burst {
            refused += usize::from(deque.push(black_box(round + item)).is_err());
        }
        for _ in 0..burst {
            sum += deque.pop().unwrap_or_default();
        }
    }
    let expected =
        burst * (times * times.saturating_sub(1)) / 2 + times * (burst * (burst - 1)) / 2;
    expect_equal(name, "items refused", 0, refused as u64)?;
    expect_equal(name, "the sum of items", expected as u64, sum as u64)
}

/// A contender whose owner pushes bursts and pops what one thief leaves of them.
pub fn robbed<D: Deque>(
    name: &'static str,
    role: Role,
    items: usize,
    make: impl Fn() -> D + 'static,
) -> Contender {
    Contender::new(name, role, move || {
        let mut deque = make();
        let thief = deque.thief();
        let done = &AtomicBool::new(false);
        let start = Instant::now();
        let sum = thread::scope(|scope| {
            let thief = scope.spawn(move || rob(thief, done));
            let kept = keep(&mut deque, items);
            // Relaxed: only says when to stop; the items went through the deque.
            done.store(true, Ordering::Relaxed);
            kept + thief.join().unwrap_or_default()
        });
        let elapsed = start.elapsed();
        let expected = items * (items - 1) / 2;
        expect_equal(name, "the sum of items", expected as u64, sum as u64)?;
        Ok(Measurement::per_op(elapsed, items))
    })
}

/// Pushes the numbers below `items`, and sums those it gets back.
fn keep(deque: &mut impl Deque, items: usize) -> usize {
    let mut sum = 0;
    let mut next = 0;
    while next < items {
        for item in next..items.min(next + BURST) {
            // An item that finds no room is the owner's, as in a pool.
            sum += deque.push(item).err().unwrap_or_default();
        }
        next += BURST;
        while let Some(item) = deque.pop() {
            sum += item;
        }
    }
    sum
}

fn rob(mut thief: impl Steal, done: &AtomicBool) -> usize {
    let mut sum = 0;
    while !done.load(Ordering::Relaxed) {
        match thief.steal() {
            Some(item) => sum += item,
            None => std::hint::spin_loop(),
        }
    }
    sum
}

/// All contenders, the owner alone.
pub fn contest_alone(pairs: usize) -> Contest {
    let mut contenders = vec![
        alone(
            "crossbeam fifo",
            Role::Peer,
            pairs,
            crossbeam::Worker::new_fifo,
        ),
        alone(
            "crossbeam lifo",
            Role::Peer,
            pairs,
            crossbeam::Worker::new_lifo,
        ),
        alone("st3 fifo", Role::Peer, pairs, || {
            st3::fifo::Worker::new(CAPACITY)
        }),
        alone("st3 lifo", Role::Peer, pairs, || {
            st3::lifo::Worker::new(CAPACITY)
        }),
    ];
    contenders.extend(ours::deque_alone(pairs));
    Contest {
        title: "deque, owner alone".to_owned(),
        metrics: ALONE,
        contenders,
    }
}

/// All contenders, the owner against one thief.
pub fn contest_robbed(items: usize) -> Contest {
    let mut contenders = vec![
        robbed(
            "crossbeam fifo",
            Role::Peer,
            items,
            crossbeam::Worker::new_fifo,
        ),
        robbed(
            "crossbeam lifo",
            Role::Peer,
            items,
            crossbeam::Worker::new_lifo,
        ),
        robbed("st3 fifo", Role::Peer, items, || {
            st3::fifo::Worker::new(CAPACITY)
        }),
        robbed("st3 lifo", Role::Peer, items, || {
            st3::lifo::Worker::new(CAPACITY)
        }),
    ];
    contenders.extend(ours::deque_robbed(items));
    Contest {
        title: "deque, owner against one thief that takes single items".to_owned(),
        metrics: ROBBED,
        contenders,
    }
}

/// Runs the workload.
pub fn run(options: &Options) -> Result<Report, Fault> {
    let alone = contest_alone(options.pick(1_000_000, 200_000)).run_for(options, 21, 5)?;
    let robbed = contest_robbed(options.pick(500_000, 100_000)).run_for(options, 15, 3)?;
    let mut report = Report::new("deque");
    report
        .show(&alone)
        .show(&robbed)
        .ratio("/thief", robbed.ratio_to_best(0, 0.0))
        .ratio("/burst", alone.ratio_to_best(1, 0.0))
        .ratio("", alone.ratio_to_best(0, 0.0));
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forgets every item above a limit.
    struct Leaky(Vec<usize>);

    impl Deque for Leaky {
        type Thief = Nobody;

        fn push(&mut self, item: usize) -> Result<(), usize> {
            if item < 150 {
                self.0.push(item);
            }
            Ok(())
        }

        fn pop(&mut self) -> Option<usize> {
            self.0.pop()
        }

        fn thief(&mut self) -> Nobody {
            Nobody
        }
    }

    struct Nobody;

    impl Steal for Nobody {
        fn steal(&mut self) -> Option<usize> {
            None
        }
    }

    #[test]
    fn a_lost_item_is_caught() {
        let leaky = || Leaky(Vec::new());
        let fault = (alone("leaky", Role::Peer, 200, leaky).run)().unwrap_err();
        assert!(
            fault
                .to_string()
                .contains("the sum of items is 11175, expected 19900")
        );
        let fault = (robbed("leaky", Role::Peer, 200, leaky).run)().unwrap_err();
        assert!(
            fault
                .to_string()
                .contains("the sum of items is 11175, expected 19900")
        );
    }

    #[test]
    fn every_peer_loses_nothing() {
        for mut contender in contest_alone(10_000).contenders {
            assert_eq!((contender.run)().unwrap().0.len(), 2);
        }
        for mut contender in contest_robbed(10_000).contenders {
            assert_eq!((contender.run)().unwrap().0.len(), 1);
        }
    }
}
