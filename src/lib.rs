//! Exports the guests that AWS Wickr bills a network for, with the evidence that the list is complete.

pub mod clock;
pub mod guest;
pub mod pacing;
pub mod period;
pub mod wickr;
