//! Ledgers to test the page with.

use crate::evidence::{ConfirmedBy, Reconciliation};
use crate::ledger::Ledger;
use crate::period::PeriodState;
use crate::publish::fixture::{Sample, task};
use crate::publish::manifest::{MANIFEST_VERSION, Manifest};

/// Makes the manifest of a closed month that AWS's count confirms, with no files.
pub(super) fn manifest(network: &str, period: &str, guests: u64) -> Manifest {
    let key = task(network, period);
    let publication = Sample::new(0..3).of(key).publication();
    Manifest {
        manifest_version: MANIFEST_VERSION,
        program: publication.program,
        source: publication.source,
        network_id: key.network,
        billing_period: key.period,
        period_start: key.period.start(),
        period_end: key.period.end(),
        period_state: PeriodState::Closed,
        revision: 1,
        content_sha256: publication.content_sha256,
        exported_at: publication.checked_at,
        checked_at: publication.checked_at,
        roster: publication.roster,
        csv: None,
        counts: crate::publish::Counts {
            guests,
            api_guests: Some(guests),
            reconciliation: Reconciliation::Match,
            confirmed_by: Some(ConfirmedBy::ControlTotal),
        },
        walk: publication.walk,
        rosters_purged_at: None,
        changes: None,
        files: Vec::new(),
    }
}

/// Makes a ledger of manifests.
pub(super) fn ledger(manifests: impl IntoIterator<Item = Manifest>) -> Ledger {
    let publications = manifests.into_iter().map(|manifest| (manifest.task(), manifest));
    Ledger { publications: publications.collect(), ..Ledger::default() }
}
