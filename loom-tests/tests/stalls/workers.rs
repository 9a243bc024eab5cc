//! Workers: stopped while they find, run, share and wait for tasks.

use pinfold_core::graph::{Node, Outcome, Plan, Run};

use crate::harness::{Body, Drive, Fault, Probe, Scenario};
use crate::support::{Words, scheduler, worker};
use crate::tally::Tally;
use crate::tasks::{Pair, Worker, outsiders_alone, outsiders_and};
use crate::ways::stall;

/// Worker 0 robs worker 1 and the other way round; outsiders submit, cancel and find results.
fn outsiders(pair: &Pair, _: &Probe, drive: Drive<'_>) {
    outsiders_and(pair, &[worker(1)], drive);
}

/// Calls `body` with worker 1, who robs worker 0.
fn as_worker_1(pair: &Pair, body: impl FnOnce(&Worker<'_>)) {
    let victims = [worker(0)];
    body(&pair.worker(worker(1), &victims).expect("nobody else is"));
}

/// Worker 1 runs one task, wherever it is.
fn run_one(pair: &Pair, probe: &Probe) {
    as_worker_1(pair, |own| {
        probe.run("worker::run_one", || own.run_one());
    });
}

/// Where the task is that worker 1 finds.
const FOUND: [fn() -> Pair; 6] = [
    scheduler::<2, 16>,
    // Outside.
    || {
        let pair = scheduler::<2, 16>();
        pair.spawn(|_| ()).unwrap();
        pair
    },
    // Outside, with a handle.
    || {
        let pair = scheduler::<2, 16>();
        let _kept = pair.submit(|_| 9).unwrap();
        pair
    },
    // Cancelled.
    || {
        let pair = scheduler::<2, 16>();
        let ticket = pair.submit(|_| 9).unwrap();
        assert!(pair.cancel(pair.task_id(&ticket)));
        // SAFETY: the ticket is of this scheduler.
        assert!(unsafe { pair.release(ticket) }.is_some());
        pair
    },
    // In the other's deque, the newest of two.
    || {
        let pair = scheduler::<2, 16>();
        let own = pair.worker(worker(0), &[]).unwrap();
        own.spawn(|_| ()).unwrap();
        own.spawn(|_| ()).unwrap();
        drop(own);
        pair
    },
    // In its own deque.
    || {
        let pair = scheduler::<2, 16>();
        let own = pair.worker(worker(1), &[]).unwrap();
        own.spawn(|_| ()).unwrap();
        drop(own);
        pair
    },
];

/// A pair of which somebody seems to be hungry.
fn hungry() -> Pair {
    let pair = scheduler::<2, 16>();
    pair.idle().enter_search();
    pair
}

const VICTIMS: [(&str, Body<Pair>); 7] = [
    ("worker::spawn", |pair, probe| {
        as_worker_1(pair, |own| {
            probe.run("worker::spawn", || own.spawn(|_| ())).unwrap();
        });
    }),
    ("worker::drop", |pair, probe| {
        let own = pair.worker(worker(1), &[]).unwrap();
        own.spawn(|_| ()).unwrap();
        probe.run("worker::drop", || drop(own));
    }),
    ("scope::spawn", |pair, probe| {
        as_worker_1(pair, |own| {
            own.scope(|scope| {
                let spawn = || scope.spawn(own, |_, _| ());
                probe.run("scope::spawn", spawn).unwrap();
            });
        });
    }),
    ("scope::spawn_on", |pair, probe| {
        as_worker_1(pair, |own| {
            own.scope(|scope| {
                scope.spawn_on(own, worker(1), |_, _| ()).unwrap();
                let post = || scope.spawn_on(own, worker(1), |_, _| ());
                probe.run("scope::spawn_on", post).unwrap();
            });
        });
    }),
    ("scope::scope", |pair, probe| {
        as_worker_1(pair, |own| {
            probe.run("scope::scope", || {
                own.scope(|scope| {
                    scope.spawn(own, |_, _| ()).unwrap();
                    scope.spawn_on(own, worker(1), |_, _| ()).unwrap();
                });
            });
        });
    }),
    ("join::join", |pair, probe| {
        as_worker_1(pair, |own| {
            let both = probe.run("join::join", || own.join(|_| 1, |_| 2));
            assert_eq!(both, (1, 2));
        });
    }),
    ("handle::wait", |pair, probe| {
        as_worker_1(pair, |own| {
            let mut ticket = pair.submit(|_| 9).unwrap();
            probe.run("handle::wait", || {
                // SAFETY: the ticket is of this worker's scheduler.
                unsafe { own.wait(&mut ticket) };
            });
            // SAFETY: the ticket is of this scheduler.
            let _ = unsafe { pair.release(ticket) };
        });
    }),
];

/// Node 0 before 1 to 4, more than a deque has room for; all four before 5, and that before 6.
fn plan() -> Plan<Words> {
    let offsets = Words(vec![0, 4, 5, 6, 7, 8, 9, 9]);
    let successors = Words(vec![1, 2, 3, 4, 5, 5, 5, 5, 6]);
    let zeros = || Words(vec![0; 7]);
    Plan::new(offsets, successors, zeros(), zeros(), &mut [0; 14]).unwrap()
}

/// A run of which node 2 comes to `outcome`, and in which node 3 stops the rest if `stop`.
fn run_graph(pair: &Pair, probe: &Probe, outcome: Outcome, stop: bool) {
    as_worker_1(pair, |own| {
        let (plan, mut run) = (plan(), Run::<[Node; 7]>::fixed());
        probe.run("graph::run_graph", || {
            own.run_graph(&plan, &mut run, &|_, run, node| {
                if stop && node == 3 {
                    run.stop();
                }
                if node == 2 { outcome } else { Outcome::Ok }
            })
            .unwrap();
        });
        probe.run("graph::outcome", || run.outcome(2));
    });
}

const GRAPHS: [(&str, Body<Pair>); 4] = [
    ("graph::run_graph", |pair, probe| {
        run_graph(pair, probe, Outcome::Ok, false);
    }),
    ("graph::run_graph", |pair, probe| {
        run_graph(pair, probe, Outcome::Failed, false);
    }),
    ("graph::run_graph", |pair, probe| {
        run_graph(pair, probe, Outcome::Ok, true);
    }),
    ("graph::outcome", |pair, probe| {
        run_graph(pair, probe, Outcome::Failed, false);
    }),
];

/// Worker 0, who serves until the close, and robs nobody.
const SERVER: [fn(&Pair, &Probe); 2] = [
    |pair, _| pair.worker(worker(0), &[]).unwrap().run_until_closed(),
    |pair, _| pair.close(),
];

/// What waits for worker 0, who serves.
const SERVED: [(&str, Body<Pair>); 2] = [
    ("scope::broadcast", |pair, probe| {
        as_worker_1(pair, |own| {
            probe
                .run("scope::broadcast", || own.broadcast(1, &|_| ()))
                .unwrap();
        });
    }),
    // The outer task stands in the way of who waits for the inner one, and goes to the shelf.
    ("scope::scope", |pair, probe| {
        as_worker_1(pair, |own| {
            probe.run("scope::scope", || {
                own.scope(|outer| {
                    outer.spawn(own, |_, _| ()).unwrap();
                    own.scope(|inner| {
                        inner.spawn_on(own, worker(0), |_, _| ()).unwrap();
                    });
                });
            });
        });
    }),
];

/// All scenarios of this file.
pub fn scenarios(tally: &mut Tally) -> Result<(), Fault> {
    let finding = Scenario {
        operation: "worker::run_one",
        world: scheduler::<2, 16>,
        victim: run_one,
        others: outsiders,
        second: outsiders_alone,
        sleeper: None,
    };
    for world in FOUND {
        stall(tally, Scenario { world, ..finding })?;
    }
    for (operation, victim) in VICTIMS.into_iter().chain(GRAPHS) {
        let scenario = Scenario {
            operation,
            victim,
            world: hungry,
            ..finding
        };
        stall(tally, scenario)?;
    }
    for (operation, victim) in SERVED {
        let scenario = Scenario {
            operation,
            victim,
            others: outsiders_alone,
            sleeper: Some(SERVER),
            ..finding
        };
        stall(tally, scenario)?;
    }
    Ok(())
}
