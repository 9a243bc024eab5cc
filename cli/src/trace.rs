//! The run as a Chrome trace, which <https://ui.perfetto.dev> opens.
//!
//! One complete event (`ph: "X"`) for each task that ran, on the track of its worker; one instant event
//! (`ph: "i"`) at the end of the run for each task that did not, on a track of their own. Source: "Trace
//! Event Format", Google, 2016.
//!
//! Times are whole microseconds, rounded down at both ends: a task that started no earlier than another
//! ended shows `ts >= other.ts + other.dur` exactly, without floating-point dust.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::critical_path::critical_path;
use crate::record::{RunRecord, TaskRecord};
use crate::workflow::Workflow;

#[derive(Serialize)]
struct Document<'r> {
    #[serde(rename = "displayTimeUnit")]
    display_time_unit: &'static str,
    #[serde(rename = "otherData")]
    other_data: Facts<'r>,
    #[serde(rename = "traceEvents")]
    events: Vec<Event<'r>>,
}

#[derive(Serialize)]
struct Facts<'r> {
    pinfold: &'static str,
    makespan_us: u64,
    critical_path_us: u64,
    critical_path: Vec<&'r str>,
}

#[derive(Serialize)]
struct Event<'r> {
    name: &'r str,
    ph: &'static str,
    pid: u32,
    tid: usize,
    ts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    /// An instant's scope: its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    args: Arguments<'r>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Arguments<'r> {
    Name {
        name: String,
    },
    Task {
        outcome: String,
        parents: Vec<&'r str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu: Option<usize>,
    },
}

/// Writes the trace of a run to `to`, as one JSON document.
pub fn write(mut to: impl Write, workflow: &Workflow, record: &RunRecord) -> io::Result<()> {
    let pid = std::process::id();
    let mut events = track_names(pid, record.bindings.len());
    for (index, task) in record.tasks.iter().enumerate() {
        events.push(event(pid, workflow, index, task, record));
    }
    let path = critical_path(workflow, record);
    let name = |&task: &usize| workflow.tasks()[task].name.as_str();
    let document = Document {
        display_time_unit: "ms",
        other_data: Facts {
            pinfold: env!("CARGO_PKG_VERSION"),
            makespan_us: micros(record.makespan),
            critical_path_us: micros(path.length),
            critical_path: path.tasks.iter().map(name).collect(),
        },
        events,
    };
    serde_json::to_writer(&mut to, &document)?;
    to.write_all(b"\n")?;
    to.flush()
}

fn track_names(pid: u32, workers: usize) -> Vec<Event<'static>> {
    let metadata = |name, tid, value: String| Event {
        name,
        ph: "M",
        pid,
        tid,
        ts: 0,
        dur: None,
        cat: None,
        s: None,
        args: Arguments::Name { name: value },
    };
    let mut events = vec![metadata("process_name", 0, "pinfold run".to_owned())];
    for worker in 0..workers {
        events.push(metadata(
            "thread_name",
            track(worker),
            format!("worker {worker}"),
        ));
    }
    events.push(metadata(
        "thread_name",
        track(workers),
        "not run".to_owned(),
    ));
    events
}

/// Track 0 would be the kernel's idle task to Perfetto.
fn track(worker: usize) -> usize {
    worker + 1
}

fn event<'r>(
    pid: u32,
    workflow: &'r Workflow,
    index: usize,
    task: &TaskRecord,
    record: &RunRecord,
) -> Event<'r> {
    let tasks = workflow.tasks();
    let parents = tasks[index].after.iter().map(|&p| tasks[p].name.as_str());
    let not_run = || ("i", track(record.bindings.len()), micros(record.makespan));
    let (ph, tid, ts) = task.span.map_or_else(not_run, |span| {
        ("X", track(span.worker), micros(span.start))
    });
    Event {
        name: &tasks[index].name,
        ph,
        pid,
        tid,
        ts,
        dur: task.span.map(|span| micros(span.end) - ts),
        cat: Some("task"),
        s: task.span.is_none().then_some("t"),
        args: Arguments::Task {
            outcome: task.outcome.to_string(),
            parents: parents.collect(),
            cpu: task.span.and_then(|span| span.cpu),
        },
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;
    use serde_json::{Value, json};

    fn events() -> Vec<Value> {
        let mut bytes = Vec::new();
        write(&mut bytes, &samples::workflow(), &samples::record()).unwrap();
        let mut document: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            document["otherData"]["critical_path"],
            json!(["fetch", "build", "test"])
        );
        let Value::Array(events) = document["traceEvents"].take() else {
            panic!("traceEvents is not a list");
        };
        events
    }

    #[test]
    fn a_task_that_ran_is_a_complete_event_on_its_worker() {
        let test = events().into_iter().find(|e| e["name"] == "test").unwrap();
        let expected = json!({
            "name": "test", "ph": "X", "cat": "task", "pid": std::process::id(), "tid": 1,
            "ts": 40_001, "dur": 30_000,
            "args": {"outcome": "failed", "parents": ["build"], "cpu": 4},
        });
        assert_eq!(test, expected);
    }

    #[test]
    fn a_task_that_did_not_run_is_an_instant_beside_the_workers() {
        let ship = events().into_iter().find(|e| e["name"] == "ship").unwrap();
        assert_eq!((&ship["ph"], &ship["tid"]), (&json!("i"), &json!(4)));
        assert_eq!(ship["args"]["outcome"], "skipped");
        assert_eq!(ship["args"]["parents"], json!(["lint", "test"]));
    }

    #[test]
    fn each_track_has_a_name() {
        let names: Vec<Value> = events()
            .into_iter()
            .filter(|e| e["name"] == "thread_name" && e["ph"] == "M")
            .map(|e| json!([e["tid"], e["args"]["name"]]))
            .collect();
        let expected = [
            json!([1, "worker 0"]),
            json!([2, "worker 1"]),
            json!([3, "worker 2"]),
            json!([4, "not run"]),
        ];
        assert_eq!(names, expected);
    }
}
