//! Tells the program which commit it was built from, where there is one to ask.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/refs/heads");
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|commit| format!(" ({})", commit.trim()))
        .unwrap_or_default();
    println!("cargo:rustc-env=WICKR_GUEST_EXPORT_COMMIT={commit}");
}
