//! Exports the guests that AWS Wickr bills a network for, with the evidence that the list is complete.

pub mod dataset;
pub mod guest;
pub mod period;
pub mod publish;
pub mod roster;
pub mod verify;
