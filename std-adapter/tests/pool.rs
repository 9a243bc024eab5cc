//! The contract of a pool, call by call.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use common::{Drops, Gate, panic_of, text, until, watchdog};
use pinfold::{BuildError, Builder, JoinError, Pool, Start, SubmitError, current_worker};

/// Whether this thread is worker `index` of a pool called `name`, and knows it.
fn is_worker(name: &str, index: usize) -> bool {
    let thread = thread::current();
    let known = current_worker().map(|id| id.index());
    known == Some(index) && thread.name() == Some(&format!("{name}-{index}"))
}

/// How many threads of this process have a name that begins so, where there is a `/proc`.
fn threads_called(prefix: &str) -> Option<usize> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let names = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    Some(names.filter(|name| name.starts_with(prefix)).count())
}

#[test]
fn install_runs_on_a_worker_and_returns_what_it_borrowed() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(1).name("one").build().unwrap();
    assert_eq!(current_worker(), None);
    let words = [String::from("a"), String::from("b")];
    let first = pool.install(|| {
        assert!(is_worker("one", 0));
        // Inside, it is simply called.
        pool.install(|| assert!(is_worker("one", 0)));
        &words[0]
    });
    assert_eq!(first, "a");
    assert_eq!(current_worker(), None);
    assert_eq!(panic_of(|| pool.install(|| panic!("inside"))), "inside");
    assert_eq!(pool.install(|| 7), 7);
}

#[test]
fn join_returns_both_in_order_and_panics_with_either() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let mut halves = [1, 2];
    let (left, right) = halves.split_at_mut(1);
    let results = pool.join(
        || {
            left[0] += 10;
            "a"
        },
        || {
            right[0] += 10;
            String::from("b")
        },
    );
    assert_eq!(results, ("a", String::from("b")));
    assert_eq!(halves, [11, 12]);
    assert_eq!(panic_of(|| pool.join(|| panic!("left"), || 1)), "left");
    assert_eq!(panic_of(|| pool.join(|| 1, || panic!("right"))), "right");
}

#[test]
fn scope_waits_for_all_and_panics_after_all() {
    let _dog = watchdog();
    let pool = Pool::new(2).unwrap();
    let mut squares = vec![0; 1000];
    let count = pool.scope(|s| {
        for (index, square) in squares.iter_mut().enumerate() {
            s.spawn(move |_| *square = index * index);
        }
        1000
    });
    assert_eq!(count, 1000);
    assert!((0..1000).all(|index| squares[index] == index * index));

    let ran = AtomicUsize::new(0);
    let panicked = panic_of(|| {
        pool.scope(|s| {
            for index in 0..100 {
                let ran = &ran;
                s.spawn(move |_| {
                    ran.fetch_add(1, Ordering::SeqCst);
                    assert_ne!(index, 50, "the fiftieth");
                });
            }
        });
    });
    assert!(panicked.contains("the fiftieth"), "{panicked}");
    assert_eq!(ran.into_inner(), 100);
}

#[test]
fn spawn_runs_each_once_and_the_handler_gets_panics() {
    let _dog = watchdog();
    let (panicked, panics) = mpsc::channel();
    let panicked = Mutex::new(panicked);
    let handler = move |payload: pinfold::PanicPayload| {
        let text = text(payload.as_ref()).to_owned();
        panicked.lock().unwrap().send(text).unwrap();
    };
    let builder = Pool::builder().workers(2).panic_handler(handler);
    let pool = builder.build().unwrap();
    let (drops, ran) = (Drops::new(), std::sync::Arc::new(AtomicUsize::new(0)));
    for _ in 0..1000 {
        let (one, ran) = (drops.one(), std::sync::Arc::clone(&ran));
        pool.spawn(move || {
            ran.fetch_add(1, Ordering::SeqCst);
            drop(one);
        });
    }
    pool.spawn(|| panic!("nobody joins"));
    assert_eq!(panics.recv().unwrap(), "nobody joins");
    // Dropping it waits for all.
    drop(pool);
    assert_eq!((ran.load(Ordering::SeqCst), drops.count()), (1000, 1000));
}

#[test]
fn submit_hands_out_results_panics_and_cancellations() {
    let _dog = watchdog();
    let pool = Pool::new(1).unwrap();
    assert_eq!(pool.submit(|| 7).unwrap().join().unwrap(), 7);
    assert_eq!(pool.submit(|| [7; 100]).unwrap().join().unwrap(), [7; 100]);
    let large = [3_u64; 100];
    let sum = pool.submit(move || large.iter().sum::<u64>());
    assert_eq!(sum.unwrap().join().unwrap(), 300);
    match pool.submit(|| panic!("inside")).unwrap().join() {
        Err(JoinError::Panicked(payload)) => assert_eq!(text(payload.as_ref()), "inside"),
        other => panic!("{other:?}"),
    }
    let panicked = pool.submit(|| panic!("again")).unwrap().join().unwrap_err();
    assert!(panicked.is_panic());
    assert_eq!(text(panicked.into_panic().unwrap().as_ref()), "again");
    let (started, gate) = (Gate::new(), Gate::new());
    let busy = pool.submit({
        let (started, gate) = (started.clone(), gate.clone());
        move || {
            started.open();
            gate.wait();
        }
    });
    let busy = busy.unwrap();
    started.wait();
    assert!(!busy.cancel(), "it has started");
    let queued = pool.submit(|| 1).unwrap();
    assert!(queued.cancel());
    gate.open();
    let cancelled = queued.join().unwrap_err();
    assert!(matches!(cancelled, JoinError::Cancelled) && !cancelled.is_panic());
    assert!(cancelled.into_panic().is_none());
    busy.join().unwrap();
}

#[test]
fn broadcast_reaches_each_worker_once_in_order() {
    let _dog = watchdog();
    for workers in [1, 3, 70] {
        let pool = Pool::builder().workers(workers).name("cast").build();
        let reached = pool.unwrap().broadcast(|context| {
            let index = context.worker().index();
            assert!(is_worker("cast", index));
            assert_eq!(context.workers(), workers);
            index
        });
        assert!(reached.into_iter().eq(0..workers));
    }
    let pool = Pool::new(2).unwrap();
    let ran = AtomicUsize::new(0);
    let panicked = panic_of(|| {
        pool.broadcast(|context| {
            ran.fetch_add(1, Ordering::SeqCst);
            assert_ne!(context.worker().index(), 1, "the second");
        })
    });
    assert!(panicked.contains("the second"), "{panicked}");
    assert_eq!(ran.into_inner(), 2);
}

#[test]
fn metrics_and_workers_agree() {
    let _dog = watchdog();
    let builder = Pool::builder().workers(2).name("counted").slots(256);
    let pool = builder.build().unwrap();
    pool.scope(|s| (0..1000).for_each(|_| s.spawn(|_| ())));
    until(|| pool.metrics().asleep == 2);
    let (metrics, workers) = (pool.metrics(), pool.workers());
    assert_eq!((metrics.workers, workers.len()), (2, 2));
    assert!(metrics.slots >= 256, "{metrics:?}");
    assert!(metrics.slots_high_water >= 1, "{metrics:?}");
    assert!(metrics.slots_high_water <= metrics.slots, "{metrics:?}");
    assert_eq!(metrics.injector_len, 0);
    assert!(metrics.sleeps >= 2, "{metrics:?}");
    // The body; of what it spawned, those that found a slot.
    assert!(metrics.executed >= 1, "{metrics:?}");
    let sum = |of: fn(&pinfold::WorkerStatus) -> u64| workers.iter().map(of).sum::<u64>();
    assert_eq!(sum(|w| w.executed), metrics.executed);
    assert_eq!(sum(|w| w.steals), metrics.steals);
    assert_eq!(sum(|w| w.promotions), metrics.promotions);
    assert!(sum(|w| w.injected) >= 1);
    for (index, worker) in workers.iter().enumerate() {
        assert_eq!(worker.id.index(), index);
        assert_eq!(worker.name, format!("counted-{index}"));
        assert!(worker.binding.is_none() && worker.binding_error.is_none());
    }
}

#[test]
fn free_functions_work_in_the_pool_they_are_called_in() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(1).name("free").build().unwrap();
    let (sender, receiver) = mpsc::channel();
    pool.install(|| {
        let (x, y) = pinfold::join(|| is_worker("free", 0), || is_worker("free", 0));
        assert!(x && y);
        pinfold::scope(|s| s.spawn(|_| assert!(is_worker("free", 0))));
        pinfold::spawn(move || sender.send(is_worker("free", 0)).unwrap());
    });
    assert!(receiver.recv().unwrap());
}

#[test]
fn free_functions_outside_use_the_global_pool() {
    let _dog = watchdog();
    let builder = Pool::builder().workers(2).name("global");
    pinfold::global::configure(builder).unwrap();
    let again = pinfold::global::configure(Builder::new()).unwrap_err();
    assert!(
        again.to_string().contains("before its first use"),
        "{again}"
    );
    let is_global = || {
        let me = current_worker().map(|id| id.index());
        is_worker("global", me.unwrap())
    };
    assert_eq!(pinfold::join(is_global, is_global), (true, true));
    assert!(pinfold::scope(|_| is_global()));
    let (sender, receiver) = mpsc::channel();
    pinfold::spawn(move || sender.send(is_global()).unwrap());
    assert!(receiver.recv().unwrap());
    assert!(pinfold::global::shutdown(pinfold::Shutdown::Drain).is_some());
    assert!(pinfold::global::shutdown(pinfold::Shutdown::Drain).is_none());
    // A new one comes at the next use.
    assert_eq!(pinfold::join(|| 1, || 2), (1, 2));
}

#[test]
fn refused_sizes_are_named_with_the_limit() {
    let _dog = watchdog();
    for bad in [0, Builder::MAX_WORKERS + 1, 100_000] {
        match Pool::new(bad).unwrap_err() {
            BuildError::Workers { given, most } => {
                assert_eq!((given, most), (bad, Builder::MAX_WORKERS));
            }
            other => panic!("{other}"),
        }
        let error = Pool::new(bad).unwrap_err().to_string();
        assert_eq!(error, format!("{bad} workers: give between 1 and 1024"));
    }
    for bad in [0, 1 << 40, usize::MAX] {
        let error = Pool::builder().workers(2).slots(bad).build().unwrap_err();
        match error {
            BuildError::Slots { given, most } => {
                assert_eq!(given, bad);
                assert!(most >= Builder::DEFAULT_SLOTS, "{most}");
            }
            other => panic!("{other}"),
        }
    }
    let lazy = Pool::builder().workers(0).start(Start::Lazy).build();
    assert!(matches!(lazy, Err(BuildError::Workers { given: 0, .. })));
}

#[test]
fn a_name_with_a_nul_is_refused_before_any_thread_is_made() {
    let _dog = watchdog();
    for start in [Start::Eager, Start::Lazy] {
        let builder = Pool::builder().workers(2).name("nul\0ed").start(start);
        let error = builder.build().unwrap_err();
        let shown = error.to_string();
        assert_eq!(
            shown,
            r#"the name "nul\0ed" has a NUL at byte 3: leave it out"#
        );
        let BuildError::Name { name, at } = error else {
            panic!("{shown}");
        };
        assert_eq!((name.as_str(), at), ("nul\0ed", 3));
        if let Some(threads) = threads_called("nul") {
            assert_eq!(threads, 0);
        }
    }
}

#[test]
fn a_worker_has_the_stack_that_was_asked_for() {
    let _dog = watchdog();
    // Each call keeps its frame until the deeper ones have returned.
    fn deep(calls: usize) -> usize {
        let mut frame = [calls; 8192];
        std::hint::black_box(&mut frame);
        match calls {
            0 => 0,
            _ => deep(calls - 1) + frame[0] / calls,
        }
    }
    let frames = 16 << 20;
    let calls = frames / (8192 * size_of::<usize>());
    // Without optimisation a frame holds the array twice.
    let pool = Pool::builder().workers(2).stack_size(4 * frames);
    let pool = pool.build().unwrap();
    assert_eq!(pool.broadcast(|_| deep(calls)), [calls; 2]);
}

#[test]
fn a_stack_that_cannot_be_had_is_an_error() {
    let _dog = watchdog();
    for bytes in [usize::MAX, usize::MAX >> 1] {
        let builder = Pool::builder().workers(2).name("huge").stack_size(bytes);
        match builder.build().unwrap_err() {
            BuildError::Thread { worker, .. } => assert_eq!(worker.index(), 0),
            other => panic!("{other}"),
        }
        if let Some(threads) = threads_called("huge") {
            assert_eq!(threads, 0);
        }
    }
}

#[test]
fn a_full_pool_gives_the_closure_back_with_figures() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(1).slots(16).build().unwrap();
    let (started, gate) = (Gate::new(), Gate::new());
    pool.spawn({
        let (started, gate) = (started.clone(), gate.clone());
        move || {
            started.open();
            gate.wait();
        }
    });
    started.wait();
    let drops = Drops::new();
    let mut handles = Vec::new();
    let error = loop {
        let (one, number) = (drops.one(), handles.len());
        match pool.submit(move || (drop(one), number).1) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
    };
    assert!(handles.len() >= 16, "{}", handles.len());
    let shown = error.to_string();
    let SubmitError::Full {
        task,
        slots,
        high_water,
    } = error
    else {
        panic!("{shown}");
    };
    assert_eq!(slots, pool.metrics().slots);
    assert_eq!(high_water, pool.metrics().slots_high_water);
    assert!(high_water <= slots && high_water > handles.len());
    assert!(shown.contains(&format!("all {slots} slots")), "{shown}");
    assert!(shown.contains(&format!("mark {high_water}")), "{shown}");
    assert_eq!((drops.count(), task()), (0, handles.len()));
    gate.open();
    for (number, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), number);
    }
}

#[test]
fn a_lazy_pool_makes_no_thread_until_it_is_used() {
    let _dog = watchdog();
    let build = |name, start| {
        let builder = Pool::builder().workers(3).name(name).start(start);
        builder.build().unwrap()
    };
    let eager = build("eager", Start::Eager);
    // A new thread gives itself its name, as its first act.
    if threads_called("eager-").is_some() {
        until(|| threads_called("eager-") == Some(3));
    }
    type Use = fn(&Pool);
    let uses: [(&str, Use); 6] = [
        ("lz-install", |pool| assert_eq!(pool.install(|| 7), 7)),
        ("lz-join", |pool| assert_eq!(pool.join(|| 1, || 2), (1, 2))),
        ("lz-spawn", |pool| pool.spawn(|| ())),
        ("lz-submit", |pool| {
            pool.submit(|| ()).unwrap().join().unwrap()
        }),
        ("lz-cast", |pool| assert_eq!(pool.broadcast(|_| 1), [1; 3])),
        ("lz-graph", |pool| {
            let graph = pinfold::graph::Builder::new();
            let _ = graph.task("a", || ());
            assert!(pool.run(&graph.build().unwrap()).is_ok());
        }),
    ];
    for (name, first_use) in uses {
        let lazy = build(name, Start::Lazy);
        assert_eq!(lazy.worker_count(), 3);
        assert!(format!("{lazy:?}").starts_with("Pool { .. }"), "{lazy:?}");
        assert_eq!((lazy.metrics().workers, lazy.workers().len()), (3, 3));
        common::give_time();
        if let Some(threads) = threads_called(name) {
            assert_eq!(threads, 0, "{name}");
        }
        first_use(&lazy);
        if threads_called(name).is_some() {
            until(|| threads_called(name) == Some(3));
        }
        drop(lazy);
    }
    // Never used, it ends all the same.
    drop(build("unused", Start::Lazy));
    drop(eager);
}

#[test]
fn threads_are_called_after_their_pool_and_end_with_it() {
    let _dog = watchdog();
    let pool = Pool::builder().workers(4).name("named").build().unwrap();
    let names = pool.broadcast(|_| thread::current().name().unwrap().to_owned());
    let expected: HashSet<_> = (0..4).map(|index| format!("named-{index}")).collect();
    assert_eq!(names.into_iter().collect::<HashSet<_>>(), expected);
    let default = Pool::new(1).unwrap();
    let name = default.install(|| thread::current().name().unwrap().to_owned());
    assert_eq!(name, "pinfold-0");
    drop(pool);
    // The kernel may list a joined thread for a moment.
    if threads_called("named-").is_some() {
        until(|| threads_called("named-") == Some(0));
    }
}
