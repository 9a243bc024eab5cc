//! Bad input ends with status 2 and one sentence; nothing of it runs.

use super::{Finished, Ground};

/// Each task of a refused workflow would leave this file behind.
const MARK: &str = "ran.txt";

/// `words` are separated by `|`, and each must be in the sentence.
fn assert_refused(ground: &Ground, finished: &Finished, words: &str) {
    assert_eq!(finished.status, Some(2), "{words}: {finished:?}");
    let lines = finished.stderr.lines().count();
    assert_eq!(lines, 1, "{words}: {finished:?}");
    for word in ["pinfold: "].into_iter().chain(words.split('|')) {
        let is_there = finished.stderr.contains(word);
        assert!(is_there, "{word:?} is not in {finished:?}");
    }
    assert_eq!(finished.stdout, "");
    let ran = ground.path().join(MARK).exists();
    assert!(!ran, "{words}: something ran");
}

fn assert_file_refused(name: &str, content: &str, words: &str) {
    let ground = Ground::new();
    ground.write(name, content);
    let finished = ground.pinfold(&["run", name]);
    assert_refused(&ground, &finished, name);
    assert_refused(&ground, &finished, words);
}

/// A TOML task that leaves [`MARK`] behind.
fn task(name: &str, more: &str) -> String {
    format!("[[task]]\nname = \"{name}\"\nrun = \"touch {MARK}\"\n{more}\n")
}

#[test]
fn a_toml_workflow_with_impossible_edges_or_names_is_refused() {
    let a = task("a", "");
    let b = |more| a.clone() + &task("b", more);
    let cycle = task("free", "")
        + &task("a", "after = ['c', 'free']")
        + &task("b", "after = ['a']")
        + &task("c", "after = ['b']");
    let cases: [(String, &str); 9] = [
        (cycle, "w.toml:6|a -> b -> c -> a|remove one"),
        (b("after = ['a',\n'x']"), "w.toml:9|`b`|`x`|define it"),
        (a.repeat(2), "w.toml:6|`a` is defined twice|rename"),
        (
            task("a", "after = ['a']"),
            "w.toml:4|`a` comes after itself",
        ),
        (String::new(), "no tasks|add"),
        (a.replace("touch", "\\u0000"), "w.toml:2|`a`|NUL"),
        (a.replace("touch ran.txt", " "), "w.toml:2|`a`|set `run`"),
        (task("", ""), "w.toml:2|\"\"|printable"),
        (task("a\\nb", ""), "w.toml:2|\"a\\nb\"|printable"),
    ];
    for (text, words) in cases {
        assert_file_refused("w.toml", &text, words);
    }
}

#[test]
fn a_toml_workflow_that_is_broken_or_has_other_keys_or_types_is_refused() {
    let a = task("a", "");
    let a_with = |more| task("a", more);
    let cases: [(String, &str); 13] = [
        (a.clone() + "[[task\n", "w.toml:5:7|unclosed|--help"),
        ("[[task]]\nname = \"a".into(), "w.toml:2:10|string"),
        ("[".repeat(100_000), "w.toml:1:|--help"),
        (format!("a = {}", "[".repeat(100_000)), "w.toml:1:|recurs"),
        (a_with("retry = 1"), "w.toml:4:1|`retry`|`retries`"),
        (a.clone() + "[tasks]", "w.toml:5:|`tasks`"),
        (
            "[[task]]\nname = 'a'".into(),
            "w.toml:1:1|missing field `run`",
        ),
        (a_with("after = 'b'"), "w.toml:4:9|sequence"),
        (a_with("retries = -1"), "w.toml:4:11"),
        (a_with("retries = 5000000000"), "w.toml:4:11"),
        (a_with("timeout = '30'"), "w.toml:4:11|\"30\"|time unit"),
        (a_with("timeout = 0"), "w.toml:4:11|longer than 0"),
        (a_with("name = 'b'"), "w.toml:4:1|duplicate key"),
    ];
    for (text, words) in cases {
        assert_file_refused("w.toml", &text, words);
    }
}

/// A WfCommons document of these specified and executed tasks.
fn recording(specified: &str, executed: &str) -> String {
    format!(
        "{{\"schemaVersion\": \"1.5\", \"workflow\": {{\n\
         \"specification\": {{\"tasks\": [{specified}]}},\n\
         \"execution\": {{\"tasks\": [{executed}]}}}}}}"
    )
}

#[test]
fn a_recording_with_impossible_tasks_is_refused() {
    let a = r#"{"id": "a", "parents": []}"#;
    let ran = r#"{"id": "a", "runtimeInSeconds": 0.1}"#;
    let cycle = r#"{"id": "a", "parents": ["b"]}, {"id": "b", "parents": ["a"]}"#;
    let both_ran = [ran, &ran.replace("\"a\"", "\"b\"")].join(",");
    let parent = |id| format!(r#"{{"id": "a", "parents": ["{id}"]}}"#);
    let child = |id| format!(r#"{{"id": "a", "children": ["{id}"]}}"#);
    let cases: [(String, &str); 12] = [
        (recording(cycle, &both_ran), "cycle|b -> a|remove one"),
        (recording(&parent("x"), ran), "`a`|`x`|no such task"),
        (recording(&child("x"), ran), "`a`|`x`|no such task"),
        (recording(&child("a"), ran), "`a` comes after itself"),
        (recording(&[a, a].join(","), ran), "`a` is defined twice"),
        (recording("", ""), "no tasks"),
        (recording(a, ""), "`a` has no execution record"),
        (
            recording(a, &[ran, ran].join(",")),
            "`a` has two execution records",
        ),
        (recording(a, &both_ran), "`b`|no specification"),
        (recording(a, &ran.replace("0.1", "-1")), "`a`|Seconds -1.0"),
        (
            recording(a, r#"{"id": "a"}"#),
            "w.json:3:|missing field `runtimeInSeconds`",
        ),
        (
            recording(r#"{"id": 5}"#, ran),
            "w.json:2:|expected a string",
        ),
    ];
    for (text, words) in cases {
        assert_file_refused("w.json", &text, words);
    }
}

#[test]
fn a_json_file_that_is_broken_or_of_another_schema_is_refused() {
    let old = recording("", "").replace("1.5", "1.3");
    let cases: [(&str, &str); 9] = [
        (&old, "schemaVersion is \"1.3\"|reads WfCommons schema 1.5"),
        (
            "{\"schemaVersion\": 1.5}",
            "schemaVersion is 1.5|schema 1.5",
        ),
        ("{}", "no schemaVersion|schema 1.5"),
        ("[]", "w.json:1:|a WfCommons document"),
        ("", "w.json:1:0|EOF"),
        ("{\"schemaVersion\": \"1.5\",\n oops}", "w.json:2:2"),
        (
            "{\"schemaVersion\": \"1.5\"}",
            "w.json:1:|missing field `workflow`",
        ),
        ("{\"schemaVersion\": \"1.5\"} x", "w.json:1:26|trailing"),
        (&"[".repeat(100_000), "w.json:1:"),
    ];
    for (text, words) in cases {
        assert_file_refused("w.json", text, words);
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let ground = Ground::new();
    ground.write("binary.toml", b"[[task]]\nname = '\xff'");
    std::fs::create_dir(ground.path().join("folder.toml")).unwrap();
    let pipe = ground.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(pipe).status();
    assert!(made.unwrap().success());
    let cases = [
        ("absent.toml", "absent.toml|No such file|check the path"),
        ("folder.toml", "folder.toml|not a regular file"),
        ("pipe", "pipe|not a regular file"),
        ("/dev/zero", "/dev/zero|not a regular file"),
        ("binary.toml", "binary.toml:2|byte 17 is not UTF-8"),
    ];
    for (file, words) in cases {
        assert_refused(&ground, &ground.pinfold(&["run", file]), words);
    }
}

#[test]
fn a_file_without_a_known_extension_is_told_by_its_first_character() {
    let bad_json = "\u{feff}\n {\"schemaVersion\": 7}";
    assert_file_refused("json", bad_json, "schemaVersion is 7");
    let bad_toml = "\u{feff}[[task]]\nname = 'a'\nrun = ''";
    assert_file_refused("toml.txt", bad_toml, "toml.txt:2|`a`");
}

#[test]
fn a_refused_option_is_named_with_its_remedy() {
    let ground = Ground::new();
    let text = task("a", "");
    let file = ground.write("w.toml", &text);
    std::fs::hard_link(file, ground.path().join("linked.toml")).unwrap();
    let cases = [
        ("--workers 0", "--workers|at least one|1 to 1024"),
        ("--workers 100000", "--workers|limit is 1024"),
        ("--workers -3", "--workers|1 to 1024"),
        ("--workers many", "--workers|1 to 1024"),
        ("--workers 99999999999999999999999", "--workers|1 to 1024"),
        ("--time-scale -1", "--time-scale|at least 0"),
        ("--time-scale nan", "--time-scale|finite"),
        ("--time-scale inf", "--time-scale|finite"),
        ("--time-scale -inf", "--time-scale|finite"),
        ("--place sideways", "--place|sideways|known: none"),
        ("--place=", "--place"),
        ("--place cpus=4093", "--place|4093|pinfold topology"),
        ("--place cpus=99999999999999999999", "--place|--help"),
        ("--place cpus=0 --workers 2", "--place|2 workers"),
        (
            "--trace no/such/folder/t.json",
            "no/such/folder/t.json|writable",
        ),
        ("--trace w.toml", "w.toml|another file"),
        ("--trace linked.toml", "linked.toml|another file"),
        ("--frobnicate", "--frobnicate|--help"),
        ("second.toml", "second.toml|--help"),
    ];
    for (options, words) in cases {
        let arguments: Vec<&str> = ["run", "w.toml"]
            .into_iter()
            .chain(options.split(' '))
            .collect();
        assert_refused(&ground, &ground.pinfold(&arguments), words);
        assert_eq!(ground.read("w.toml"), text, "{options} changed it");
    }
}

#[test]
fn an_incomplete_command_line_is_refused() {
    let ground = Ground::new();
    assert_refused(&ground, &ground.pinfold(&[]), "subcommand|--help");
    assert_refused(&ground, &ground.pinfold(&["run"]), "<FILE>|--help");
    assert_refused(&ground, &ground.pinfold(&["walk"]), "walk|--help");
}

#[test]
fn a_recording_cut_at_any_byte_is_refused_as_a_whole() {
    let a = r#"{"id": "a", "parents": [], "children": []}"#;
    let whole = recording(a, r#"{"id": "a", "runtimeInSeconds": 0.0}"#);
    let ground = Ground::new();
    for end in 0..whole.len() {
        ground.write("cut.json", &whole[..end]);
        let finished = ground.pinfold(&["run", "cut.json"]);
        assert_refused(&ground, &finished, "cut.json:");
    }
    ground.write("cut.json", &whole);
    assert_eq!(ground.pinfold(&["run", "cut.json"]).status, Some(0));
}
