//! Workflow files that were cut, exchanged and garbled: each gives a valid workflow or one sentence.
//!
//! `PROPTEST_CASES=20000 cargo test -p pinfold-cli fuzz` looks longer.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::error::CyclePath;
use super::*;

const TOML: &str = r#"# é
[[task]]
name = "a"
run = '''
set -e
true
'''

[[task]]
name = "b é"
run = "true"
after = ["a"]
timeout = "1m 30s"
retries = 2

[[task]]
after = [
  'a', # twice
  "b é",
  "a",
]
name = "\u0063"
timeout = 0.5
run = "exit 1"
"#;

const JSON: &str = r#"{"name": "é", "schemaVersion": "1.5", "workflow": {
  "specification": {"tasks": [
    {"name": "A", "id": "a", "parents": [], "children": ["b"], "files": [{"id": "f"}]},
    {"name": "B", "id": "b", "parents": ["a"]},
    {"name": "C", "id": "c\u00e9", "parents": ["a", "b"], "children": []}]},
  "execution": {"makespanInSeconds": 4.5, "tasks": [
    {"id": "a", "runtimeInSeconds": 1.5e0},
    {"id": "b", "runtimeInSeconds": 2},
    {"id": "cé", "runtimeInSeconds": 0.25, "coreCount": 2}]}}}
"#;

/// One change of a file's bytes.
#[derive(Debug, Clone)]
enum Change {
    Cut(Index),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Flip(Index, u8),
    Copy(Index, Index, usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let token = prop::sample::select(vec![
        "[",
        "]",
        "{",
        "}",
        "[[task]]",
        "\"",
        "'",
        "'''",
        "\"\"\"",
        "\\u0000",
        "\\ud800",
        ",",
        ":",
        "=",
        "\n",
        "\r\n",
        "\0",
        "#",
        "-1",
        "1e999",
        "nan",
        "18446744073709551616",
        "null",
        "true",
        "\"a\"",
        "\"b\"",
        "name",
        "after",
        "parents",
        "children",
        "é",
        "\u{feff}",
        ".",
        "1979-05-27",
        "\u{202e}",
        "task.x",
        "[task]",
    ]);
    let bytes = prop_oneof![
        4 => token.prop_map(|token| token.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop_oneof![
        1 => at().prop_map(Change::Cut),
        3 => (at(), 1..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        4 => (at(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (at(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        3 => (at(), at(), 1..80_usize).prop_map(|(from, to, length)| Change::Copy(from, to, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let end = |at: usize, length: usize, bytes: &[u8]| bytes.len().min(at + length);
    match change {
        Change::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
        Change::Remove(at, length) => {
            let at = at.index(bytes.len() + 1);
            bytes.drain(at..end(at, *length, bytes));
        }
        Change::Insert(at, new) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, new.iter().copied());
        }
        Change::Flip(at, bit) => {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 8);
            }
        }
        Change::Copy(from, to, length) => {
            let from = from.index(bytes.len() + 1);
            let piece = bytes[from..end(from, *length, bytes)].to_vec();
            let to = to.index(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
    }
}

/// What [`Workflow`] promises to whoever holds one.
fn check_workflow(workflow: &Workflow) -> Result<(), TestCaseError> {
    let tasks = workflow.tasks();
    prop_assert!(!tasks.is_empty());
    let names: BTreeSet<_> = tasks.iter().map(|task| &task.name).collect();
    prop_assert_eq!(names.len(), tasks.len(), "names are unique");
    let mut place = vec![None; tasks.len()];
    for (position, &task) in workflow.order().iter().enumerate() {
        prop_assert!(place[task].replace(position).is_none(), "{task} twice");
    }
    for (index, task) in tasks.iter().enumerate() {
        prop_assert!(!task.name.trim().is_empty() && !task.name.contains(char::is_control));
        prop_assert!(task.after.is_sorted_by(|a, b| a < b));
        prop_assert!(place[index].is_some());
        prop_assert!(
            task.after
                .iter()
                .all(|&parent| place[parent] < place[index])
        );
        if let Action::Command(command) = &task.action {
            prop_assert!(!command.line.trim().is_empty() && !command.line.contains('\0'));
            prop_assert!(command.timeout.is_none_or(|limit| !limit.is_zero()));
        }
    }
    Ok(())
}

/// A path goes along edges, and comes back to where it began without meeting anybody twice.
fn check_cycle(
    CyclePath(path): &CyclePath,
    edges: &BTreeSet<(String, String)>,
) -> Result<(), TestCaseError> {
    prop_assert!(path.len() >= 2 && path.first() == path.last(), "{path:?}");
    let once: BTreeSet<_> = path[1..].iter().collect();
    prop_assert_eq!(once.len(), path.len() - 1, "{:?}", path);
    for step in path.windows(2) {
        let edge = (step[0].clone(), step[1].clone());
        prop_assert!(edges.contains(&edge), "{edge:?} of {path:?}");
    }
    Ok(())
}

/// Loads `bytes` from a file of that name, as `pinfold run` does.
fn check_file(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    match load(&file, 1.0) {
        Ok(workflow) => check_workflow(&workflow),
        Err(error) => {
            let sentence = error.to_string();
            prop_assert!(sentence.contains(name), "{sentence}");
            check_place(&error, bytes)
        }
    }
}

/// A place lies inside the file.
fn check_place(error: &LoadError, bytes: &[u8]) -> Result<(), TestCaseError> {
    let at = match error {
        LoadError::NotUtf8 { at, offset } => {
            prop_assert!(*offset < bytes.len());
            at
        }
        LoadError::Syntax { at, message, .. } => {
            prop_assert!(!message.contains('\n'), "{message}");
            at
        }
        LoadError::Cycle { at, .. } | LoadError::SelfEdge { at, .. } => at,
        LoadError::BadName { at, .. } | LoadError::DuplicateName { at, .. } => at,
        LoadError::BadCommand { at, .. } | LoadError::MissingTask { at, .. } => at,
        _ => return Ok(()),
    };
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    if let Some(line) = at.line {
        prop_assert!((1..=lines.len()).contains(&line), "{error}");
        let length = lines[line - 1].len();
        // JSON's parser counts bytes, from 0 at the very start and past the line's end at its end.
        prop_assert!(
            at.column.is_none_or(|column| column <= length + 2),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn a_file_cut_at_any_byte_is_loaded_or_refused() {
    for (name, text) in [("w.toml", TOML), ("w.json", JSON)] {
        check_file(name, text.as_bytes()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        assert_eq!(load(&file, 1.0).unwrap().tasks().len(), 3, "{name}");
        for end in 0..text.len() {
            check_file(name, &text.as_bytes()[..end]).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn a_garbled_file_is_loaded_or_refused(
        is_json in any::<bool>(),
        extension in prop::option::weighted(0.8, Just(())),
        changes in prop::collection::vec(any_change(), 1..8),
    ) {
        let (name, text) = if is_json { ("w.json", JSON) } else { ("w.toml", TOML) };
        let mut bytes = text.as_bytes().to_vec();
        changes.iter().for_each(|change| apply(&mut bytes, change));
        check_file(if extension.is_some() { name } else { "w" }, &bytes)?;
    }

    #[test]
    fn any_bytes_are_loaded_or_refused(name in "w(\\.toml|\\.json)?", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_file(&name, &bytes)?;
    }

    #[test]
    fn a_graph_is_refused_exactly_if_tasks_wait_for_each_other(
        tasks in 1..12_usize,
        edges in prop::collection::vec((any::<Index>(), any::<Index>()), 0..24),
    ) {
        let edges: BTreeSet<(usize, usize)> = edges.iter()
            .map(|(from, to)| (from.index(tasks), to.index(tasks)))
            .filter(|(from, to)| from != to)
            .collect();
        let drafts = (0..tasks).map(|task| Draft {
            name: Mention { name: task.to_string(), line: None },
            action: Action::Compute(Duration::ZERO),
            after: edges.iter()
                .filter(|edge| edge.1 == task)
                .map(|edge| Mention { name: edge.0.to_string(), line: None })
                .collect(),
        });
        let named = edges.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect();
        match Workflow::new(Path::new("w"), drafts.collect()) {
            Ok(workflow) => {
                prop_assert!(is_acyclic(tasks, &edges));
                check_workflow(&workflow)?;
            }
            Err(LoadError::Cycle { path, .. }) => check_cycle(&path, &named)?,
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }
}

/// Whether nobody reaches themselves (Warshall).
fn is_acyclic(tasks: usize, edges: &BTreeSet<(usize, usize)>) -> bool {
    let mut reaches = edges.clone();
    for middle in 0..tasks {
        for from in 0..tasks {
            for to in 0..tasks {
                if reaches.contains(&(from, middle)) && reaches.contains(&(middle, to)) {
                    reaches.insert((from, to));
                }
            }
        }
    }
    reaches.iter().all(|(from, to)| from != to)
}

#[test]
fn a_path_that_is_no_cycle_is_noticed() {
    let edges =
        [("a", "b"), ("b", "a"), ("b", "c")].map(|(from, to)| (from.to_owned(), to.to_owned()));
    let edges = BTreeSet::from(edges);
    let path = |names: &[&str]| CyclePath(names.iter().map(|&name| name.to_owned()).collect());
    assert!(check_cycle(&path(&["a", "b", "a"]), &edges).is_ok());
    for wrong in [
        &["a", "b"][..],
        &["a", "c", "a"],
        &["a"],
        &["a", "b", "a", "b", "a"],
    ] {
        assert!(check_cycle(&path(wrong), &edges).is_err(), "{wrong:?}");
    }
}
