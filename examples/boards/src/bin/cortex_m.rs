//! A Cortex-M4 (QEMU's `mps2-an386`) with one worker, and a timer's interrupt that gives it work; and a Cortex-M0
//! (`microbit`), the same.
//!
//! The Cortex-M4 has no 64-bit compare-and-swap, on which the core's deques and arena rest, the Cortex-M0 none at all. `portable-atomic` stands in:
//! by default with a lock, which an interrupt handler must not wait for; here (see `Cargo.toml`) by masking interrupts
//! for some instructions, which on one core is neither a lock nor seen by anybody.
//!
//! Every public function of the core is in the program (the freestanding example's `every.rs`), and its panic handler
//! cannot be linked: on a 32-bit target, too, no panic is reachable.
//!
//! The worker sleeps in `wfi`. The program ends QEMU with 0 if all results were right, and else with the number of
//! a [`Fault`].

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::ptr;

#[path = "../../../freestanding/src/every.rs"]
mod every;

/// The machine of `every`.
mod machine {
    pub(crate) type Machine = pinfold_core::platform::Aborting<crate::Board>;
    pub(crate) const WORKERS: usize = 1;
}

use pinfold_core::handle::Ended;
use pinfold_core::platform::{Aborting, Platform, WorkerId};
use pinfold_core::scheduler::{Fixed, Scheduler};
use pinfold_core::sync::{AtomicBool, AtomicU32, Ordering};
use pinfold_example_boards::work;

/// The Cortex-M0 has 16 KiB for everything.
const SLOTS: usize = if cfg!(cortex_m0) { 16 } else { 64 };

static POOL: Scheduler<Fixed<1, SLOTS, 32>, Aborting<Board>> = Scheduler::fixed(Aborting(Board));

global_asm!(
    ".section .vectors, \"a\"",
    ".word stack_top",
    ".word reset",
    // Exceptions 2 to 14: none is expected.
    ".rept 13",
    ".word {fault}",
    ".endr",
    ".word {tick}",
    ".text",
    ".thumb_func",
    ".type reset, %function",
    ".globl reset",
    "reset:",
    // The floating-point unit on, if there is one.
    ".if {fpu}",
    "ldr r0, =0xE000ED88",
    "ldr r1, [r0]",
    "orr r1, r1, #0xF00000",
    "str r1, [r0]",
    "dsb",
    "isb",
    ".endif",
    "bl {main}",
    ".pool",
    fpu = const !cfg!(cortex_m0) as u32,
    fault = sym fault,
    tick = sym tick,
    main = sym main,
);

pub(crate) struct Board;

static TOKEN: AtomicBool = AtomicBool::new(false);
static TICKS: AtomicU32 = AtomicU32::new(0);

impl Platform for Board {
    fn park(&self, _: WorkerId) {
        loop {
            // SAFETY: with interrupts masked, none comes between the look and the `wfi`, which one that is pending
            // ends all the same.
            unsafe { asm!("cpsid i") };
            // Acquire: pairs with the Release in `unpark`.
            let is_woken = TOKEN.swap(false, Ordering::Acquire);
            if !is_woken {
                // SAFETY: as above.
                unsafe { asm!("wfi") };
            }
            // SAFETY: they were not masked before.
            unsafe { asm!("cpsie i") };
            if is_woken {
                return;
            }
        }
    }

    fn unpark(&self, _: WorkerId) {
        // Release: pairs with the Acquire in `park`.
        TOKEN.store(true, Ordering::Release);
    }

    fn now_ns(&self) -> Option<u64> {
        Some(u64::from(TICKS.load(Ordering::Relaxed)) * TICK_NS)
    }
}

/// How many tasks the interrupt spawns, and submits only to cancel some of them.
const TASKS: u32 = 300;
/// After how many of them it lets the worker go to sleep.
const BURST: u32 = 50;
/// Processor cycles, at 25 MHz, between two interrupts.
const TICK_CYCLES: u32 = 5_000;
const TICK_NS: u64 = TICK_CYCLES as u64 * 40;

static SPAWNED: AtomicU32 = AtomicU32::new(0);
/// How many of them while the worker was in the middle of something.
static INTERRUPTED: AtomicU32 = AtomicU32::new(0);
static CANCELLED: AtomicU32 = AtomicU32::new(0);
static RIGHT: AtomicU32 = AtomicU32::new(0);

/// The timer's interrupt: comes in the middle of whatever the worker does.
extern "C" fn tick() {
    // Relaxed, here and below: one core, and what counts is read in the end.
    TICKS.fetch_add(1, Ordering::Relaxed);
    if POOL.is_closed() {
        return;
    }
    let count = SPAWNED.load(Ordering::Relaxed);
    let is_busy = POOL.figures().asleep == 0;
    if count.is_multiple_of(BURST) && is_busy {
        // The worker goes to sleep first.
        return;
    }
    if count == TASKS {
        return POOL.close();
    }
    let spawned = POOL.spawn(|worker| {
        if work(worker) {
            RIGHT.fetch_add(1, Ordering::Relaxed);
        }
    });
    if is_busy {
        INTERRUPTED.fetch_add(1, Ordering::Relaxed);
    }
    // An error: the worker is behind, and all slots are taken.
    if spawned.is_ok() {
        SPAWNED.fetch_add(1, Ordering::Relaxed);
    }
    cancel_one();
}

/// What was submitted in an interrupt cannot have started before it ends.
fn cancel_one() {
    let Ok(ticket) = POOL.submit::<_, ()>(|_| end(Err(Fault::NotCancelled))) else {
        return;
    };
    let is_cancelled = POOL.cancel(POOL.task_id(&ticket));
    // SAFETY: the ticket is of this pool.
    let ended = unsafe { POOL.release(ticket) };
    if is_cancelled && ended == Some(Ended::Cancelled) {
        CANCELLED.fetch_add(1, Ordering::Relaxed);
    }
}

extern "C" fn main() -> ! {
    every::keep_every_function();
    let worker = WorkerId::new(0).and_then(|id| POOL.worker(id, &[]));
    let Some(worker) = worker else {
        end(Err(Fault::NoSeat))
    };
    start_timer();
    worker.run_until_closed();
    let slept = WorkerId::new(0)
        .and_then(|id| POOL.counters(id))
        .is_some_and(|counters| counters.sleeps() > 0);
    if RIGHT.load(Ordering::Relaxed) != TASKS {
        end(Err(Fault::WrongResult));
    }
    if CANCELLED.load(Ordering::Relaxed) == 0 {
        end(Err(Fault::NotCancelled));
    }
    if !slept {
        end(Err(Fault::NeverSlept));
    }
    if INTERRUPTED.load(Ordering::Relaxed) < TASKS / 2 {
        end(Err(Fault::NotInterrupted));
    }
    end(Ok(()))
}

fn start_timer() {
    for (register, value) in [
        (0xE000_E014, TICK_CYCLES),
        (0xE000_E018, 0),
        (0xE000_E010, 7),
    ] {
        // SAFETY: the timer's registers: reload, current value, control (on, with interrupts).
        unsafe { ptr::with_exposed_provenance_mut::<u32>(register).write_volatile(value) };
    }
}

/// What went wrong, as QEMU's exit code.
#[derive(Clone, Copy)]
enum Fault {
    WrongResult = 1,
    NotCancelled = 2,
    NeverSlept = 3,
    NoSeat = 4,
    Exception = 5,
    NotInterrupted = 6,
}

/// Ends QEMU, with 0 or the fault, by semihosting.
fn end(result: Result<(), Fault>) -> ! {
    const EXIT_EXTENDED: usize = 0x20;
    const APPLICATION_EXIT: usize = 0x2_0026;
    let arguments = [
        APPLICATION_EXIT,
        result.map_or_else(|fault| fault as usize, |()| 0),
    ];
    loop {
        // SAFETY: the debugger reads the two words.
        unsafe {
            asm!("bkpt #0xAB", inout("r0") EXIT_EXTENDED => _, in("r1") &raw const arguments);
        }
    }
}

extern "C" fn fault() {
    end(Err(Fault::Exception))
}

unsafe extern "C" {
    /// Not defined anywhere: a program in which a panic can be reached does not link.
    fn pinfold_core_may_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: what calls it does not link, so nothing does.
    unsafe { pinfold_core_may_panic() }
}
