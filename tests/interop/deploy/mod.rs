//! What `deploy/` holds, read by those that it is written for.
//!
//! The manifests, policies and units are data that no compiler sees. So they are rendered by kubectl, held against
//! Kubernetes' own schemas, taken by an IAM and an S3 of somebody else's making, and run where they can be run here.

mod exit_codes;
mod kubernetes;
mod policies;
mod schedules;

use std::path::{Path, PathBuf};

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}
