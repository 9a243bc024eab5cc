//! The idle set: stopped publishers, searchers and sleepers, beside one who sleeps.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use pinfold_core::idle::{IdleSet, Word};
use pinfold_core::platform::{Platform, WorkerId};

use crate::harness::{Body, Drive, Fault, Probe, Scenario};
use crate::support::{Parking, worker};
use crate::tally::Tally;
use crate::ways::stall;

/// Worker 0 sleeps, worker 1 is the victim's.
struct Sleepers {
    set: IdleSet<[Word; 1]>,
    parking: Parking,
    /// How often worker 0 was parked, and unparked. No steps of the model.
    parked: AtomicUsize,
    unparked: AtomicUsize,
    /// Worker 0 will not sleep any more.
    is_gone: AtomicBool,
}

impl Sleepers {
    fn new() -> Self {
        Sleepers {
            set: IdleSet::fixed(),
            parking: Parking::new(2),
            parked: AtomicUsize::new(0),
            unparked: AtomicUsize::new(0),
            is_gone: AtomicBool::new(false),
        }
    }

    fn is_asleep(&self) -> bool {
        self.parked.load(Relaxed) > self.unparked.load(Relaxed)
    }
}

impl Platform for Sleepers {
    /// The victim is woken as soon as it parks.
    fn park(&self, id: WorkerId) {
        if id == worker(1) {
            self.set.wake_one(self, id);
        } else {
            self.parked.fetch_add(1, Relaxed);
            self.parking.park(id);
        }
    }

    fn unpark(&self, id: WorkerId) {
        if id == worker(0) {
            self.unparked.fetch_add(1, Relaxed);
            self.parking.unpark(id);
        }
    }
}

/// Takes any work, and finds none.
fn sleep(sleepers: &Sleepers, probe: &Probe) {
    sleepers.set.enter_search();
    while !probe.is_over() {
        let _ = sleepers.set.sleep(sleepers, worker(0), || None::<()>);
    }
    sleepers.is_gone.store(true, Relaxed);
}

/// Waits for something in particular.
fn wait(sleepers: &Sleepers, probe: &Probe) {
    sleepers.set.enter_hunger();
    while !probe.is_over() {
        sleepers.set.wait(sleepers, worker(0), || None::<()>);
    }
    sleepers.is_gone.store(true, Relaxed);
}

fn wake(sleepers: &Sleepers, probe: &Probe) {
    probe.wait_until(|| sleepers.is_asleep() || sleepers.is_gone.load(Relaxed));
    sleepers.set.wake_one(sleepers, worker(0));
}

/// Publishers and searchers. Whoever was woken sleeps again before the next comes.
fn publishers(sleepers: &Sleepers, _: &Probe, drive: Drive<'_>) {
    let set = &sleepers.set;
    let publish = |probe: &Probe| {
        probe.run("idle::wake", || set.wake(sleepers, 2, &[worker(1)]));
        probe.settle(|| sleepers.is_asleep());
        probe.run("idle::is_anyone_hungry", || set.is_anyone_hungry())
    };
    let call = |probe: &Probe| {
        for id in [worker(0), worker(1)] {
            probe.run("idle::wake_one", || set.wake_one(sleepers, id));
        }
        probe.settle(|| sleepers.is_asleep());
        true
    };
    let search = |probe: &Probe| {
        probe.run("idle::enter_search", || set.enter_search());
        probe.run("idle::leave_search", || {
            set.leave_search(sleepers, &[], || false);
        });
        true
    };
    drive(vec![Box::new(publish), Box::new(call), Box::new(search)]);
}

const VICTIMS: [(&str, Body<Sleepers>); 12] = [
    ("idle::wake", |sleepers, probe| {
        probe.run("idle::wake", || {
            sleepers.set.wake(sleepers, 2, &[worker(1)])
        });
    }),
    ("idle::wake_one", |sleepers, probe| {
        probe.run("idle::wake_one", || {
            sleepers.set.wake_one(sleepers, worker(0));
        });
    }),
    ("idle::is_anyone_hungry", |sleepers, probe| {
        let set = &sleepers.set;
        probe.run("idle::is_anyone_hungry", || set.is_anyone_hungry());
    }),
    ("idle::enter_search", |sleepers, probe| {
        probe.run("idle::enter_search", || sleepers.set.enter_search());
    }),
    ("idle::leave_search", |sleepers, probe| {
        sleepers.set.enter_search();
        probe.run("idle::leave_search", || {
            sleepers.set.leave_search(sleepers, &[], || true);
        });
    }),
    ("idle::enter_hunger", |sleepers, probe| {
        probe.run("idle::enter_hunger", || sleepers.set.enter_hunger());
    }),
    ("idle::leave_hunger", |sleepers, probe| {
        sleepers.set.enter_hunger();
        probe.run("idle::leave_hunger", || sleepers.set.leave_hunger());
    }),
    ("idle::asleep", |sleepers, probe| {
        probe.run("idle::asleep", || sleepers.set.asleep());
    }),
    ("idle::sleep", |sleepers, probe| {
        sleepers.set.enter_search();
        let _ = probe.run("idle::sleep", || {
            sleepers.set.sleep(sleepers, worker(1), || None::<()>)
        });
    }),
    ("idle::sleep", |sleepers, probe| {
        sleepers.set.enter_search();
        let _ = probe.run("idle::sleep", || {
            sleepers.set.sleep(sleepers, worker(1), || Some(()))
        });
    }),
    ("idle::wait", |sleepers, probe| {
        probe.run("idle::wait", || {
            sleepers.set.wait(sleepers, worker(1), || None::<()>)
        });
    }),
    ("idle::wait", |sleepers, probe| {
        let mut looks = 0;
        probe.run("idle::wait", || {
            sleepers.set.wait(sleepers, worker(1), || {
                looks += 1;
                (looks == 2).then_some(())
            })
        });
    }),
];

/// All scenarios of this file.
pub fn scenarios(tally: &mut Tally) -> Result<(), Fault> {
    let wide_awake = Scenario::<Sleepers> {
        operation: "idle::wake, nobody hungry",
        world: Sleepers::new,
        victim: |sleepers, probe| {
            probe.run("idle::wake, nobody hungry", || {
                sleepers.set.wake(sleepers, 2, &[worker(1)])
            });
        },
        others: |sleepers, _, drive| {
            drive(vec![Box::new(|probe| {
                let woken = probe.run("idle::wake, nobody hungry", || {
                    sleepers.set.wake(sleepers, 1, &[])
                });
                woken == 0
            })]);
        },
        second: |_, _, drive| drive(Vec::new()),
        sleeper: None,
    };
    stall(tally, wide_awake)?;
    for (operation, victim) in VICTIMS {
        for body in [sleep, wait] {
            let scenario = Scenario {
                operation,
                world: Sleepers::new,
                victim,
                others: publishers,
                second: publishers,
                sleeper: Some([body, wake]),
            };
            stall(tally, scenario)?;
        }
    }
    Ok(())
}
