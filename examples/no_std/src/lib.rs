//! A scheduler in a `static`: no standard library, no allocator, four workers.
//!
//! The platform below is written by hand for a machine with four cores and nothing else: a worker
//! parks by spinning on a flag of its own (on hardware: `wfe`, or a sleep until the next inter-processor
//! interrupt) and is unparked by setting it. The core that boots the machine finds out which cores share
//! a cache and calls [`boot`]; each core calls [`worker_main`] with its number; [`primes_below`] gives
//! them work.
//!
//! The tests stand in for the four cores with four threads.

#![no_std]
#![forbid(unsafe_code)]

use core::array;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pinfold_core::platform::{Aborting, Platform, WorkerId};
use pinfold_core::scheduler::{Fixed, Scheduler};
use pinfold_core::worker::Worker;
use spin::Once;

/// How many cores there are, and so workers.
pub const CORES: usize = 4;

/// Four workers, 64 slots, deques of 32 words: about 13 KiB, all in `.bss`.
type Storage = Fixed<CORES, 64, 32>;

/// A panic ends the program, as it does on hardware.
type Machine = Aborting<Board>;

static SCHEDULER: Scheduler<Storage, Machine> = Scheduler::fixed(Aborting(Board::new()));

/// Whom each core steals from, nearest first. One core fills it in at boot; the others wait for that.
static VICTIMS: Once<[[WorkerId; CORES - 1]; CORES]> = Once::new();

/// The machine.
#[derive(Debug)]
pub struct Board {
    /// One token per core: set by `unpark`, taken by `park`.
    tokens: [AtomicBool; CORES],
}

impl Board {
    /// Nobody is to be woken yet.
    pub const fn new() -> Self {
        Board {
            tokens: [const { AtomicBool::new(false) }; CORES],
        }
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Platform for Board {
    fn park(&self, worker: WorkerId) {
        // Acquire: pairs with the Release in `unpark`.
        while !self.tokens[worker.index()].swap(false, Ordering::Acquire) {
            spin_loop();
        }
    }

    fn unpark(&self, worker: WorkerId) {
        // Release: pairs with the Acquire in `park`.
        self.tokens[worker.index()].store(true, Ordering::Release);
    }
}

/// Says which cores share a cache: those with the same number in `clusters`. The core that boots the
/// machine calls it, once it has read that from the hardware. A second call changes nothing.
pub fn boot(clusters: [u8; CORES]) {
    VICTIMS.call_once(|| array::from_fn(|core| victims_of(core, clusters)));
}

/// All cores but `core`, those of its cluster first, then those with the next higher numbers.
fn victims_of(core: usize, clusters: [u8; CORES]) -> [WorkerId; CORES - 1] {
    let mut victims: [usize; CORES - 1] = array::from_fn(|step| (core + 1 + step) % CORES);
    victims.sort_unstable_by_key(|&victim| {
        let is_far = clusters[victim] != clusters[core];
        (is_far, (CORES + victim - core) % CORES)
    });
    victims.map(|victim| WorkerId::new(victim).expect("there are four"))
}

/// What core `core` does from boot to shutdown; it begins when [`boot`] was called. `false`: there is
/// no such core, or it is running.
pub fn worker_main(core: usize) -> bool {
    let Some(victims) = VICTIMS.wait().get(core) else {
        return false;
    };
    let Some(worker) = WorkerId::new(core).and_then(|id| SCHEDULER.worker(id, victims)) else {
        return false;
    };
    worker.run_until_closed();
    true
}

/// Lets the cores' [`worker_main`] return once everything is done.
pub fn shut_down() {
    SCHEDULER.close();
}

/// Counts the primes below `n` on the cores, forking down to single numbers. `None`: all slots are
/// in use.
///
/// One caller at a time; it spins until the result is there.
pub fn primes_below(n: u32) -> Option<u32> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static DONE: AtomicBool = AtomicBool::new(false);
    let spawned = SCHEDULER.spawn(move |worker| {
        // Relaxed: published by `DONE`.
        COUNT.store(count(worker, 0, n), Ordering::Relaxed);
        // Release: pairs with the Acquire below.
        DONE.store(true, Ordering::Release);
    });
    spawned.ok()?;
    while !DONE.swap(false, Ordering::Acquire) {
        spin_loop();
    }
    Some(COUNT.load(Ordering::Relaxed))
}

fn count(worker: &Worker<'_, Storage, Machine>, from: u32, to: u32) -> u32 {
    if to - from < 2 {
        return (from..to).filter(|&n| is_prime(n)).count() as u32;
    }
    let middle = from + (to - from) / 2;
    let (left, right) = worker.join(
        |worker| count(worker, from, middle),
        |worker| count(worker, middle, to),
    );
    left + right
}

fn is_prime(n: u32) -> bool {
    n >= 2
        && (2..)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_core_steals_from_its_own_cluster_first() {
        let victims = |core, clusters| victims_of(core, clusters).map(|victim| victim.index());
        assert_eq!(victims(0, [0, 0, 1, 1]), [1, 2, 3]);
        assert_eq!(victims(3, [0, 0, 1, 1]), [2, 0, 1]);
        assert_eq!(victims(1, [7, 8, 7, 8]), [3, 2, 0]);
    }

    #[test]
    fn four_cores_share_a_static_scheduler() {
        let cores = [0, 1, 2, 3].map(|core| std::thread::spawn(move || worker_main(core)));
        boot([0, 0, 1, 1]);
        for (n, primes) in [(0, 0), (2, 0), (3, 1), (100, 25), (100_000, 9_592)] {
            assert_eq!(primes_below(n), Some(primes));
        }
        assert!(!worker_main(4), "there is no fifth core");
        assert!(size_of_val(&SCHEDULER) < 13 << 10);
        shut_down();
        assert_eq!(cores.map(|core| core.join().unwrap()), [true; 4]);
    }
}
