//! Plans for small machines.

use super::*;
use crate::fake::{DESKTOP, Machine, SERVER, Shape};
use proptest::prelude::*;

fn plan(topology: &Topology, placement: &str, workers: usize) -> Plan {
    let placement = Placement::parse(placement).unwrap();
    Plan::new(topology, &Allowed::unrestricted(), &placement, workers).unwrap()
}

fn refused(topology: &Topology, placement: &str, workers: usize) -> PlanError {
    let placement = Placement::parse(placement).unwrap();
    Plan::new(topology, &Allowed::unrestricted(), &placement, workers).unwrap_err()
}

fn cpus(plan: &Plan) -> Vec<CpuId> {
    plan.workers().filter_map(WorkerPlan::cpu).collect()
}

fn bindings(plan: &Plan) -> Vec<String> {
    let bound = plan.workers().filter_map(WorkerPlan::binding);
    bound.map(|binding| binding.cpus().to_string()).collect()
}

#[test]
fn none_chooses_nothing() {
    let plan = plan(&Machine::new(SERVER).topology(), "none", 3);
    assert_eq!(cpus(&plan), []);
    assert_eq!(bindings(&plan), [] as [&str; 0]);
    assert_eq!((plan.group(2), plan.groups()), (0, 1));
    assert_eq!(plan.victim_order(1), [2, 0]);
    assert_eq!(plan.worker(0).unwrap().reason(), Reason::LeftToSystem);
}

#[test]
fn compact_fills_siblings_then_cores_then_the_nearest_node() {
    let machine = Machine::new(SERVER).topology();
    let plan = plan(&machine, "compact", 16);
    assert_eq!(
        cpus(&plan),
        [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]
    );
    let reasons: Vec<_> = plan.workers().take(5).map(WorkerPlan::reason).collect();
    let near = |level, to| Reason::Near { level, to };
    assert_eq!(reasons[0], Reason::First);
    assert_eq!(reasons[1], near(Some(Level::Core), 0));
    assert_eq!(reasons[2], near(Some(Level::L3), 8));
    assert_eq!(reasons[4], near(Some(Level::Package), 9));
}

#[test]
fn compact_follows_the_distances() {
    // Node 3 is the one near node 0.
    let tree = Machine::new(SERVER);
    for (node, row) in ["10 32 32 16", "32 10 16 32", "32 16 10 32", "16 32 32 10"]
        .iter()
        .enumerate()
    {
        tree.write(&format!("sys/devices/system/node/node{node}/distance"), row);
    }
    let plan = plan(&tree.topology(), "compact,smt=off", 8);
    assert_eq!(cpus(&plan), [0, 1, 6, 7, 2, 3, 4, 5]);
}

#[test]
fn spread_opens_the_widest_parts_first_and_siblings_last() {
    let plan = plan(&Machine::new(SERVER).topology(), "spread", 16);
    assert_eq!(cpus(&plan)[..8], [0, 4, 2, 6, 1, 5, 3, 7]);
    assert_eq!(cpus(&plan)[8..], [8, 12, 10, 14, 9, 13, 11, 15]);
    let reason = |worker: usize| plan.worker(worker).unwrap().reason();
    assert_eq!(
        reason(1),
        Reason::Opens {
            level: Level::Package
        }
    );
    assert_eq!(reason(2), Reason::Opens { level: Level::Node });
    assert_eq!(reason(4), Reason::Opens { level: Level::L2 });
    assert_eq!(reason(8), Reason::Sibling);
}

#[test]
fn a_node_of_several_packages_stays_whole_in_compact() {
    // Packages 0 and 2 on node 0, packages 1 and 3 on node 1; no distances.
    let tree = Machine::new(Shape {
        packages: 4,
        nodes: 1,
        l3: 1,
        cores: 1,
        threads: 1,
    });
    tree.remove("sys/devices/system/node");
    tree.write("sys/devices/system/node/node0/cpulist", "0,2");
    tree.write("sys/devices/system/node/node1/cpulist", "1,3");
    assert_eq!(cpus(&plan(&tree.topology(), "compact", 4)), [0, 2, 1, 3]);
    assert_eq!(cpus(&plan(&tree.topology(), "spread", 4)), [0, 1, 2, 3]);
}

#[test]
fn groups_are_bound_by_default_only_where_there_are_several() {
    let server = Machine::new(SERVER).topology();
    assert_eq!(
        bindings(&plan(&server, "spread", 3)),
        ["0-1,8-9", "4-5,12-13", "2-3,10-11"]
    );
    let desktop = Machine::new(DESKTOP).topology();
    let unbound = plan(&desktop, "spread", 3);
    assert_eq!((unbound.bind(), bindings(&unbound).len()), (Bind::None, 0));
    // Allowed on one L3 only: one group, so nothing to bind to.
    let allowed = Allowed::from_cpus(CpuSet::from_iter([0, 1, 8]));
    let narrow = Plan::new(&server, &allowed, &Placement::new(Policy::Compact), 2).unwrap();
    assert_eq!(narrow.bind(), Bind::None);
}

#[test]
fn binding_strength_is_separate_from_placement() {
    let server = Machine::new(SERVER).topology();
    assert_eq!(
        bindings(&plan(&server, "compact,bind=core", 3)),
        ["0,8", "0,8", "1,9"]
    );
    assert_eq!(
        bindings(&plan(&server, "compact,bind=cpu", 3)),
        ["0", "8", "1"]
    );
    assert_eq!(bindings(&plan(&server, "cpus=9,0", 2)), ["9", "0"]);
    assert_eq!(
        bindings(&plan(&server, "cpus=9,2,bind=group", 2)),
        ["0-1,8-9", "2-3,10-11"]
    );
    // Without SMT the second threads are not lent to a group either.
    assert_eq!(
        bindings(&plan(&server, "compact,smt=off", 3)),
        ["0-1", "0-1", "2-3"]
    );
    assert_eq!(
        bindings(&plan(&server, "cpus=5,bind=none", 1)),
        [] as [&str; 0]
    );
}

#[test]
fn nothing_outside_the_allowed_set_is_chosen_or_bound() {
    let machine = Machine::new(SERVER).topology();
    let allowed = Allowed::from_cpus("1,8-10,14,90".parse().unwrap());
    let placement = Placement::parse("compact,bind=group").unwrap();
    let plan = Plan::new(&machine, &allowed, &placement, 5).unwrap();
    assert_eq!(cpus(&plan), [8, 1, 9, 10, 14]);
    assert_eq!(bindings(&plan), ["1,8-9", "1,8-9", "1,8-9", "10", "14"]);
    assert_eq!(
        (0..5).map(|w| plan.group(w)).collect::<Vec<_>>(),
        [0, 0, 0, 1, 2]
    );
    assert_eq!(
        plan.warnings(),
        [PlanWarning::AllowedButUnknown {
            cpus: CpuSet::single(90)
        }]
    );
}

#[test]
fn more_workers_than_cpus_share_and_are_warned_of() {
    let machine = Machine::new(DESKTOP).topology();
    let plan = plan(&machine, "spread,smt=off", 6);
    assert_eq!(cpus(&plan), [0, 1, 2, 3, 0, 1]);
    assert_eq!(plan.worker(5).unwrap().reason(), Reason::Shares { with: 1 });
    assert_eq!(
        plan.warnings(),
        [PlanWarning::MoreWorkersThanCpus {
            workers: 6,
            cpus: 4
        }]
    );
    assert_eq!(plan.victim_order(1), [5, 2, 3, 4, 0]);
}

#[test]
fn victims_come_nearest_first_and_ties_start_after_the_thief() {
    let machine = Machine::new(SERVER).topology();
    // Worker w on cpu w: sibling is w+8, node is w/2, package is w/4.
    let plan = plan(&machine, "cpus=0-15", 16);
    assert_eq!(plan.tier(2, 10), Tier::Core);
    assert_eq!(plan.tier(2, 3), Tier::L3);
    assert_eq!(plan.tier(2, 1), Tier::Remote(16));
    assert_eq!(plan.tier(2, 4), Tier::Remote(32));
    assert_eq!(
        plan.victim_order(2),
        [10, 3, 11, 8, 9, 0, 1, 4, 5, 6, 7, 12, 13, 14, 15]
    );
    assert_eq!(
        plan.victim_order(15),
        [7, 6, 14, 4, 5, 12, 13, 0, 1, 2, 3, 8, 9, 10, 11]
    );
}

#[test]
fn unknown_distances_leave_the_package_as_the_nearer_tier() {
    let tree = Machine::new(SERVER);
    tree.remove("sys/devices/system/node/node0/distance");
    let plan = plan(&tree.topology(), "cpus=0-7", 8);
    assert_eq!(
        (plan.tier(0, 2), plan.tier(0, 4)),
        (Tier::PackageRemote, Tier::Unknown)
    );
    assert_eq!(plan.victim_order(5), [4, 6, 7, 0, 1, 2, 3]);
}

#[test]
fn workers_by_default_follow_mask_and_quota() {
    let machine = Machine::new(DESKTOP).topology();
    let with = |quota| Allowed::unrestricted().with_quota(quota);
    assert_eq!(Plan::default_workers(&machine, &with(None)), 8);
    assert_eq!(
        Plan::default_workers(&machine, &with(Quota::new(150, 100))),
        2
    );
    assert_eq!(
        Plan::default_workers(&machine, &with(Quota::new(1, 100))),
        1
    );
    assert_eq!(
        Plan::default_workers(&machine, &with(Quota::new(900, 100))),
        8
    );
    assert_eq!(
        Plan::default_workers(&machine, &Allowed::from_cpus(CpuSet::single(99))),
        1
    );
}

#[test]
fn a_quota_below_the_cpus_is_warned_of() {
    let machine = Machine::new(DESKTOP).topology();
    let quota = Quota::new(150_000, 100_000).unwrap();
    let allowed = Allowed::unrestricted().with_quota(Some(quota));
    let plan = Plan::new(&machine, &allowed, &Placement::default(), 2).unwrap();
    assert_eq!(
        plan.warnings(),
        [PlanWarning::QuotaBelowCpus {
            quota,
            cpus: 8,
            workers: 2
        }]
    );
}

#[test]
fn bad_input_is_refused_by_type() {
    let machine = Machine::new(DESKTOP).topology();
    assert_eq!(refused(&machine, "none", 0), PlanError::NoWorkers);
    let workers = WORKERS_MAX + 1;
    assert_eq!(
        refused(&machine, "spread", workers),
        PlanError::TooManyWorkers { workers }
    );
    let (cpus, usable) = (CpuSet::from_iter([8, 70]), CpuSet::from_iter(0..8));
    assert_eq!(
        refused(&machine, "cpus=0,8,70", 1),
        PlanError::NotUsable { cpus, usable }
    );
    assert_eq!(
        refused(&machine, "cpus=0,1", 3),
        PlanError::TooFewCpus {
            cpus: 2,
            workers: 3
        }
    );
    for (text, option) in [
        ("none,bind=cpu", "bind"),
        ("none,smt=off", "smt=off"),
        ("cpus=1,smt=off", "smt=off"),
    ] {
        let policy = text.split(',').next().unwrap().to_owned();
        assert_eq!(
            refused(&machine, text, 1),
            PlanError::OptionWithoutEffect { option, policy }
        );
    }
}

#[test]
fn a_placement_built_by_hand_is_checked_too() {
    let machine = Machine::new(DESKTOP).topology();
    let twice = Placement::new(Policy::Cpus(vec![3, 3]));
    let error = Plan::new(&machine, &Allowed::unrestricted(), &twice, 1).unwrap_err();
    assert_eq!(error, PlanError::RepeatedCpu { cpu: 3 });
    let nowhere = Allowed::from_cpus(CpuSet::single(9));
    let error = Plan::new(&machine, &nowhere, &Placement::default(), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no CPU is usable: online are 0-7, allowed are 9"
    );
}

#[test]
fn a_plan_prints_as_a_table_with_reasons() {
    let plan = plan(&Machine::new(SERVER).topology(), "spread", 2);
    let expected = "\
placement spread: 2 workers, 2 groups, bind group
worker    cpu  node  group  bound to      why
     0      0     0      0  0-1,8-9       First in the order of the policy.
     1      4     2      1  4-5,12-13     First worker in its package.
";
    assert_eq!(plan.to_string(), expected);
}

fn any_shape() -> impl Strategy<Value = Shape> {
    (1..3_u16, 1..3_u16, 1..3_u16, 1..4_u16, 1..3_u16).prop_map(
        |(packages, nodes, l3, cores, threads)| Shape {
            packages,
            nodes,
            l3,
            cores,
            threads,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_cpu_is_used_once_before_any_twice(shape in any_shape(), spread in any::<bool>(), extra in 0..5_usize) {
        let machine = Machine::new(shape).topology();
        let all = machine.cpus().len();
        let plan = plan(&machine, if spread { "spread" } else { "compact" }, all + extra);
        let mut first: Vec<_> = cpus(&plan)[..all].to_vec();
        first.sort_unstable();
        prop_assert_eq!(first, machine.online().iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_victim_order_is_a_permutation_that_never_comes_nearer(shape in any_shape(), workers in 1..30_usize) {
        let machine = Machine::new(shape).topology();
        let plan = plan(&machine, "spread", workers);
        for worker in 0..workers {
            let order = plan.victim_order(worker);
            prop_assert!(order.is_sorted_by_key(|&other| plan.tier(worker, other)));
            let mut all = order.clone();
            all.push(worker);
            all.sort_unstable();
            prop_assert_eq!(all, (0..workers).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_worker_is_bound_to_where_it_lives(shape in any_shape(), bind in "group|core|cpu", workers in 1..30_usize) {
        let machine = Machine::new(shape).topology();
        let plan = plan(&machine, &format!("spread,bind={bind}"), workers);
        for worker in plan.workers() {
            let bound = worker.binding().unwrap().cpus();
            prop_assert!(bound.contains(worker.cpu().unwrap()));
            prop_assert!(worker.group() < plan.groups());
        }
    }
}
