//! The models notice: weaken any one `Release`, or remove any one fence of the deque, the injector or
//! the idle protocol, and a model fails.
//!
//! The sites are read from core's source, so that a new one must name its model here. Each mutant runs
//! in a process of its own, for it is chosen by the environment.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use pinfold_core::sync::mutant;

/// The sources whose sites are weakened.
const SOURCES: [&str; 4] = ["deque.rs", "injector.rs", "idle.rs", "platform.rs"];

/// The quickest model that notices, by site; `file::name`.
const KILLERS: [(&str, &str); 9] = [
    (
        "deque.steal.take",
        "deque::a_slot_is_reused_only_after_it_was_read",
    ),
    ("deque.push.publish", "deque::a_thief_sees_what_was_pushed"),
    (
        "deque.owner.release",
        "deque::an_owner_continues_where_the_last_one_stopped",
    ),
    (
        "injector.push.fill",
        "injector::a_consumer_sees_what_the_producer_wrote",
    ),
    (
        "injector.note.store",
        "injector::what_a_thread_pushed_is_found_by_its_pop",
    ),
    (
        "injector.pop.take",
        "injector::a_queue_that_is_not_empty_gives_something",
    ),
    (
        "idle.search.leave",
        "idle::what_a_searcher_found_too_much_is_found_by_the_other",
    ),
    ("idle.publish.fence", "idle::no_wakeup_is_lost"),
    ("idle.sleep.fence", "idle::no_wakeup_is_lost"),
];

/// A named access or fence that orders what came before it.
struct Site {
    name: String,
    ordering: String,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.ordering)
    }
}

/// The sites in `source` that a mutant weakens: what releases, and the fences.
fn sites(source: &str) -> Vec<Site> {
    let site = |call: &str| {
        let (arguments, _) = call.split_once(')')?;
        let (name, ordering) = arguments.split_once(',')?;
        Some(Site {
            name: name.trim().trim_matches('"').to_owned(),
            ordering: ordering.trim().trim_end_matches(',').to_owned(),
        })
    };
    source
        .split("order!(")
        .skip(1)
        .map(|call| site(call).expect("a site has a name and an ordering"))
        .filter(|site| ["Release", "AcqRel", "SeqCst"].contains(&site.ordering.as_str()))
        .collect()
}

/// The newest test binary beside this one that is built from a file called `name` and has the model
/// `model`. (Other packages of the workspace have files of the same names.)
fn sibling(name: &str, model: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(own.parent()?).ok()? {
        let path = entry.ok()?.path();
        // Binaries have a hash behind their name, and the extension of this one.
        let is_sibling = path.extension() == own.extension()
            && path
                .file_stem()
                .and_then(|stem| stem.to_str()?.rsplit_once('-'))
                .is_some_and(|(stem, _)| stem == name);
        if is_sibling {
            let built = fs::metadata(&path).and_then(|of| of.modified()).ok()?;
            found.push((built, path));
        }
    }
    found.sort();
    let mut newest_first = found.into_iter().rev().map(|(_, path)| path);
    newest_first.find(|path| has_model(path, model))
}

fn has_model(binary: &Path, model: &str) -> bool {
    let list = Command::new(binary)
        .arg("--list")
        .stdin(Stdio::null())
        .output();
    let line = format!("{model}: test");
    list.is_ok_and(|list| {
        String::from_utf8_lossy(&list.stdout)
            .lines()
            .any(|known| known == line)
    })
}

/// Whether the model `name` of `binary` passes, with `mutant` if there is one.
fn passes(binary: &Path, name: &str, mutant: Option<&str>) -> bool {
    let mut command = Command::new(binary);
    command.args(["--exact", name]).env_remove(mutant::VARIABLE);
    if let Some(mutant) = mutant {
        command.env(mutant::VARIABLE, mutant);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        report.starts_with("\nrunning 1 test\n"),
        "no model `{name}`: {report}"
    );
    output.status.success()
}

#[test]
fn each_weakened_release_and_fence_fails_a_model() {
    if std::env::var_os(mutant::VARIABLE).is_some() {
        println!("skipped: this run is a mutant's");
        return;
    }
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let read = |file| fs::read_to_string(core.join(file)).unwrap();
    let sites: Vec<Site> = SOURCES.iter().flat_map(|file| sites(&read(file))).collect();
    for (site, _) in KILLERS {
        assert!(sites.iter().any(|known| known.name == site), "no {site}");
    }
    let mut survivors = Vec::new();
    for site in sites {
        let killer = KILLERS.iter().find(|(name, _)| *name == site.name);
        let (_, model) = killer.unwrap_or_else(|| panic!("{site}: which model notices?"));
        let (file, name) = model.split_once("::").unwrap();
        let Some(binary) = sibling(file, name) else {
            println!("skipped: the models of `{file}` are not built");
            return;
        };
        assert!(passes(&binary, name, None), "{model} fails by itself");
        let elsewhere = Some("no.such.site=Relaxed");
        assert!(
            passes(&binary, name, elsewhere),
            "{model} fails for any mutant"
        );
        let mutant = format!("{}=Relaxed", site.name);
        let survived = passes(&binary, name, Some(&mutant));
        let fate = if survived { "SURVIVES" } else { "killed by" };
        println!("{:<32} {fate} {model}", site.to_string());
        if survived {
            survivors.push(mutant);
        }
    }
    assert!(survivors.is_empty(), "nobody notices {survivors:?}");
}

#[test]
fn sites_are_found_however_they_are_wrapped() {
    let source = r#"
        a.store(1, order!("x.one", Release));
        a.load(order!("x.two", Acquire));
        fence(order!("x.three", SeqCst));
        a.store(2, order!(
            "x.a.very.long.name",
            AcqRel,
        ));
        a.load(order!("x.four", Relaxed));
    "#;
    let found: Vec<String> = sites(source).iter().map(Site::to_string).collect();
    assert_eq!(
        found,
        [
            "x.one (Release)",
            "x.three (SeqCst)",
            "x.a.very.long.name (AcqRel)"
        ]
    );
}
