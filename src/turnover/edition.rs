//! Editions: what of a period is compared, its latest publication or one of its revisions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::TurnoverError;
use crate::guest::NetworkId;
use crate::ledger::{self, Ledger};
use crate::period::BillingPeriod;
use crate::publish::{Manifest, TaskKey};
use crate::storage::Destination;

/// A billing period as it is published, or as a revision of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The period.
    pub period: BillingPeriod,
    /// The number of a revision; the one that is published without it.
    pub revision: Option<u32>,
}

/// A text that names no edition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a billing period, such as 2026-10, nor a revision of one, such as 2026-10@1")]
pub struct EditionError(String);

impl FromStr for Edition {
    type Err = EditionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || EditionError(text.chars().take(40).collect());
        let (period, revision) = match text.split_once('@') {
            Some((period, revision)) => (period, Some(revision.parse().map_err(|_| error())?)),
            None => (text, None),
        };
        let edition = Self { period: period.parse().map_err(|_| error())?, revision };
        let is_counted = revision != Some(0);
        if is_counted && edition.to_string() == text { Ok(edition) } else { Err(error()) }
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            Some(revision) => write!(formatter, "{}@{revision}", self.period),
            None => write!(formatter, "{}", self.period),
        }
    }
}

impl Edition {
    /// Returns its name as a part of file names.
    pub(super) fn in_file_names(self) -> String {
        self.to_string().replace('@', "-r")
    }

    /// Reads the manifests of the networks that are wanted, all without any.
    pub(super) async fn read(
        self,
        output: &dyn Destination,
        networks: &BTreeSet<NetworkId>,
    ) -> Result<BTreeMap<NetworkId, Result<Manifest, String>>, TurnoverError> {
        let is_wanted = |task: TaskKey| {
            task.period == self.period && (networks.is_empty() || networks.contains(&task.network))
        };
        let mut ledger = Ledger::read(output, is_wanted).await?;
        if let Some(number) = self.revision {
            let network =
                *networks.first().filter(|_| networks.len() == 1).ok_or(TurnoverError::OneNetwork)?;
            let task = TaskKey::new(network, self.period);
            if let Some(published) = ledger.publications.remove(&task) {
                ledger.publications.insert(task, revision(output, task, published, number).await?);
            }
        }
        let read = ledger.publications.into_iter().map(|(task, manifest)| (task.network, Ok(manifest)));
        let unread = ledger.unreadable.into_iter().map(|(task, reason)| (task.network, Err(reason)));
        Ok(read.chain(unread).collect())
    }
}

/// Reads the manifest of a revision; what the published one says of purged rosters holds for all.
async fn revision(
    output: &dyn Destination,
    task: TaskKey,
    published: Manifest,
    number: u32,
) -> Result<Manifest, TurnoverError> {
    if published.revision == number {
        return Ok(published);
    }
    let kept = ledger::revisions(output, task).await?;
    let latest = published.revision;
    // What is past the published one was never published.
    let found = kept.into_values().find(|manifest| manifest.revision == number && number < latest);
    let manifest = found.ok_or(TurnoverError::NoRevision { task, number, latest })?;
    Ok(Manifest { rosters_purged_at: manifest.rosters_purged_at.or(published.rosters_purged_at), ..manifest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edition_is_read_as_it_is_shown() {
        for text in ["2026-10", "2026-10@1", "2026-10@12"] {
            assert_eq!(text.parse::<Edition>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "@1",
            "2026-10@",
            "2026-10@0",
            "2026-10@01",
            "2026-10@+1",
            "2026-10@r1",
            "2026-13",
            "previous",
        ] {
            assert!(text.parse::<Edition>().is_err(), "{text:?}");
        }
        assert_eq!("2026-10@2".parse::<Edition>().unwrap().in_file_names(), "2026-10-r2");
    }
}
