//! Exports the guests that AWS Wickr bills a network for, with the evidence that the list is complete.

pub mod guest;
pub mod period;
#[cfg(feature = "simulator")]
pub mod simulator;
