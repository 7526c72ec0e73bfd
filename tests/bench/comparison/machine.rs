//! The machine that is measured on, and what is built on it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the program that is measured: the one that is named, else one that is built as whoever uses it would, as this
/// program's own copy of it has what only tests ask for.
pub(crate) fn exporter(named: Option<PathBuf>) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder within target");
    named.unwrap_or_else(|| {
        cargo_build(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"), target);
        target.join("release/wickr-guest-export")
    })
}

/// Builds the release of a package.
pub(crate) fn cargo_build(manifest: &Path, target: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
    // What cargo told this program of its own package would have build scripts run, and all be built, anew.
    let told = |name: &OsString| {
        let name = name.to_string_lossy();
        ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|of| name.starts_with(of))
            || ["OUT_DIR", "LD_LIBRARY_PATH", "CARGO_TARGET_TMPDIR"].contains(&&*name)
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| told(name)) {
        command.env_remove(name);
    }
    let status = command.arg("--target-dir").arg(target).status().expect("cargo starts");
    assert!(status.success(), "{} could not be built", manifest.display());
}

/// Returns what a program says on its one line.
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Returns what figures depend on: a name and a value each.
pub(crate) fn machine() -> Vec<(String, String)> {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        ("measured on".to_owned(), chrono::Utc::now().format("%Y-%m-%d").to_string()),
        ("processor".to_owned(), model.map_or("unknown", |(_, model)| model).to_owned()),
        ("processors at hand".to_owned(), cores.to_string()),
        ("system".to_owned(), said(Command::new("uname").arg("-sr"))),
    ]
}

/// Writes a number with a comma before every third digit from the right.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |(index, digit): (usize, char)| {
        let is_group = index > 0 && (digits.len() - index).is_multiple_of(3);
        is_group.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(comma).collect()
}
