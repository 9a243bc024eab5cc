//! Everything at once, at random, checked by sums.
//!
//! `PINFOLD_STRESS_SEED=N` replays the choices of a run, not how the machine schedules it; `PINFOLD_STRESS_SECONDS=N`
//! runs for so long instead of some seconds.

#[path = "../common/mod.rs"]
mod common;
mod ends;
mod tree;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Random, env_u64, figure, watchdog_beyond};
use pinfold::{Placement, Pool};

/// Numbers of workers, the most of them far beyond the CPUs; each gets its share of the time.
const WORKERS: [usize; 5] = [1, 2, 3, 8, 64];

/// A pool whose placement depends on the seed: half of them leave the threads to the system. `panics` adds up the
/// numbers that unjoined tasks panic with.
fn pool_of(workers: usize, seed: u64, panics: Arc<AtomicU64>) -> Pool {
    let placements = ["none", "none", "spread,bind=cpu", "compact,bind=core"];
    let placement = placements[Random::new(seed).below(4) as usize];
    let builder = |placement| {
        let panics = Arc::clone(&panics);
        Pool::builder()
            .workers(workers)
            .slots(1024)
            .placement(Placement::parse(placement).unwrap())
            .panic_handler(move |payload| {
                let number = payload.downcast::<u64>().expect("a number");
                panics.fetch_add(*number, Ordering::SeqCst);
            })
    };
    // Where the machine cannot be read, or a binding is refused, the workers go where they like.
    let placed = builder(placement).build();
    placed.or_else(|_| builder("none").build()).unwrap()
}

#[test]
fn everything_at_once_adds_up() {
    let time =
        env_u64("PINFOLD_STRESS_SECONDS").map_or(Duration::from_secs(4), Duration::from_secs);
    let _dog = watchdog_beyond(time);
    let mut random = Random::from_env("PINFOLD_STRESS_SEED");
    // Half of the time for trees, half for pools that end. In rounds, so that a long run varies the pools.
    let end = Instant::now() + time;
    let share = (time / (2 * WORKERS.len() as u32)).min(Duration::from_secs(2));
    let (mut trees, mut ends) = (0, 0);
    while Instant::now() < end {
        for workers in WORKERS {
            trees += tree::trees_add_up(workers, random.next() >> 1, share);
            ends += ends::nothing_is_lost(workers, random.next() >> 1, share);
        }
    }
    figure(format_args!(
        "stress, {time:?}: {trees} trees, {ends} pools shut down at work"
    ));
    assert!(trees > 0 && ends > 0);
}
