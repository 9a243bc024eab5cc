//! What [`pinfold_core::latch`] promises.
//!
//! Who waits goes on when the count is zero and not before, sees all that the counted work wrote,
//! and may free the latch at once: the last decrement has touched it for the last time.

mod support;

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;
use pinfold_core::latch::CountLatch;
use pinfold_core::platform::Platform;
use pinfold_core::sync::{AtomicUsize, Ordering::Relaxed};
use support::{Parking, worker};

/// A latch as it lies on the stack of who waits for it. The cell stands for that frame: the checker
/// reports whoever is still in it, or is not ordered before, when it is freed.
struct Frame {
    latch: UnsafeCell<CountLatch>,
    platform: Parking,
    results: [AtomicUsize; 2],
}

// SAFETY: the cell's content is `Sync` and only lent out shared; `free` takes no reference to it.
unsafe impl Sync for Frame {}
// SAFETY: all fields are `Send`.
unsafe impl Send for Frame {}

impl Frame {
    fn new(count: usize) -> Arc<Self> {
        Arc::new(Frame {
            latch: UnsafeCell::new(CountLatch::new(count)),
            platform: Parking::new(1),
            results: [(); 2].map(|()| AtomicUsize::new(0)),
        })
    }

    fn with_latch<R>(&self, f: impl FnOnce(&CountLatch) -> R) -> R {
        self.latch.with(|latch| {
            // SAFETY: nobody writes through the cell; the memory lives as long as the `Arc`.
            f(unsafe { &*latch })
        })
    }

    /// The frame is gone from here on.
    fn free(&self) {
        self.latch.with_mut(|_| ());
    }

    fn done(&self, count: usize) {
        if let Some(waiter) = self.with_latch(|latch| latch.done(count)) {
            self.platform.unpark(waiter);
        }
    }

    fn wait(&self) {
        self.with_latch(|latch| latch.wait_with(worker(0), || self.platform.park(worker(0))));
    }

    fn spawn_counted(self: &Arc<Self>, index: usize) -> thread::JoinHandle<()> {
        let frame = self.clone();
        thread::spawn(move || {
            frame.results[index].store(1, Relaxed);
            frame.done(1);
        })
    }

    fn results(&self) -> [usize; 2] {
        [0, 1].map(|index| self.results[index].load(Relaxed))
    }
}

#[test]
fn the_waiter_sees_what_was_counted() {
    support::model(|| {
        let frame = Frame::new(2);
        let counted = [0, 1].map(|index| frame.spawn_counted(index));
        support::start();
        frame.wait();
        assert_eq!(frame.results(), [1, 1]);
        for thread in counted {
            thread.join().unwrap();
        }
    });
}

#[test]
fn who_looks_and_finds_zero_sees_what_was_counted() {
    support::model(|| {
        let frame = Frame::new(2);
        let counted = [0, 1].map(|index| frame.spawn_counted(index));
        support::start();
        if frame.with_latch(CountLatch::is_done) {
            assert_eq!(frame.results(), [1, 1]);
        }
        for thread in counted {
            thread.join().unwrap();
        }
        assert!(frame.with_latch(CountLatch::is_done));
    });
}

#[test]
fn the_last_decrement_never_touches_a_dead_frame() {
    support::model(|| {
        let frame = Frame::new(2);
        let counted = [0, 1].map(|index| frame.spawn_counted(index));
        support::start();
        frame.wait();
        frame.free();
        for thread in counted {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_frame_found_done_may_be_freed() {
    support::model(|| {
        let frame = Frame::new(1);
        let counted = frame.spawn_counted(0);
        support::start();
        if frame.with_latch(CountLatch::is_done) {
            frame.free();
        }
        counted.join().unwrap();
    });
}

#[test]
fn nobody_parks_when_the_count_is_zero() {
    support::model(|| {
        let frame = Frame::new(1);
        frame.spawn_counted(0).join().unwrap();
        frame.with_latch(|latch| latch.wait_with(worker(0), || panic!("the count is zero")));
        frame.free();
    });
}

/// The waiter is named to exactly one decrement, the last one, and to none if it came later.
#[test]
fn the_waiter_is_named_at_most_once() {
    support::model(|| {
        let frame = Frame::new(2);
        let counted = [0, 1].map(|_| {
            let frame = frame.clone();
            thread::spawn(move || {
                let named = frame.with_latch(|latch| latch.done(1));
                if let Some(waiter) = named {
                    assert_eq!(waiter, worker(0));
                    frame.platform.unpark(waiter);
                }
                usize::from(named.is_some())
            })
        });
        support::start();
        let mut parked = 0;
        frame.with_latch(|latch| {
            latch.wait_with(worker(0), || {
                parked += 1;
                frame.platform.park(worker(0));
            });
        });
        frame.free();
        let named: usize = counted
            .map(|thread| thread.join().unwrap())
            .into_iter()
            .sum();
        assert!(
            parked <= named && named <= 1,
            "parked {parked} times, named {named} times"
        );
    });
}

/// A share that was handed on counts: the waiter waits for the work that the work started.
#[test]
fn a_share_that_was_added_is_waited_for() {
    support::model(|| {
        let frame = Frame::new(1);
        let counted = {
            let frame = frame.clone();
            thread::spawn(move || {
                frame.with_latch(|latch| latch.add(1));
                let started = frame.spawn_counted(1);
                frame.results[0].store(1, Relaxed);
                frame.done(1);
                started
            })
        };
        support::start();
        frame.wait();
        assert_eq!(frame.results(), [1, 1]);
        frame.free();
        counted.join().unwrap().join().unwrap();
    });
}
