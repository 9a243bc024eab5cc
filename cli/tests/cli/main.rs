//! The built `pinfold`, from outside: what it prints, what it writes and how it exits.

mod bad_input;
mod commands;
mod example;
mod replay;
mod topology;
mod trace;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// No test takes this long unless `pinfold` hangs.
const HANG: Duration = Duration::from_secs(120);

/// A directory of its own for one test, in which `pinfold` runs.
struct Ground(TempDir);

impl Ground {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("a writable temporary directory");
        path
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    /// Runs `pinfold` here.
    fn pinfold(&self, arguments: &[&str]) -> Finished {
        let begin = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_pinfold"))
            .args(arguments)
            .current_dir(self.path())
            .output()
            .expect("the built binary starts");
        assert!(
            begin.elapsed() < HANG,
            "{arguments:?} took {:?}",
            begin.elapsed()
        );
        Finished::new(output)
    }
}

/// How a run of `pinfold` ended.
#[derive(Debug)]
struct Finished {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Finished {
    fn new(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The line of the table that begins with `word`, without it.
    fn row(&self, word: &str) -> &str {
        let row = self.stdout.lines().find_map(|line| line.strip_prefix(word));
        row.unwrap_or_else(|| panic!("no {word} in {self:?}"))
            .trim()
    }
}
