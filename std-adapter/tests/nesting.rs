//! Pools inside pools.

mod common;

use common::watchdog;
use pinfold::{Pool, Shutdown, current_worker};

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
