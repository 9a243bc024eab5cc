//! Stops one thread for good, and sees whether the others get on.

use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loom::thread::{self, JoinHandle, Thread, ThreadId};
use pinfold_core::sync::step::{self, Access};

use crate::claims::{Class, limit};

/// How often each of the others' operations is completed while the victim is stopped: more often than
/// any ring here has entries, so that they come round to the one that the victim may keep.
const ROUNDS: usize = 9;

/// The most switches away from one of two others that could have gone on.
pub const PREEMPTIONS: usize = 2;

/// One operation of a thread that goes on, done with one call. `false`: it came to nothing, although
/// nothing but the victim is in its way.
pub type Actor<'w> = Box<dyn FnMut(&Probe) -> bool + 'w>;

/// What is done with the actors, once they are there.
pub type Drive<'d> = &'d mut dyn FnMut(Vec<Actor<'_>>);

/// The body of a thread.
pub type Body<W> = fn(&W, &Probe);

/// Makes the actors of one thread, and calls what is done with them.
pub type Cast<W> = fn(&W, &Probe, Drive<'_>);

/// One operation to be stopped, and what goes on beside it.
#[derive(Debug)]
pub struct Scenario<W> {
    /// The operation in which the victim is stopped.
    pub operation: &'static str,
    /// What all threads share.
    pub world: fn() -> W,
    /// The victim: prepares, and then calls [`Probe::run`] for the operation.
    pub victim: Body<W>,
    /// Who goes on: all that can be done beside the victim.
    pub others: Cast<W>,
    /// A second one who goes on at the same time as the first.
    pub second: Cast<W>,
    /// One who sleeps meanwhile, if that is needed, until [`Probe::is_over`]; and who wakes it then.
    pub sleeper: Option<[Body<W>; 2]>,
}

impl<W> Clone for Scenario<W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Scenario<W> {}

/// Whom the victim meets on the way to where it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interlude {
    Nobody,
    /// At one step, one operation of another thread comes between.
    Once {
        at: usize,
        actor: usize,
    },
    /// At every step one does.
    Always {
        actor: usize,
    },
}

/// One way of stopping the victim.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The step before which the victim is stopped, from 1.
    pub stop_at: usize,
    pub interlude: Interlude,
    /// Whether the others see what the victim has written; or else as little of it as the memory model
    /// allows, for the checker offers the oldest value first.
    pub fresh: bool,
    /// With more than one, two others go on at the same time, in turns that the checker chooses anew
    /// in each.
    pub executions: usize,
}

impl Plan {
    /// Whether two others go on at the same time.
    pub fn is_crowd(&self) -> bool {
        self.executions > 1
    }
}

/// That somebody could not go on.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The operation in which the victim was stopped.
    pub operation: &'static str,
    /// The step before which it was stopped, from 1.
    pub step: usize,
    /// The names of that step; none if it was not stopped yet.
    pub sites: Vec<&'static str>,
    /// What happened.
    pub what: String,
    /// How it was stopped.
    pub plan: Plan,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operation, step) = (self.operation, self.step);
        if self.sites.is_empty() {
            write!(f, "{operation}, on the way to step {step}")?;
        } else {
            write!(f, "{operation}, stopped before its step {step}")?;
            write!(f, " ({})", self.sites.join(", "))?;
        }
        write!(f, ": {} [{:?}]", self.what, self.plan)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Running,
    /// At a step at which another operation comes between.
    Paused,
    Stopped,
    Released,
    Done,
}

/// An operation that a thread is in.
#[derive(Clone, Copy, Debug)]
struct Doing {
    thread: ThreadId,
    operation: &'static str,
    steps: usize,
    updates: usize,
}

/// The most that one operation has taken.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub operation: &'static str,
    pub steps: usize,
    pub updates: usize,
    /// Whether nobody else took a step meanwhile.
    pub alone: bool,
}

#[derive(Debug)]
struct State {
    victim: Where,
    victim_thread: Option<Thread>,
    driver: Option<Thread>,
    doing: Vec<Doing>,
    sites: Vec<&'static str>,
    over: bool,
    costs: Vec<Cost>,
    failure: Option<String>,
}

#[derive(Debug)]
struct Control {
    operation: &'static str,
    plan: Plan,
    state: Mutex<State>,
}

/// What a thread of a scenario reports to.
#[derive(Clone, Debug)]
pub struct Probe(Arc<Control>);

impl Probe {
    fn state(&self) -> MutexGuard<'_, State> {
        // No step of the model: held only between two of them.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For executions as planned.
    pub fn new(operation: &'static str, plan: Plan) -> Self {
        Probe(Arc::new(Control {
            operation,
            plan,
            state: Mutex::new(State::new()),
        }))
    }

    /// Is told of all steps while the watch lives.
    pub fn watch(&self) -> step::Watch {
        let probe = self.clone();
        step::watch(Rc::new(move |sites, access| probe.step(sites, access)))
    }

    /// Runs `operation` as `body`, with its steps counted; the victim's may be stopped.
    pub fn run<R>(&self, operation: &'static str, body: impl FnOnce() -> R) -> R {
        let thread = thread::current().id();
        self.state().doing.push(Doing {
            thread,
            operation,
            steps: 0,
            updates: 0,
        });
        let result = body();
        let mut state = self.state();
        let alone = if state.victim_thread.as_ref().map(Thread::id) == Some(thread) {
            self.0.plan.interlude == Interlude::Nobody && state.victim == Where::Running
        } else {
            !self.0.plan.is_crowd()
        };
        let place = state.doing.iter().position(|doing| doing.thread == thread);
        let done = state
            .doing
            .swap_remove(place.expect("it was put in just now"));
        state.costs.push(Cost {
            operation,
            steps: done.steps,
            updates: done.updates,
            alone,
        });
        result
    }

    /// Whether the execution is at its end.
    pub fn is_over(&self) -> bool {
        self.state().over
    }

    /// Lets other threads run until `is_so`.
    pub fn wait_until(&self, is_so: impl Fn() -> bool) {
        while !is_so() {
            thread::yield_now();
        }
    }

    /// Lets other threads run until `is_so`, unless the checker chooses the turns.
    pub fn settle(&self, is_so: impl Fn() -> bool) {
        if !self.0.plan.is_crowd() {
            self.wait_until(is_so);
        }
    }

    /// Lets other threads run `turns` times, or until `is_so`: whether it is.
    pub fn settle_for(&self, turns: usize, is_so: impl Fn() -> bool) -> bool {
        (0..turns).any(|_| {
            thread::yield_now();
            is_so()
        })
    }

    /// The names of the step before which the victim is stopped.
    pub fn stopped_at(&self) -> Vec<&'static str> {
        self.state().sites.clone()
    }

    /// Before each named step of any thread.
    fn step(&self, sites: &[&'static str], access: Access) {
        if thread::panicking() {
            // The execution is at its end, and what is dropped takes steps.
            return;
        }
        let thread = thread::current().id();
        let mut state = self.state();
        let Some(doing) = state.doing.iter_mut().find(|doing| doing.thread == thread) else {
            return;
        };
        doing.steps += 1;
        doing.updates += usize::from(access == Access::Update);
        let doing = *doing;
        let victim = state.victim_thread.as_ref().map(Thread::id);
        let is_victim = victim == Some(thread) && doing.operation == self.0.operation;
        let is_first = state.victim == Where::Running;
        if let Some(excess) = self.excess(&doing, is_victim, is_first) {
            state.failure.get_or_insert(excess.clone());
            drop(state);
            panic!("{excess}");
        }
        if is_victim {
            drop(state);
            self.victim_step(doing.steps, sites);
        }
    }

    /// What is wrong with the number of steps, if anything is.
    fn excess(&self, doing: &Doing, is_victim: bool, is_first: bool) -> Option<String> {
        let (plan, limit) = (&self.0.plan, limit(doing.operation));
        let alone = if is_victim {
            plan.interlude == Interlude::Nobody && is_first
        } else {
            !plan.is_crowd()
        };
        let factor = match limit.class {
            Class::WaitFree => 1,
            _ if alone => 1,
            // Each switch can spoil one attempt. Who interferes at every step can do so for ever.
            _ if is_victim => return None,
            _ => PREEMPTIONS + 1,
        };
        let (steps, updates) = (limit.steps * factor, limit.updates * factor);
        let who = doing.operation;
        if doing.steps > steps {
            Some(format!("{who} takes more than {steps} steps"))
        } else if doing.updates > updates {
            Some(format!(
                "{who} takes more than {updates} read-modify-writes"
            ))
        } else {
            None
        }
    }

    fn victim_step(&self, step: usize, sites: &[&'static str]) {
        let pause = match self.0.plan.interlude {
            Interlude::Nobody => false,
            Interlude::Once { at, .. } => at == step,
            Interlude::Always { .. } => true,
        };
        let is_released = self.state().victim == Where::Released;
        if pause && !is_released {
            self.halt(Where::Paused);
        }
        if step == self.0.plan.stop_at && !is_released {
            self.state().sites = sites.to_vec();
            self.halt(Where::Stopped);
        }
    }

    /// The victim stays here until the driver says otherwise.
    fn halt(&self, how: Where) {
        self.state().victim = how;
        if self.0.plan.fresh {
            let driver = self.state().driver.clone();
            driver.expect("the driver began first").unpark();
        }
        while self.state().victim == how {
            thread::park();
        }
    }

    fn go_on(&self, how: Where) {
        let mut state = self.state();
        let is_done = state.victim == Where::Done;
        if !is_done {
            state.victim = how;
        }
        let thread = state.victim_thread.clone();
        drop(state);
        if let (false, Some(thread)) = (is_done, thread) {
            thread.unpark();
        }
    }

    /// What the operations took, once.
    pub fn costs(&self) -> Vec<Cost> {
        std::mem::take(&mut self.state().costs)
    }

    /// The fault of an execution that ended with a panic, which says `what` if nobody else has.
    pub fn fault(&self, what: impl FnOnce() -> String) -> Fault {
        // By turns on one thread: it is held by nobody, or by who panics.
        let state = self.0.state.try_lock();
        let state = state.as_ref().ok();
        let failure = state.and_then(|state| state.failure.clone());
        Fault {
            operation: self.0.operation,
            step: self.0.plan.stop_at,
            sites: state.map_or_else(Vec::new, |state| state.sites.clone()),
            what: failure.unwrap_or_else(what),
            plan: self.0.plan,
        }
    }

    fn fail(&self, what: String) -> ! {
        self.state().failure.get_or_insert(what.clone());
        panic!("{what}");
    }
}

/// One execution.
pub fn execute<W: Send + Sync + 'static>(scenario: Scenario<W>, probe: &Probe) {
    probe.reset();
    let world = Arc::new((scenario.world)());
    let sleeper = scenario.sleeper.map(|[body, wake]| {
        let sleeper = spawn(&world, probe, body);
        (sleeper, wake)
    });
    let victim = {
        let (world, probe) = (world.clone(), probe.clone());
        thread::spawn(move || {
            probe.state().victim_thread = Some(thread::current());
            (scenario.victim)(&world, &probe);
            probe.state().victim = Where::Done;
        })
    };
    let mut victim = Some(victim);
    let end = |victim: &mut Option<JoinHandle<()>>| {
        probe.go_on(Where::Released);
        if let Some(victim) = victim.take() {
            victim.join().unwrap();
        }
    };
    (scenario.others)(&world, probe, &mut |mut actors| {
        if probe.bring_to_the_stop(&mut actors) && !probe.0.plan.is_crowd() {
            probe.all_go_on(&mut actors);
        }
        if !probe.0.plan.is_crowd() {
            end(&mut victim);
        }
    });
    if probe.0.plan.is_crowd() {
        crowd_goes_on(scenario, &world, probe);
        end(&mut victim);
    }
    probe.state().over = true;
    if let Some((sleeper, wake)) = sleeper {
        wake(&world, probe);
        sleeper.join().unwrap();
    }
}

/// The others and the second go on at the same time.
fn crowd_goes_on<W: Send + Sync + 'static>(scenario: Scenario<W>, world: &Arc<W>, probe: &Probe) {
    let crowd = [scenario.others, scenario.second].map(|cast| {
        spawn(world, probe, move |world, probe| {
            cast(world, probe, &mut |mut actors| {
                for actor in &mut actors {
                    // What it comes to depends on who was first.
                    let _ = actor(probe);
                }
            });
        })
    });
    for thread in crowd {
        thread.join().unwrap();
    }
}

fn spawn<W: Send + Sync + 'static>(
    world: &Arc<W>,
    probe: &Probe,
    body: impl FnOnce(&W, &Probe) + 'static,
) -> JoinHandle<()> {
    let (world, probe) = (world.clone(), probe.clone());
    thread::spawn(move || body(&world, &probe))
}

impl Probe {
    fn reset(&self) {
        *self.state() = State {
            driver: Some(thread::current()),
            ..State::new()
        };
    }

    /// Lets the victim come to where it is stopped. `false`: it has ended before.
    fn bring_to_the_stop(&self, actors: &mut [Actor<'_>]) -> bool {
        loop {
            self.wait_until(|| self.state().victim != Where::Running);
            let how = self.state().victim;
            if how != Where::Paused {
                return how == Where::Stopped;
            }
            if let Interlude::Once { actor, .. } | Interlude::Always { actor } =
                self.0.plan.interlude
            {
                self.act(actor, actors);
            }
            self.go_on(Where::Running);
        }
    }

    fn all_go_on(&self, actors: &mut [Actor<'_>]) {
        for _ in 0..ROUNDS {
            for actor in 0..actors.len() {
                self.act(actor, actors);
            }
        }
    }

    fn act(&self, actor: usize, actors: &mut [Actor<'_>]) {
        let Some(body) = actors.get_mut(actor) else {
            return;
        };
        let before = self.state().costs.len();
        if !body(self) {
            let did: Vec<_> = self.state().costs[before..]
                .iter()
                .map(|cost| cost.operation)
                .collect();
            self.fail(format!("{} came to nothing", did.join(" and ")));
        }
    }
}

impl State {
    fn new() -> Self {
        State {
            victim: Where::Running,
            victim_thread: None,
            driver: None,
            doing: Vec::new(),
            sites: Vec::new(),
            over: false,
            costs: Vec::new(),
            failure: None,
        }
    }
}
