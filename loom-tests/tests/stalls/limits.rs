//! What whoever stops does keep from others, and nothing else: the known limits.
//!
//! The operations of `idle` go on whoever stops. But a wake that was taken on is not handed over: who is
//! stopped between claiming a sleeper's bit and unparking it leaves that sleeper asleep, and who is
//! stopped while it counts as searching is relied upon by publishers. So a task may have to wait
//! for the stopped thread, although a worker sleeps that could run it, until somebody publishes more tasks
//! at once than there are searchers, or a worker comes by.

use std::collections::BTreeSet;
use std::sync::Mutex;

use pinfold_core::platform::WorkerId;

use crate::harness::{Body, Drive, Fault, Probe, Scenario};
use crate::support::{scheduler, worker};
use crate::tally::Tally;
use crate::tasks::Pair;
use crate::ways::stall;

/// Where the victim stood when a task was not run.
static KEPT: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

/// How often the others are let run until the task counts as not run.
const PATIENCE: usize = 50;

/// Submits a task, which only worker 0 can run, who sleeps.
fn customer(pair: &Pair, _: &Probe, drive: Drive<'_>) {
    drive(vec![Box::new(|probe| {
        let Ok(ticket) = pair.submit(|_| 7) else {
            return true;
        };
        // SAFETY: the ticket is of this scheduler.
        let is_done = || unsafe { pair.is_finished(&ticket) };
        if !probe.settle_for(PATIENCE, is_done) {
            KEPT.lock().unwrap().extend(probe.stopped_at());
        }
        // SAFETY: the ticket is of this scheduler.
        let _ = unsafe { pair.release(ticket) };
        true
    })]);
}

fn kept(operation: &'static str, victim: Body<Pair>) -> Result<BTreeSet<&'static str>, Fault> {
    let scenario = Scenario {
        operation,
        world: scheduler::<2, 16>,
        victim,
        others: customer,
        second: |_, _, drive| drive(Vec::new()),
        sleeper: Some([
            |pair, _| {
                let victims: [WorkerId; 1] = [worker(1)];
                pair.worker(worker(0), &victims).unwrap().run_until_closed();
            },
            |pair, _| pair.close(),
        ]),
    };
    KEPT.lock().unwrap().clear();
    stall(&mut Tally::default(), scenario)?;
    Ok(KEPT.lock().unwrap().clone())
}

/// One test, because both use one set.
#[test]
fn a_wake_that_was_taken_on_is_all_that_is_kept() {
    let by_a_publisher = kept("scheduler::spawn", |pair, probe| {
        probe.wait_until(|| pair.idle().asleep() == 1);
        probe
            .run("scheduler::spawn", || pair.spawn(|_| ()))
            .unwrap();
    });
    let by_a_searcher = kept("idle::leave_search", |pair, probe| {
        probe.wait_until(|| pair.idle().asleep() == 1);
        pair.idle().enter_search();
        probe.run("idle::leave_search", || {
            pair.idle().leave_search(pair.platform(), &[], || true);
        });
    });
    let kept = |outcome: Result<BTreeSet<&'static str>, Fault>| {
        let sites = outcome.unwrap_or_else(|fault| panic!("{fault}"));
        sites.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(kept(by_a_publisher), ["idle.wake.search"]);
    // Stopped before its fence, its leaving need not be seen yet.
    assert_eq!(
        kept(by_a_searcher),
        ["idle.search.leave", "idle.sleep.fence", "idle.wake.search"]
    );
}
