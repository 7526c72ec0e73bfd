//! One number, confirmed as the program confirms it.
//!
//! Nothing is written down on the way: what is measured is asked of the service, and lists of some pages fit
//! into memory.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use wickr_guest_export::checkpoint::{Checkpoint, Fingerprint};
use wickr_guest_export::clock::Clock;
use wickr_guest_export::evidence::{
    ConfirmError, ConfirmSettings, ConfirmedRoster, Strategy, Surroundings, confirm,
};
use wickr_guest_export::guest::NetworkId;
use wickr_guest_export::pacing::RequestCount;
use wickr_guest_export::period::{BillingPeriod, PeriodSpelling};
use wickr_guest_export::roster::{RosterMode, RunBound};
use wickr_guest_export::telemetry::Silent;
use wickr_guest_export::wickr::WickrAdmin;

/// How many rows a full page has.
pub(crate) const PAGE_ROWS: u8 = 100;
/// Pairs of walks before a number is refused, as in a job that says nothing else.
const ATTEMPTS: u32 = 3;

/// Both ways to walk a list.
pub(crate) const STRATEGIES: [Strategy; 2] = [Strategy::Forward, Strategy::Converge];

/// The month that is walked: closed, and counted by the service.
pub(crate) fn period() -> BillingPeriod {
    "2026-10".parse().expect("a month")
}

/// The day on which that is so.
pub(crate) fn today() -> DateTime<Utc> {
    "2026-11-20T09:00:00Z".parse().expect("an instant")
}

/// Always the same day.
struct Today;

impl Clock for Today {
    fn now(&self) -> DateTime<Utc> {
        today()
    }
}

/// Walks until the number of a network is confirmed, or refused.
pub(crate) async fn confirmed(
    api: &dyn WickrAdmin,
    network: NetworkId,
    strategy: Strategy,
) -> Result<ConfirmedRoster, ConfirmError> {
    let settings = ConfirmSettings {
        network,
        period: period(),
        spelling: PeriodSpelling::Hyphen,
        page_size: PAGE_ROWS,
        mode: RosterMode::Full,
        bound: RunBound { rows: u32::MAX, bytes: usize::MAX },
        strategy,
        settle_days: 3,
        pretended_now: None,
        attempts: ATTEMPTS,
        zero_accepted: false,
    };
    let clock: Arc<dyn Clock> = Arc::new(Today);
    let stop = CancellationToken::new();
    let fingerprint = fingerprint(&settings);
    let mut checkpoint = Checkpoint::new(None, fingerprint, TimeDelta::hours(6), clock.clone(), stop.clone());
    let surroundings =
        Surroundings { api, asked: &RequestCount::default, clock: &clock, stop: &stop, progress: &Silent };
    confirm(&surroundings, &settings, &mut checkpoint).await
}

fn fingerprint(settings: &ConfirmSettings) -> Fingerprint {
    Fingerprint {
        network: settings.network,
        billing_period: settings.period,
        spelling: settings.spelling,
        endpoint: "http://127.0.0.1".to_owned(),
        region: "us-east-1".to_owned(),
        source: "simulator".to_owned(),
        aws_account_id: None,
        as_of: None,
        strategy: settings.strategy.as_str().to_owned(),
        page_size: settings.page_size,
        destination: "out".to_owned(),
        roster: settings.mode.name().to_owned(),
        key_id: None,
        published: None,
    }
}
