//! What can be wrong with a workflow file: each error is one sentence that names the file, the line
//! or the task, and the remedy.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::workflow::wfcommons;

/// The largest workflow file that is read, in MiB.
pub const FILE_LIMIT_MIB: u64 = 256;

/// More names than this and the middle of a cycle is left out of its error.
const CYCLE_NAMES_SHOWN: usize = 12;

/// A position in a workflow file: `file`, `file:line` or `file:line:column`, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it.
    pub file: PathBuf,
    /// The line, where the format's parser tells it.
    pub line: Option<usize>,
    /// The column, where the format's parser tells it.
    pub column: Option<usize>,
}

impl Place {
    /// The file as a whole.
    pub fn file(file: &Path) -> Self {
        Self::line(file, None)
    }

    /// A line of the file, when it is known.
    pub fn line(file: &Path, line: Option<usize>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            column: None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        for part in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{part}")?;
        }
        Ok(())
    }
}

/// The tasks of a cycle in running order, the first repeated at the end: `a -> b -> a`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CyclePath(pub Vec<String>);

impl fmt::Display for CyclePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = &self.0;
        if names.len() <= CYCLE_NAMES_SHOWN {
            return f.write_str(&names.join(" -> "));
        }
        let (head, tail) = (CYCLE_NAMES_SHOWN - 4, 4);
        write!(
            f,
            "{} -> ... {} more ... -> {}",
            names[..head].join(" -> "),
            names.len() - head - tail,
            names[names.len() - tail..].join(" -> ")
        )
    }
}

/// Why a workflow file was refused. Nothing of it has run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The operating system would not give the file.
    #[error("cannot read {}: {source}; check the path and its permissions", file.display())]
    Unreadable {
        /// The file as the user named it.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory, a pipe or a device: reading it could fail late or never end.
    #[error("cannot read {}: not a regular file; name a .toml or .json file", file.display())]
    NotAFile {
        /// The file as the user named it.
        file: PathBuf,
    },
    /// Larger than [`FILE_LIMIT_MIB`].
    #[error("{}: larger than {FILE_LIMIT_MIB} MiB; split the workflow", file.display())]
    TooLarge {
        /// The file as the user named it.
        file: PathBuf,
    },
    /// Not text.
    #[error("{at}: byte {offset} is not UTF-8; save the file as UTF-8 text")]
    NotUtf8 {
        /// The line of the first bad byte.
        at: Place,
        /// The offset of the first bad byte from the start of the file.
        offset: usize,
    },
    /// Broken TOML or JSON, or a field that is unknown, missing or of the wrong type.
    #[error("{at}: {message}; {remedy}")]
    Syntax {
        /// Where the parser stopped.
        at: Place,
        /// What the parser said.
        message: String,
        /// Where the right form is shown.
        remedy: &'static str,
    },
    /// A JSON document of another format or version.
    #[error(
        "{}: {found}; pinfold reads WfCommons schema {}, convert the file with the WfCommons tools",
        file.display(),
        wfcommons::SCHEMA_VERSION
    )]
    WrongSchema {
        /// The file as the user named it.
        file: PathBuf,
        /// What stood in the place of the version.
        found: String,
    },
    /// No task at all.
    #[error("{}: the workflow has no tasks; add at least one", file.display())]
    Empty {
        /// The file as the user named it.
        file: PathBuf,
    },
    /// A task without a name, or with line breaks or other control characters in it.
    #[error(
        "{at}: task name {name:?} is empty or has control characters; give it a printable name"
    )]
    BadName {
        /// Where the task stands.
        at: Place,
        /// The name.
        name: String,
    },
    /// Two tasks of one name.
    #[error("{at}: task `{name}` is defined twice; rename one of the two")]
    DuplicateName {
        /// Where the second task stands.
        at: Place,
        /// The name.
        name: String,
    },
    /// A task without a command line.
    #[error(
        "{at}: task `{name}` has an empty command line or one with a NUL; set `run` to a command"
    )]
    BadCommand {
        /// Where the task stands.
        at: Place,
        /// The task.
        name: String,
    },
    /// An edge to a task that is not there.
    #[error(
        "{at}: task `{name}` names `{other}`, and there is no such task; correct the name or define it"
    )]
    MissingTask {
        /// Where the edge stands.
        at: Place,
        /// The task that has the edge.
        name: String,
        /// The task that is missing.
        other: String,
    },
    /// A task after itself.
    #[error("{at}: task `{name}` comes after itself; remove `{name}` from its own parents")]
    SelfEdge {
        /// Where the edge stands.
        at: Place,
        /// The task.
        name: String,
    },
    /// Tasks that wait for one another in a circle.
    #[error("{at}: the tasks form a cycle: {path}; remove one of its edges")]
    Cycle {
        /// Where a task of the cycle stands.
        at: Place,
        /// The cycle.
        path: CyclePath,
    },
    /// A recorded run that lacks, repeats or exceeds a task of the specification.
    #[error("{}: task `{name}` {problem}; give each task of the specification exactly one record", file.display())]
    Records {
        /// The file as the user named it.
        file: PathBuf,
        /// The task.
        name: String,
        /// What is wrong with its records.
        problem: &'static str,
    },
    /// A recorded run time that no run can take.
    #[error(
        "{}: task `{name}` has runtimeInSeconds {seconds:?}, scaled by {scale:?}; \
         both must be at least 0 and their product under {} s",
        file.display(),
        wfcommons::LONGEST_REPLAY.as_secs()
    )]
    BadRuntime {
        /// The file as the user named it.
        file: PathBuf,
        /// The task.
        name: String,
        /// The recorded seconds.
        seconds: f64,
        /// The scale asked for.
        scale: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_prints_what_is_known() {
        let mut at = Place::file(Path::new("w.toml"));
        assert_eq!(at.to_string(), "w.toml");
        at.line = Some(3);
        assert_eq!(at.to_string(), "w.toml:3");
        at.column = Some(7);
        assert_eq!(at.to_string(), "w.toml:3:7");
    }

    #[test]
    fn a_long_cycle_keeps_both_ends() {
        let names: Vec<String> = (0..100).map(|n| format!("t{n}")).collect();
        let shown = CyclePath(names).to_string();
        assert_eq!(
            shown,
            "t0 -> t1 -> t2 -> t3 -> t4 -> t5 -> t6 -> t7 -> ... 88 more ... -> t96 -> t97 -> t98 -> t99"
        );
    }
}
