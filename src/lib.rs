//! Exports the guests that AWS Wickr bills a network for, with the evidence that the list is complete.

pub mod cli;
pub mod clock;
pub mod commands;
pub mod dataset;
pub mod evidence;
pub mod exit;
pub mod export;
pub mod guest;
pub mod job;
pub mod pacing;
pub mod period;
pub mod publish;
pub mod report;
pub mod roster;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod telemetry;
pub mod verify;
pub mod walk;
pub mod wickr;
