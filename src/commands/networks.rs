//! Which networks a job means, and what the service says of them.

use std::collections::{BTreeMap, HashSet};

use futures::StreamExt;
use futures::stream;

use crate::export::NetworkFacts;
use crate::guest::{NetworkId, PageToken};
use crate::job::Networks;
use crate::wickr::{ApiError, Network, ShapeError, WickrAdmin};

/// What is known of each network, or why it cannot be asked about.
pub(super) type KnownNetworks = BTreeMap<NetworkId, Result<NetworkFacts, ApiError>>;

/// Asks for every network of the job, a few at a time.
pub(super) async fn describe(
    api: &dyn WickrAdmin,
    networks: &Networks,
    at_once: usize,
) -> Result<KnownNetworks, ApiError> {
    match networks {
        Networks::All => list(api).await,
        Networks::Listed(ids) => Ok(stream::iter(ids.iter().copied())
            .map(async |id| (id, describe_one(api, id).await))
            .buffer_unordered(at_once)
            .collect()
            .await),
    }
}

async fn list(api: &dyn WickrAdmin) -> Result<KnownNetworks, ApiError> {
    let mut known = KnownNetworks::new();
    let mut seen: HashSet<PageToken> = HashSet::new();
    let mut next: Option<PageToken> = None;
    loop {
        let page = api.list_networks(next.as_ref()).await?;
        known.extend(page.networks.into_iter().map(|network| (network.id, Ok(facts_of(network)))));
        match page.next {
            None => return Ok(known),
            Some(token) if seen.insert(token.clone()) => next = Some(token),
            Some(_) => return Err(ShapeError::RepeatedNetworksToken.into()),
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
