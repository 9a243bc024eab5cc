//! That nothing was left out: each step that core names was stopped at, and each operation that core
//! claims to be lock-free or wait-free was stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::claims::{Class, LIMITS};
use crate::tally::Tally;

/// Names at which nobody was stopped, and why.
const UNREACHED: [(&str, &str); 3] = [
    ("latch.done.late", "only where a step is left out"),
    ("mailbox.take.again", "only where a step is left out"),
    ("scope.panicked", "the tasks of models do not panic"),
];

/// Claims of what cannot be called from outside of core: the operation that calls it, and one of its
/// steps.
const WITHIN: [(&str, &str, &str); 5] = [
    (
        "injector::first_free",
        "injector::push",
        "injector.push.entry",
    ),
    (
        "injector::first_filled",
        "injector::pop",
        "injector.pop.entry",
    ),
    ("mailbox::post", "scope::spawn_on", "mailbox.post.exchange"),
    ("mailbox::take_all", "scope::scope", "mailbox.take.swap"),
    ("mailbox::any", "scope::scope", "mailbox.any.link"),
];

/// The sources of core, with their names below `core/src`, without the extension.
fn sources() -> Vec<(String, String)> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let mut files = Vec::new();
    collect(&core, &mut files);
    let named = files.into_iter().map(|path| {
        let name = path.strip_prefix(&core).unwrap().with_extension("");
        let name = name.to_str().unwrap().replace('\\', "/");
        (name, fs::read_to_string(path).unwrap())
    });
    named
        .filter(|(name, _)| !name.starts_with("sync"))
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The names given to `order!` in `source`.
fn sites(source: &str) -> impl Iterator<Item = &str> {
    let calls = source.split("order!(").skip(1);
    calls.map(|call| call.split('"').nth(1).expect("a name comes first"))
}

/// The functions of `source` of which its docs claim something, with the claim.
fn claims(source: &str) -> BTreeMap<String, Class> {
    let mut claims = BTreeMap::new();
    let mut said = None;
    for line in source.lines().map(str::trim) {
        if let Some(row) = line.strip_prefix("//! |") {
            let class = class_in(row.trim_end_matches('|').rsplit('|').next().unwrap_or(""));
            let links = row
                .split("[`")
                .skip(1)
                .filter_map(|link| link.split('`').next());
            let functions = links.filter_map(|link| link.rsplit_once("::"));
            // A table may say more of some function than one line; the weaker claim counts.
            for (function, class) in functions.filter_map(|(_, f)| Some((f, class?))) {
                let known = claims.entry(function.to_owned()).or_insert(class);
                if class == Class::LockFree {
                    *known = class;
                }
            }
        } else if let Some(doc) = line.strip_prefix("///") {
            said = said.or(class_in(doc));
        } else if let Some(function) = name_of_function(line) {
            if let Some(class) = said.take() {
                claims.entry(function.to_owned()).or_insert(class);
            }
        } else if !line.starts_with("#[") {
            said = None;
        }
    }
    claims
}

fn name_of_function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_item = before
        .split(' ')
        .all(|word| ["", "const", "unsafe"].contains(&word) || word.starts_with("pub"));
    let name = after.split(['(', '<']).next()?;
    is_item.then_some(name)
}

fn class_in(text: &str) -> Option<Class> {
    let text = text.to_lowercase();
    if text.contains("lock-free") {
        Some(Class::LockFree)
    } else if text.contains("wait-free") {
        Some(Class::WaitFree)
    } else {
        None
    }
}

/// Panics unless `tally` has everything.
pub fn check(tally: &Tally) {
    let sources = sources();
    check_sites(tally, &sources);
    let mut found = 0;
    for (file, text) in &sources {
        let folder = file.split('/').next().expect("a name");
        for (function, class) in claims(text) {
            check_claim(tally, &format!("{folder}::{function}"), class);
            found += 1;
        }
    }
    assert!(
        found > 25,
        "only {found} claims: are they worded otherwise?"
    );
}

fn check_sites(tally: &Tally, sources: &[(String, String)]) {
    let named: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| sites(text)).collect();
    assert!(
        named.len() > 80,
        "only {}: is the macro another?",
        named.len()
    );
    let is_excused = |site| UNREACHED.iter().any(|&(excused, _)| excused == site);
    let missed: Vec<_> = named
        .iter()
        .filter(|&&site| !tally.sites().contains(site) && !is_excused(site))
        .collect();
    assert!(missed.is_empty(), "nobody was stopped at {missed:?}");
    for (site, _) in UNREACHED {
        let is_stale = !named.contains(site) || tally.sites().contains(site);
        assert!(!is_stale, "{site} needs no excuse any more");
    }
}

fn check_claim(tally: &Tally, operation: &str, class: Class) {
    let stopped = tally.operations();
    if let Some((_, caller, site)) = WITHIN.iter().find(|(inner, ..)| *inner == operation) {
        let is_stopped = stopped.contains(caller) && tally.sites().contains(site);
        return assert!(is_stopped, "{operation} is not stopped in {caller}");
    }
    assert!(
        stopped.contains(operation),
        "{operation} claims {class:?}: stop it"
    );
    let limit = LIMITS.iter().find(|limit| limit.operation == operation);
    let claimed = limit.map(|limit| limit.class);
    assert_eq!(claimed, Some(class), "{operation}: what is claimed?");
}

#[test]
fn claims_are_found_in_tables_and_above_functions() {
    let source = "
        //! | [`Owner::push`], [`Owner::push_all`] | 0 | wait-free |
        //! | [`Set::wake`], nobody there | wait-free |
        //! | [`Set::wake`] | lock-free |
        //! | [`Set::sleep`] | then parked | – |
        /// Takes the oldest. Lock-free.
        #[inline]
        pub fn steal(&self) {}
        /// No claim.
        pub fn look(&self) {}
        /// Lock-free, of a field.
        field: usize,
        pub const unsafe fn other() {}
    ";
    let found: Vec<_> = claims(source).into_iter().collect();
    let named = |name: &str, class| (name.to_owned(), class);
    assert_eq!(
        found,
        [
            named("push", Class::WaitFree),
            named("push_all", Class::WaitFree),
            named("steal", Class::LockFree),
            named("wake", Class::LockFree)
        ]
    );
}

#[test]
fn sites_are_found_however_they_are_wrapped() {
    let source =
        "a.load(order!(\"x.one\", Relaxed)); b.store(1, order!(\n    \"x.two\",\n Release));";
    assert_eq!(sites(source).collect::<Vec<_>>(), ["x.one", "x.two"]);
}
