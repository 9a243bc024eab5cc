//! Tasks with a handle and from outside: stopped submitters, holders of handles, cancellers.

use std::sync::Arc;
use std::task::Waker;

use pinfold_core::handle::{Ended, Ticket};
use pinfold_core::platform::WorkerId;
use pinfold_core::scheduler::{Scheduler, SpawnError};
use pinfold_core::task::Slot;

use crate::harness::{Body, Drive, Fault, Probe, Scenario};
use crate::support::{Parking, Small, scheduler, worker};
use crate::tally::Tally;
use crate::ways::stall;

/// A scheduler of two workers: of the first, and of the victim if that is one.
pub type Pair = Arc<Scheduler<Small<2, 16>, Parking>>;

pub type Worker<'w> = pinfold_core::worker::Worker<'w, Small<2, 16>, Parking>;

/// The most tasks that stand before another in the injector.
const BEFORE: usize = 4;

/// Runs tasks until `is_done`, at most as many as may be in the way.
fn serve(probe: &Probe, own: &Worker<'_>, is_done: impl Fn() -> bool) -> bool {
    (0..BEFORE).any(|_| is_done() || !probe.run("worker::run_one", || own.run_one())) || is_done()
}

fn is_ended(probe: &Probe, pair: &Pair, ticket: &Ticket<u32>) -> bool {
    probe.run("handle::is_finished", || {
        // SAFETY: the ticket is of this scheduler.
        unsafe { pair.is_finished(ticket) }
    })
}

fn release(probe: &Probe, pair: &Pair, ticket: Ticket<u32>) -> Option<Ended<u32>> {
    probe.run("handle::release", || {
        // SAFETY: the ticket is of this scheduler.
        unsafe { pair.release(ticket) }
    })
}

/// Submits a task; or else, whether it is in order that it was not taken.
fn submit(probe: &Probe, pair: &Pair) -> Result<Ticket<u32>, bool> {
    let ticket = probe.run("handle::submit", || pair.submit(|_| 7));
    ticket.map_err(|why| matches!(why, SpawnError::Closed(_)))
}

/// Worker 0 with `victims`, and all that can be done from outside: what is submitted is run and its
/// result found, or is cancelled. After the close nothing is taken any more, which is an answer too.
pub fn outsiders_and(pair: &Pair, victims: &[WorkerId], drive: Drive<'_>) {
    // Or somebody else has it, who goes on beside this one.
    let own = pair.worker(worker(0), victims);
    let submit_and_run = |probe: &Probe| match submit(probe, pair) {
        Err(is_fine) => is_fine,
        Ok(ticket) => {
            if let Some(own) = &own {
                serve(probe, own, || is_ended(probe, pair, &ticket));
            }
            let ended = release(probe, pair, ticket);
            own.is_none() || ended == Some(Ended::Done(7))
        }
    };
    let submit_and_cancel = |probe: &Probe| match submit(probe, pair) {
        Err(is_fine) => is_fine,
        Ok(ticket) => {
            let id = pair.task_id(&ticket);
            let cancelled = probe.run("handle::cancel", || pair.cancel(id));
            let ended = release(probe, pair, ticket);
            if let Some(own) = &own {
                serve(probe, own, || false);
            }
            cancelled && ended == Some(Ended::Cancelled)
        }
    };
    let spawn_and_run = |probe: &Probe| {
        let spawned = probe.run("scheduler::spawn", || pair.spawn(|_| ()));
        let is_fine = !matches!(spawned, Err(SpawnError::Exhausted(..)));
        let Some(own) = &own else { return is_fine };
        let kept = probe.run("worker::spawn", || own.spawn(|_| ())).is_ok();
        let ran = probe.run("worker::run_one", || own.run_one());
        serve(probe, own, || false);
        is_fine && kept && ran
    };
    drive(vec![
        Box::new(submit_and_run),
        Box::new(submit_and_cancel),
        Box::new(spawn_and_run),
    ]);
}

fn outsiders(pair: &Pair, _: &Probe, drive: Drive<'_>) {
    outsiders_and(pair, &[worker(1)], drive);
}

/// The same without a worker.
pub fn outsiders_alone(pair: &Pair, _: &Probe, drive: Drive<'_>) {
    drive(vec![Box::new(|probe| {
        let Ok(ticket) = probe.run("handle::submit", || pair.submit(|_| 7)) else {
            return false;
        };
        let id = pair.task_id(&ticket);
        probe.run("handle::cancel", || pair.cancel(id));
        release(probe, pair, ticket).is_some()
    })]);
}

/// A ticket whose task was not taken yet.
fn submitted(pair: &Pair) -> Ticket<u32> {
    pair.submit(|_| 9).expect("there is room")
}

const VICTIMS: [(&str, Body<Pair>); 15] = [
    ("handle::submit", |pair, probe| {
        let _ = probe.run("handle::submit", || pair.submit(|_| 9));
    }),
    ("handle::reserve", |pair, probe| {
        let _ = probe.run("handle::reserve", || pair.reserve().is_ok());
    }),
    ("handle::task_id", |pair, probe| {
        let ticket = submitted(pair);
        probe.run("handle::task_id", || pair.task_id(&ticket));
        release(probe, pair, ticket);
    }),
    ("handle::cancel", |pair, probe| {
        let ticket = submitted(pair);
        let id = pair.task_id(&ticket);
        // SAFETY: the ticket is of this scheduler.
        unsafe { pair.register(&mut { ticket }, Waker::noop()) };
        probe.run("handle::cancel", || pair.cancel(id));
    }),
    ("handle::is_finished", |pair, probe| {
        let ticket = submitted(pair);
        is_ended(probe, pair, &ticket);
    }),
    ("handle::register", |pair, probe| {
        let mut ticket = submitted(pair);
        probe.run("handle::register", || {
            // SAFETY: the ticket is of this scheduler.
            unsafe { pair.register(&mut ticket, Waker::noop()) }
        });
        release(probe, pair, ticket);
    }),
    ("handle::unregister", |pair, probe| {
        let mut ticket = submitted(pair);
        // SAFETY: the ticket is of this scheduler.
        unsafe { pair.register(&mut ticket, Waker::noop()) };
        probe.run("handle::unregister", || {
            // SAFETY: the ticket is of this scheduler.
            unsafe { pair.unregister(&mut ticket) };
        });
        release(probe, pair, ticket);
    }),
    ("handle::release", |pair, probe| {
        let ticket = submitted(pair);
        release(probe, pair, ticket);
    }),
    ("scheduler::spawn", |pair, probe| {
        let _ = probe.run("scheduler::spawn", || pair.spawn(|_| ()));
    }),
    ("scheduler::spawn_reserved", |pair, probe| {
        probe.run("scheduler::spawn_reserved", || {
            // SAFETY: the task borrows nothing.
            let _ = unsafe { pair.spawn_reserved(|_| ()) };
        });
    }),
    ("scheduler::close", |pair, probe| {
        pair.enter_starvation();
        probe.run("scheduler::close", || pair.close());
    }),
    ("scheduler::starvation", |pair, probe| {
        probe.run("scheduler::starvation", || {
            pair.enter_starvation();
            pair.leave_starvation();
        });
    }),
    ("metrics::executed", |pair, probe| {
        let counters = pair.counters(worker(0)).unwrap();
        probe.run("metrics::executed", || counters.executed());
    }),
    ("task::fmt", |_, probe| {
        let slot = Slot::new();
        probe.run("task::fmt", || format!("{slot:?}"));
    }),
    ("scheduler::drop_leftovers", |pair, probe| {
        let ticket = submitted(pair);
        probe.run("scheduler::drop_leftovers", || pair.drop_leftovers());
        release(probe, pair, ticket);
    }),
];

/// All scenarios of this file.
pub fn scenarios(tally: &mut Tally) -> Result<(), Fault> {
    for (operation, victim) in VICTIMS {
        let scenario = Scenario {
            operation,
            world: scheduler::<2, 16>,
            victim,
            others: outsiders,
            second: outsiders_alone,
            sleeper: None,
        };
        stall(tally, scenario)?;
    }
    Ok(())
}
