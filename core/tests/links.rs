//! What the core can be linked without: the standard library, an allocator, panics, and locks.
//!
//! `examples/freestanding` is a program in which every public function of the core is compiled, and in which a
//! panic, an allocation or a lock is an error. These tests build and run it, and its three broken variants, each
//! of which must fail for its own reason. `--nocapture` shows what it says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::str::Lines;
use std::{env, fs};

/// Why the program cannot be built here, if so.
fn obstacle() -> Option<&'static str> {
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        Some("the freestanding program is for Linux on x86-64")
    } else if cfg!(miri) {
        Some("an interpreter cannot link")
    } else if !example().exists() {
        Some("the examples are not part of this package")
    } else {
        None
    }
}

fn is_skipped() -> bool {
    if let Some(why) = obstacle() {
        println!("skipped: {why}");
    }
    obstacle().is_some()
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/freestanding")
}

/// Where builds go: one folder for what is run as it is, one for each program that would take its place.
fn target(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder)
}

/// Builds the program with `feature` in `folder`.
fn build(feature: &str, folder: &str) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    // Flags for the tests (sanitizers, coverage) are not for a program without a runtime.
    for variable in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
    ] {
        cargo.env_remove(variable);
    }
    cargo
        .args(["build", "--profile", "freestanding", "--features", feature])
        .args(["--color", "never", "--manifest-path"])
        .arg(example().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target(folder))
        .output()
        .expect("cargo is there, for it runs this test")
}

fn run(folder: &str) -> (Option<i32>, String) {
    let program = target(folder).join("freestanding/freestanding");
    let output = Command::new(program).output().expect("it was built");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}");
    (output.status.code(), said)
}

/// What the compiler and the linker complained about.
fn errors(output: &Output) -> String {
    assert!(!output.status.success(), "it must not build");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_whole_core_links_and_works_without_a_runtime() {
    if is_skipped() {
        return;
    }
    let built = build("freestanding", "freestanding");
    let complaints = String::from_utf8_lossy(&built.stderr);
    assert!(
        built.status.success(),
        "see its main.rs for how to find a panic: {complaints}"
    );
    let (code, said) = run("freestanding");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" claims hold\n"), "{said}");
}

#[test]
fn a_line_that_may_panic_does_not_link() {
    if is_skipped() {
        return;
    }
    let errors = errors(&build("control-panic", "freestanding"));
    let undefined: Vec<_> = errors
        .lines()
        .filter(|line| line.contains("undefined "))
        .collect();
    assert!(!undefined.is_empty(), "the linker misses nothing: {errors}");
    let is_ours = |line: &&str| line.contains("pinfold_core_may_panic");
    assert!(undefined.iter().all(is_ours), "{errors}");
}

#[test]
fn a_line_that_allocates_does_not_compile() {
    if is_skipped() {
        return;
    }
    let errors = errors(&build("control-alloc", "freestanding"));
    let complaint = "error: no global memory allocator found";
    assert!(errors.contains(complaint), "{errors}");
    assert!(!errors.contains("undefined "), "{errors}");
}

#[test]
fn a_lock_is_found_by_stopping_its_holder() {
    if is_skipped() {
        return;
    }
    let built = build("control-lock", "freestanding-lock");
    let complaints = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{complaints}");
    let (code, said) = run("freestanding-lock");
    if code == Some(0) && said.contains("skipped: stops: ") {
        return println!("skipped: this kernel does not let a process trace its child");
    }
    assert_eq!(code, Some(3), "{said}");
    let found = "others wait for a thread stopped in: a push under a spin lock";
    assert!(said.contains(found), "{said}");
}

#[test]
fn every_public_function_is_in_the_program() {
    if is_skipped() {
        return;
    }
    let mut sources = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources_in(&folder, &mut sources);
    let public: BTreeSet<_> = sources
        .iter()
        .flat_map(|source| public_functions(source))
        .collect();
    assert!(public.len() > 120, "only {} were found", public.len());
    let program = fs::read_to_string(example().join("src/every.rs")).unwrap();
    let named = names_in(&program);
    let missing: Vec<_> = public
        .iter()
        .filter(|function| !named.contains(*function))
        .collect();
    assert!(missing.is_empty(), "not in the program: {missing:?}");
}

#[test]
fn a_public_function_is_recognised() {
    let source = "
impl<const N: usize> Deque<[Slot; N]> {
    const_fn! {
        pub const fn fixed() -> Self {}
    }
    fn private() {}
    pub(crate) fn internal() {}
}

impl<S> fmt::Debug for Deque<S> {}

impl<'a, S: AsRef<[Slot]>> Owner<'a, S>
where
    S: Sync,
{
    pub unsafe fn push<T>(&self) {}

    /// In models.
    #[cfg(pinfold_loom)]
    #[inline]
    pub fn modelled(&self) {
        if true {}
    }

    pub fn pop(&self) {
        #[cfg(pinfold_loom)]
        self.mark();
    }
}

#[cfg(pinfold_loom)]
pub mod mutant {
    pub fn ordering() {}
}

pub fn free() {}

#[cfg(all(test, not(pinfold_loom)))]
mod tests {
    pub fn tested() {}
}
";
    let expected = [
        ("Deque", "fixed"),
        ("Owner", "push"),
        ("Owner", "pop"),
        ("", "free"),
    ];
    let expected = expected.map(|(on, name)| (on.to_owned(), name.to_owned()));
    assert_eq!(public_functions(source), expected);
    let named = names_in("Owner::<'static, fn(u8) -> u8>::push => fn();\n free::<u64> => fn();");
    assert!(named.contains(&expected[1]) && named.contains(&expected[3]));
    assert!(!named.contains(&expected[0]));
}

fn sources_in(folder: &Path, sources: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_in(&path, sources);
        } else {
            let source = fs::read_to_string(path).unwrap();
            // What there is in model builds only is not linked.
            if !source.contains("\n#![cfg(pinfold_loom)]\n") {
                sources.push(source);
            }
        }
    }
}

/// The public functions of a source file as rustfmt leaves it: the type, or nothing for a free function, and the
/// name.
fn public_functions(source: &str) -> Vec<(String, String)> {
    let mut functions = Vec::new();
    let mut block = None;
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if text.starts_with("#[cfg(all(test") {
            break;
        }
        if text == "#[cfg(pinfold_loom)]" {
            skip_item(&mut lines);
            continue;
        }
        if text.starts_with("impl") {
            let mut header = text.to_owned();
            while !header.ends_with('{') && !header.ends_with("{}") {
                header.push(' ');
                header.push_str(lines.next().expect("an impl has a body").trim());
            }
            block = Some((indent, type_of(&header)));
        } else if text == "}" && block.as_ref().is_some_and(|&(start, _)| start == indent) {
            block = None;
        } else if let Some(name) = public_name(text) {
            let on = block.as_ref().map_or("", |(_, on)| on.as_str());
            functions.push((on.to_owned(), name.to_owned()));
        }
    }
    functions
}

/// Passes over a function or a module, which is in model builds only; over nothing else.
fn skip_item(lines: &mut Lines<'_>) {
    let mut ahead = lines.clone();
    let item = ahead.find(|line| !line.trim_start().starts_with(['#', '/']));
    let item = item.unwrap_or_default();
    let text = item.trim_start();
    let indent = item.len() - text.len();
    if public_name(text).is_some() || text.starts_with("pub mod ") {
        let end = |line: &str| line.trim_start() == "}" && line.len() == indent + 1;
        if !text.ends_with('}') {
            ahead.find(|line| end(line));
        }
        *lines = ahead;
    }
}

/// The name of the public function that begins in this line.
fn public_name(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("pub ")?;
    for word in ["const ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

/// The type of an `impl`, without its path and its parameters.
fn type_of(header: &str) -> String {
    let plain = without_parameters(header);
    let plain = plain.trim_start_matches("impl").trim();
    let target = plain.split(" for ").last().unwrap_or(plain);
    let path = target.split([' ', '{']).next().unwrap_or(target);
    path.rsplit("::").next().unwrap_or(path).to_owned()
}

/// `text` without what stands between `<` and `>`, nor the `::` before it.
fn without_parameters(text: &str) -> String {
    let (mut plain, mut depth) = (String::new(), 0);
    for character in text.replace("->", "").chars() {
        match character {
            '<' => {
                if plain.ends_with("::") {
                    plain.truncate(plain.len() - 2);
                }
                depth += 1;
            }
            '>' if depth > 0 => depth -= 1,
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    plain
}

/// What a program names: `Type::function`, and every plain word as a free function.
fn names_in(program: &str) -> BTreeSet<(String, String)> {
    let code: String = program
        .lines()
        .filter(|line| !line.trim_start().starts_with("//") && !line.starts_with("use "))
        .map(|line| format!("{}\n", line.replace("=>", "\n")))
        .collect();
    let plain = without_parameters(&code);
    let is_in_path =
        |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    let paths = plain.split(|character| !is_in_path(character));
    let mut names = BTreeSet::new();
    for path in paths {
        let mut words = path.rsplit("::");
        let name = words.next().unwrap_or_default();
        let on = words.next().unwrap_or_default();
        let is_type = on.starts_with(char::is_uppercase);
        names.insert((if is_type { on } else { "" }.to_owned(), name.to_owned()));
    }
    names
}
