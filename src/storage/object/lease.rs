//! Locks in an object store: a lease, which is an object that its holder renews.
//!
//! It is created and replaced by conditional puts alone, so that of two who try one is refused. A holder that dies
//! renews no more, and whoever has seen the same version for the whole term by their own clock may replace it: no
//! clock of another machine is asked, and none of the store's. A put that was repeated after a lost answer is refused
//! as well, and then the lease says whose it is: each attempt has a nonce.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ObjectDestination;
use crate::storage::destination::{DestinationError, LockGuard, Precondition, Version};
use crate::storage::lock::Holder;
use crate::storage::path::RelativePath;

/// How often a lease that somebody else holds is read.
const POLL: Duration = Duration::from_millis(500);
/// The most that is believed of a lease, in bytes.
const MAX_LEASE_BYTES: u64 = 4096;

/// How long a lease lasts that is not renewed.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTerm(pub Duration);

impl Default for LeaseTerm {
    fn default() -> Self {
        Self(Duration::from_secs(15))
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

/// What the holder knows of its lease.
#[derive(Debug)]
struct Held {
    lease: Lease,
    version: Version,
    renewed_at: Instant,
    /// Set once it was found to be somebody else's.
    lost: bool,
}

/// A lease that this process holds.
#[derive(Debug)]
pub(super) struct LeaseGuard {
    destination: ObjectDestination,
    name: RelativePath,
    held: Arc<Mutex<Held>>,
    renewing: JoinHandle<()>,
}

/// Takes a lease, waiting at most `wait` for whoever holds it.
pub(super) async fn acquire(
    destination: &ObjectDestination,
    name: &RelativePath,
    wait: Duration,
) -> Result<LeaseGuard, DestinationError> {
    let give_up = Instant::now() + wait;
    let mut seen: Option<(Version, Instant)> = None;
    let mut is_told = false;
    loop {
        let found = read(destination, name).await?;
        let precondition = match &found {
            None => Some(Precondition::Absent),
            Some((lease, version)) if lease.as_ref().is_none_or(|lease| lease.released) => {
                Some(Precondition::Unchanged(version.clone()))
            }
            Some((_, version)) => {
                let now = Instant::now();
                let since =
                    seen.take().filter(|(before, _)| before == version).map_or(now, |(_, since)| since);
                seen = Some((version.clone(), since));
                (now - since > destination.term().0).then(|| {
                    tracing::warn!(lock = %name, "lock of a run that renews it no longer is taken over");
                    Precondition::Unchanged(version.clone())
                })
            }
        };
        if let Some(precondition) = precondition
            && let Some(held) = try_take(destination, name, precondition).await?
        {
            return Ok(LeaseGuard::begin(destination.clone(), name.clone(), held));
        }
        let holder = found.and_then(|(lease, _)| lease).map(|lease| lease.holder);
        let now = Instant::now();
        if now >= give_up {
            let place = destination.shown(name);
            return Err(DestinationError::Locked { place, holder, waited: wait });
        }
        if !is_told {
            let holder = holder.map(|holder| holder.to_string()).unwrap_or_default();
            tracing::info!(lock = %destination.shown(name), holder, "waiting for a lock");
            is_told = true;
        }
        tokio::time::sleep(POLL.min(give_up - now)).await;
    }
}

/// Reads a lease; one that says nothing that can be understood is nobody's.
async fn read(
    destination: &ObjectDestination,
    name: &RelativePath,
) -> Result<Option<(Option<Lease>, Version)>, DestinationError> {
    let found = destination.read_small(name, MAX_LEASE_BYTES).await?;
    Ok(found.map(|found| (serde_json::from_slice(&found.bytes).ok(), found.version)))
}

/// Puts a lease of our own in place; none if somebody was faster.
async fn try_take(
    destination: &ObjectDestination,
    name: &RelativePath,
    precondition: Precondition,
) -> Result<Option<Held>, DestinationError> {
    let lease = Lease {
        nonce: hex::encode(rand::random::<[u8; 16]>()),
        holder: Holder::this_process(),
        renewals: 0,
        released: false,
    };
    let renewed_at = Instant::now();
    match destination.put_small(name, json(&lease), precondition).await {
        Ok(version) => Ok(Some(Held { lease, version, renewed_at, lost: false })),
        Err(DestinationError::Changed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn json(lease: &Lease) -> Vec<u8> {
    serde_json::to_vec(lease).expect("a lease has a JSON form")
}

impl Held {
    /// Replaces the lease by another one of the same holder.
    async fn replace(
        &mut self,
        destination: &ObjectDestination,
        name: &RelativePath,
        released: bool,
    ) -> Result<(), DestinationError> {
        let lease = Lease { renewals: self.lease.renewals + 1, released, ..self.lease.clone() };
        let begun = Instant::now();
        let precondition = Precondition::Unchanged(self.version.clone());
        match destination.put_small(name, json(&lease), precondition).await {
            Ok(version) => {
                (self.lease, self.version, self.renewed_at) = (lease, version, begun);
                Ok(())
            }
            Err(error) => {
                self.lost |= matches!(error, DestinationError::Changed { .. });
                Err(error)
            }
        }
    }
}

impl LeaseGuard {
    fn begin(destination: ObjectDestination, name: RelativePath, held: Held) -> Self {
        let held = Arc::new(Mutex::new(held));
        let renewing = tokio::spawn(renew(destination.clone(), name.clone(), Arc::clone(&held)));
        Self { destination, name, held, renewing }
    }
}

/// Renews a lease three times a term, until it is lost or dropped.
async fn renew(destination: ObjectDestination, name: RelativePath, held: Arc<Mutex<Held>>) {
    loop {
        tokio::time::sleep(destination.term().0 / 3).await;
        let mut held = held.lock().await;
        if let Err(error) = held.replace(&destination, &name, false).await {
            tracing::warn!(lock = %name, %error, "lock not renewed");
            if held.lost {
                return;
            }
        }
    }
}

#[async_trait]
impl LockGuard for LeaseGuard {
    async fn confirm(&self) -> Result<(), DestinationError> {
        let mut held = self.held.lock().await;
        let place = self.destination.shown(&self.name);
        if held.lost {
            return Err(DestinationError::LockLost { place });
        }
        let found = read(&self.destination, &self.name).await?;
        let is_ours = found.and_then(|(lease, _)| lease).is_some_and(|lease| lease.nonce == held.lease.nonce);
        // Others wait a whole term by their own clocks, which began when we renewed it at the earliest.
        if is_ours && held.renewed_at.elapsed() < self.destination.term().0 {
            return Ok(());
        }
        held.lost = true;
        Err(DestinationError::LockLost { place })
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        self.renewing.abort();
        let (destination, name, held) = (self.destination.clone(), self.name.clone(), Arc::clone(&self.held));
        self.destination.finish_later(async move {
            let mut held = held.lock().await;
            if !held.lost
                && let Err(error) = held.replace(&destination, &name, true).await
            {
                tracing::warn!(lock = %name, %error, "lock not given back; it ends by itself");
            }
        });
    }
}
