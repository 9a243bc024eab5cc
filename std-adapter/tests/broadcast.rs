//! Broadcasts: once on each worker.

mod common;

use common::watchdog;
use pinfold::Pool;

/// Opens scopes, one in the other, until all slots are taken, and beyond.
fn nest(depth: usize, innermost: &(dyn Fn() -> usize + Sync)) -> usize {
    if depth == 0 {
        innermost()
    } else {
        pinfold::scope(|_| nest(depth - 1, innermost))
    }
}

#[test]
fn a_broadcast_needs_no_slot_that_its_own_callers_hold() {
    let _dog = watchdog();
    for workers in [1, 2] {
        let pool = Pool::builder().workers(workers).slots(1).build().unwrap();
        let reached = pool.install(|| nest(300, &|| pool.broadcast(|_| ()).len()));
        assert_eq!(reached, workers);
    }
}
