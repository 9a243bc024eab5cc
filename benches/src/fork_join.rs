//! `fork-join`: what a join costs over the plain call it replaces.
//!
//! Bodies: Fibonacci numbers the slow way, whose work between joins is an addition, and sums over
//! small trees, one join per node, as a library would call it on small inputs.
//!
//! The overhead is read on **one** worker: there the difference to the serial program is the cost
//! of the joins alone, while on more workers it mixes cost with speed-up and may be negative. What
//! more workers make of it is a table of its own, in whole wall time per join.
//!
//! The same source of one peer read an overhead of 1.8, 2.6 and 3.3 ns in three builds that differed
//! elsewhere. (Code placement would explain it; that was not verified.) Compare within a build, and
//! quote a range over several.

use std::hint::black_box;
use std::time::Instant;

use crate::contest::{Contest, Metric};
use crate::fault::{Fault, expect_equal};
use crate::options::Options;
use crate::ours;
use crate::peers::{chili_pool, rayon_pool};
use crate::report::Report;
use crate::rounds::{Contender, Measurement, Role, ns_per_op};

/// Overheads below this many nanoseconds cannot be told from none.
const FLOOR_NS: f64 = 0.05;

const FIB: u32 = 27;
const FIB_OF_27: u64 = 196_418;
/// The calls of `fib(27)` that fork: one less than `fib(28)`.
const FIB_JOINS: usize = 317_810;

const METRICS: &[Metric] = &[
    Metric {
        name: "fib(27), per join",
        unit: "ns",
    },
    Metric {
        name: "tree of 15, per node",
        unit: "ns",
    },
    Metric {
        name: "tree of 1023, per node",
        unit: "ns",
    },
];

/// The levels of the trees in [`METRICS`], and how often a run sums each.
const TREES: [(u32, u32); 2] = [(4, 20_000), (10, 300)];

/// A binary tree of numbers.
#[derive(Debug)]
pub struct Tree {
    /// The number here.
    pub value: u64,
    /// The smaller trees below.
    pub left: Option<Box<Tree>>,
    /// See `left`.
    pub right: Option<Box<Tree>>,
}

impl Tree {
    /// A full tree of `levels` levels whose numbers are all 1.
    pub fn full(levels: u32) -> Tree {
        let below = || (levels > 1).then(|| Box::new(Tree::full(levels - 1)));
        Tree {
            value: 1,
            left: below(),
            right: below(),
        }
    }
}

/// A way to fork and join.
pub trait ForkJoin {
    /// The `n`-th Fibonacci number, forking wherever `n` is at least 2.
    fn fib(&self, n: u32) -> u64;

    /// Sums `tree` `times` times over, one sum after the other, forking at each node; returns the
    /// total. Enters the pool once.
    fn sums(&self, tree: &Tree, times: u32) -> u64;
}

/// A contender that builds its pool with `build`.
pub fn contender<P: ForkJoin>(
    name: &'static str,
    role: Role,
    build: impl Fn() -> Result<P, Fault> + 'static,
) -> Contender {
    let trees = TREES.map(|(levels, times)| (Tree::full(levels), times));
    Contender::new(name, role, move || {
        let pool = build()?;
        // Warms threads, stacks and predictors.
        black_box(pool.fib(black_box(FIB - 4)));
        let mut readings = vec![time_fib(name, &pool)?];
        for (tree, times) in &trees {
            readings.push(time_sums(name, &pool, tree, *times)?);
        }
        Ok(Measurement(readings))
    })
}

fn time_fib(name: &'static str, pool: &impl ForkJoin) -> Result<f64, Fault> {
    let start = Instant::now();
    let found = pool.fib(black_box(FIB));
    let elapsed = start.elapsed();
    expect_equal(name, "fib(27)", FIB_OF_27, found)?;
    Ok(ns_per_op(elapsed, FIB_JOINS))
}

fn time_sums(
    name: &'static str,
    pool: &impl ForkJoin,
    tree: &Tree,
    times: u32,
) -> Result<f64, Fault> {
    let nodes = Serial.sums(tree, 1) * u64::from(times);
    let start = Instant::now();
    let found = pool.sums(black_box(tree), times);
    let elapsed = start.elapsed();
    expect_equal(name, "the sum over the tree", nodes, found)?;
    Ok(ns_per_op(elapsed, nodes as usize))
}

/// The program without any forks.
#[derive(Debug)]
pub struct Serial;

impl ForkJoin for Serial {
    fn fib(&self, n: u32) -> u64 {
        fn fib(n: u32) -> u64 {
            if n < 2 {
                return u64::from(n);
            }
            fib(n - 1) + fib(n - 2)
        }
        fib(n)
    }

    fn sums(&self, tree: &Tree, times: u32) -> u64 {
        fn sum(tree: &Tree) -> u64 {
            let left = tree.left.as_deref().map_or(0, sum);
            let right = tree.right.as_deref().map_or(0, sum);
            tree.value + left + right
        }
        (0..times).map(|_| sum(black_box(tree))).sum()
    }
}

impl ForkJoin for rayon::ThreadPool {
    fn fib(&self, n: u32) -> u64 {
        fn fib(n: u32) -> u64 {
            if n < 2 {
                return u64::from(n);
            }
            let (a, b) = rayon::join(|| fib(n - 1), || fib(n - 2));
            a + b
        }
        self.install(|| fib(n))
    }

    fn sums(&self, tree: &Tree, times: u32) -> u64 {
        fn sum(tree: &Tree) -> u64 {
            let (left, right) = rayon::join(
                || tree.left.as_deref().map_or(0, sum),
                || tree.right.as_deref().map_or(0, sum),
            );
            tree.value + left + right
        }
        self.install(|| (0..times).map(|_| sum(black_box(tree))).sum())
    }
}

impl ForkJoin for chili::ThreadPool {
    fn fib(&self, n: u32) -> u64 {
        fn fib(scope: &mut chili::Scope<'_>, n: u32) -> u64 {
            if n < 2 {
                return u64::from(n);
            }
            let (a, b) = scope.join(|scope| fib(scope, n - 1), |scope| fib(scope, n - 2));
            a + b
        }
        fib(&mut self.scope(), n)
    }

    fn sums(&self, tree: &Tree, times: u32) -> u64 {
        fn sum(scope: &mut chili::Scope<'_>, tree: &Tree) -> u64 {
            let (left, right) = scope.join(
                |scope| tree.left.as_deref().map_or(0, |tree| sum(scope, tree)),
                |scope| tree.right.as_deref().map_or(0, |tree| sum(scope, tree)),
            );
            tree.value + left + right
        }
        let mut scope = self.scope();
        (0..times).map(|_| sum(&mut scope, black_box(tree))).sum()
    }
}

/// All contenders on `workers` workers, and the serial program.
pub fn contest(workers: usize) -> Contest {
    let mut contenders = vec![
        contender("serial", Role::Baseline, || Ok(Serial)),
        contender("chili", Role::Peer, move || Ok(chili_pool(workers))),
        contender("rayon", Role::Peer, move || rayon_pool(workers)),
    ];
    contenders.extend(ours::fork_join(workers));
    let unit = if workers == 1 { "worker" } else { "workers" };
    Contest {
        title: format!("fork-join, {workers} {unit}, whole time"),
        metrics: METRICS,
        contenders,
    }
}

/// Runs the workload.
pub fn run(options: &Options) -> Result<Report, Fault> {
    let workers = options.workers_or(2);
    let alone = contest(1).run_for(options, 21, 5)?;
    let together = contest(workers).run_for(options, 11, 3)?;
    let overhead = alone
        .above(
            "serial",
            "fork-join, 1 worker, overhead over the serial program",
        )
        .expect("every fork-join contest has the serial program");
    let mut report = Report::new("fork-join");
    report.show(&alone).show(&overhead).show(&together).remark(
        "ratios are of the overhead on 1 worker, overheads under 0.05 ns counting as 0.05; \
             those with @ are of whole wall time on that many workers",
    );
    for (metric, label) in ["", "/tree-15", "/tree-1023"].into_iter().enumerate() {
        let suffix = format!("{label}@{workers}");
        report.ratio(&suffix, together.ratio_to_best(metric, 0.0));
    }
    report
        .ratio("/tree-15", overhead.ratio_to_best(1, FLOOR_NS))
        .ratio("/tree-1023", overhead.ratio_to_best(2, FLOOR_NS))
        .ratio_against("", "rayon", overhead.ratio_to("rayon", 0, FLOOR_NS))
        .ratio("", overhead.ratio_to_best(0, FLOOR_NS));
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_of_the_fibonacci_body_hold() {
        fn joins(n: u32) -> usize {
            if n < 2 {
                return 0;
            }
            1 + joins(n - 1) + joins(n - 2)
        }
        assert_eq!(Serial.fib(FIB), FIB_OF_27);
        assert_eq!(joins(FIB), FIB_JOINS);
    }

    #[test]
    fn a_full_tree_has_all_its_nodes() {
        assert_eq!(Serial.sums(&Tree::full(4), 1), 15);
        assert_eq!(Serial.sums(&Tree::full(10), 2), 2 * 1023);
    }

    #[test]
    fn the_peers_agree_with_the_serial_program() {
        let tree = Tree::full(6);
        let (rayon, chili) = (rayon_pool(2).unwrap(), chili_pool(2));
        assert_eq!((rayon.fib(15), chili.fib(15)), (610, 610));
        assert_eq!((rayon.sums(&tree, 3), chili.sums(&tree, 3)), (189, 189));
    }

    #[test]
    fn a_wrong_sum_is_caught() {
        struct Lazy;
        impl ForkJoin for Lazy {
            fn fib(&self, n: u32) -> u64 {
                Serial.fib(n)
            }
            fn sums(&self, tree: &Tree, times: u32) -> u64 {
                Serial.sums(tree, times - 1)
            }
        }
        let mut lazy = contender("lazy", Role::Peer, || Ok(Lazy));
        let fault = (lazy.run)().unwrap_err();
        assert_eq!(
            fault.to_string(),
            "lazy did not do the work: the sum over the tree is 299985, expected 300000"
        );
    }
}
