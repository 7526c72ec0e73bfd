//! Which networks a job means, and what the service says of them.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream;

use super::NetworkFacts;
use crate::guest::{NetworkId, PageToken};
use crate::job::Networks;
use crate::walk::{GuardError, ListGuard};
use crate::wickr::{ApiError, Network, WickrAdmin};

/// The most networks that an account is believed to have.
const MAX_NETWORKS: usize = 10_000;

/// What is known of each network, or why it cannot be asked about.
pub type KnownNetworks = BTreeMap<NetworkId, Result<NetworkFacts, ApiError>>;

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

/// Asks for every network of the job, a few at a time.
///
/// # Errors
/// [`NetworksError`], if all networks are wanted and cannot be listed. A single one that cannot be asked about is
/// an error of its tasks.
pub async fn describe_networks(
    api: &dyn WickrAdmin,
    networks: &Networks,
    at_once: usize,
) -> Result<KnownNetworks, NetworksError> {
    match networks {
        Networks::All => list(api).await,
        Networks::Listed(ids) => Ok(stream::iter(ids.iter().copied())
            .map(async |id| (id, describe_one(api, id).await))
            .buffer_unordered(at_once)
            .collect()
            .await),
    }
}

async fn list(api: &dyn WickrAdmin) -> Result<KnownNetworks, NetworksError> {
    let mut known = KnownNetworks::new();
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

/// A name that may not be asked for is no reason not to export; a network that is not there is.
async fn describe_one(api: &dyn WickrAdmin, id: NetworkId) -> Result<NetworkFacts, ApiError> {
    match api.get_network(id).await {
        Ok(network) => Ok(facts_of(network)),
        Err(error @ (ApiError::Forbidden { .. } | ApiError::GaveUp { .. } | ApiError::Unexpected { .. })) => {
            tracing::warn!(network = %id, error = %error, "network's name and account unknown");
            Ok(NetworkFacts::default())
        }
        Err(error) => Err(error),
    }
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
            match describe_networks(&endless, &Networks::All, 4).await {
                Err(NetworksError::Guard(error)) => assert_eq!(error, expected),
                other => panic!("not refused: {other:?}"),
            }
            assert_eq!(endless.pages.load(Ordering::Relaxed), pages);
        }
    }

    #[tokio::test]
    async fn networks_without_end_are_an_error() {
        let endless = Endless { new_tokens: true, new_networks: true, pages: AtomicU64::new(0) };
        let listed = describe_networks(&endless, &Networks::All, 4).await;
        assert!(matches!(listed, Err(NetworksError::TooMany)), "not refused: {listed:?}");
        assert_eq!(endless.pages.load(Ordering::Relaxed), MAX_NETWORKS as u64 + 1);
    }
}
