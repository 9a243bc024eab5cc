//! Recorded workflows are replayed: every task, in an order that respects every edge of the recording.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Ground;
use super::trace::{assert_order, complete_events};

/// The recordings, where this checkout has them beside it.
fn recordings() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/workflows");
    folder
        .canonicalize()
        .map_err(|e| format!("{}: {e}", folder.display()))
}

/// Parent and child of each edge that the recording itself states, and the number of its tasks.
fn edges(recording: &Path) -> (HashSet<(String, String)>, usize) {
    let document: Value = serde_json::from_slice(&std::fs::read(recording).unwrap()).unwrap();
    let tasks = document["workflow"]["specification"]["tasks"]
        .as_array()
        .unwrap()
        .clone();
    let mut edges = HashSet::new();
    for task in &tasks {
        let id = task["id"].as_str().unwrap().to_owned();
        for parent in task["parents"].as_array().unwrap() {
            edges.insert((parent.as_str().unwrap().to_owned(), id.clone()));
        }
    }
    (edges, tasks.len())
}

/// Replays a recording, checks the trace, and tells the makespan in seconds.
fn replay(file: &Path, workers: &str, scale: &str) -> f64 {
    let (edges, tasks) = edges(file);
    let ground = Ground::new();
    let arguments = [
        "run",
        file.to_str().unwrap(),
        "--workers",
        workers,
        "--time-scale",
        scale,
    ];
    let finished = ground.pinfold(&[&arguments[..], &["--trace", "t.json"]].concat());
    assert_eq!(finished.status, Some(0), "{finished:?}");
    assert_eq!(finished.row("tasks"), tasks.to_string());
    assert!(
        finished
            .row("outcomes")
            .starts_with(&format!("{tasks} ok, 0 failed")),
        "{finished:?}"
    );

    let events = complete_events(&ground.path().join("t.json"));
    assert_eq!(events.len(), tasks);
    assert!(events.values().all(|event| event.outcome == "ok"));
    assert_order(&events);
    let traced: HashSet<(String, String)> = (events.iter())
        .flat_map(|(name, event)| event.parents.iter().map(|p| (p.clone(), name.clone())))
        .collect();
    assert_eq!(traced, edges);
    let tracks: HashMap<u64, usize> = events.values().fold(HashMap::new(), |mut count, event| {
        *count.entry(event.track).or_default() += 1;
        count
    });
    assert!(tracks.len() <= workers.parse().unwrap(), "{tracks:?}");
    finished
        .row("makespan")
        .trim_end_matches('s')
        .parse()
        .unwrap()
}

/// Calls `test` with a recording, if the recordings are there.
fn with_recording(name: &str, test: impl Fn(&Path)) {
    match recordings() {
        Ok(folder) => test(&folder.join(name)),
        Err(reason) => println!("skipped: {reason}"),
    }
}

#[test]
fn the_shipped_recording_takes_at_least_its_longest_path() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/survey.json");
    let (edges, tasks) = edges(&file);
    assert_eq!((edges.len(), tasks), (16, 13));
    for workers in ["1", "2"] {
        // Split, align-3, count-3, merge, chart and archive were recorded with 35.1 s.
        let makespan = replay(&file, workers, "0.01");
        assert!(makespan >= 0.351, "{makespan}");
    }
}

#[test]
fn blast_on_two_workers() {
    with_recording("blast-chameleon-medium-001.json", |file| {
        replay(file, "2", "0.00005");
    });
}

#[test]
fn a_chain_takes_at_least_its_scaled_run_times_however_many_workers_there_are() {
    with_recording("helloworld-chain-5-chameleon.json", |file| {
        // 501.24 s were recorded.
        let makespan = replay(file, "8", "0.0002");
        assert!(makespan >= 0.1, "{makespan}");
    });
}

#[test]
fn every_recording_on_one_two_and_eight_workers() {
    with_recording(".", |folder| {
        let mut replayed = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            if file
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                for workers in ["1", "2", "8"] {
                    replay(&file, workers, "0.000001");
                }
                replayed += 1;
            }
        }
        assert!(replayed > 0, "{} has no recording", folder.display());
    });
}
