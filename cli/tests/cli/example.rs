//! The shipped example does its work, and may be run again.

use std::path::Path;

use super::Ground;
use super::trace::{assert_order, complete_events};

#[test]
fn the_repository_example_verifies_this_repository_twice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap();
    // The sources through links, so that the test writes to a directory of its own.
    let ground = Ground::new();
    for entry in std::fs::read_dir(&root).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name != "target" && name != ".git" {
            std::os::unix::fs::symlink(entry.path(), ground.path().join(name)).unwrap();
        }
    }
    for _ in 0..2 {
        let arguments = [
            "run",
            "examples/repository.toml",
            "--workers",
            "2",
            "--trace",
            "t.json",
        ];
        let finished = ground.pinfold(&arguments);
        assert_eq!(finished.status, Some(0), "{finished:?}");
        let events = complete_events(&ground.path().join("t.json"));
        assert!(events.len() >= 12, "{events:?}");
        assert_order(&events);
        assert!(
            ground
                .read("target/example/repository/report.txt")
                .contains("files: ")
        );
    }
}
