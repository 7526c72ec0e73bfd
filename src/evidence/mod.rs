//! Why a roster may be believed: the service's own count, and a second walk.
//!
//! The judgement is pure; [`confirm()`] collects what is judged. Only it makes a [`ConfirmedRoster`], and only that
//! can be published. What a single page must obey is checked below, in `walk` and `wickr`.

mod confirm;
mod control_total;
mod inquiry;
mod investigation;
mod verdict;

pub use confirm::{
    ConfirmError, ConfirmSettings, ConfirmedRoster, Strategy, Surroundings, WalkRecord, WalkTimes, confirm,
};
pub use control_total::{ControlTotal, HISTORY_DAYS, leaves_count_unavailable, read_control_total};
pub use inquiry::{Findings, Inquiry};
pub use verdict::{Confirmation, ConfirmedBy, Facts, Reconciliation, Refusal, Verdict, WalkFacts, judge};
