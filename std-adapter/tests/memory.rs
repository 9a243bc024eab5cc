//! Memory is bounded: by the slots, and by what of them was used.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use common::{until, watchdog};
use pinfold::Pool;

/// One test at a time: what is measured is the process's.
static ALONE: Mutex<()> = Mutex::new(());

/// The resident memory of this process in KiB, where there is a `/proc`.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn an_idle_pool_of_128_workers_stays_under_32_mib() {
    let _dog = watchdog();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(before) = resident_kib() else {
        return println!("skipped: it needs Linux's /proc");
    };
    let pool = Pool::new(128).unwrap();
    until(|| pool.metrics().asleep == 128);
    let grown = resident_kib().unwrap().saturating_sub(before);
    println!("resident memory of an idle pool of 128 workers: {grown} KiB");
    assert!(grown < 32 * 1024, "{grown} KiB");
    // The control: touched memory is seen.
    let before = resident_kib().unwrap();
    let touched = vec![1_u8; 64 << 20];
    let seen = resident_kib().unwrap().saturating_sub(before);
    assert!(std::hint::black_box(&touched).len() as u64 / 1024 <= seen + 1024);
}

#[test]
fn two_million_tasks_go_through_a_thousand_slots() {
    let _dog = watchdog();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const TASKS: usize = 2_000_000;
    let pool = Pool::builder().workers(2).slots(1024).build().unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let start = std::time::Instant::now();
    for _ in 0..TASKS {
        let ran = Arc::clone(&ran);
        pool.spawn(move || {
            ran.fetch_add(1, Ordering::Relaxed);
        });
    }
    until(|| ran.load(Ordering::SeqCst) == TASKS);
    let metrics = pool.metrics();
    println!(
        "2 000 000 detached tasks through {} slots: high-water mark {}, {:?}",
        metrics.slots,
        metrics.slots_high_water,
        start.elapsed()
    );
    assert!(metrics.slots < 1024 + 1024, "{metrics:?}");
    assert!(metrics.slots_high_water <= metrics.slots, "{metrics:?}");
    // Each closure is gone.
    until(|| Arc::strong_count(&ran) == 1);
}
