//! A workflow: named tasks, what each does, and what each waits for.
//!
//! A [`Workflow`] can only be had from [`Workflow::new`], which checks it whole: names are unique and
//! printable, each parent exists, no task waits for itself, not even in a circle. Whoever holds one
//! may index by it without asking again.
//!
//! Two formats are read: our own TOML ([`toml_file`]) and WfCommons JSON ([`wfcommons`]).

pub mod error;
#[cfg(test)]
mod fuzz;
pub mod toml_file;
pub mod wfcommons;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

pub use error::LoadError;
use error::{CyclePath, FILE_LIMIT_MIB, Place};

/// What a task does when its turn comes.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Run a command line.
    Command(Command),
    /// Compute for this much CPU time.
    Compute(Duration),
}

/// A command line with its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What `sh -c` is given.
    pub line: String,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How many more attempts follow a failed one.
    pub retries: u32,
}

/// A name as a file spells it, with its line where the parser tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// The task named.
    pub name: String,
    /// The line, counted from 1.
    pub line: Option<usize>,
}

/// A task as read, not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The task's own name.
    pub name: Mention,
    /// What it does.
    pub action: Action,
    /// What it waits for.
    pub after: Vec<Mention>,
}

/// A checked task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Unique and printable.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// Indices of the tasks it waits for: ascending, each once.
    pub after: Vec<usize>,
}

/// A checked workflow: at least one task, and no cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    tasks: Vec<Task>,
    order: Vec<usize>,
}

impl Workflow {
    /// Checks `drafts`, which were read from `file`. O(tasks + edges). An edge given twice counts once.
    pub fn new(file: &Path, drafts: Vec<Draft>) -> Result<Self, LoadError> {
        if drafts.is_empty() {
            return Err(LoadError::Empty {
                file: file.to_owned(),
            });
        }
        let index = index_names(file, &drafts)?;
        let mut after = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            check_command(file, draft)?;
            after.push(resolve(file, draft, &index)?);
        }
        let order = running_order(&after).map_err(|cycle| LoadError::Cycle {
            at: Place::line(file, drafts[cycle[0]].name.line),
            path: CyclePath(cycle.iter().map(|&t| drafts[t].name.name.clone()).collect()),
        })?;
        let tasks = drafts.into_iter().zip(after).map(|(draft, after)| Task {
            name: draft.name.name,
            action: draft.action,
            after,
        });
        Ok(Self {
            tasks: tasks.collect(),
            order,
        })
    }

    /// The tasks, in the file's order.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Every task's index once, parents before children.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}

/// Reads and checks the workflow in `file`; a recorded run time is multiplied by `time_scale`.
///
/// The format follows from the extension (`.toml`, `.json`), else from the first character: `{` opens
/// JSON.
pub fn load(file: &Path, time_scale: f64) -> Result<Workflow, LoadError> {
    let text = read(file)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let drafts = if is_json(file, text) {
        wfcommons::parse(file, text, time_scale)?
    } else {
        toml_file::parse(file, text)?
    };
    Workflow::new(file, drafts)
}

fn is_json(file: &Path, text: &str) -> bool {
    let extension = file.extension().map(|e| e.to_ascii_lowercase());
    match extension.as_ref().and_then(|e| e.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    }
}

fn read(file: &Path) -> Result<String, LoadError> {
    let unreadable = |source| LoadError::Unreadable {
        file: file.to_owned(),
        source,
    };
    // Asked before opening: opening a pipe without a writer would wait for one.
    if !std::fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err(LoadError::NotAFile {
            file: file.to_owned(),
        });
    }
    let limit = FILE_LIMIT_MIB << 20;
    let mut bytes = Vec::new();
    let handle = File::open(file).map_err(unreadable)?;
    (handle.take(limit + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(LoadError::TooLarge {
            file: file.to_owned(),
        });
    }
    String::from_utf8(bytes).map_err(|e| {
        let offset = e.utf8_error().valid_up_to();
        let line = line_of(&e.as_bytes()[..offset]);
        LoadError::NotUtf8 {
            at: Place::line(file, Some(line)),
            offset,
        }
    })
}

/// The line, counted from 1, on which the text after `before` stands.
fn line_of(before: &[u8]) -> usize {
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

fn index_names<'d>(file: &Path, drafts: &'d [Draft]) -> Result<HashMap<&'d str, usize>, LoadError> {
    let mut index = HashMap::with_capacity(drafts.len());
    for (position, draft) in drafts.iter().enumerate() {
        let Mention { name, line } = &draft.name;
        let at = || Place::line(file, *line);
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(LoadError::BadName {
                at: at(),
                name: name.clone(),
            });
        }
        if index.insert(name.as_str(), position).is_some() {
            return Err(LoadError::DuplicateName {
                at: at(),
                name: name.clone(),
            });
        }
    }
    Ok(index)
}

fn check_command(file: &Path, draft: &Draft) -> Result<(), LoadError> {
    match &draft.action {
        Action::Command(Command { line, .. }) if line.trim().is_empty() || line.contains('\0') => {
            Err(LoadError::BadCommand {
                at: Place::line(file, draft.name.line),
                name: draft.name.name.clone(),
            })
        }
        _ => Ok(()),
    }
}

fn resolve(
    file: &Path,
    draft: &Draft,
    index: &HashMap<&str, usize>,
) -> Result<Vec<usize>, LoadError> {
    let name = &draft.name.name;
    let mut after = Vec::with_capacity(draft.after.len());
    for mention in &draft.after {
        let at = || Place::line(file, mention.line);
        if mention.name == *name {
            return Err(LoadError::SelfEdge {
                at: at(),
                name: name.clone(),
            });
        }
        let Some(&parent) = index.get(mention.name.as_str()) else {
            return Err(LoadError::MissingTask {
                at: at(),
                name: name.clone(),
                other: mention.name.clone(),
            });
        };
        after.push(parent);
    }
    after.sort_unstable();
    after.dedup();
    Ok(after)
}

/// Kahn's algorithm (Communications of the ACM 5(11), 1962): an order with parents first, or a cycle
/// in running order with its first task repeated at the end.
fn running_order(after: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut children = vec![Vec::new(); after.len()];
    let mut waiting: Vec<usize> = after.iter().map(Vec::len).collect();
    for (child, parents) in after.iter().enumerate() {
        for &parent in parents {
            children[parent].push(child);
        }
    }
    let mut order: Vec<usize> = (0..after.len()).filter(|&t| waiting[t] == 0).collect();
    let mut next = 0;
    while next < order.len() {
        for &child in &children[order[next]] {
            waiting[child] -= 1;
            if waiting[child] == 0 {
                order.push(child);
            }
        }
        next += 1;
    }
    match waiting.iter().position(|&count| count > 0) {
        None => Ok(order),
        Some(stuck) => Err(cycle_above(stuck, after, &waiting)),
    }
}

/// Walks from a task that never became ready to parents that never did, until one comes twice.
fn cycle_above(stuck: usize, after: &[Vec<usize>], waiting: &[usize]) -> Vec<usize> {
    let mut seen_at = vec![None; after.len()];
    let mut walk = Vec::new();
    let mut task = stuck;
    while seen_at[task].is_none() {
        seen_at[task] = Some(walk.len());
        walk.push(task);
        task = *(after[task].iter().find(|&&parent| waiting[parent] > 0))
            .expect("a task that never became ready has a parent that never did");
    }
    // The walk went from child to parent; running order is the reverse.
    let mut cycle = walk.split_off(seen_at[task].unwrap_or_default());
    cycle.push(task);
    cycle.reverse();
    cycle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(name: &str, after: &[&str]) -> Draft {
        let mention = |name: &str| Mention {
            name: name.to_owned(),
            line: None,
        };
        Draft {
            name: mention(name),
            action: Action::Compute(Duration::ZERO),
            after: after.iter().map(|a| mention(a)).collect(),
        }
    }

    fn check(drafts: Vec<Draft>) -> Result<Workflow, String> {
        Workflow::new(Path::new("w"), drafts).map_err(|e| e.to_string())
    }

    #[test]
    fn the_order_puts_parents_first_whatever_the_file_does() {
        let drafts = vec![
            draft("d", &["b", "c", "b"]),
            draft("c", &["a"]),
            draft("b", &["a"]),
            draft("a", &[]),
        ];
        let workflow = check(drafts).unwrap();
        assert_eq!(workflow.order(), [3, 1, 2, 0]);
        assert_eq!(workflow.tasks()[0].after, [1, 2]);
    }

    #[test]
    fn a_cycle_is_named_in_running_order() {
        let drafts = vec![
            draft("free", &[]),
            draft("below", &["a"]),
            draft("a", &["c", "free"]),
            draft("b", &["a"]),
            draft("c", &["b"]),
        ];
        assert_eq!(
            check(drafts).unwrap_err(),
            "w: the tasks form a cycle: a -> b -> c -> a; remove one of its edges"
        );
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_needs_no_stack() {
        let names: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
        let mut drafts = vec![draft(&names[0], &[])];
        drafts.extend((1..names.len()).map(|n| draft(&names[n], &[&names[n - 1]])));
        assert_eq!(check(drafts.clone()).unwrap().order()[99_999], 99_999);
        let last = drafts[99_999].name.clone();
        drafts[0].after.push(last);
        assert!(check(drafts).unwrap_err().contains("99989 more"));
    }
}
