//! Slots that become free reach whoever waits for one.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Gate, until, watchdog};
use pinfold::Pool;

/// The only worker frees slots, and then runs a task that waits for a spawner that waits for a slot.
#[test]
fn a_spawner_does_not_sleep_while_slots_are_free_and_the_worker_waits_for_it() {
    const TASKS: usize = 1250;
    let _dog = watchdog();
    let pool = Pool::builder().workers(1).slots(1000).build().unwrap();
    let (start, all) = (Gate::new(), Gate::new());
    let spawned = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(AtomicUsize::new(usize::MAX));
    thread::scope(|s| {
        s.spawn(|| {
            for index in 0..TASKS {
                let (start, all) = (start.clone(), all.clone());
                let (spawned_by_now, seen) = (Arc::clone(&spawned), Arc::clone(&seen));
                pool.spawn(move || match index {
                    0 => start.wait(),
                    // The first slots that came free have gone to the spawner, which waits again.
                    100 => {
                        let before = seen.load(Ordering::SeqCst);
                        until(|| spawned_by_now.load(Ordering::SeqCst) > before);
                        common::give_time();
                    }
                    300 => all.wait(),
                    _ => {}
                });
                spawned.fetch_add(1, Ordering::SeqCst);
            }
            all.open();
        });
        until(|| spawned.load(Ordering::SeqCst) > 1000);
        common::give_time();
        seen.store(spawned.load(Ordering::SeqCst), Ordering::SeqCst);
        assert!(!all.is_open());
        start.open();
    });
}
