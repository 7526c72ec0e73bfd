//! The README tells the truth: its quick start prints what it shows, and the tests that it names are there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Exporter, Scene, files_below, small};

const README: &str = include_str!("../../README.md");

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_quick_start_prints_what_it_shows() {
    let scene = Scene::new(small());
    let job = repository("jobs/demo.toml").display().to_string();
    for (command, named) in
        [("run jobs/demo.toml --quiet", job.as_str()), ("verify out/demo --quiet", "out/demo")]
    {
        let (_, shown) = README.split_once(&format!("$ cargo run -- {command}\n")).expect(command);
        let (shown, _) = shown.split_once("```").expect("the end of a block");
        let verb = command.split(' ').next().expect("a verb");
        let run = Exporter::new(&scene.path("")).args([verb, named, "--quiet"]).run().exits(0);
        assert_eq!(run.stdout, shown, "{command}");
    }
}

/// Says whether a test, a module of tests or a folder of them is there.
fn is_there(name: &str, sources: &[String]) -> bool {
    if name.starts_with("tests/") {
        return repository(name).is_dir();
    }
    match name.rsplit_once("::") {
        Some((modules, file)) if file.ends_with("tests") => {
            let module = repository("src").join(modules.replace("::", "/"));
            module.join(format!("{file}.rs")).is_file()
        }
        Some((_, function)) => sources.iter().any(|source| source.contains(&format!("fn {function}("))),
        None => {
            repository(&format!("tests/exporter/{name}.rs")).is_file()
                || repository(&format!("tests/exporter/{name}/mod.rs")).is_file()
        }
    }
}

#[test]
fn every_test_that_a_guarantee_names_is_there() {
    let (_, guarantees) = README.split_once("\n## Guarantees\n").expect("a section");
    let (guarantees, _) = guarantees.split_once("\n## ").expect("another section");
    let sources: Vec<String> = ["src", "tests/exporter"]
        .iter()
        .flat_map(|folder| files_below(&repository(folder)))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| fs::read_to_string(path).expect("a source"))
        .collect();
    let mut found = 0;
    for row in guarantees.lines().filter_map(|line| line.strip_prefix("| ")).skip(1) {
        let (_, tests) = row.trim_end_matches(" |").rsplit_once(" | ").expect("two columns");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names.into_iter().filter(|name| !name.starts_with("cargo ")) {
            assert!(is_there(name, &sources), "{name}");
            found += 1;
        }
    }
    assert!(found > 30, "the table is read: {found}");
}
