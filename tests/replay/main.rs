//! What fuzzing found stays found: every committed input of the fuzz targets, through the same functions.
//!
//! The functions live with the targets in `tests/fuzz`, a package of its own that needs a nightly compiler; here
//! they run with the stable one. An input that fuzzing found is committed to its target's corpus under a name that
//! says what it did.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[allow(unreachable_pub, dead_code, reason = "it is the library of the fuzz targets as well")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use targets::TARGETS;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_committed_input_of_every_target_keeps_its_properties() {
    let corpora = fuzz_folder().join("corpus");
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in(&corpora), targets);
    let manifest: toml::Table =
        fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap().parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap().iter();
    assert_eq!(
        programs.map(|program| program["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(),
        targets
    );

    // One after the other: memory is measured for the whole process.
    for (target, run) in TARGETS {
        let inputs = names_in(&corpora.join(target));
        assert!(!inputs.is_empty(), "{target} has no inputs");
        for input in inputs {
            eprintln!("{target}/{input}");
            run(&fs::read(corpora.join(target).join(&input)).unwrap());
        }
    }
}
