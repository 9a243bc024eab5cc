//! Pins on the machine that runs the tests. Each runs in a thread of its own, because a binding
//! stays with its thread.
#![cfg(any(target_os = "linux", target_os = "android"))]

use std::io::ErrorKind;
use std::thread;

use pinfold_affinity::{
    Allowed, BindError, Binding, CpuSet, Operation, Placement, Plan, Topology, bind_current,
    current_binding,
};

fn apart<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(body).join().unwrap()
}

#[test]
fn each_usable_cpu_can_be_pinned_and_is_read_back() {
    let usable = Allowed::current().cpus_on(&Topology::read().unwrap());
    for cpu in usable.iter() {
        let (bound, found) = apart(move || {
            (
                bind_current(&Binding::to_cpu(cpu)).unwrap(),
                current_binding().unwrap(),
            )
        });
        assert_eq!(bound.cpus(), &CpuSet::single(cpu));
        assert_eq!(found, CpuSet::single(cpu));
    }
}

#[test]
fn a_mask_of_several_cpus_is_read_back() {
    let usable = Allowed::current().cpus_on(&Topology::read().unwrap());
    if usable.len() < 2 {
        println!("skipped: needs two usable CPUs, has {usable}");
        return;
    }
    let pair: CpuSet = usable.iter().take(2).collect();
    let wanted = Binding::new(pair.clone()).unwrap();
    let found = apart(move || {
        // Narrow first, so that the wider mask is a change that can be seen.
        bind_current(&Binding::to_cpu(wanted.cpus().first().unwrap())).unwrap();
        bind_current(&wanted).unwrap();
        current_binding().unwrap()
    });
    assert_eq!(found, pair);
}

#[test]
fn the_spawning_thread_keeps_its_own_binding() {
    apart(|| {
        let before = current_binding().unwrap();
        let cpu = before.first().unwrap();
        thread::spawn(move || bind_current(&Binding::to_cpu(cpu)).unwrap())
            .join()
            .unwrap();
        assert_eq!(current_binding().unwrap(), before);
    });
}

/// The largest id below 1024 that this machine lacks.
fn absent_cpu() -> u16 {
    let known = Topology::read().unwrap();
    (0..1024)
        .rev()
        .find(|&cpu| known.cpu(cpu).is_none())
        .unwrap()
}

#[test]
fn a_cpu_that_does_not_exist_is_refused_with_errno_and_remedy() {
    let absent = absent_cpu();
    let error = apart(move || bind_current(&Binding::to_cpu(absent)).unwrap_err());
    let BindError::Refused {
        operation,
        cpus,
        source,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(*operation, Operation::PinCpu);
    assert_eq!(*cpus, CpuSet::single(absent));
    assert_eq!(
        (source.raw_os_error(), source.kind()),
        (Some(22), ErrorKind::InvalidInput)
    );
    assert!(
        error.to_string().ends_with("read Allowed and plan again"),
        "{error}"
    );
}

#[test]
fn a_refused_mask_leaves_the_binding_as_it_was() {
    let (first, second) = (absent_cpu(), absent_cpu() - 1);
    if Topology::read().unwrap().cpu(second).is_some() {
        println!("skipped: cpu {second} exists, needs two ids below 1024 that do not");
        return;
    }
    let (error, before, after) = apart(move || {
        let before = current_binding().unwrap();
        let pair = Binding::new(CpuSet::from_iter([first, second])).unwrap();
        (
            bind_current(&pair).unwrap_err(),
            before,
            current_binding().unwrap(),
        )
    });
    let BindError::Refused {
        operation, source, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (*operation, source.raw_os_error()),
        (Operation::SetMask, Some(22))
    );
    assert_eq!(before, after);
}

#[test]
fn a_mask_that_the_system_narrows_is_an_error_with_both_sets() {
    let absent = absent_cpu();
    let error = apart(move || {
        let first = current_binding().unwrap().first().unwrap();
        let pair = Binding::new(CpuSet::from_iter([first, absent])).unwrap();
        (first, bind_current(&pair).unwrap_err())
    });
    let (first, BindError::Differs { wanted, found }) = error else {
        panic!("{}", error.1)
    };
    assert_eq!(wanted, CpuSet::from_iter([first, absent]));
    assert_eq!(found, CpuSet::single(first));
}

#[test]
fn ids_beyond_the_calls_width_are_errors_not_aborts() {
    for cpus in [vec![1024], vec![0, 65535]] {
        let beyond = *cpus.last().unwrap();
        let binding = Binding::new(CpuSet::from_iter(cpus)).unwrap();
        let error = apart(move || bind_current(&binding).unwrap_err());
        assert!(
            matches!(error, BindError::OutOfReach { cpu, limit: 1023, .. } if cpu == beyond),
            "{error}"
        );
    }
}

#[test]
fn a_plan_for_this_machine_holds() {
    let machine = Topology::read().unwrap();
    let allowed = Allowed::current();
    for placement in [
        "compact,bind=cpu",
        "spread,bind=core",
        "spread,bind=group",
        "none",
    ] {
        let placement = Placement::parse(placement).unwrap();
        let workers = allowed.cpus_on(&machine).len() + 1;
        let plan = Plan::new(&machine, &allowed, &placement, workers).unwrap();
        for worker in plan.workers() {
            let Some(binding) = worker.binding().cloned() else {
                continue;
            };
            let wanted = binding.cpus().clone();
            assert_eq!(
                apart(move || bind_current(&binding).unwrap()).cpus(),
                &wanted
            );
        }
    }
}

#[test]
fn an_allowed_set_taken_after_a_pin_sees_one_cpu() {
    let cpus = apart(|| {
        let cpu = current_binding().unwrap().first().unwrap();
        bind_current(&Binding::to_cpu(cpu)).unwrap();
        (cpu, Allowed::current())
    });
    assert_eq!(cpus.1.cpus(), Some(&CpuSet::single(cpus.0)));
}
