//! Re-runs of built graphs, on one worker and on two.

mod bridge;

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use pinfold_benches::graph::{self, Reruns};

fn graph(criterion: &mut Criterion) {
    let shapes = [
        ("graph-chain", graph::chain()),
        ("graph-tree", graph::tree()),
        ("graph-wavefront", graph::wavefront()),
    ];
    for (name, shape) in shapes {
        let shape = Arc::new(shape);
        for workers in [1, 2] {
            let contest = graph::contest(name, &shape, workers, Reruns(2));
            bridge::bench(criterion, contest, bridge::NANOSECOND);
        }
    }
}

criterion_group!(benches, graph);
criterion_main!(benches);
