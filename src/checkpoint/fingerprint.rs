//! What a walk is of: only a walk of the very same thing may be gone on with.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::guest::NetworkId;
use crate::period::{BillingPeriod, PeriodSpelling};

/// Everything that must be the same for one process to go on where another stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// The network.
    pub network: NetworkId,
    /// The period.
    pub billing_period: BillingPeriod,
    /// How the job writes the period in requests.
    pub spelling: PeriodSpelling,
    /// Where the service is.
    pub endpoint: String,
    /// The AWS region.
    pub region: String,
    /// The kind of service, as manifests name it.
    pub source: String,
    /// The account that owns the network, where it is known.
    pub aws_account_id: Option<String>,
    /// The day that a simulator pretends.
    pub as_of: Option<DateTime<Utc>>,
    /// How the list is walked: its order, and the directions that take turns.
    pub strategy: String,
    /// How many guests a page is asked to hold.
    pub page_size: u8,
    /// Where the roster goes.
    pub destination: String,
    /// How much of a roster is kept, as manifests name it.
    pub roster: String,
    /// The id of the pseudonym key.
    pub key_id: Option<String>,
    /// What was published when the walk began: a roster that was published since answers for itself.
    pub published: Option<String>,
}

impl Fingerprint {
    /// Names the first thing that differs, if any does.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let Self {
            network,
            billing_period,
            spelling,
            endpoint,
            region,
            source,
            aws_account_id,
            as_of,
            strategy,
            page_size,
            destination,
            roster,
            key_id,
            published,
        } = self;
        [
            (*network == other.network, "the network"),
            (*billing_period == other.billing_period, "the period"),
            (*spelling == other.spelling, "the spelling of the period"),
            (*endpoint == other.endpoint, "the endpoint"),
            (*region == other.region, "the region"),
            (*source == other.source, "the kind of source"),
            // Where an account is not known, as when the network could not be asked about, nothing speaks against it.
            (is_compatible(aws_account_id.as_ref(), other.aws_account_id.as_ref()), "the AWS account"),
            (*as_of == other.as_of, "the pretended day"),
            (*strategy == other.strategy, "the way of walking"),
            (*page_size == other.page_size, "the page size"),
            (*destination == other.destination, "the output"),
            (*roster == other.roster, "the roster mode"),
            (*key_id == other.key_id, "the pseudonym key"),
            (*published == other.published, "the published roster"),
        ]
        .into_iter()
        .find_map(|(is_same, name)| (!is_same).then_some(name))
    }
}

fn is_compatible(one: Option<&String>, other: Option<&String>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    }
}
