//! That the harness can fail: queues that are known to block, over core's own atomics, and a claim that
//! is too strong; and that it does not report a stack that is in order.

use core::array;
use std::cell::Cell;

use loom::sync::Mutex;
use pinfold_core::order;
use pinfold_core::sync::{AtomicBool, AtomicU64, AtomicUsize};

use crate::harness::{Drive, Fault, Probe, Scenario};
use crate::tally::Tally;
use crate::ways::stall;

const ENTRIES: usize = 8;

/// D. Vyukov's bounded queue: a place is taken first and filled afterwards.
struct Ring {
    tail: AtomicUsize,
    head: AtomicUsize,
    turns: [AtomicUsize; ENTRIES],
    values: [AtomicUsize; ENTRIES],
}

impl Ring {
    fn new() -> Self {
        Ring {
            tail: AtomicUsize::new(0),
            head: AtomicUsize::new(0),
            turns: array::from_fn(AtomicUsize::new),
            values: array::from_fn(|_| AtomicUsize::new(0)),
        }
    }

    /// Takes the next place on `end` if its turn is `ahead` of its number.
    fn place(&self, end: &AtomicUsize, ahead: usize) -> Option<usize> {
        loop {
            let place = end.load(order!("ring.place.look", Relaxed));
            let turn = self.turns[place % ENTRIES].load(order!("ring.place.turn", Acquire));
            if turn < place + ahead {
                return None;
            }
            let taken = end.compare_exchange(
                place,
                place + 1,
                order!("ring.place.take", Relaxed),
                order!("ring.place.fail", Relaxed),
            );
            if turn == place + ahead && taken.is_ok() {
                return Some(place);
            }
        }
    }

    fn push(&self, value: usize) -> bool {
        let Some(place) = self.place(&self.tail, 0) else {
            return false;
        };
        self.values[place % ENTRIES].store(value, order!("ring.push.fill", Relaxed));
        self.turns[place % ENTRIES].store(place + 1, order!("ring.push.publish", Release));
        true
    }

    fn pop(&self) -> Option<usize> {
        let place = self.place(&self.head, 1)?;
        let value = self.values[place % ENTRIES].load(order!("ring.pop.read", Relaxed));
        let next = place + ENTRIES;
        self.turns[place % ENTRIES].store(next, order!("ring.pop.publish", Release));
        Some(value)
    }
}

/// A count behind a lock that is waited for in a loop.
struct Spin {
    locked: AtomicBool,
    count: AtomicUsize,
}

impl Spin {
    fn push(&self) {
        while self.locked.swap(true, order!("spin.lock", Acquire)) {}
        let count = self.count.load(order!("spin.look", Relaxed));
        self.count.store(count + 1, order!("spin.count", Relaxed));
        self.locked.store(false, order!("spin.unlock", Release));
    }
}

/// A count behind a lock that is slept for.
struct Blocking {
    lock: Mutex<()>,
    count: AtomicUsize,
}

impl Blocking {
    fn push(&self) {
        let locked = self.lock.lock();
        let count = self.count.load(order!("blocking.look", Relaxed));
        self.count
            .store(count + 1, order!("blocking.count", Relaxed));
        drop(locked);
    }
}

/// R. Treiber's stack, of at most [`ENTRIES`] numbers, with a tag: `tag << 32 | newest + 1`.
struct Stack {
    top: AtomicU64,
    below: [AtomicUsize; ENTRIES],
}

impl Stack {
    fn new() -> Self {
        Stack {
            top: AtomicU64::new(0),
            below: array::from_fn(|_| AtomicUsize::new(0)),
        }
    }

    fn replace(&self, top: u64, newest: usize) -> bool {
        let tag = (top >> 32) + 1;
        let replaced = self.top.compare_exchange(
            top,
            tag << 32 | newest as u64,
            order!("stack.replace", AcqRel),
            order!("stack.replace.fail", Relaxed),
        );
        replaced.is_ok()
    }

    fn push(&self, number: usize) {
        loop {
            let top = self.top.load(order!("stack.push.look", Relaxed));
            let newest = top as u32 as usize;
            self.below[number].store(newest, order!("stack.push.link", Relaxed));
            if self.replace(top, number + 1) {
                return;
            }
        }
    }

    fn pop(&self) -> Option<usize> {
        loop {
            let top = self.top.load(order!("stack.pop.look", Acquire));
            let newest = (top as u32 as usize).checked_sub(1)?;
            let below = self.below[newest].load(order!("stack.pop.link", Relaxed));
            if self.replace(top, below) {
                return Some(newest);
            }
        }
    }
}

fn ring_users(ring: &Ring, _: &Probe, drive: Drive<'_>) {
    drive(vec![Box::new(|probe| {
        let pushed = probe.run("ring::push", || ring.push(7));
        pushed && probe.run("ring::pop", || ring.pop()).is_some()
    })]);
}

/// Stops `victim` in the ring.
fn ring(operation: &'static str, victim: fn(&Ring, &Probe)) -> Fault {
    let scenario = Scenario {
        operation,
        world: || {
            let ring = Ring::new();
            assert!(ring.push(1) && ring.pop() == Some(1) && ring.push(2));
            ring
        },
        victim,
        others: ring_users,
        second: ring_users,
        sleeper: None,
    };
    stall(&mut Tally::default(), scenario).expect_err("a ring of this kind blocks")
}

#[test]
fn a_producer_that_took_its_place_and_stops_is_reported() {
    let fault = ring("ring::push", |ring, probe| {
        probe.run("ring::push", || ring.push(3));
    });
    assert_eq!(fault.operation, "ring::push");
    assert_eq!((fault.step, fault.sites), (4, vec!["ring.push.fill"]));
    assert_eq!(fault.what, "ring::push and ring::pop came to nothing");
}

/// Its place is not free before it has gone on; until the ring has come round nobody notices.
#[test]
fn a_consumer_that_took_its_place_and_stops_is_reported() {
    let fault = ring("ring::pop", |ring, probe| {
        probe.run("ring::pop", || ring.pop());
    });
    assert_eq!((fault.step, fault.sites), (4, vec!["ring.pop.read"]));
    assert_eq!(fault.what, "ring::push came to nothing");
}

#[test]
fn who_stops_with_a_lock_that_others_spin_for_is_reported() {
    let scenario = Scenario::<Spin> {
        operation: "spin::push",
        world: || Spin {
            locked: AtomicBool::new(false),
            count: AtomicUsize::new(0),
        },
        victim: |spin, probe| probe.run("spin::push", || spin.push()),
        others: |spin, _, drive| {
            drive(vec![Box::new(|probe| {
                probe.run("spin::push", || spin.push());
                true
            })]);
        },
        second: |_, _, drive| drive(Vec::new()),
        sleeper: None,
    };
    let fault = stall(&mut Tally::default(), scenario).expect_err("it holds the lock");
    assert_eq!((fault.step, fault.sites), (2, vec!["spin.look"]));
    assert_eq!(
        fault.what,
        "spin::push takes more than 1 read-modify-writes"
    );
}

#[test]
fn who_stops_with_a_lock_that_others_sleep_for_is_reported() {
    let scenario = Scenario::<Blocking> {
        operation: "blocking::push",
        world: || Blocking {
            lock: Mutex::new(()),
            count: AtomicUsize::new(0),
        },
        victim: |blocking, probe| probe.run("blocking::push", || blocking.push()),
        others: |blocking, _, drive| {
            drive(vec![Box::new(|probe| {
                probe.run("blocking::push", || blocking.push());
                true
            })]);
        },
        second: |_, _, drive| drive(Vec::new()),
        sleeper: None,
    };
    let fault = stall(&mut Tally::default(), scenario).expect_err("it holds the lock");
    assert_eq!((fault.step, fault.sites), (1, vec!["blocking.look"]));
    assert!(fault.what.starts_with("deadlock"), "{}", fault.what);
}

fn stack(operation: &'static str, victim: fn(&Stack, &Probe)) -> (Tally, Result<(), Fault>) {
    let mut tally = Tally::default();
    let scenario = Scenario {
        operation,
        world: || {
            let stack = Stack::new();
            (0..3).for_each(|number| stack.push(number));
            stack
        },
        victim,
        others: |stack, _, drive| {
            let turn = Cell::new(None);
            drive(vec![Box::new(|probe| match turn.take() {
                None => {
                    turn.set(probe.run("stack::pop", || stack.pop()));
                    turn.get().is_some()
                }
                Some(number) => {
                    probe.run("stack::push", || stack.push(number));
                    true
                }
            })]);
        },
        second: |stack, _, drive| {
            drive(vec![Box::new(|probe| {
                probe.run("stack::push", || stack.push(4));
                true
            })]);
        },
        sleeper: None,
    };
    let outcome = stall(&mut tally, scenario);
    (tally, outcome)
}

#[test]
fn a_stack_that_is_lock_free_is_not_reported() {
    let (tally, outcome) = stack("stack::push", |stack, probe| {
        probe.run("stack::push", || stack.push(5));
    });
    outcome.unwrap_or_else(|fault| panic!("{fault}"));
    let (popping, outcome) = stack("stack::pop", |stack, probe| {
        probe.run("stack::pop", || stack.pop());
    });
    outcome.unwrap_or_else(|fault| panic!("{fault}"));
    let sites: Vec<_> = tally.sites().union(popping.sites()).copied().collect();
    assert_eq!(
        sites,
        [
            "stack.pop.link",
            "stack.pop.look",
            "stack.push.link",
            "stack.push.look",
            "stack.replace",
            "stack.replace.fail"
        ]
    );
}

/// Whoever comes between at each of its steps makes it go round once more.
#[test]
fn a_stack_that_claims_to_be_wait_free_is_reported() {
    let (_, outcome) = stack("stack::push, wait-free", |stack, probe| {
        probe.run("stack::push, wait-free", || stack.push(5));
    });
    let fault = outcome.expect_err("it goes round");
    assert_eq!(fault.what, "stack::push, wait-free takes more than 6 steps");
}
