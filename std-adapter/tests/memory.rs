//! What a pool that was never used takes: what of its memory was touched. One test, for what is measured is the
//! process's.

mod common;

use common::{figure, status_kib, until, watchdog};
use pinfold::Pool;

/// The resident memory of this process in KiB.
fn resident_kib() -> Option<u64> {
    status_kib("VmRSS:")
}

#[test]
fn an_idle_pool_of_128_workers_stays_under_32_mib() {
    let _dog = watchdog();
    let Some(before) = resident_kib() else {
        return figure("skipped: it needs Linux's /proc");
    };
    let pool = Pool::new(128).unwrap();
    until(|| pool.metrics().asleep == 128);
    let grown = resident_kib().unwrap().saturating_sub(before);
    figure(format_args!(
        "resident memory of an idle pool of 128 workers: {grown} KiB"
    ));
    assert!(grown < 32 * 1024, "{grown} KiB");
    // The control: touched memory is seen.
    let before = resident_kib().unwrap();
    let touched = vec![1_u8; 64 << 20];
    let seen = resident_kib().unwrap().saturating_sub(before);
    assert!(std::hint::black_box(&touched).len() as u64 / 1024 <= seen + 1024);
}
