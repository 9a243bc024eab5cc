//! Tasks that are accepted before a pool is closed, and published after its workers have left.
//!
//! A closure that does not fit its slot is boxed between the two, and the allocator of this process can
//! be made to wait there.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Gate, until, watchdog};
use pinfold::{JoinHandle, Pool, Shutdown};

/// The alignment of the closures that are waited with.
const ALIGN: usize = 512;

thread_local! {
    /// What a box of that alignment waits for, on this thread.
    static WAITS: Cell<Option<&'static Stop>> = const { Cell::new(None) };
}

/// Where a thread stops, and until when.
#[derive(Default)]
struct Stop {
    reached: AtomicUsize,
    passed: AtomicUsize,
}

struct Waiting;

// SAFETY: it is the system's allocator.
unsafe impl GlobalAlloc for Waiting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() == ALIGN {
            if let Ok(Some(stop)) = WAITS.try_with(Cell::take) {
                stop.reached.store(1, Ordering::SeqCst);
                until(|| stop.passed.load(Ordering::SeqCst) != 0);
            }
        }
        // SAFETY: the caller's duties.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's duties.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Waiting = Waiting;

#[repr(align(512))]
struct Large(u8);

/// Submits `task`, and stops after it was accepted and before it is published.
fn submit_late<R: Send + 'static>(
    pool: &Pool,
    stop: &'static Stop,
    task: impl FnOnce() -> R + Send + 'static,
) -> JoinHandle<R> {
    let large = Large(0);
    WAITS.set(Some(stop));
    let handle = pool.submit(move || {
        let large = large;
        assert_eq!(large.0, 0);
        task()
    });
    assert!(WAITS.take().is_none(), "it has stopped there");
    handle.expect("it was accepted")
}

fn stop() -> &'static Stop {
    Box::leak(Box::default())
}

impl Stop {
    fn wait_until_reached(&self) {
        until(|| self.reached.load(Ordering::SeqCst) != 0);
    }

    fn pass(&self) {
        self.passed.store(1, Ordering::SeqCst);
    }
}

#[test]
fn what_is_published_after_the_workers_have_left_is_run() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let stop = stop();
    thread::scope(|s| {
        let submitter = s.spawn(|| submit_late(&pool, stop, || 7).join().unwrap());
        stop.wait_until_reached();
        pool.shutdown(Shutdown::Drain);
        stop.pass();
        assert_eq!(submitter.join().unwrap(), 7);
    });
}

/// The one runs its task itself, which waits for the other, which has one to run as well.
#[test]
fn who_publishes_late_does_not_wait_for_another_one_who_does() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let (first, second) = (stop(), stop());
    let (running, other_ran) = (Gate::new(), Arc::new(Gate::new()));
    thread::scope(|s| {
        let one = s.spawn(|| {
            let (running, second_went_on) = (running.clone(), Arc::clone(&other_ran));
            let task = move || {
                running.open();
                second_went_on.wait();
                1
            };
            submit_late(&pool, first, task).join().unwrap()
        });
        first.wait_until_reached();
        let other = s.spawn(|| {
            let handle = submit_late(&pool, second, || 2);
            other_ran.open();
            handle.join().unwrap()
        });
        second.wait_until_reached();
        pool.shutdown(Shutdown::Drain);
        first.pass();
        running.wait();
        second.pass();
        assert_eq!(one.join().unwrap(), 1);
        assert_eq!(other.join().unwrap(), 2);
    });
}
