//! The arena and the latch: stopped takers and givers of slots, stopped counters.

use std::cell::Cell;

use pinfold_core::arena::{Arena, Magazine};
use pinfold_core::latch::CountLatch;
use pinfold_core::task::Slot;

use crate::harness::{Body, Drive, Fault, Probe, Scenario};
use crate::support::worker;
use crate::tally::Tally;
use crate::ways::stall;

type Slots = Arena<[Slot; 16]>;

/// `used` slots stand on the stack, the others were never used.
fn arena(used: usize) -> Slots {
    let arena = Arena::fixed();
    let taken: Vec<_> = (0..used).filter_map(|_| arena.take_shared()).collect();
    for index in taken {
        arena.give_shared(index);
    }
    arena
}

/// Who takes a slot and gives it back, by turns and at once, with a magazine and without. There is
/// always one: what the victim holds is less than there is.
fn takers(arena: &Slots, _: &Probe, drive: Drive<'_>) {
    let (held, magazine) = (Cell::new(None), Magazine::new(2));
    let by_turns = |probe: &Probe| match held.take() {
        Some(index) => {
            probe.run("arena::give_shared", || arena.give_shared(index));
            true
        }
        None => {
            held.set(probe.run("arena::take_shared", || arena.take_shared()));
            held.get().is_some()
        }
    };
    let own = |probe: &Probe| {
        let taken = [(); 3].map(|()| probe.run("arena::take", || arena.take(&magazine)));
        for index in taken.into_iter().flatten() {
            probe.run("arena::give", || arena.give(&magazine, index));
        }
        probe.run("arena::empty", || arena.empty(&magazine));
        !taken.contains(&None)
    };
    drive(vec![Box::new(by_turns), Box::new(own)]);
}

const ARENA: [(&str, Body<Slots>); 7] = [
    ("arena::take_shared", |arena, probe| {
        probe.run("arena::take_shared", || arena.take_shared());
    }),
    ("arena::give_shared", |arena, probe| {
        let index = arena.take_shared().unwrap();
        probe.run("arena::give_shared", || arena.give_shared(index));
    }),
    ("arena::take", |arena, probe| {
        let magazine = Magazine::new(2);
        probe.run("arena::take", || arena.take(&magazine));
    }),
    ("arena::give", |arena, probe| {
        // The last one is one too many for the magazine.
        let magazine = Magazine::new(2);
        let taken = [(); 3].map(|()| arena.take(&magazine).unwrap());
        for index in &taken[1..] {
            arena.give(&magazine, *index);
        }
        probe.run("arena::give", || arena.give(&magazine, taken[0]));
    }),
    ("arena::empty", |arena, probe| {
        let magazine = Magazine::new(2);
        let taken = [(); 2].map(|()| arena.take(&magazine).unwrap());
        for index in taken {
            arena.give(&magazine, index);
        }
        probe.run("arena::empty", || arena.empty(&magazine));
    }),
    ("arena::high_water", |arena, probe| {
        probe.run("arena::high_water", || arena.high_water());
    }),
    ("arena::fmt", |arena, probe| {
        probe.run("arena::fmt", || format!("{arena:?}"));
    }),
];

/// Of 16 slots four are set aside.
fn reserve() -> Slots {
    Arena::with_reserve(core::array::from_fn(|_| Slot::new()), 4)
}

/// Who takes two of the slots that are set aside and gives them back. The victim holds one at most, and
/// another user one.
fn reservers(arena: &Slots, _: &Probe, drive: Drive<'_>) {
    drive(vec![Box::new(|probe| {
        let taken = probe.run("arena::take_reserved", || arena.take_reserved());
        if let Some(index) = taken {
            probe.run("arena::give_shared", || arena.give_shared(index));
        }
        taken.is_some()
    })]);
}

const RESERVE: [(&str, Body<Slots>); 3] = [
    ("arena::take_reserved", |arena, probe| {
        probe.run("arena::take_reserved", || arena.take_reserved());
    }),
    ("arena::give_shared", |arena, probe| {
        let index = arena.take_reserved().unwrap();
        probe.run("arena::give_shared", || arena.give_shared(index));
    }),
    ("arena::give", |arena, probe| {
        let index = arena.take_reserved().unwrap();
        let magazine = Magazine::new(2);
        probe.run("arena::give", || arena.give(&magazine, index));
    }),
];

/// Who counts one more and one less; the last share is nobody's.
fn counters(latch: &CountLatch, _: &Probe, drive: Drive<'_>) {
    drive(vec![Box::new(|probe| {
        probe.run("latch::add", || latch.add(1));
        let waiter = probe.run("latch::done", || latch.done(1));
        probe.run("latch::is_done", || latch.is_done());
        waiter.is_none()
    })]);
}

/// Who only looks, while the victim counts to zero.
fn lookers(latch: &CountLatch, _: &Probe, drive: Drive<'_>) {
    drive(vec![Box::new(|probe| {
        probe.run("latch::is_done", || latch.is_done());
        true
    })]);
}

const LATCH: [(&str, Body<CountLatch>); 5] = [
    ("latch::add", |latch, probe| {
        probe.run("latch::add", || latch.add(1));
    }),
    ("latch::done", |latch, probe| {
        latch.add(1);
        let waiter = probe.run("latch::done", || latch.done(1));
        assert_eq!(waiter, None, "there is one left");
    }),
    ("latch::is_done", |latch, probe| {
        let done = probe.run("latch::is_done", || latch.is_done());
        assert!(!done, "there is one left");
    }),
    ("latch::register", |latch, probe| {
        probe.run("latch::register", || latch.register(worker(1)));
    }),
    ("latch::fmt", |latch, probe| {
        probe.run("latch::fmt", || format!("{latch:?}"));
    }),
];

/// All scenarios of this file.
pub fn scenarios(tally: &mut Tally) -> Result<(), Fault> {
    for world in [|| arena(0), || arena(3), || arena(16)] {
        for (operation, victim) in ARENA {
            let scenario = Scenario {
                operation,
                world,
                victim,
                others: takers,
                second: takers,
                sleeper: None,
            };
            stall(tally, scenario)?;
        }
    }
    for (operation, victim) in RESERVE {
        let scenario = Scenario {
            operation,
            world: reserve,
            victim,
            others: reservers,
            second: reservers,
            sleeper: None,
        };
        stall(tally, scenario)?;
    }
    for (operation, victim) in LATCH {
        let scenario = Scenario {
            operation,
            world: || CountLatch::new(1),
            victim,
            others: counters,
            second: counters,
            sleeper: None,
        };
        stall(tally, scenario)?;
    }
    let wait = Scenario {
        operation: "latch::wait_with",
        world: || CountLatch::new(1),
        victim: |latch, probe| {
            probe.run("latch::wait_with", || {
                latch.wait_with(worker(1), || assert_eq!(latch.done(1), Some(worker(1))));
            });
        },
        others: lookers,
        second: lookers,
        sleeper: None,
    };
    stall(tally, wait)
}
