//! The deque and the injector: stopped owners, thieves, producers, consumers.

use std::cell::Cell;

use pinfold_core::deque::{self, Deque, Steal};
use pinfold_core::injector::{self, Injector};

use crate::harness::{Body, Drive, Fault, Probe, Scenario};
use crate::tally::Tally;
use crate::ways::stall;

/// Two deques of eight words, of which the first is worked upon.
struct Deques {
    deque: Deque<[deque::Slot; 8]>,
    other: Deque<[deque::Slot; 8]>,
}

/// A deque that holds `words` words, with its counters not at zero.
fn deques(words: usize) -> Deques {
    let deques = Deques {
        deque: Deque::fixed(),
        other: Deque::fixed(),
    };
    let owner = deques.deque.owner().unwrap();
    for word in 0..words + 2 {
        owner.push(word).unwrap();
    }
    assert_eq!(deques.deque.steal(), Steal::Taken(0));
    assert_eq!(owner.pop(), Some(words + 1));
    drop(owner);
    deques
}

/// One more operation of two that take turns: the first fills, the second empties.
fn by_turns(turn: &Cell<bool>) -> bool {
    turn.set(!turn.get());
    turn.get()
}

/// A thief that takes what is there. Of the words that the world began with, `sure` are there for
/// it whatever the victim does; beyond those it need not find one, but it is never contended.
fn thieves(deques: &Deques, sure: usize, drive: Drive<'_>) {
    let taken = Cell::new(0);
    let own = deques.other.owner();
    let is_fine = |steal| match steal {
        Steal::Taken(_) => {
            taken.set(taken.get() + 1);
            true
        }
        Steal::Empty => taken.get() >= sure,
        Steal::Contended | Steal::Declined => false,
    };
    drive(vec![
        Box::new(|probe| is_fine(probe.run("deque::steal", || deques.deque.steal()))),
        Box::new(|probe| {
            let Some(own) = &own else { return true };
            let fine = is_fine(probe.run("deque::steal_batch", || deques.deque.steal_batch(own)));
            while own.pop().is_some() {
                taken.set(taken.get() + 1);
            }
            fine
        }),
        Box::new(|probe| is_fine(probe.run("deque::steal_if", || deques.deque.steal_if(|_| true)))),
    ]);
}

fn many_thieves(deques: &Deques, _: &Probe, drive: Drive<'_>) {
    thieves(deques, 3, drive);
}

fn few_thieves(deques: &Deques, _: &Probe, drive: Drive<'_>) {
    thieves(deques, 0, drive);
}

/// Whether a search may have come to nothing: as often as the victim may have taken something.
fn is_spared(spare: &Cell<usize>, found: bool) -> bool {
    let is_fine = found || spare.get() > 0;
    if !found {
        spare.set(spare.get().saturating_sub(1));
    }
    is_fine
}

/// The most words that a victim takes.
const MOST: usize = 3;

/// An owner that pushes and pops by turns, one word and several; a thief that finds one after each
/// push. The victim is another thief.
fn owner_and_thief(deques: &Deques, _: &Probe, drive: Drive<'_>) {
    // Without, if somebody else owns it: then it is not this one's part to push.
    let owner = deques.deque.owner();
    let (turn, spare) = (Cell::new(false), Cell::new(MOST));
    let push_or_pop = |probe: &Probe| {
        let Some(owner) = &owner else { return true };
        if by_turns(&turn) {
            probe.run("deque::push", || owner.push(70)).is_ok()
        } else {
            is_spared(&spare, probe.run("deque::pop", || owner.pop()).is_some())
        }
    };
    let several = |probe: &Probe| {
        let Some(owner) = &owner else { return true };
        let mut words = [71, 72].into_iter();
        let pushed = probe.run("deque::push_all", || owner.push_all(&mut words));
        let popped = (0..pushed).filter(|_| probe.run("deque::pop", || owner.pop()).is_some());
        pushed == 2 && popped.count() == 2
    };
    let push_and_steal = |probe: &Probe| {
        let pushed = owner.as_ref().map(|owner| owner.push(73));
        let stolen = probe.run("deque::steal", || deques.deque.steal());
        pushed.is_none() || matches!(stolen, Steal::Taken(_))
    };
    drive(vec![
        Box::new(push_or_pop),
        Box::new(several),
        Box::new(push_and_steal),
    ]);
}

/// Pops, and finds one or not.
const POP: (&str, Body<Deques>) = ("deque::pop", |deques, probe| {
    let owner = deques.deque.owner().unwrap();
    probe.run("deque::pop", || owner.pop());
});

/// The owner's operations, with thieves beside it.
fn owner_scenarios(tally: &mut Tally) -> Result<(), Fault> {
    for (operation, victim) in OWNERS {
        let scenario = Scenario {
            operation,
            world: || deques(5),
            victim,
            others: many_thieves,
            second: few_thieves,
            sleeper: None,
        };
        stall(tally, scenario)?;
    }
    for world in [|| deques(0), || deques(1), || deques(2)] {
        let (operation, victim) = POP;
        let scenario = Scenario {
            operation,
            world,
            victim,
            others: few_thieves,
            second: few_thieves,
            sleeper: None,
        };
        stall(tally, scenario)?;
    }
    Ok(())
}

const OWNERS: [(&str, Body<Deques>); 7] = [
    POP,
    ("deque::push", |deques, probe| {
        let owner = deques.deque.owner().unwrap();
        probe.run("deque::push", || owner.push(9)).unwrap();
    }),
    ("deque::push_all", |deques, probe| {
        let owner = deques.deque.owner().unwrap();
        let mut words = [7, 8, 9].into_iter();
        probe.run("deque::push_all", || owner.push_all(&mut words));
    }),
    ("deque::peek", |deques, probe| {
        let owner = deques.deque.owner().unwrap();
        probe.run("deque::peek", || owner.peek());
    }),
    ("deque::is_full", |deques, probe| {
        let owner = deques.deque.owner().unwrap();
        probe.run("deque::is_full", || owner.is_full());
    }),
    ("deque::owner", |deques, probe| {
        let owner = probe.run("deque::owner", || deques.deque.owner());
        assert!(owner.is_some());
    }),
    ("deque::drop", |deques, probe| {
        let owner = deques.deque.owner().unwrap();
        probe.run("deque::drop", || drop(owner));
    }),
];

const THIEVES: [(&str, Body<Deques>); 5] = [
    ("deque::steal", |deques, probe| {
        let _ = probe.run("deque::steal", || deques.deque.steal());
    }),
    ("deque::steal_if", |deques, probe| {
        let _ = probe.run("deque::steal_if", || deques.deque.steal_if(|word| word > 1));
    }),
    ("deque::steal_batch", |deques, probe| {
        let own = deques.other.owner().unwrap();
        let _ = probe.run("deque::steal_batch", || deques.deque.steal_batch(&own));
    }),
    ("deque::len", |deques, probe| {
        probe.run("deque::len", || deques.deque.len());
    }),
    ("deque::fmt", |deques, probe| {
        probe.run("deque::fmt", || format!("{:?}", deques.deque));
    }),
];

fn deque_scenarios(tally: &mut Tally) -> Result<(), Fault> {
    owner_scenarios(tally)?;
    for world in [|| deques(0), || deques(1), || deques(4)] {
        for (operation, victim) in THIEVES {
            let scenario = Scenario {
                operation,
                world,
                victim,
                others: owner_and_thief,
                second: few_thieves,
                sleeper: None,
            };
            stall(tally, scenario)?;
        }
    }
    Ok(())
}

type Indices = Injector<[injector::Entry; 4]>;

/// Holds `count` indices, and was filled and emptied before.
fn injector(count: u32) -> Indices {
    let injector = Injector::fixed();
    for index in [0, 1, 2] {
        injector.push(index).unwrap();
        assert_eq!(injector.pop(), Some(index));
    }
    for index in 0..count {
        injector.push(index).unwrap();
    }
    injector
}

/// Who pushes and pops by turns, and finds room and an index: with one entry of four taken at the start,
/// the victim does not matter.
fn producer_and_consumer(injector: &Indices, _: &Probe, drive: Drive<'_>) {
    let turn = Cell::new(false);
    let push_or_pop = |probe: &Probe| {
        if by_turns(&turn) {
            probe.run("injector::push", || injector.push(3)).is_ok()
        } else {
            probe.run("injector::pop", || injector.pop()).is_some()
        }
    };
    let both = |probe: &Probe| {
        let pushed = probe.run("injector::push", || injector.push(2)).is_ok();
        pushed && probe.run("injector::pop", || injector.pop()).is_some()
    };
    drive(vec![Box::new(push_or_pop), Box::new(both)]);
}

const INJECTOR: [(&str, Body<Indices>); 6] = [
    ("injector::push", |injector, probe| {
        let _ = probe.run("injector::push", || injector.push(1));
    }),
    ("injector::pop", |injector, probe| {
        probe.run("injector::pop", || injector.pop());
    }),
    ("injector::pop_if", |injector, probe| {
        probe.run("injector::pop_if", || injector.pop_if(|index| index == 3));
    }),
    ("injector::len", |injector, probe| {
        probe.run("injector::len", || injector.len());
    }),
    ("injector::is_empty", |injector, probe| {
        probe.run("injector::is_empty", || injector.is_empty());
    }),
    ("injector::fmt", |injector, probe| {
        probe.run("injector::fmt", || format!("{injector:?}"));
    }),
];

/// Who empties a full queue first, or fills an empty one, and then goes on by turns.
fn fill_or_empty(injector: &Indices, _: &Probe, drive: Drive<'_>) {
    let turn = Cell::new(injector.len() == 4);
    let spare = Cell::new(1);
    drive(vec![Box::new(|probe| {
        if by_turns(&turn) {
            let pushed = probe.run("injector::push", || injector.push(3));
            is_spared(&spare, pushed.is_ok())
        } else {
            let popped = probe.run("injector::pop", || injector.pop());
            is_spared(&spare, popped.is_some())
        }
    })]);
}

/// All scenarios of this file.
pub fn scenarios(tally: &mut Tally) -> Result<(), Fault> {
    deque_scenarios(tally)?;
    for (operation, victim) in INJECTOR {
        let scenario = Scenario {
            operation,
            world: || injector(1),
            victim,
            others: producer_and_consumer,
            second: producer_and_consumer,
            sleeper: None,
        };
        stall(tally, scenario)?;
    }
    let full = Scenario::<Indices> {
        operation: "injector::push",
        world: || injector(4),
        victim: |injector, probe| {
            let _ = probe.run("injector::push", || injector.push(1));
        },
        others: fill_or_empty,
        second: producer_and_consumer,
        sleeper: None,
    };
    stall(tally, full)?;
    let empty = Scenario::<Indices> {
        operation: "injector::pop",
        world: || injector(0),
        victim: |injector, probe| {
            probe.run("injector::pop", || injector.pop());
        },
        ..full
    };
    stall(tally, empty)
}
