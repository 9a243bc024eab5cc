//! Runs of graphs: order, failures, sizes.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use common::{Random, watchdog};
use pinfold::graph::Outcome;
use pinfold::{Pool, graph};

/// A random graph, some tasks of which fail.
struct Dag {
    before: Vec<Vec<usize>>,
    fails: Vec<bool>,
    costs: Vec<u64>,
}

impl Dag {
    fn random(random: &mut Random) -> Dag {
        let len = 1 + random.below(300) as usize;
        // The edges keep to a random order, so that the indices do not.
        let mut order: Vec<usize> = (0..len).collect();
        for index in 1..len {
            order.swap(index, random.below(index as u64 + 1) as usize);
        }
        let mut before = vec![Vec::new(); len];
        for place in 1..len {
            for _ in 0..random.below(4) {
                before[order[place]].push(order[random.below(place as u64) as usize]);
            }
        }
        let failing = random.below(3);
        Dag {
            before,
            fails: (0..len).map(|_| random.below(40) < failing).collect(),
            costs: (0..len).map(|_| random.below(5)).collect(),
        }
    }

    /// The failing tasks that come before `task`, if all run that may.
    fn causes(&self, task: usize) -> Vec<usize> {
        let (mut seen, mut causes) = (vec![false; self.before.len()], Vec::new());
        let mut stack = self.before[task].clone();
        while let Some(next) = stack.pop() {
            if !std::mem::replace(&mut seen[next], true) {
                stack.extend(&self.before[next]);
                causes.extend(self.fails[next].then_some(next));
            }
        }
        causes
    }

    /// Each task notes when it started and ended, by a clock that ticks at each of the two.
    fn build(&self, notes: &Arc<Notes>) -> graph::Graph {
        let builder = graph::Builder::new();
        let task = |index: usize| {
            let (notes, fails) = (Arc::clone(notes), self.fails[index]);
            let body = move || {
                let note = &notes.tasks[index];
                note.started.store(notes.tick(), Ordering::SeqCst);
                note.runs.fetch_add(1, Ordering::SeqCst);
                note.ended.store(notes.tick(), Ordering::SeqCst);
                if fails { Err("as told") } else { Ok(()) }
            };
            let task = builder.task(format!("t{index}"), body);
            task.cost(self.costs[index])
        };
        let tasks: Vec<_> = (0..self.before.len()).map(task).collect();
        for (task, before) in tasks.iter().zip(&self.before) {
            let _ = task.after(before.iter().map(|&index| tasks[index]));
        }
        builder.build().unwrap()
    }
}

#[derive(Default)]
struct Note {
    runs: AtomicUsize,
    started: AtomicUsize,
    ended: AtomicUsize,
}

struct Notes {
    clock: AtomicUsize,
    tasks: Vec<Note>,
}

impl Notes {
    fn tick(&self) -> usize {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }
}

#[test]
fn random_graphs_keep_their_order_and_skip_what_depends_on_failures() {
    let _dog = watchdog();
    let mut seeds = Random::from_env("PINFOLD_GRAPH_SEED");
    let pools = [1, 2, 4].map(|workers| Pool::new(workers).unwrap());
    for round in 0..150 {
        let seed = seeds.next();
        let at = |task: usize| format!("round {round}, graph of {seed}, task {task}");
        let dag = Dag::random(&mut Random::new(seed));
        let len = dag.before.len();
        let notes = Arc::new(Notes {
            clock: AtomicUsize::new(1),
            tasks: (0..len).map(|_| Note::default()).collect(),
        });
        let graph = dag.build(&notes);
        assert_eq!(graph.len(), len);
        let report = pools[round % pools.len()].run(&graph);
        for (task, note) in notes.tasks.iter().enumerate() {
            let causes = dag.causes(task);
            let runs = note.runs.load(Ordering::SeqCst);
            assert_eq!(runs, usize::from(causes.is_empty()), "{}", at(task));
            if runs == 1 {
                let started = note.started.load(Ordering::SeqCst);
                for &before in &dag.before[task] {
                    let ended = notes.tasks[before].ended.load(Ordering::SeqCst);
                    assert!(ended != 0 && ended < started, "{}", at(task));
                }
            }
            match report.task(task).unwrap().outcome() {
                Outcome::Ok => assert!(causes.is_empty() && !dag.fails[task], "{}", at(task)),
                Outcome::Failed(error) => {
                    assert!(causes.is_empty() && dag.fails[task], "{}", at(task));
                    assert_eq!(error.to_string(), "as told");
                }
                Outcome::Skipped { root_cause } => {
                    // The root: itself not skipped.
                    assert!(causes.contains(&root_cause), "{}", at(task));
                    assert!(dag.causes(root_cause).is_empty(), "{}", at(task));
                }
                other => panic!("{other:?}, {}", at(task)),
            }
        }
        assert_eq!(report.is_ok(), !dag.fails.contains(&true), "{}", at(0));
    }
}

#[test]
fn fail_fast_starts_nothing_more_and_says_cancelled() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    let builder = graph::Builder::new();
    let ran = Arc::new(AtomicUsize::new(0));
    // The costliest comes first.
    let failing = builder.task("fails", || Err("at once")).cost(1000);
    for index in 0..100 {
        let ran = Arc::clone(&ran);
        let _ = builder.task(index.to_string(), move || {
            ran.fetch_add(1, Ordering::SeqCst);
        });
    }
    let _ = builder.task("dependent", || ()).after([failing]);
    let graph = builder.build().unwrap();
    let report = pool.run_with(&graph, graph::RunOptions::new().fail_fast(true));
    assert!(matches!(
        report.task(0).unwrap().outcome(),
        Outcome::Failed(_)
    ));
    let cancelled = |task: &graph::TaskReport<'_>| matches!(task.outcome(), Outcome::Cancelled);
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    assert!(report.tasks().filter(cancelled).count() >= 100);
    drop(report);
    // Without the option they all run.
    assert!(!pool.run(&graph).is_ok());
    assert_eq!(ran.load(Ordering::SeqCst), 100);
}

#[test]
fn a_task_that_panics_has_failed_with_its_text() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let builder = graph::Builder::new();
    let panics = || -> () { panic!("a bad {}", "day") };
    let bad = builder.task("bad", panics);
    let _ = builder.task("after it", || ()).after([bad]);
    let _ = builder.task("times out", || Err(graph::TimedOut));
    let report = pool.run(&builder.build().unwrap());
    match report.task(0).unwrap().outcome() {
        Outcome::Failed(error) => assert_eq!(error.to_string(), "the task panicked: a bad day"),
        other => panic!("{other:?}"),
    }
    let skipped = report.task(1).unwrap();
    assert_eq!(skipped.name(), "after it");
    assert!(matches!(
        skipped.outcome(),
        Outcome::Skipped { root_cause: 0 }
    ));
    let late = report.task(2).unwrap().outcome();
    assert!(matches!(late, Outcome::TimedOut));
    assert!(report.task(3).is_none());
    assert_eq!(pool.install(|| 7), 7);
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_fails_its_task_alone() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    let builder = graph::Builder::new();
    let bomb = || -> () { std::panic::panic_any(common::PanicsOnDrop) };
    let bad = builder.task("bomb", bomb);
    let _ = builder.task("after it", || ()).after([bad]);
    let graph = builder.build().unwrap();
    for _ in 0..2 {
        let report = pool.run(&graph);
        let outcome = |task| report.task(task).unwrap().outcome();
        assert!(matches!(outcome(0), Outcome::Failed(_)));
        assert!(matches!(outcome(1), Outcome::Skipped { root_cause: 0 }));
    }
    assert_eq!(pool.install(|| 7), 7);
}

#[test]
fn a_panic_whose_payload_panics_when_dropped_does_not_kill_a_thief() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let home = Arc::new(Mutex::new(None));
    let both = Arc::new(Barrier::new(2));
    let builder = graph::Builder::new();
    for name in ["one", "other"] {
        let (home, both) = (Arc::clone(&home), Arc::clone(&both));
        let _ = builder.task(name, move || {
            both.wait();
            if *home.lock().unwrap() != Some(thread::current().id()) {
                std::panic::panic_any(common::PanicsOnDrop);
            }
        });
    }
    let graph = builder.build().unwrap();
    let report = pool.install(|| {
        *home.lock().unwrap() = Some(thread::current().id());
        pool.run(&graph)
    });
    assert!(!report.is_ok());
    assert_eq!(pool.broadcast(|_| ()).len(), 2);
}

/// Runs the graph twice; each task adds one.
#[track_caller]
fn runs_whole(graph: &graph::Graph, ran: &AtomicUsize) {
    let pool = Pool::new(2).unwrap();
    for _ in 0..2 {
        ran.store(0, Ordering::SeqCst);
        assert!(pool.run(graph).is_ok());
        assert_eq!(ran.load(Ordering::SeqCst), graph.len());
    }
}

#[test]
fn a_hundred_thousand_tasks_fan_out_and_in() {
    let _dog = watchdog();
    const WIDTH: usize = 100_000;
    let ran = Arc::new(AtomicUsize::new(0));
    let builder = graph::Builder::new();
    let count = |expected: Option<usize>| {
        let ran = Arc::clone(&ran);
        move || {
            let before = ran.fetch_add(1, Ordering::SeqCst);
            assert!(expected.is_none_or(|expected| expected == before));
        }
    };
    let first = builder.task("first", count(Some(0)));
    let middle: Vec<_> = (0..WIDTH)
        .map(|index| builder.task(index.to_string(), count(None)).after([first]))
        .collect();
    let _ = builder.task("last", count(Some(WIDTH + 1))).after(middle);
    runs_whole(&builder.build().unwrap(), &ran);
}

#[test]
fn a_chain_of_a_million_tasks_runs_in_order() {
    let _dog = watchdog();
    let ran = Arc::new(AtomicUsize::new(0));
    let builder = graph::Builder::new();
    let mut before = None;
    for index in 0..1_000_000 {
        let ran = Arc::clone(&ran);
        let task = builder.task(index.to_string(), move || {
            assert_eq!(ran.fetch_add(1, Ordering::SeqCst), index);
        });
        before = Some(task.after(before));
    }
    runs_whole(&builder.build().unwrap(), &ran);
}

#[test]
fn an_empty_graph_and_one_of_many_roots_run() {
    let _dog = watchdog();
    let ran = Arc::new(AtomicUsize::new(0));
    runs_whole(&graph::Builder::new().build().unwrap(), &ran);
    let builder = graph::Builder::new();
    for index in 0..5000 {
        let ran = Arc::clone(&ran);
        let _ = builder.task(index.to_string(), move || {
            ran.fetch_add(1, Ordering::SeqCst);
        });
    }
    runs_whole(&builder.build().unwrap(), &ran);
}

#[test]
fn one_graph_is_run_several_times_at_once() {
    let _dog = watchdog();
    let pools = [Pool::new(2).unwrap(), Pool::new(2).unwrap()];
    let ran = Arc::new(AtomicUsize::new(0));
    let builder = graph::Builder::new();
    let mut before: Vec<graph::Task<'_>> = Vec::new();
    for layer in 0..10 {
        let task = |index| {
            let ran = Arc::clone(&ran);
            let body = move || {
                ran.fetch_add(1, Ordering::SeqCst);
            };
            builder
                .task(format!("{layer}/{index}"), body)
                .after(before.iter().copied())
        };
        before = (0..10).map(task).collect();
    }
    let graph = builder.build().unwrap();
    std::thread::scope(|s| {
        for thread in 0..4 {
            let (pool, graph) = (&pools[thread % 2], &graph);
            s.spawn(move || (0..50).for_each(|_| assert!(pool.run(graph).is_ok())));
        }
    });
    assert_eq!(ran.load(Ordering::SeqCst), 4 * 50 * 100);
}

#[test]
fn a_run_after_a_failed_one_starts_clean() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let fails = Arc::new(AtomicBool::new(true));
    let builder = graph::Builder::new();
    let first = builder.task("first", {
        let fails = Arc::clone(&fails);
        move || match fails.load(Ordering::SeqCst) {
            true => Err("for now"),
            false => Ok(()),
        }
    });
    let _ = builder.task("second", || ()).after([first]);
    let graph = builder.build().unwrap();
    for fail_fast in [false, true, false] {
        let run = || pool.run_with(&graph, graph::RunOptions::new().fail_fast(fail_fast));
        fails.store(true, Ordering::SeqCst);
        let report = run();
        assert!(!report.is_ok());
        fails.store(false, Ordering::SeqCst);
        // While the failed report is alive, and with its memory used again.
        assert!(run().is_ok());
        let first = report.task(0).unwrap().outcome();
        assert!(matches!(first, Outcome::Failed(error) if error.to_string() == "for now"));
        drop(report);
        assert!(run().is_ok());
    }
}
