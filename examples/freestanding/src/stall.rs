//! Stops a thread for good after each machine instruction of an operation, and sees whether the others go on.
//!
//! A process that shares this one's memory performs the operation, traced and executed instruction by
//! instruction (`ptrace`). After each one it stands still, and meanwhile this process completes
//! [`ROUNDS`] operations on the same structure, checking their results. If they wait for the one that stands still, they
//! wait for ever, and the watchdog ends the program: the operation takes a lock, whatever it is called.
//!
//! This is about the program as it was compiled. What the hardware may reorder, a stepped thread does not show:
//! that is for the models in `loom-tests`.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::linux::{self, Process, Stack, Thread};
use crate::operations::{self, OPERATIONS, Operation};
use crate::run::check;

/// How many times the others operate at each stop.
const ROUNDS: u32 = 3;

/// How long the others may take before they count as blocked.
const PATIENCE_MS: u32 = 5_000;

/// The exit code for "the others are blocked".
const BLOCKED: usize = 3;

/// Up to here each instruction is a stop.
const DENSE: u32 = 128;

/// Beyond that, every so manieth is.
const STRIDE: u32 = 13;

/// An operation with fewer stops was not performed at all.
const FEWEST: u32 = 10;

/// Which operation the traced process performs next.
static CURRENT: AtomicUsize = AtomicUsize::new(0);
/// How many it has performed.
static PERFORMED: AtomicU32 = AtomicU32::new(0);
/// After how many instructions it stands still.
static STOPPED_AFTER: AtomicU32 = AtomicU32::new(0);
/// Grows as long as there is progress.
static HEARTBEAT: AtomicU32 = AtomicU32::new(0);

static STACK: Stack = Stack::new();
static WATCHDOG: Thread = Thread::new();

/// Does it for all [`OPERATIONS`]. The number of stops; `None`: the kernel does not let us trace.
pub fn at_every_instruction() -> Option<u32> {
    let process = Process::start(&STACK, traced)?;
    if !process.wait_for_trap() {
        return None;
    }
    process.end_with_us();
    operations::put_one_to_sleep();
    check(WATCHDOG.start(watch, 0), "a watchdog starts");
    let stops = (0..OPERATIONS.len()).map(|index| stop_in(&process, index));
    Some(stops.sum())
}

/// The traced process.
extern "C" fn traced(_: usize) {
    if !linux::let_parent_trace() {
        return;
    }
    loop {
        // The parent says which.
        trap();
        // Relaxed, here and below: parent and child never run at the same time.
        let current = CURRENT.load(Ordering::Relaxed);
        if let Some(operation) = OPERATIONS.get(current) {
            (operation.stopped)();
        }
    }
}

/// Stops until the parent lets us go on.
fn trap() {
    // SAFETY: the parent traces us and expects it.
    unsafe { asm!("int3", options(nostack)) };
}

/// Performs the part of an operation that is to be stopped at each instruction.
pub fn stoppable<R>(part: impl FnOnce() -> R) -> R {
    trap();
    let result = part();
    PERFORMED.fetch_add(1, Ordering::Relaxed);
    result
}

/// Stops the process in one operation, again and again, each time one instruction later.
fn stop_in(process: &Process, index: usize) -> u32 {
    let Some(operation) = OPERATIONS.get(index) else {
        return 0;
    };
    CURRENT.store(index, Ordering::Relaxed);
    let (mut stops, mut instructions) = (0, 0);
    loop {
        (operation.prepare)();
        // To where the stoppable part begins.
        resume(process);
        let is_over = !step(process, instructions);
        if !is_over {
            STOPPED_AFTER.store(instructions, Ordering::Relaxed);
            for _ in 0..ROUNDS {
                if !(operation.others)() {
                    blocked(operation, instructions);
                }
                HEARTBEAT.fetch_add(1, Ordering::Relaxed);
            }
            stops += 1;
            instructions += if instructions < DENSE { 1 } else { STRIDE };
        }
        process.go_on();
        check(
            process.wait_for_trap(),
            "a stopped operation ends when it goes on",
        );
        if is_over {
            report(operation, stops);
            check(stops >= FEWEST, "an operation has instructions to stop at");
            return stops;
        }
    }
}

fn report(operation: &Operation, stops: u32) {
    linux::say("  ");
    linux::say_number(stops);
    linux::say(" stops: ");
    linux::say(operation.name);
    linux::say("\n");
}

/// Lets the process run to its next trap.
fn resume(process: &Process) {
    process.go_on();
    check(
        process.wait_for_trap(),
        "an operation that was stopped goes on to its end",
    );
}

/// Executes so many instructions of the operation. `false`: it was over before.
fn step(process: &Process, instructions: u32) -> bool {
    let performed = PERFORMED.load(Ordering::Relaxed);
    (0..instructions).all(|_| {
        process.step();
        HEARTBEAT.fetch_add(1, Ordering::Relaxed);
        process.wait_for_trap() && PERFORMED.load(Ordering::Relaxed) == performed
    })
}

/// Ends the program when there is no progress for [`PATIENCE_MS`].
extern "C" fn watch(_: usize) {
    const TICK_MS: u32 = 100;
    let (mut last, mut still) = (0, 0);
    loop {
        linux::sleep_ms(TICK_MS);
        let now = HEARTBEAT.load(Ordering::Relaxed);
        still = if now == last { still + TICK_MS } else { 0 };
        last = now;
        if still >= PATIENCE_MS {
            if let Some(operation) = OPERATIONS.get(CURRENT.load(Ordering::Relaxed)) {
                blocked(operation, STOPPED_AFTER.load(Ordering::Relaxed));
            }
        }
    }
}

fn blocked(operation: &Operation, instructions: u32) -> ! {
    linux::say("freestanding: others wait for a thread stopped in: ");
    linux::say(operation.name);
    linux::say(", after instruction ");
    linux::say_number(instructions);
    linux::say("\n");
    linux::exit(BLOCKED)
}
