//! The model of `handover.rs`, and that it notices.

#[path = "../handover.rs"]
mod handover;

use std::process::{Command, Output};
use std::sync::Arc;

use handover::Handover;
use pinfold_core::sync::{self, mutant};

#[test]
fn what_is_seen_was_left() {
    assert!(std::hint::black_box(sync::MODEL), "these are real atomics");
    loom::model(|| {
        let place = Arc::new(Handover::new());
        let giver = {
            let place = Arc::clone(&place);
            loom::thread::spawn(move || place.leave(42))
        };
        assert!(matches!(place.look(), None | Some(42)));
        giver.join().unwrap();
        assert_eq!(place.look(), Some(42));
    });
}

/// The model, in a process in which one site is weakened.
fn with_mutant(mutant: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_is_seen_was_left"])
        .env(mutant::VARIABLE, mutant)
        .output()
        .unwrap()
}

#[test]
fn each_weakened_ordering_fails_the_model() {
    if std::env::var_os(mutant::VARIABLE).is_some() {
        println!("skipped: this run is a mutant's");
        return;
    }
    let control = with_mutant("no.such.site=Relaxed");
    let report = String::from_utf8_lossy(&control.stdout);
    assert!(report.contains("1 passed; 0 failed"), "{report}");
    for site in ["handover.leave.publish", "handover.look.full"] {
        let weakened = with_mutant(&format!("{site}=Relaxed"));
        let report = String::from_utf8_lossy(&weakened.stdout);
        assert!(report.contains("0 passed; 1 failed"), "{site}: {report}");
    }
}

/// `docs/models.md` shows these very files.
#[test]
fn the_page_shows_what_is_run_here() {
    let page = include_str!("../../../docs/models.md");
    let build = include_str!("../build.rs");
    let handover = include_str!("../handover.rs");
    let (before, _) = include_str!("handover.rs")
        .split_once("\n/// `docs/models.md` shows")
        .unwrap();
    for file in [build, handover, before] {
        let block = format!("```rust\n{}```\n", file.trim_end().to_owned() + "\n");
        assert!(page.contains(&block), "not on the page as it is:\n{file}");
    }
}
