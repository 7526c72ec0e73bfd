//! The real binary over real HTTP, judged by its exit code, its words and the files that it publishes.
//!
//! One test program rather than one a file: linking the engine libraries takes longer than running the tests.
//! No test asserts a wall time; all periods lie in 2025, so that they mean the same whenever the tests run.
#![cfg(feature = "simulator")]

mod browser;
mod command_line;
mod converge;
mod credentials;
mod deaths;
mod diff;
mod disk;
mod doctor;
mod errors;
mod finance;
mod hostile;
mod interruption;
mod jobs;
mod locks;
mod logs;
mod metrics;
mod pacing;
mod power;
mod prometheus;
mod publication;
mod purge;
mod readme;
mod reconcile;
mod report;
mod resume;
mod roles;
mod rosters;
mod rules;
mod selectors;
mod shards;
mod sources;
mod status;
mod support;
