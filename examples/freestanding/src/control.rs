//! Three ways to break the promise. Each must be noticed: by the linker, by the compiler, and by stopping a thread.

/// One line that may panic: the program does not link.
#[cfg(feature = "control-panic")]
pub fn index() -> u32 {
    let places = core::hint::black_box([1, 2, 3]);
    places[core::hint::black_box(2)]
}

/// One line that allocates: the compiler asks for an allocator.
#[cfg(feature = "control-alloc")]
pub fn allocate() -> u32 {
    extern crate alloc;
    *core::hint::black_box(alloc::boxed::Box::new(3))
}

/// A push under a spin lock: it links, and works, and a thread stopped in it stops the others.
#[cfg(feature = "control-lock")]
pub fn push_under_lock() -> bool {
    use core::sync::atomic::{AtomicBool, Ordering};
    static LOCK: AtomicBool = AtomicBool::new(false);
    while LOCK.swap(true, Ordering::Acquire) {
        core::hint::spin_loop();
    }
    let pushed = crate::operations::use_queue();
    LOCK.store(false, Ordering::Release);
    pushed
}
