//! Recorded workflows of the WfCommons project, schema 1.5 (<https://github.com/wfcommons/WfFormat>).
//!
//! A task is known by its `id`. Its edges are `specification.tasks[].parents` and `.children`, taken
//! together. Its work is `execution.tasks[].runtimeInSeconds`, replayed as that much CPU time after
//! scaling. Files, machines and commands are not used.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::Place;
use super::{Action, Draft, LoadError, Mention};

/// The one version of the schema that is read.
pub const SCHEMA_VERSION: &str = "1.5";

/// The longest a single task may compute.
pub const LONGEST_REPLAY: Duration = Duration::from_secs(100_000_000);

const REMEDY: &str = "compare with the WfCommons schema 1.5";

#[derive(Deserialize)]
#[serde(expecting = "a WfCommons document, which is a JSON object")]
struct Head {
    #[serde(rename = "schemaVersion")]
    schema_version: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Document {
    workflow: Recording,
}

#[derive(Deserialize)]
struct Recording {
    specification: Specification,
    execution: Execution,
}

#[derive(Deserialize)]
struct Specification {
    tasks: Vec<SpecifiedTask>,
}

#[derive(Deserialize)]
struct SpecifiedTask {
    id: String,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    children: Vec<String>,
}

#[derive(Deserialize)]
struct Execution {
    tasks: Vec<ExecutedTask>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecutedTask {
    id: String,
    runtime_in_seconds: f64,
}

/// Reads the tasks of `text`, which is the content of `file`; run times are multiplied by `time_scale`.
pub fn parse(file: &Path, text: &str, time_scale: f64) -> Result<Vec<Draft>, LoadError> {
    check_version(file, text)?;
    let document: Document = from_json(file, text)?;
    let specified = &document.workflow.specification.tasks;
    let index: HashMap<&str, usize> = (specified.iter().enumerate())
        .map(|(position, task)| (task.id.as_str(), position))
        .collect();
    let seconds = recorded_seconds(file, &document.workflow.execution.tasks, &index)?;
    let mut drafts = Vec::with_capacity(specified.len());
    for task in specified {
        let seconds = *(seconds.get(task.id.as_str()))
            .ok_or_else(|| records(file, &task.id, "has no execution record"))?;
        drafts.push(Draft {
            name: mention(&task.id),
            action: Action::Compute(scaled(file, &task.id, seconds, time_scale)?),
            after: task.parents.iter().map(|p| mention(p)).collect(),
        });
    }
    for task in specified {
        for child in &task.children {
            let &child = (index.get(child.as_str())).ok_or_else(|| LoadError::MissingTask {
                at: Place::file(file),
                name: task.id.clone(),
                other: child.clone(),
            })?;
            drafts[child].after.push(mention(&task.id));
        }
    }
    Ok(drafts)
}

fn mention(id: &str) -> Mention {
    Mention {
        name: id.to_owned(),
        line: None,
    }
}

fn records(file: &Path, id: &str, problem: &'static str) -> LoadError {
    LoadError::Records {
        file: file.to_owned(),
        name: id.to_owned(),
        problem,
    }
}

/// The version is checked before the rest, so that another format is called that, not "broken".
fn check_version(file: &Path, text: &str) -> Result<(), LoadError> {
    let head: Head = from_json(file, text)?;
    let found = match head.schema_version {
        Some(serde_json::Value::String(version)) if version == SCHEMA_VERSION => return Ok(()),
        Some(version) => format!("schemaVersion is {version}"),
        None => "there is no schemaVersion".to_owned(),
    };
    Err(LoadError::WrongSchema {
        file: file.to_owned(),
        found,
    })
}

fn from_json<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, LoadError> {
    serde_json::from_str(text).map_err(|e| {
        let whole = e.to_string();
        let suffix = format!(" at line {} column {}", e.line(), e.column());
        LoadError::Syntax {
            at: Place {
                file: file.to_owned(),
                line: Some(e.line()),
                column: Some(e.column()),
            },
            message: whole.strip_suffix(&suffix).unwrap_or(&whole).to_owned(),
            remedy: REMEDY,
        }
    })
}

fn recorded_seconds<'d>(
    file: &Path,
    executed: &'d [ExecutedTask],
    index: &HashMap<&str, usize>,
) -> Result<HashMap<&'d str, f64>, LoadError> {
    let mut seconds = HashMap::with_capacity(executed.len());
    for task in executed {
        if !index.contains_key(task.id.as_str()) {
            return Err(records(
                file,
                &task.id,
                "has an execution record but no specification",
            ));
        }
        if seconds
            .insert(task.id.as_str(), task.runtime_in_seconds)
            .is_some()
        {
            return Err(records(file, &task.id, "has two execution records"));
        }
    }
    Ok(seconds)
}

fn scaled(file: &Path, id: &str, seconds: f64, scale: f64) -> Result<Duration, LoadError> {
    Duration::try_from_secs_f64(seconds)
        .and_then(|_| Duration::try_from_secs_f64(seconds * scale))
        .ok()
        .filter(|&duration| duration <= LONGEST_REPLAY)
        .ok_or_else(|| LoadError::BadRuntime {
            file: file.to_owned(),
            name: id.to_owned(),
            seconds,
            scale,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` with a child `b` that `b` does not name as parent, and `c` after both.
    fn document(version: &str, runtime_of_a: &str) -> String {
        format!(
            r#"{{"schemaVersion": {version}, "other": 1, "workflow": {{
                "specification": {{"tasks": [
                    {{"name": "A", "id": "a", "parents": [], "children": ["b", "c"]}},
                    {{"name": "A", "id": "b", "parents": []}},
                    {{"name": "A", "id": "c", "parents": ["a", "b"], "children": []}}]}},
                "execution": {{"tasks": [
                    {{"id": "c", "runtimeInSeconds": 4}},
                    {{"id": "a", "runtimeInSeconds": {runtime_of_a}, "cores": 2}},
                    {{"id": "b", "runtimeInSeconds": 0.5}}]}}}}}}"#
        )
    }

    fn load(text: &str, scale: f64) -> Result<crate::workflow::Workflow, String> {
        let file = Path::new("w.json");
        parse(file, text, scale)
            .and_then(|drafts| crate::workflow::Workflow::new(file, drafts))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn edges_are_parents_and_children_together() {
        let workflow = load(&document("\"1.5\"", "2"), 0.5).unwrap();
        let tasks = workflow.tasks();
        assert_eq!(tasks[1].after, [0]);
        assert_eq!(tasks[2].after, [0, 1]);
        let computed: Vec<_> = tasks.iter().map(|t| t.action.clone()).collect();
        let expected = [1000, 250, 2000].map(|ms| Action::Compute(Duration::from_millis(ms)));
        assert_eq!(computed, expected);
    }

    #[test]
    fn another_version_is_called_that() {
        for version in ["\"1.3\"", "\"2.0\"", "1.5", "null"] {
            let error = load(&document(version, "2"), 1.0).unwrap_err();
            assert!(error.contains("schemaVersion"), "{error}");
            assert!(error.contains("reads WfCommons schema 1.5"), "{error}");
        }
    }

    #[test]
    fn run_times_are_bounded() {
        for (runtime, scale) in [("-1", 1.0), ("1e9", 1.0), ("1e300", 1e300), ("2", 1e18)] {
            let error = load(&document("\"1.5\"", runtime), scale).unwrap_err();
            assert!(
                error.starts_with("w.json: task `a` has runtimeInSeconds"),
                "{error}"
            );
        }
    }
}
