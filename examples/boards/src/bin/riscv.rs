//! QEMU's `virt` with four harts: hart 0 is the outside, the others are workers.
//!
//! A worker sleeps in `wfi` and is woken by an inter-processor interrupt (which stays masked: it only ends the
//! `wfi`). The program ends QEMU with 0 if all results were right, and else with the number of a [`Fault`].

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pinfold_core::platform::{Aborting, Platform, WorkerId};
use pinfold_core::scheduler::{Fixed, Scheduler};
use pinfold_example_boards::work;

const HARTS: usize = 4;
const WORKERS: usize = HARTS - 1;
/// How many times all workers fall asleep, and how many tasks follow each time.
const ROUNDS: u32 = 20;
const TASKS: u32 = 20;

static POOL: Scheduler<Fixed<WORKERS, 512, 64>, Aborting<Board>> =
    Scheduler::fixed(Aborting(Board {
        tokens: [const { AtomicBool::new(false) }; WORKERS],
    }));

global_asm!(
    ".section .start, \"ax\"",
    ".globl start",
    "start:",
    "csrr a0, mhartid",
    "la sp, stacks",
    "addi t0, a0, 1",
    "slli t0, t0, 16",
    "add sp, sp, t0",
    // Floating-point registers may be used; software interrupts end a `wfi`.
    "li t0, 0x2000",
    "csrs mstatus, t0",
    "csrwi mie, 8",
    "j {main}",
    main = sym main,
);

struct Board {
    tokens: [AtomicBool; WORKERS],
}

/// The word that interrupts `hart`.
fn interrupt_of(hart: usize) -> *mut u32 {
    ptr::with_exposed_provenance_mut(0x200_0000 + 4 * hart)
}

impl Platform for Board {
    fn park(&self, worker: WorkerId) {
        let hart = worker.index() + 1;
        loop {
            // SAFETY: it is the board's word for this. Cleared before the look at the token, so that
            // who sets the token afterwards ends the `wfi`.
            unsafe { interrupt_of(hart).write_volatile(0) };
            // SAFETY: a fence; also for devices, which the core's fences leave out.
            unsafe { asm!("fence") };
            // Acquire: pairs with the Release in `unpark`.
            if self.tokens[worker.index()].swap(false, Ordering::Acquire) {
                return;
            }
            // SAFETY: it waits for the interrupt.
            unsafe { asm!("wfi") };
        }
    }

    fn unpark(&self, worker: WorkerId) {
        // Release: pairs with the Acquire in `park`.
        self.tokens[worker.index()].store(true, Ordering::Release);
        // SAFETY: a fence, between the token and the device.
        unsafe { asm!("fence") };
        // SAFETY: it is the board's word for this.
        unsafe { interrupt_of(worker.index() + 1).write_volatile(1) };
    }

    fn now_ns(&self) -> Option<u64> {
        let clock: *const u64 = ptr::with_exposed_provenance(0x200_BFF8);
        // SAFETY: it is the board's clock, of 10 MHz.
        Some(unsafe { clock.read_volatile() }.wrapping_mul(100))
    }
}

extern "C" fn main(hart: usize) -> ! {
    match hart.checked_sub(1) {
        None => end(outside()),
        Some(worker) => worker_main(worker),
    }
}

fn worker_main(index: usize) -> ! {
    let ids = [0, 1, 2].map(WorkerId::new);
    if let (Some(Some(id)), [Some(a), Some(b), Some(c)]) = (ids.get(index), ids) {
        let victims = [a, b, c];
        if let Some(worker) = POOL.worker(*id, &victims) {
            worker.run_until_closed();
            LEFT.fetch_add(1, Ordering::Release);
        }
    }
    loop {
        // SAFETY: there is nothing more to do.
        unsafe { asm!("wfi") };
    }
}

/// Workers that have left.
static LEFT: AtomicU32 = AtomicU32::new(0);
/// Workers that stand in [`meet`].
static MET: AtomicU32 = AtomicU32::new(0);
/// Tasks that ended with right results, and with wrong ones.
static RIGHT: AtomicU32 = AtomicU32::new(0);
static WRONG: AtomicU32 = AtomicU32::new(0);

/// What went wrong, as QEMU's exit code.
#[derive(Clone, Copy)]
enum Fault {
    WrongResult = 1,
    Panicked = 2,
    NoSlot = 3,
    NeverSlept = 4,
}

/// What the outside does, and sees.
fn outside() -> Result<(), Fault> {
    // All workers at once: none of these tasks ends before each hart runs one.
    for _ in 0..WORKERS {
        POOL.spawn(|_| meet()).map_err(|_| Fault::NoSlot)?;
    }
    wait_until(|| MET.load(Ordering::Acquire) == WORKERS as u32);
    for round in 1..=ROUNDS {
        // Everybody sleeps, and is woken.
        wait_until(|| POOL.figures().asleep == WORKERS);
        for _ in 0..TASKS {
            let spawned = POOL.spawn(|worker| {
                let count = if work(worker) { &RIGHT } else { &WRONG };
                count.fetch_add(1, Ordering::Release);
            });
            spawned.map_err(|_| Fault::NoSlot)?;
        }
        let ended = || RIGHT.load(Ordering::Acquire) + WRONG.load(Ordering::Acquire);
        wait_until(|| ended() == round * TASKS);
    }
    POOL.close();
    wait_until(|| LEFT.load(Ordering::Acquire) == WORKERS as u32);
    let slept = |id| {
        POOL.counters(id)
            .is_some_and(|counters| counters.sleeps() > 0)
    };
    if !(0..WORKERS).filter_map(WorkerId::new).all(slept) {
        return Err(Fault::NeverSlept);
    }
    match WRONG.load(Ordering::Acquire) {
        0 => Ok(()),
        _ => Err(Fault::WrongResult),
    }
}

fn meet() {
    MET.fetch_add(1, Ordering::Release);
    wait_until(|| MET.load(Ordering::Acquire) == WORKERS as u32);
}

fn wait_until(is_true: impl Fn() -> bool) {
    while !is_true() {
        spin_loop();
    }
}

/// Ends QEMU, with 0 or the fault.
fn end(result: Result<(), Fault>) -> ! {
    let finisher: *mut u32 = ptr::with_exposed_provenance_mut(0x10_0000);
    let code = match result {
        Ok(()) => 0x5555,
        Err(fault) => (fault as u32) << 16 | 0x3333,
    };
    loop {
        // SAFETY: it is the board's word for this.
        unsafe { finisher.write_volatile(code) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    end(Err(Fault::Panicked))
}
