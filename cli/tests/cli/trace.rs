//! Reads a trace back, as a tool that knows nothing of `pinfold` would.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

/// A complete event, in microseconds.
#[derive(Debug)]
pub struct Event {
    /// Its start.
    pub start: u64,
    /// Its end.
    pub end: u64,
    /// Its track.
    pub track: u64,
    /// `args.outcome`.
    pub outcome: String,
    /// `args.parents`.
    pub parents: Vec<String>,
}

/// The complete events of the trace in `file` by their names, which must be unique.
pub fn complete_events(file: &Path) -> HashMap<String, Event> {
    let bytes = std::fs::read(file).expect("the trace was written");
    let document: Value = serde_json::from_slice(&bytes).expect("the trace is JSON");
    let events = document["traceEvents"]
        .as_array()
        .expect("a list of events");
    let mut by_name = HashMap::new();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let number = |key: &str| {
            event[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{key} in {event}"))
        };
        let parents = event["args"]["parents"].as_array().expect("parents");
        let parsed = Event {
            start: number("ts"),
            end: number("ts") + number("dur"),
            track: number("tid"),
            outcome: event["args"]["outcome"]
                .as_str()
                .expect("an outcome")
                .to_owned(),
            parents: parents
                .iter()
                .map(|p| p.as_str().expect("a name").to_owned())
                .collect(),
        };
        let name = event["name"].as_str().expect("a name").to_owned();
        assert!(
            by_name.insert(name, parsed).is_none(),
            "{event} comes twice"
        );
    }
    by_name
}

/// Each task started after its parents had ended, and no worker ran two at once.
pub fn assert_order(events: &HashMap<String, Event>) {
    for (name, event) in events {
        for parent in &event.parents {
            let end = events[parent].end;
            assert!(
                end <= event.start,
                "{name} began at {}, {parent} ended at {end}",
                event.start
            );
        }
    }
    let mut spans: Vec<_> = events.values().map(|e| (e.track, e.start, e.end)).collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        let ((track, _, end), (next_track, start, _)) = (pair[0], pair[1]);
        assert!(
            track != next_track || end <= start,
            "track {track} overlaps at {start}"
        );
    }
}

fn event(start: u64, end: u64, track: u64, parents: &[&str]) -> Event {
    Event {
        start,
        end,
        track,
        outcome: "ok".to_owned(),
        parents: parents.iter().map(|&p| p.to_owned()).collect(),
    }
}

#[test]
fn an_order_that_holds_passes() {
    let a = ("a".to_owned(), event(0, 5, 1, &[]));
    let b = ("b".to_owned(), event(5, 6, 1, &["a"]));
    assert_order(&HashMap::from([a, b]));
}

#[test]
#[should_panic(expected = "b began at 4, a ended at 5")]
fn a_task_before_the_end_of_its_parent_is_noticed() {
    let a = ("a".to_owned(), event(0, 5, 1, &[]));
    let b = ("b".to_owned(), event(4, 6, 2, &["a"]));
    assert_order(&HashMap::from([a, b]));
}

#[test]
#[should_panic(expected = "track 1 overlaps at 4")]
fn two_tasks_at_once_on_one_worker_are_noticed() {
    let a = ("a".to_owned(), event(0, 5, 1, &[]));
    let b = ("b".to_owned(), event(4, 6, 1, &[]));
    assert_order(&HashMap::from([a, b]));
}
