//! An idle pool does nothing: no timer, no polling.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{figure, until, watchdog};
use pinfold::Pool;

const WORKERS: usize = 8;

/// How often each thread went to sleep so far, by its name.
fn sleeps() -> BTreeMap<String, u64> {
    let mut sleeps = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
        if let (Some(name), Some(count)) = (field("Name:\t"), field("voluntary_ctxt_switches:\t")) {
            sleeps.insert(name.to_owned(), count.parse().unwrap());
        }
    }
    sleeps
}

#[cfg(not(target_os = "linux"))]
#[test]
fn an_idle_pool_never_wakes() {
    println!("skipped: it needs Linux's /proc");
}

#[cfg(target_os = "linux")]
#[test]
fn an_idle_pool_never_wakes() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(WORKERS).name("quiet").build();
    let pool = pool.unwrap();
    let done = AtomicUsize::new(0);
    pool.scope(|s| {
        (0..1000).for_each(|_| {
            s.spawn(|_| {
                done.fetch_add(1, Ordering::SeqCst);
            });
        });
    });
    assert_eq!(done.load(Ordering::SeqCst), 1000);

    let stop = AtomicBool::new(false);
    thread::scope(|s| {
        let poller = thread::Builder::new().name("poller".into());
        let poll = || {
            while !stop.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(10));
            }
        };
        let poller = poller.spawn_scoped(s, poll).unwrap();
        until(|| pool.metrics().asleep == WORKERS);
        thread::sleep(Duration::from_millis(300));
        let before = sleeps();
        thread::sleep(Duration::from_secs(2));
        let after = sleeps();
        stop.store(true, Ordering::SeqCst);
        poller.join().unwrap();

        let woken = |name: &str| after[name] - before[name];
        let workers: Vec<u64> = (0..WORKERS).map(|i| woken(&format!("quiet-{i}"))).collect();
        figure(format_args!(
            "wake-ups of 8 idle workers in 2 s: {workers:?}; of a thread that polls each 10 ms: {}",
            woken("poller")
        ));
        assert_eq!(workers, [0; WORKERS]);
        assert!(woken("poller") >= 20, "the control is not counted");
    });

    // The control: a worker that is woken is seen, by the same count.
    let before = sleeps();
    pool.install(|| ());
    until(|| pool.metrics().asleep == WORKERS);
    let seen = || {
        let after = sleeps();
        let of = |index| format!("quiet-{index}");
        let woken = (0..WORKERS).map(|i| after[&of(i)] - before[&of(i)]);
        woken.sum::<u64>()
    };
    // A worker that has announced its sleep may not have got there yet.
    until(|| seen() > 0);
    figure(format_args!("wake-ups of the pool by one call: {}", seen()));
}
