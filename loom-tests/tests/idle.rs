//! What [`pinfold_core::idle`] promises.
//!
//! Work that is published while workers go to sleep is seen by one of them or followed by a wake:
//! in each model a lost wake-up leaves a worker parked for good, which the checker reports as a
//! deadlock.

mod support;

use std::sync::Arc;

use loom::thread;
use pinfold_core::deque::{self, Deque, Steal};
use pinfold_core::idle::{IdleSet, Slept, Word};
use pinfold_core::injector::{Entry, Injector};
use pinfold_core::platform::Platform;
use pinfold_core::sync::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed},
};
use support::{Parking, worker};

/// A pool as bare as can be: items that are counted, and workers that sleep while there are none.
struct Pool {
    items: AtomicUsize,
    idle: IdleSet<[Word; 1]>,
    platform: Parking,
}

impl Pool {
    fn new(workers: usize) -> Arc<Self> {
        Arc::new(Pool {
            items: AtomicUsize::new(0),
            idle: IdleSet::fixed(),
            platform: Parking::new(workers),
        })
    }

    /// Publishes `items` with no ordering of its own: the fences of the protocol must do.
    fn publish(&self, items: usize) {
        self.items.fetch_add(items, Relaxed);
        self.idle.wake(&self.platform, items, &[]);
    }

    fn take(&self) -> Option<()> {
        let seen = self.items.load(Relaxed);
        if seen == 0 {
            return None;
        }
        let take = self
            .items
            .compare_exchange(seen, seen - 1, Relaxed, Relaxed);
        // Whoever loses looks at the newest count once more; models have two takers at most.
        take.or_else(|seen| match seen {
            0 => Err(0),
            seen => self
                .items
                .compare_exchange(seen, seen - 1, Relaxed, Relaxed),
        })
        .ok()
        .map(drop)
    }

    /// As `Worker::is_more`: whether there is an item for another worker.
    fn is_more(&self) -> bool {
        self.items.load(Relaxed) != 0
    }

    /// Leaves the search with something that is none of the items.
    fn leave_search(&self) {
        self.idle
            .leave_search(&self.platform, &[], || self.is_more());
    }

    /// Takes one item, sleeping until there is one.
    fn serve_one(&self, index: usize) {
        self.idle.enter_search();
        self.go_on_searching(index);
    }

    /// As [`Pool::serve_one`], for a worker that is counted as searching.
    fn go_on_searching(&self, index: usize) {
        let is_more = || self.is_more();
        go_on_searching(&self.idle, &self.platform, index, || self.take(), is_more);
    }

    /// As [`Pool::serve_one`], for a worker that waits and can help with any item.
    fn help_with_one(&self, index: usize) {
        help(&self.idle, &self.platform, index, || self.take());
    }

    fn spawn_server(self: &Arc<Self>, index: usize) -> thread::JoinHandle<()> {
        let pool = self.clone();
        thread::spawn(move || pool.serve_one(index))
    }
}

/// What `look` finds, for a worker that has found nothing of its own. There is but one thing to
/// find.
fn serve<const N: usize, T>(
    idle: &IdleSet<[Word; N]>,
    platform: &Parking,
    index: usize,
    look: impl Fn() -> Option<T>,
) -> T {
    idle.enter_search();
    go_on_searching(idle, platform, index, look, || false)
}

/// As `Worker::next` goes on, once it is counted as searching.
fn go_on_searching<const N: usize, T>(
    idle: &IdleSet<[Word; N]>,
    platform: &Parking,
    index: usize,
    look: impl Fn() -> Option<T>,
    is_more: impl Fn() -> bool,
) -> T {
    loop {
        if let Some(found) = look() {
            idle.leave_search(platform, &[], &is_more);
            return found;
        }
        match idle.sleep(platform, worker(index), &look) {
            Slept::Found(found) => return found,
            Slept::Woken => {}
        }
    }
}

/// What `look` finds, for a worker that waits: `look` asks for the end of the wait, or for work
/// that helps.
fn help<const N: usize, T>(
    idle: &IdleSet<[Word; N]>,
    platform: &Parking,
    index: usize,
    look: impl Fn() -> Option<T>,
) -> T {
    loop {
        idle.enter_hunger();
        let found = idle.wait(platform, worker(index), &look);
        idle.leave_hunger();
        if let Some(found) = found {
            return found;
        }
    }
}

#[test]
fn no_wakeup_is_lost() {
    support::model(|| {
        let pool = Pool::new(1);
        let sleeper = pool.spawn_server(0);
        support::start();
        pool.publish(1);
        sleeper.join().unwrap();
        assert_eq!(pool.idle.asleep(), 0);
    });
}

#[test]
fn no_wakeup_is_lost_between_two_items() {
    support::bounded(3, || {
        let pool = Pool::new(1);
        let sleeper = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.serve_one(0);
                pool.serve_one(0);
            })
        };
        support::start();
        pool.publish(1);
        pool.publish(1);
        sleeper.join().unwrap();
        assert_eq!(pool.items.load(Relaxed), 0);
    });
}

#[test]
fn no_wakeup_is_lost_by_two_publishers() {
    support::bounded(2, || {
        let pool = Pool::new(1);
        let publisher = {
            let pool = pool.clone();
            thread::spawn(move || pool.publish(1))
        };
        let sleeper = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.serve_one(0);
                pool.serve_one(0);
            })
        };
        support::start();
        pool.publish(1);
        publisher.join().unwrap();
        sleeper.join().unwrap();
        assert_eq!(pool.items.load(Relaxed), 0);
    });
}

/// Each sleeper leaves with its item, as if it worked on it for good: both must get one.
#[test]
fn two_items_published_at_once_wake_two_sleepers() {
    support::bounded(2, || {
        let pool = Pool::new(2);
        let sleepers = [0, 1].map(|index| pool.spawn_server(index));
        support::start();
        pool.publish(2);
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
        assert_eq!((pool.items.load(Relaxed), pool.idle.asleep()), (0, 0));
    });
}

#[test]
fn two_items_published_one_by_one_wake_two_sleepers() {
    support::bounded(2, || {
        let pool = Pool::new(2);
        let sleepers = [0, 1].map(|index| pool.spawn_server(index));
        support::start();
        pool.publish(1);
        pool.publish(1);
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
        assert_eq!((pool.items.load(Relaxed), pool.idle.asleep()), (0, 0));
    });
}

/// Worker 0 finds something else at its last look before it sleeps, and keeps it for good. If the
/// wake for the published item hits it then, or the publisher relied on its search, worker 1 must
/// get that item.
#[test]
fn a_wake_that_is_not_needed_is_passed_on() {
    support::bounded(3, || {
        let pool = Pool::new(2);
        let own = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.idle.enter_search();
                let found = pool
                    .idle
                    .sleep(&pool.platform, worker(0), || Some("something else"));
                assert_eq!(found, Slept::Found("something else"));
            })
        };
        let sleeper = pool.spawn_server(1);
        support::start();
        pool.publish(1);
        own.join().unwrap();
        sleeper.join().unwrap();
        assert_eq!(pool.idle.asleep(), 0);
    });
}

/// Both publications may rely on worker 0, which was searching before; it takes one item and works on
/// it for good.
#[test]
fn the_last_searcher_that_finds_work_wakes_another_when_there_is_more() {
    support::bounded(2, || {
        let pool = Pool::new(2);
        pool.idle.enter_search();
        let searcher = {
            let pool = pool.clone();
            thread::spawn(move || pool.go_on_searching(0))
        };
        let sleeper = pool.spawn_server(1);
        support::start();
        pool.publish(1);
        pool.publish(1);
        searcher.join().unwrap();
        sleeper.join().unwrap();
        assert_eq!((pool.items.load(Relaxed), pool.idle.asleep()), (0, 0));
    });
}

/// The searcher finds something else, and keeps it for good.
#[test]
fn a_publisher_that_relies_on_a_searcher_loses_nothing() {
    support::bounded(3, || {
        let pool = Pool::new(2);
        pool.idle.enter_search();
        let searcher = {
            let pool = pool.clone();
            thread::spawn(move || pool.leave_search())
        };
        let sleeper = pool.spawn_server(1);
        support::start();
        pool.publish(1);
        searcher.join().unwrap();
        sleeper.join().unwrap();
        assert_eq!(pool.idle.asleep(), 0);
    });
}

#[test]
fn an_item_left_to_a_searcher_that_gives_up_is_not_lost() {
    support::model(|| {
        let pool = Pool::new(1);
        pool.idle.enter_search();
        let searcher = {
            let pool = pool.clone();
            thread::spawn(move || pool.go_on_searching(0))
        };
        support::start();
        pool.publish(1);
        searcher.join().unwrap();
        assert_eq!(pool.idle.asleep(), 0);
    });
}

/// Nobody sleeps freely; the searcher that the publisher relied on finds something else.
#[test]
fn an_item_left_to_a_searcher_is_found_by_a_waiter() {
    support::bounded(3, || {
        let pool = Pool::new(2);
        pool.idle.enter_search();
        let searcher = {
            let pool = pool.clone();
            thread::spawn(move || pool.leave_search())
        };
        let waiter = {
            let pool = pool.clone();
            thread::spawn(move || pool.help_with_one(1))
        };
        support::start();
        pool.publish(1);
        searcher.join().unwrap();
        waiter.join().unwrap();
    });
}

/// Of two searchers one finds two items, as in a batch, and puts the second where the other looks.
/// It is not the last, so it wakes nobody; the other must not go to sleep over it.
#[test]
fn what_a_searcher_found_too_much_is_found_by_the_other() {
    support::model(|| {
        let pool = Pool::new(2);
        pool.idle.enter_search();
        pool.idle.enter_search();
        let other = {
            let pool = pool.clone();
            thread::spawn(move || pool.go_on_searching(1))
        };
        support::start();
        pool.items.fetch_add(1, Relaxed);
        pool.leave_search();
        other.join().unwrap();
        assert_eq!((pool.items.load(Relaxed), pool.idle.asleep()), (0, 0));
    });
}

#[test]
fn a_sleeper_sees_the_shutdown() {
    support::model(|| {
        let pool = Pool::new(1);
        let shutdown = Arc::new(AtomicBool::new(false));
        let sleeper = {
            let (pool, shutdown) = (pool.clone(), shutdown.clone());
            thread::spawn(move || {
                let look = || shutdown.load(Relaxed).then_some(());
                serve(&pool.idle, &pool.platform, 0, look);
            })
        };
        support::start();
        shutdown.store(true, Relaxed);
        pool.idle.wake(&pool.platform, usize::MAX, &[]);
        sleeper.join().unwrap();
        assert_eq!(pool.idle.asleep(), 0);
    });
}

/// Two words of bits, so that the publisher looks at more than one.
#[test]
fn every_sleeper_sees_the_shutdown() {
    const FAR: usize = pinfold_core::idle::WORKERS_PER_WORD;
    support::bounded(2, || {
        let idle = Arc::new(IdleSet::<[Word; 2]>::fixed());
        let platform = Arc::new(Parking::new(FAR + 1));
        let shutdown = Arc::new(AtomicBool::new(false));
        let sleepers = [0, FAR].map(|index| {
            let (idle, platform, shutdown) = (idle.clone(), platform.clone(), shutdown.clone());
            thread::spawn(move || {
                let look = || shutdown.load(Relaxed).then_some(());
                serve(&idle, &platform, index, look);
            })
        });
        support::start();
        shutdown.store(true, Relaxed);
        idle.wake(&*platform, usize::MAX, &[]);
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
        assert_eq!(idle.asleep(), 0);
    });
}

/// A bit is claimed once, so that one item does not start two workers.
#[test]
fn two_wakes_never_share_a_sleeper() {
    support::bounded(3, || {
        let pool = Pool::new(1);
        let sleeper = {
            let pool = pool.clone();
            thread::spawn(move || {
                let flag = || (pool.items.load(Acquire) != 0).then_some(());
                pool.idle.enter_search();
                let found = pool.idle.sleep(&pool.platform, worker(0), flag);
                // One announcement is claimed by at most one wake.
                assert_eq!(pool.idle.asleep(), 0);
                found == Slept::Found(())
            })
        };
        let publisher = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.items.fetch_add(1, Relaxed);
                pool.idle.wake(&pool.platform, 1, &[worker(0)])
            })
        };
        support::start();
        pool.items.fetch_add(1, Relaxed);
        let woken = pool.idle.wake(&pool.platform, 1, &[worker(0)]) + publisher.join().unwrap();
        let found_itself = sleeper.join().unwrap();
        assert!(woken <= 1, "one announcement, {woken} wakes");
        assert!(woken == 1 || found_itself);
    });
}

#[test]
fn a_sleeper_misses_nothing_in_a_deque() {
    support::model(|| {
        let pool = Pool::new(1);
        let tasks = Arc::new(Deque::<[deque::Slot; 2]>::fixed());
        let sleeper = {
            let (pool, tasks) = (pool.clone(), tasks.clone());
            thread::spawn(move || {
                let look = || match tasks.steal() {
                    Steal::Taken(word) => Some(word),
                    _ => None,
                };
                serve(&pool.idle, &pool.platform, 0, look)
            })
        };
        support::start();
        tasks.owner().unwrap().push(7).unwrap();
        pool.idle.wake(&pool.platform, 1, &[]);
        assert_eq!(sleeper.join().unwrap(), 7);
    });
}

#[test]
fn a_sleeper_misses_nothing_in_an_injector() {
    support::model(|| {
        let pool = Pool::new(1);
        let tasks = Arc::new(Injector::<[Entry; 2]>::fixed());
        let sleeper = {
            let (pool, tasks) = (pool.clone(), tasks.clone());
            thread::spawn(move || serve(&pool.idle, &pool.platform, 0, || tasks.pop()))
        };
        support::start();
        tasks.push(1).unwrap();
        pool.idle.wake(&pool.platform, 1, &[]);
        assert_eq!(sleeper.join().unwrap(), 1);
    });
}

/// One producer has queued its index and is stopped for good before it wakes anybody. The other,
/// whose index stands behind, has called for a worker, and a worker must come.
#[test]
fn a_producer_stopped_before_its_wake_delays_nobody_else() {
    support::bounded(3, || {
        let pool = Pool::new(1);
        let tasks = Arc::new(Injector::<[Entry; 2]>::fixed());
        let stopped = {
            let tasks = tasks.clone();
            thread::spawn(move || tasks.push(0).unwrap())
        };
        let sleeper = {
            let (pool, tasks) = (pool.clone(), tasks.clone());
            thread::spawn(move || serve(&pool.idle, &pool.platform, 0, || tasks.pop()))
        };
        support::start();
        tasks.push(1).unwrap();
        pool.idle.wake(&pool.platform, 1, &[]);
        sleeper.join().unwrap();
        stopped.join().unwrap();
    });
}

/// A waiter helps with what is published while it waits, as if it worked on it for good.
#[test]
fn a_waiter_is_woken_for_work_when_nobody_sleeps_freely() {
    support::model(|| {
        let pool = Pool::new(1);
        let waiter = {
            let pool = pool.clone();
            thread::spawn(move || pool.help_with_one(0))
        };
        support::start();
        pool.publish(1);
        waiter.join().unwrap();
        assert_eq!(pool.items.load(Relaxed), 0);
    });
}

/// What ends the wait comes by `unpark` alone, with no fence and no look at the bits.
#[test]
fn a_waiter_sees_the_end_of_its_wait() {
    support::model(|| {
        let pool = Pool::new(1);
        let ended = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (pool, ended) = (pool.clone(), ended.clone());
            thread::spawn(move || {
                let look = || ended.load(Relaxed).then_some(());
                help(&pool.idle, &pool.platform, 0, look);
            })
        };
        support::start();
        ended.store(true, Relaxed);
        pool.platform.unpark(worker(0));
        waiter.join().unwrap();
    });
}

/// Worker 0 finds the end of its wait while the wake for the published item hits it. Worker 1,
/// which waits too and could help, must get that wake.
#[test]
fn a_wake_that_a_waiter_does_not_need_is_passed_on() {
    support::bounded(3, || {
        let pool = Pool::new(2);
        let ended = {
            let pool = pool.clone();
            thread::spawn(move || {
                help(&pool.idle, &pool.platform, 0, || Some("the end"));
            })
        };
        let waiter = {
            let pool = pool.clone();
            thread::spawn(move || pool.help_with_one(1))
        };
        support::start();
        pool.publish(1);
        ended.join().unwrap();
        waiter.join().unwrap();
    });
}

/// A free sleeper and a waiter, one item: whoever of them is chosen, the item is taken, and the
/// other's wait ends on its own.
#[test]
fn a_free_sleeper_and_a_waiter_leave_no_item_behind() {
    support::bounded(2, || {
        let pool = Pool::new(2);
        let waiter = {
            let pool = pool.clone();
            thread::spawn(move || pool.help_with_one(0))
        };
        let sleeper = pool.spawn_server(1);
        support::start();
        pool.publish(2);
        sleeper.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(pool.items.load(Relaxed), 0);
    });
}

/// Only worker 1 can take the item, and worker 0 waits for what worker 1 does with it. Whichever
/// of them is woken first, both go on.
#[test]
fn a_waiter_that_cannot_help_does_not_keep_the_wake() {
    support::bounded(2, || {
        let pool = Pool::new(2);
        let ended = Arc::new(AtomicBool::new(false));
        let other = {
            let (pool, ended) = (pool.clone(), ended.clone());
            thread::spawn(move || {
                let look = || ended.load(Relaxed).then_some(());
                help(&pool.idle, &pool.platform, 0, look);
            })
        };
        let helper = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.help_with_one(1);
                ended.store(true, Relaxed);
                pool.platform.unpark(worker(0));
            })
        };
        support::start();
        pool.publish(1);
        helper.join().unwrap();
        other.join().unwrap();
    });
}
