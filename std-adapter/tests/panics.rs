//! Panics reach who joins, or the handler, and never kill a worker.

mod common;

use common::{PanicsOnDrop, watchdog};
use pinfold::Pool;

#[test]
fn a_panic_that_nobody_joins_and_that_panics_when_dropped_does_not_kill_its_worker() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    pool.spawn(|| std::panic::panic_any(PanicsOnDrop));
    assert_eq!(pool.install(|| 7), 7);
}

#[test]
fn a_waker_that_panics_does_not_kill_the_worker_that_wakes_it() {
    use std::future::Future;
    let _dog = watchdog();
    struct Bomb;
    impl std::task::Wake for Bomb {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("a bad waker");
        }
    }
    let pool = Pool::new(1).unwrap();
    let gate = common::Gate::new();
    let mut handle = pool.submit({
        let gate = gate.clone();
        move || gate.wait()
    });
    let waker = std::task::Waker::from(std::sync::Arc::new(Bomb));
    let mut context = std::task::Context::from_waker(&waker);
    let pinned = std::pin::Pin::new(handle.as_mut().unwrap());
    assert!(pinned.poll(&mut context).is_pending());
    gate.open();
    assert_eq!(pool.install(|| 7), 7);
    handle.unwrap().join().unwrap();
}
