//! The models: test binaries that are there already, and one process per run, for a mutant is chosen
//! by the environment.

#![allow(
    dead_code,
    reason = "the binary and the test that includes this use their parts"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pinfold_core::sync::mutant::VARIABLE;

/// A mutant of no site: whoever fails for it fails for any.
pub const NOBODY: &str = "no.such.site=Relaxed";

/// Test binaries of this package that hold no models of core: they test the checker, and the rules.
const NO_MODELS: [&str; 4] = ["canary", "mutants", "names", "stalls"];

/// How often a run that is still going is looked at.
const POLL: Duration = Duration::from_millis(5);

/// One model, and how to run it.
#[derive(Debug, Clone)]
pub struct Model {
    /// The file it is in, without the ending.
    pub file: String,
    /// `file::name`
    pub name: String,
    binary: PathBuf,
}

/// What a run of a model came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every interleaving passed.
    Passed,
    /// An assertion failed, of the model or of core.
    Assertion,
    /// The checker found two accesses that nothing orders.
    Race,
    /// The checker found all threads blocked.
    Deadlock,
    /// The checker found no end: a thread went round for ever.
    Endless,
    /// The process ended some other way, which says nothing.
    Crashed,
    /// The time was up, which says nothing.
    TimedOut,
}

impl Verdict {
    /// Whether the model has noticed something.
    pub fn is_failure(self) -> bool {
        use Verdict::{Assertion, Deadlock, Endless, Race};
        matches!(self, Assertion | Race | Deadlock | Endless)
    }

    /// A word for a table.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Assertion => "assertion",
            Verdict::Race => "race",
            Verdict::Deadlock => "deadlock",
            Verdict::Endless => "endless",
            Verdict::Crashed => "crashed",
            Verdict::TimedOut => "timed out",
        }
    }

    /// What the first panic of a run says. (Others may follow while the model is torn down.)
    fn of_failure(errors: &str) -> Verdict {
        let Some(first) = errors.split(" panicked at ").nth(1) else {
            return Verdict::Crashed;
        };
        let says = |text| first.contains(text);
        if says("Causality violation") {
            Verdict::Race
        } else if says("deadlock; threads") {
            Verdict::Deadlock
        } else if says("Model exceeded maximum number of branches") {
            Verdict::Endless
        } else {
            Verdict::Assertion
        }
    }
}

impl Model {
    /// Runs the model with `mutant`, for at most `limit`.
    pub fn run(&self, mutant: &str, limit: Duration) -> Verdict {
        let (_, name) = self.name.split_once("::").expect("in_binary made it");
        let mut child = Command::new(&self.binary)
            .args(["--exact", "--nocapture", name])
            .env(VARIABLE, mutant)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        let (report, errors) = (drain(child.stdout.take()), drain(child.stderr.take()));
        let success = end_of(&mut child, limit);
        let text = |reader: JoinHandle<String>| reader.join().expect("readers do not panic");
        let (report, errors) = (text(report), text(errors));
        assert!(
            report.starts_with("\nrunning 1 test\n"),
            "no model `{}`: {report}",
            self.name
        );
        match success {
            Some(true) => Verdict::Passed,
            Some(false) => Verdict::of_failure(&errors),
            None => Verdict::TimedOut,
        }
    }
}

/// Whether `child` succeeded; `None` if it had to be stopped.
fn end_of(child: &mut Child, limit: Duration) -> Option<bool> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            return Some(status.success());
        }
        if begun.elapsed() > limit {
            child.kill().expect("the child is ours");
            child.wait().expect("the child is ours");
            return None;
        }
        thread::sleep(POLL);
    }
}

/// Reads a stream to its end beside whoever waits for the process: its pipe may fill.
fn drain(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read up to an error is what there is.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The models in `binaries`; of those of one name, that of the first binary.
pub fn in_binaries(binaries: Vec<PathBuf>) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for model in binaries.into_iter().flat_map(in_binary) {
        if !models.iter().any(|known| known.name == model.name) {
            models.push(model);
        }
    }
    models
}

/// The models of one test binary, whose name is that of its source file, a dash and a hash.
fn in_binary(binary: PathBuf) -> Vec<Model> {
    let stem = binary.file_stem().and_then(|stem| stem.to_str());
    let Some((file, _)) = stem.and_then(|stem| stem.rsplit_once('-')) else {
        return Vec::new();
    };
    if NO_MODELS.contains(&file) {
        return Vec::new();
    }
    let list = Command::new(&binary)
        .arg("--list")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
    let model = |name: &str| Model {
        file: file.to_owned(),
        name: format!("{file}::{name}"),
        binary: binary.clone(),
    };
    String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter_map(|line| line.strip_suffix(": test").map(model))
        .collect()
}

/// Builds this package's tests and returns their binaries.
///
/// # Errors
///
/// What kept them from being built.
pub fn build() -> Result<Vec<PathBuf>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "test",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .args(["--package", env!("CARGO_PKG_NAME"), "--tests"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err("the models do not build".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(messages.lines().filter_map(executable).collect())
}

/// The file that a message of cargo's says was built as a test.
pub fn executable(message: &str) -> Option<PathBuf> {
    let (_, path) = message.split_once(r#""executable":""#)?;
    let (path, _) = path.split_once('"')?;
    let is_test = message.contains(r#""kind":["test"]"#);
    is_test.then(|| PathBuf::from(path.replace(r"\\", r"\")))
}

/// The test binaries of the source files `files` beside the one that runs, the newest first. (Other
/// packages of the workspace may have files of the same names.)
pub fn siblings(files: &BTreeSet<&str>) -> Vec<PathBuf> {
    let own = std::env::current_exe().expect("a test has a binary");
    let folder = own.parent().expect("a binary is in a folder");
    let is_wanted = |path: &Path| {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let name = stem.and_then(|stem| stem.rsplit_once('-'));
        path.extension() == own.extension() && name.is_some_and(|(name, _)| files.contains(name))
    };
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder is readable").path())
        .filter(|path| is_wanted(path))
        .collect();
    found.sort_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    found.reverse();
    found
}
