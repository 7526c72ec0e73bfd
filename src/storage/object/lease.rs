//! Locks in an object store: a lease, which is an object that its holder renews.
//!
//! It is created and replaced by conditional puts alone, so that of two who try one is refused. A holder that dies
//! renews no more, and whoever has seen the same version for the whole term by their own clock may replace it: no
//! clock of another machine is asked, and none of the store's. So nobody can say at once whether a holder is alive;
//! it shows when it renews, or when the term has passed, and until then even the impatient watch.
//!
//! A put whose answer got lost may have taken effect, or may yet. So the same bytes are put again until the store has
//! decided, and the lease counts from when they were put first.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ObjectDestination;
use crate::storage::destination::{DestinationError, LockGuard, Precondition, Version};
use crate::storage::failpoint;
use crate::storage::lock::Holder;
use crate::storage::lock_wait::LockWait;
use crate::storage::path::RelativePath;

/// How often a lease that somebody else holds is read.
const POLL: Duration = Duration::from_millis(500);
/// The most that is believed of a lease, in bytes.
const MAX_LEASE_BYTES: u64 = 4096;
/// How often one change is put, where what is there turns out to be ours in another version.
const ATTEMPTS: u32 = 3;

/// How long a lease lasts that is not renewed.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTerm(pub Duration);

impl LeaseTerm {
    /// How long one put or read of a lease may take: less than the third of the term between two renewals.
    fn patience(self) -> Duration {
        self.0 / 4
    }

    /// How long the same version must be seen before its holder counts as dead: clocks need not run alike.
    fn until_dead(self) -> Duration {
        self.0 + self.0 / 8
    }
}

impl Default for LeaseTerm {
    fn default() -> Self {
        Self(failpoint::lease_term().unwrap_or(Duration::from_secs(15)))
    }
}

/// What a lease says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    /// Tells this attempt to take it from all others.
    nonce: String,
    /// Who holds it.
    #[serde(flatten)]
    holder: Holder,
    /// How often it was renewed, so that each version has other bytes.
    renewals: u64,
    /// Set if it was given back.
    released: bool,
}

/// A change of a lease, and when it was put first.
#[derive(Clone, Debug)]
struct Change {
    lease: Lease,
    begun: Instant,
}

/// What the holder knows of its lease.
#[derive(Debug)]
struct Held {
    destination: ObjectDestination,
    name: RelativePath,
    lease: Lease,
    version: Version,
    renewed_at: Instant,
    /// A renewal that the store has not decided on, as far as is known.
    pending: Option<Change>,
    /// Set once it was found to be somebody else's.
    lost: bool,
}

/// A lease that this process holds.
#[derive(Debug)]
pub(super) struct LeaseGuard {
    held: Arc<Mutex<Held>>,
    released: CancellationToken,
}

/// What is known of the life of whoever holds a lease.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<(Version, Instant)>,
    is_alive: bool,
}

impl Watch {
    /// Notes a version that was just read, and says whether its holder must be dead.
    fn finds_dead(&mut self, version: &Version, term: LeaseTerm) -> bool {
        let now = Instant::now();
        match &self.seen {
            Some((before, since)) if before == version => now - *since > term.until_dead(),
            before => {
                self.is_alive |= before.is_some();
                self.seen = Some((version.clone(), now));
                false
            }
        }
    }
}

/// Takes a lease, waiting for whoever holds it, and at least until it has shown whether they live.
pub(super) async fn acquire(
    destination: &ObjectDestination,
    name: &RelativePath,
    wait: &LockWait,
) -> Result<LeaseGuard, DestinationError> {
    let longest = wait.longest_from_now();
    let give_up = Instant::now() + longest;
    let (term, mut watch, mut is_told) = (destination.term(), Watch::default(), false);
    loop {
        let found = read(destination, name).await?;
        let precondition = match &found {
            None => Some(Precondition::Absent),
            Some((lease, version)) => {
                let is_free = lease.as_ref().is_none_or(|lease| lease.released);
                watch.is_alive |= lease.as_ref().is_some_and(|lease| destination.holds(&lease.nonce));
                let is_dead = !is_free && watch.finds_dead(version, term);
                if is_dead {
                    tracing::warn!(lock = %name, "lock of a run that renews it no longer is taken over");
                }
                (is_free || is_dead).then(|| Precondition::Unchanged(version.clone()))
            }
        };
        if let Some(precondition) = precondition {
            match try_take(destination, name, precondition).await? {
                Some(held) => return Ok(LeaseGuard::begin(held)),
                // Somebody was faster just now, so they live.
                None => watch.is_alive = true,
            }
        }
        let holder = found.and_then(|(lease, _)| lease).map(|lease| lease.holder);
        let place = destination.shown(name);
        if wait.stop.is_cancelled() {
            return Err(DestinationError::Interrupted { place, holder });
        }
        if Instant::now() >= give_up && watch.is_alive {
            return Err(DestinationError::Locked { place, holder, waited: longest });
        }
        if !is_told {
            let holder = holder.map(|holder| holder.to_string()).unwrap_or_default();
            tracing::info!(lock = place, holder, "waiting for a lock");
            is_told = true;
        }
        wait.pause(POLL.min(term.0 / 8)).await;
    }
}

/// Reads a lease; one that says nothing that can be understood is nobody's.
async fn read(
    destination: &ObjectDestination,
    name: &RelativePath,
) -> Result<Option<(Option<Lease>, Version)>, DestinationError> {
    let patience = destination.term().patience();
    let reading = destination.read_small(name, MAX_LEASE_BYTES);
    let found = destination.within(patience, "read", name, reading).await??;
    Ok(found.map(|found| (serde_json::from_slice(&found.bytes).ok(), found.version)))
}

async fn put(
    destination: &ObjectDestination,
    name: &RelativePath,
    lease: &Lease,
    precondition: Precondition,
) -> Result<Version, DestinationError> {
    let json = serde_json::to_vec(lease).expect("a lease has a JSON form");
    let patience = destination.term().patience();
    destination.within(patience, "written", name, destination.put_small(name, json, precondition)).await?
}

/// Puts a lease of our own in place; none if somebody was faster.
///
/// Where the answer is lost, what was taken all the same ends by itself: nobody renews it.
async fn try_take(
    destination: &ObjectDestination,
    name: &RelativePath,
    precondition: Precondition,
) -> Result<Option<Held>, DestinationError> {
    let (nonce, holder) = (hex::encode(rand::random::<[u8; 16]>()), Holder::this_process());
    let lease = Lease { nonce, holder, renewals: 0, released: false };
    let renewed_at = Instant::now();
    match put(destination, name, &lease, precondition).await {
        Ok(version) => {
            let (destination, name) = (destination.clone(), name.clone());
            Ok(Some(Held { destination, name, lease, version, renewed_at, pending: None, lost: false }))
        }
        Err(DestinationError::Changed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Held {
    fn is_ours(&self, found: Option<&Lease>) -> bool {
        found.is_some_and(|lease| lease.nonce == self.lease.nonce)
    }

    fn lost(&mut self) -> DestinationError {
        self.lost = true;
        DestinationError::LockLost { place: self.destination.shown(&self.name) }
    }

    /// Renews the lease: the renewal before, if its outcome is not known.
    async fn renew(&mut self) -> Result<(), DestinationError> {
        let next = || {
            let lease = Lease { renewals: self.lease.renewals + 1, ..self.lease.clone() };
            Change { lease, begun: Instant::now() }
        };
        let change = self.pending.clone().unwrap_or_else(next);
        self.pending = Some(change.clone());
        self.replace(change).await
    }

    /// Gives the lease back, whatever has become of its last renewal.
    async fn release(&mut self) -> Result<(), DestinationError> {
        let renewals = self.pending.as_ref().map_or(self.lease.renewals, |change| change.lease.renewals);
        let lease = Lease { renewals: renewals + 1, released: true, ..self.lease.clone() };
        self.replace(Change { lease, begun: Instant::now() }).await
    }

    /// Replaces what is there by another lease of the same holder, or finds out that it is no longer ours.
    async fn replace(&mut self, change: Change) -> Result<(), DestinationError> {
        for _ in 0..ATTEMPTS {
            let precondition = Precondition::Unchanged(self.version.clone());
            match put(&self.destination, &self.name, &change.lease, precondition).await {
                Ok(version) => {
                    (self.lease, self.version, self.renewed_at) = (change.lease, version, change.begun);
                    self.pending = None;
                    return Ok(());
                }
                Err(DestinationError::Changed { .. }) => self.look().await?,
                Err(error) => return Err(error),
            }
        }
        Err(DestinationError::Changed { place: self.destination.shown(&self.name) })
    }

    /// Reads the lease and takes note of the version that it has, if it is ours.
    async fn look(&mut self) -> Result<(), DestinationError> {
        match read(&self.destination, &self.name).await? {
            Some((lease, version)) if self.is_ours(lease.as_ref()) => {
                if let Some(change) = self.pending.take_if(|change| Some(&change.lease) == lease.as_ref()) {
                    (self.lease, self.renewed_at) = (change.lease, change.begun);
                }
                self.version = version;
                Ok(())
            }
            _ => Err(self.lost()),
        }
    }
}

impl LeaseGuard {
    fn begin(held: Held) -> Self {
        let (destination, released) = (held.destination.clone(), CancellationToken::new());
        destination.holding(|nonces| nonces.insert(held.lease.nonce.clone()));
        let held = Arc::new(Mutex::new(held));
        destination.finish_later(keep(Arc::clone(&held), released.clone()));
        Self { held, released }
    }
}

/// Renews a lease three times a term until it is released or lost, and then gives it back. A renewal under way is
/// waited for: what nobody waits for may take effect after the release.
async fn keep(held: Arc<Mutex<Held>>, released: CancellationToken) {
    renew_until_released(&held, &released).await;
    let mut held = held.lock().await;
    held.destination.holding(|nonces| nonces.remove(&held.lease.nonce));
    if !held.lost
        && let Err(error) = held.release().await
    {
        tracing::warn!(lock = %held.name, %error, "lock not given back; it ends by itself");
    }
}

async fn renew_until_released(held: &Mutex<Held>, released: &CancellationToken) {
    let mut pause = None;
    loop {
        let due = {
            let held = held.lock().await;
            let term = held.destination.term().0;
            pause.take().unwrap_or_else(|| (term / 3).saturating_sub(held.renewed_at.elapsed()))
        };
        if released.run_until_cancelled(tokio::time::sleep(due)).await.is_none() {
            return;
        }
        let mut held = held.lock().await;
        if held.lost {
            return;
        }
        if let Err(error) = held.renew().await {
            tracing::warn!(lock = %held.name, %error, "lock not renewed");
            pause = Some(held.destination.term().0 / 15);
        }
    }
}

#[async_trait]
impl LockGuard for LeaseGuard {
    /// Others take a lease over only if it was not renewed for a term by their own clocks, and replace it when they
    /// do. So one that is there and can be renewed has been ours all the time.
    async fn confirm(&self) -> Result<(), DestinationError> {
        let mut held = self.held.lock().await;
        if held.lost {
            return Err(held.lost());
        }
        held.look().await?;
        if held.renewed_at.elapsed() >= held.destination.term().0 {
            held.renew().await?;
        }
        Ok(())
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.released.cancel();
    }
}
