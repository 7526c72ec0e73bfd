//! Which networks a job means, and what the service says of them.
//!
//! All sources are asked at once, and every one of them has had its say before any list of guests is walked: a network
//! that two of them have is found before a number of it could be published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use tokio::time::Instant;

use super::source::Source;
use super::{NetworkFacts, NoNetworks};
use crate::clock::Clock;
use crate::guest::{NetworkId, PageToken};
use crate::job::{Networks, Shard};
use crate::pacing::{RequestCount, RetryPolicy};
use crate::walk::{GuardError, ListGuard};
use crate::wickr::{ApiError, Network, WickrAdmin};

/// The most networks that an account is believed to have.
const MAX_NETWORKS: usize = 10_000;

/// Of several sources, one that does not say what networks it has within this part of the time is gone on without.
const PART_OF_THE_TIME: u32 = 4;

/// A network, the source that has it, and what is known of it or why it cannot be asked about.
#[derive(Clone)]
pub struct KnownNetwork {
    /// Whose it is.
    pub source: Arc<Source>,
    /// What the service says of it.
    pub facts: Result<NetworkFacts, ApiError>,
}

/// The networks of a job. Each has one source: what is published is told apart by network.
pub type KnownNetworks = BTreeMap<NetworkId, KnownNetwork>;

/// What one source says of its networks.
type DescribedNetworks = BTreeMap<NetworkId, Result<NetworkFacts, ApiError>>;

/// Why the account's networks could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum NetworksError {
    /// A request failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The list leads nowhere.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// Networks without end.
    #[error(
        "the service lists more than {MAX_NETWORKS} networks; if the account really has so many, name those to \
         export with --network, else its answers are not to be trusted"
    )]
    TooMany,
}

/// Why nothing is exported from a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Its networks cannot be listed.
    #[error("listing the account's networks")]
    Networks(#[source] NetworksError),
    /// It has none.
    #[error(transparent)]
    NoNetworks(NoNetworks),
}

/// A source that nothing is exported from.
pub struct FailedSource {
    /// Which.
    pub source: Arc<Source>,
    /// Why.
    pub error: SourceError,
}

/// The same network in two sources, so that nobody could say which number is the right one (exit 2).
#[derive(Debug, thiserror::Error)]
#[error(
    "network {network} is one of {first} and of {second}, and only one number of it can be published; name the \
     networks of each source in its `networks`, so that no two have the same"
)]
pub struct NetworkOfTwoSources {
    network: NetworkId,
    first: String,
    second: String,
}

/// How sources are asked for their networks.
pub struct Description {
    /// How requests are tried again.
    pub policy: RetryPolicy,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// How many networks of a source are asked for at once.
    pub at_once: usize,
    /// The share of the networks that is asked about.
    pub shard: Shard,
    /// Set if networks that the job lists are not asked for, as a dry run does not need to.
    pub lists_only: bool,
}

/// What all sources of a job say.
#[derive(Default)]
pub struct DescribedSources {
    /// The networks to export.
    pub networks: KnownNetworks,
    /// The sources to leave out.
    pub failed: Vec<FailedSource>,
    /// What was asked.
    pub asked: RequestCount,
    /// How many networks there are in all shares, as far as that is known.
    pub of_networks: usize,
}

impl Description {
    /// Asks all sources for the networks that the job wants of them.
    ///
    /// # Errors
    /// [`NetworkOfTwoSources`]. A source that cannot say what it has, and a network that cannot be asked about, are
    /// failures of their own.
    pub async fn of(
        &self,
        sources: &[(Arc<Source>, Networks)],
    ) -> Result<DescribedSources, NetworkOfTwoSources> {
        let policy = match sources {
            [_] => self.policy,
            _ => RetryPolicy { deadline: part_of_the_time(self.policy.deadline), ..self.policy },
        };
        let asked = sources.iter().map(async |(source, wanted)| {
            let api = source.paced(policy, self.clock.clone());
            (self.describe(source, &api, wanted).await, api.count())
        });
        let mut described = DescribedSources::default();
        for ((source, _), (result, count)) in sources.iter().zip(join_all(asked).await) {
            described.asked = described.asked + count;
            match result {
                Ok((networks, of_networks)) => {
                    described.of_networks += of_networks;
                    // Only who they are is left unsaid; their tasks still have the rest of the time.
                    let is_hasty = policy.deadline < self.policy.deadline;
                    described.add(source, networks, is_hasty)?;
                }
                Err(error) => described.failed.push(FailedSource { source: source.clone(), error }),
            }
        }
        described.miss(sources, self.shard);
        Ok(described)
    }

    async fn describe(
        &self,
        source: &Source,
        api: &dyn WickrAdmin,
        wanted: &Networks,
    ) -> Result<(DescribedNetworks, usize), SourceError> {
        let own = |network: &NetworkId| self.shard.holds(*network);
        if let Networks::Listed(ids) = wanted {
            let share = ids.iter().copied().filter(own).collect::<Vec<_>>();
            let networks = if self.lists_only {
                share.into_iter().map(|id| (id, Ok(NetworkFacts::default()))).collect()
            } else {
                describe_each(api, &share, self.at_once).await
            };
            return Ok((networks, ids.len()));
        }
        let mut networks = list(api).await.map_err(SourceError::Networks)?;
        if let Networks::Among(ids) = wanted {
            networks = among(networks, ids);
        }
        if networks.is_empty() && *wanted == Networks::All {
            return Err(SourceError::NoNetworks(NoNetworks(source.endpoint.region.clone())));
        }
        let of_networks = networks.len();
        networks.retain(|network, _| own(network));
        Ok((networks, of_networks))
    }
}

impl DescribedSources {
    fn add(
        &mut self,
        source: &Arc<Source>,
        networks: DescribedNetworks,
        is_hasty: bool,
    ) -> Result<(), NetworkOfTwoSources> {
        for (network, facts) in networks {
            let facts = match facts {
                Err(ApiError::DeadlineReached { .. }) if is_hasty => Ok(NetworkFacts::default()),
                facts => facts,
            };
            let known = KnownNetwork { source: source.clone(), facts };
            if let Some(other) = self.networks.insert(network, known) {
                let (first, second) = (other.source.to_string(), source.to_string());
                return Err(NetworkOfTwoSources { network, first, second });
            }
        }
        Ok(())
    }

    /// Makes a failure of each network that was picked and that no source has, once all of them have said so.
    fn miss(&mut self, sources: &[(Arc<Source>, Networks)], shard: Shard) {
        if !self.failed.is_empty() {
            return;
        }
        let picked = sources.iter().find_map(|(source, wanted)| match wanted {
            Networks::Among(ids) => Some((source, ids)),
            Networks::All | Networks::Listed(_) => None,
        });
        let Some((source, ids)) = picked else { return };
        for id in ids.iter().filter(|id| shard.holds(**id)) {
            self.networks.entry(*id).or_insert_with(|| {
                let message = "no source of the job has it".to_owned();
                KnownNetwork { source: source.clone(), facts: Err(ApiError::NotFound { message }) }
            });
        }
    }
}

fn part_of_the_time(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / PART_OF_THE_TIME
}

fn among(mut networks: DescribedNetworks, wanted: &BTreeSet<NetworkId>) -> DescribedNetworks {
    networks.retain(|network, _| wanted.contains(network));
    networks
}

async fn list(api: &dyn WickrAdmin) -> Result<DescribedNetworks, NetworksError> {
    let mut known = DescribedNetworks::new();
    let mut guard = ListGuard::default();
    let mut next: Option<PageToken> = None;
    loop {
        let page = api.list_networks(next.as_ref()).await?;
        let already = known.len();
        known.extend(page.networks.into_iter().map(|network| (network.id, Ok(facts_of(network)))));
        if known.len() > MAX_NETWORKS {
            return Err(NetworksError::TooMany);
        }
        guard.admit(page.next.as_ref(), known.len() > already)?;
        next = page.next;
        if next.is_none() {
            return Ok(known);
        }
    }
}

/// Asks for the first one alone: whoever may not ask at all need not ask, or wait for credentials, for each.
async fn describe_each(api: &dyn WickrAdmin, ids: &[NetworkId], at_once: usize) -> DescribedNetworks {
    let mut known = DescribedNetworks::new();
    let Some((first, others)) = ids.split_first() else { return known };
    let facts = describe_one(api, *first).await;
    if let Err(error) = &facts
        && error.is_of_the_identity()
    {
        return ids.iter().map(|id| (*id, Err(error.clone()))).collect();
    }
    known.insert(*first, facts);
    let asked = stream::iter(others.iter().copied()).map(async |id| (id, describe_one(api, id).await));
    known.extend(asked.buffer_unordered(at_once).collect::<Vec<_>>().await);
    known
}

/// A name that may not be asked for is no reason not to export; a network that is not there is.
async fn describe_one(api: &dyn WickrAdmin, id: NetworkId) -> Result<NetworkFacts, ApiError> {
    match api.get_network(id).await {
        Ok(network) => Ok(facts_of(network)),
        Err(error) if leaves_network_unnamed(&error) => {
            tracing::warn!(network = %id, error = %error, "network's name and account unknown");
            Ok(NetworkFacts::default())
        }
        Err(error) => Err(error),
    }
}

/// Says whether a network that could not be asked for is exported without its name.
#[must_use]
pub fn leaves_network_unnamed(error: &ApiError) -> bool {
    matches!(error, ApiError::Forbidden { .. } | ApiError::GaveUp { .. } | ApiError::Unexpected { .. })
        && !error.is_of_the_identity()
}

fn facts_of(network: Network) -> NetworkFacts {
    NetworkFacts { name: Some(network.name), aws_account_id: Some(network.aws_account_id) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::walk::MAX_STALE_PAGES;
    use crate::wickr::{GuestPage, HistoryMonth, ListGuestUsers, NetworkPage};

    /// Lists one network on every page, for ever; with a new token each time, or always with the same.
    struct Endless {
        new_tokens: bool,
        new_networks: bool,
        pages: AtomicU64,
    }

    #[async_trait]
    impl WickrAdmin for Endless {
        async fn list_guest_users(&self, _request: &ListGuestUsers) -> Result<GuestPage, ApiError> {
            unreachable!("only networks are asked for")
        }

        async fn guest_user_history_count(&self, _network: NetworkId) -> Result<Vec<HistoryMonth>, ApiError> {
            unreachable!("only networks are asked for")
        }

        async fn list_networks(&self, _next: Option<&PageToken>) -> Result<NetworkPage, ApiError> {
            let page = self.pages.fetch_add(1, Ordering::Relaxed);
            let token = if self.new_tokens { page.to_string() } else { "same".to_owned() };
            let number = if self.new_networks { page } else { 0 };
            let network = Network {
                id: format!("{number:08}").parse().unwrap(),
                name: String::new(),
                aws_account_id: String::new(),
            };
            Ok(NetworkPage { networks: vec![network], next: Some(PageToken::new(token).unwrap()) })
        }

        async fn get_network(&self, _network: NetworkId) -> Result<Network, ApiError> {
            unreachable!("only lists are asked for")
        }

        async fn mend(&self, _error: &ApiError) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn a_list_of_networks_that_leads_nowhere_is_an_error() {
        for (new_tokens, expected, pages) in [
            (false, GuardError::RepeatedToken, 2),
            (true, GuardError::NoProgress, u64::from(MAX_STALE_PAGES) + 1),
        ] {
            let endless = Endless { new_tokens, new_networks: false, pages: AtomicU64::new(0) };
            match list(&endless).await {
                Err(NetworksError::Guard(error)) => assert_eq!(error, expected),
                other => panic!("not refused: {other:?}"),
            }
            assert_eq!(endless.pages.load(Ordering::Relaxed), pages);
        }
    }

    #[tokio::test]
    async fn networks_without_end_are_an_error() {
        let endless = Endless { new_tokens: true, new_networks: true, pages: AtomicU64::new(0) };
        let listed = list(&endless).await;
        assert!(matches!(listed, Err(NetworksError::TooMany)), "not refused: {listed:?}");
        assert_eq!(endless.pages.load(Ordering::Relaxed), MAX_NETWORKS as u64 + 1);
    }
}
