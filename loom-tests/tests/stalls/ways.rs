//! In which ways a victim is stopped, and the executions of one way.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Once};

use crate::claims::{Class, limit};
use crate::harness::{Fault, Interlude, PREEMPTIONS, Plan, Probe, Scenario, execute};
use crate::tally::Tally;

/// Runs the scenario as planned; whether the victim came to the step at which it is stopped.
fn run<W: Send + Sync + 'static>(
    tally: &mut Tally,
    scenario: Scenario<W>,
    plan: Plan,
) -> Result<bool, Fault> {
    let probe = Probe::new(scenario.operation, plan);
    let costs = Arc::new(Mutex::new(Vec::new()));
    let (executed, collected) = (probe.clone(), costs.clone());
    name_what_is_under_way();
    UNDER_WAY.set(Some(probe.clone()));
    let watch = probe.watch();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        checker(plan).check(move || {
            execute(scenario, &executed);
            collected.lock().unwrap().append(&mut executed.costs());
        });
    }));
    drop(watch);
    UNDER_WAY.set(None);
    if let Err(panic) = outcome {
        return Err(probe.fault(|| text(&*panic)));
    }
    let sites = probe.stopped_at();
    let costs = std::mem::take(&mut *costs.lock().unwrap());
    tally.count(scenario.operation, &sites, &costs);
    Ok(!sites.is_empty())
}

/// The checker, for as many executions as planned.
fn checker(plan: Plan) -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    builder.preemption_bound = Some(if plan.is_crowd() { PREEMPTIONS } else { 0 });
    builder.checkpoint_interval = 1;
    // It looks at this before it begins.
    builder.max_permutations = Some(1 + plan.executions);
    builder
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic").to_owned()
}

thread_local! {
    static ACTORS: Cell<usize> = const { Cell::new(0) };
    /// The execution under way.
    static UNDER_WAY: RefCell<Option<Probe>> = const { RefCell::new(None) };
}

/// Has a panic say where the victim stands. What is dropped in its course may panic again, outside of
/// the checker, and then nothing comes after.
fn name_what_is_under_way() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            hook(panic);
            if let Some(probe) = UNDER_WAY.with_borrow(Clone::clone) {
                eprintln!("{}", probe.fault(|| String::from("see above")));
            }
        }));
    });
}

/// How far the ways of stopping go.
struct Reach {
    /// Steps after an interlude before which the victim is stopped.
    after: usize,
    /// Steps before which it is stopped if somebody comes between at each.
    always: usize,
    executions: usize,
}

impl Reach {
    /// What calls many others, each of which is stopped by itself too, is gone through less widely.
    fn of(operation: &str, alone: usize) -> Reach {
        match limit(operation).class {
            Class::Unclaimed if alone > 20 => Reach {
                after: 1,
                always: 20,
                executions: 5,
            },
            _ => Reach {
                after: 60,
                always: 30,
                executions: 25,
            },
        }
    }
}

/// Stops the victim before each of its steps, in all ways.
pub fn stall<W: Send + Sync + 'static>(
    tally: &mut Tally,
    scenario: Scenario<W>,
) -> Result<(), Fault> {
    for fresh in [true, false] {
        stall_seen(tally, scenario, fresh)?;
    }
    Ok(())
}

fn stall_seen<W: Send + Sync + 'static>(
    tally: &mut Tally,
    scenario: Scenario<W>,
    fresh: bool,
) -> Result<(), Fault> {
    let plan = |interlude, stop_at| Plan {
        stop_at,
        interlude,
        fresh,
        executions: 1,
    };
    let mut alone = 0;
    while run(tally, scenario, plan(Interlude::Nobody, alone + 1))? {
        alone += 1;
    }
    assert_ne!(alone, 0, "{} has no step", scenario.operation);
    let reach = Reach::of(scenario.operation, alone);
    for actor in 0..count_actors(scenario, plan(Interlude::Nobody, usize::MAX)) {
        for at in 1..=alone {
            let once = plan(Interlude::Once { at, actor }, 0);
            stops(tally, scenario, once, at + 1..=at + reach.after)?;
        }
        // One that is not wait-free may go round for ever.
        let always = plan(Interlude::Always { actor }, 0);
        stops(tally, scenario, always, 1..=reach.always)?;
    }
    let crowd = Plan {
        executions: reach.executions,
        ..plan(Interlude::Nobody, 0)
    };
    stops(tally, scenario, crowd, 1..=alone)
}

/// Stops the victim before each of `steps`, as far as it comes.
fn stops<W: Send + Sync + 'static>(
    tally: &mut Tally,
    scenario: Scenario<W>,
    plan: Plan,
    steps: RangeInclusive<usize>,
) -> Result<(), Fault> {
    for stop_at in steps {
        if !run(tally, scenario, Plan { stop_at, ..plan })? {
            break;
        }
    }
    Ok(())
}

/// How many actors the others are.
fn count_actors<W: Send + Sync + 'static>(scenario: Scenario<W>, plan: Plan) -> usize {
    let probe = Probe::new(scenario.operation, plan);
    checker(plan).check(move || {
        let world = (scenario.world)();
        (scenario.others)(&world, &probe, &mut |actors| ACTORS.set(actors.len()));
    });
    ACTORS.get()
}
