//! Pools inside pools.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::watchdog;
use pinfold::{Pool, Shutdown, current_worker};

/// Two pools of one worker; the second was shut down.
fn one_and_an_ended_one() -> (Pool, Pool) {
    let (a, b) = (Pool::new(1).unwrap(), Pool::new(1).unwrap());
    b.shutdown(Shutdown::Drain);
    (a, b)
}

#[test]
fn a_call_from_one_pool_through_another_comes_back_to_a_single_worker() {
    let _dog = watchdog();
    let (a, b) = (Pool::new(1).unwrap(), Pool::new(1).unwrap());
    let answer = a.install(|| b.install(|| a.install(|| b.install(|| 7))));
    assert_eq!(answer, 7);
}

#[test]
fn a_broadcast_from_another_pool_reaches_the_worker_that_waits_for_that_pool() {
    let _dog = watchdog();
    let (a, b) = (Pool::new(2).unwrap(), Pool::new(1).unwrap());
    let reached = a.install(|| b.install(|| a.broadcast(|context| context.worker().index())));
    assert_eq!(reached, [0, 1]);
}

#[test]
fn a_worker_that_used_another_pool_after_its_end_is_a_worker_still() {
    let _dog = watchdog();
    let (a, b) = (Pool::new(1).unwrap(), Pool::new(1).unwrap());
    b.shutdown(Shutdown::Drain);
    let sum = a.install(|| {
        let me = current_worker();
        assert_eq!(b.install(|| 7), 7);
        assert_eq!(current_worker(), me);
        let (x, y) = a.join(|| 1, || 2);
        x + y
    });
    assert_eq!(sum, 3);
}

#[test]
fn two_ended_pools_nest_in_one_thread() {
    let _dog = watchdog();
    let (a, b) = (Pool::new(1).unwrap(), Pool::new(1).unwrap());
    a.shutdown(Shutdown::Drain);
    b.shutdown(Shutdown::Drain);
    assert_eq!(a.install(|| b.install(|| a.install(|| 7))), 7);
}

#[test]
fn another_pools_worker_spawns_into_a_deep_scope() {
    let _dog = watchdog();
    let (a, b) = (
        Pool::new(1).unwrap(),
        Pool::builder().workers(1).slots(1).build().unwrap(),
    );
    /// Opens `depth` scopes, one in the other.
    fn nest(depth: usize, innermost: &(dyn Fn() -> usize + Sync)) -> usize {
        if depth == 0 {
            innermost()
        } else {
            pinfold::scope(|_| nest(depth - 1, innermost))
        }
    }
    let sum = a.install(|| {
        nest(500, &|| {
            let mut sum = 0;
            pinfold::scope(|s| {
                b.install(|| {
                    s.spawn(|_| {
                        // Inside the foreign scope's task, in the pool `b`.
                        let (x, y) = (&mut 0, &mut 0);
                        pinfold::scope(|inner| {
                            inner.spawn(|_| *x = 1);
                            inner.spawn(|_| *y = 2);
                        });
                        sum = *x + *y;
                    });
                });
            });
            sum
        })
    });
    assert_eq!(sum, 3);
}

#[test]
fn a_worker_inside_an_ended_pool_still_runs_what_it_joins() {
    let _dog = watchdog();
    let (a, b) = one_and_an_ended_one();
    let answer = a.install(|| {
        let handle = a.submit(|| 7).unwrap();
        b.install(|| handle.join().unwrap())
    });
    assert_eq!(answer, 7);
}

#[test]
fn a_worker_inside_an_ended_pool_may_shut_its_own_pool_down() {
    let _dog = watchdog();
    let (a, b) = one_and_an_ended_one();
    a.install(|| b.install(|| a.shutdown(Shutdown::Drain)));
    assert!(a.submit(|| ()).is_err());
}

#[test]
fn a_worker_inside_an_ended_pool_runs_what_it_spawns_when_its_own_pool_is_full() {
    let _dog = watchdog();
    let a = Pool::builder().workers(1).slots(1).build().unwrap();
    let b = Pool::new(1).unwrap();
    b.shutdown(Shutdown::Drain);
    let ran = Arc::new(AtomicUsize::new(0));
    a.install(|| {
        b.install(|| {
            for _ in 0..300 {
                let ran = Arc::clone(&ran);
                a.spawn(move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
    });
    a.shutdown(Shutdown::Drain);
    assert_eq!(ran.load(Ordering::SeqCst), 300);
}

#[test]
fn a_call_comes_back_to_a_worker_that_left_its_pool_through_an_ended_one() {
    let _dog = watchdog();
    let (a, ended) = one_and_an_ended_one();
    let c = Pool::new(1).unwrap();
    let answer = a.install(|| ended.install(|| c.install(|| a.install(current_worker))));
    assert_eq!(answer.map(|worker| worker.index()), Some(0));
}

#[test]
fn a_shutdown_does_not_wait_for_a_worker_that_waits_for_it_in_another_pool() {
    let _dog = watchdog();
    let (a, b) = (Pool::new(1).unwrap(), Pool::new(1).unwrap());
    a.install(|| b.install(|| a.shutdown(Shutdown::Drain)));
    assert!(a.submit(|| ()).is_err());
    assert_eq!(b.install(|| 7), 7);
}
