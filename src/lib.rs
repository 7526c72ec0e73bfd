//! Exports the guests that AWS Wickr bills a network for, with the evidence that the list is complete.

pub mod clock;
pub mod dataset;
pub mod evidence;
pub mod guest;
pub mod pacing;
pub mod period;
pub mod roster;
pub mod telemetry;
pub mod walk;
pub mod wickr;
