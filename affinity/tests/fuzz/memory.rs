//! How much memory a call has taken at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Measuring;

fn count(bytes: isize) {
    // Neither cell has a destructor, so they are there as long as the thread is.
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

// SAFETY: it does what the system's allocator does, and counts.
unsafe impl GlobalAlloc for Measuring {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's duty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's duty.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Measuring = Measuring;

/// What `f` returns, and the most bytes that this thread had allocated meanwhile beyond those before.
pub fn peak_bytes<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = f();
    let peak = usize::try_from(PEAK.get() - before).unwrap_or(0);
    (result, peak)
}

#[test]
fn memory_is_measured() {
    let (length, peak) = peak_bytes(|| std::hint::black_box(vec![7_u8; 1 << 20]).len());
    assert!(peak >= length, "{peak} of {length}");
    let (_, peak) = peak_bytes(|| std::hint::black_box(7));
    assert_eq!(peak, 0);
}
