//! What is said of a stale number, by `status` and by the page in the same words.

use chrono::{DateTime, Utc};

use crate::publish::{Manifest, SourceKind};
use crate::report::closing::history_horizon;

/// Says when a stale number was read, and what can still confirm another as of an instant.
///
/// When a number of the simulator was read says nothing of its month, whose day the job may pin.
#[must_use]
pub fn staleness(manifest: &Manifest, now: DateTime<Utc>) -> String {
    let state = manifest.period_state;
    let read = match manifest.source.kind {
        SourceKind::Wickr => {
            format!("read on {} while the month was {state}", manifest.checked_at.format("%F"))
        }
        SourceKind::Simulator => format!("read while the month was {state} on the day of the simulator"),
    };
    let horizon = history_horizon(manifest.billing_period);
    let until = horizon.format("%F");
    if now < horizon {
        format!("{read}; AWS's count can confirm it until {until}")
    } else {
        format!("{read}; AWS's count could confirm it until {until}, and now only two walks can")
    }
}
