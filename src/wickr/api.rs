//! The operations as the program sees them: typed requests, typed answers, one trait.
//!
//! [`WickrAdmin`] stands for a single attempt; pacing and retries decorate it (see `pacing`), so that a test
//! can put a double below or above them.

use async_trait::async_trait;

use super::ApiError;
use crate::guest::{Guests, NetworkId, PageToken};
use crate::period::{BillingPeriod, PeriodSpelling};

/// The order of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortDirection {
    /// Smallest first.
    Ascending,
    /// Largest first; what the service does when nothing is said.
    Descending,
}

/// What a listing of guests is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortField {
    /// By username.
    Username,
    /// By billing period.
    BillingPeriod,
}

/// One request of `ListGuestUsers`, with every parameter that the operation has.
#[derive(Clone, Debug)]
pub struct ListGuestUsers {
    /// The network whose guests are listed.
    pub network: NetworkId,
    /// The rows wanted on the page, 1 to 100; the service takes 10 when nothing is said.
    pub max_results: u8,
    /// The order of the rows.
    pub sort_direction: SortDirection,
    /// What the rows are sorted by.
    pub sort_field: SortField,
    /// Only guests of this username. An export never sets it: a filtered list is no roster.
    pub username: Option<String>,
    /// Only guests of this period.
    pub billing_period: BillingPeriod,
    /// How the period is written in the request.
    pub spelling: PeriodSpelling,
    /// The page after this token; none asks for the first.
    pub next_token: Option<PageToken>,
}

/// One answer of `ListGuestUsers`: every row was of the period that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestPage {
    /// The rows, in the order of the answer.
    pub guests: Guests,
    /// Where the next page begins; none on the last page.
    pub next: Option<PageToken>,
}

/// One month of `GetGuestUserHistoryCount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryMonth {
    /// The month.
    pub period: BillingPeriod,
    /// The guests that the service counts for it.
    pub count: u64,
}

/// A Wickr network, as `ListNetworks` and `GetNetwork` describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Its name: any text.
    pub name: String,
    /// The AWS account that owns it.
    pub aws_account_id: String,
}

/// One answer of `ListNetworks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPage {
    /// The networks, in the order of the answer.
    pub networks: Vec<Network>,
    /// Where the next page begins; none on the last page.
    pub next: Option<PageToken>,
}

/// The Wickr Admin API, or something that stands in for it.
#[async_trait]
pub trait WickrAdmin: Send + Sync {
    /// Asks for one page of guests.
    async fn list_guest_users(&self, request: &ListGuestUsers) -> Result<GuestPage, ApiError>;

    /// Asks for the service's own count of guests by month, over the past 90 days.
    async fn guest_user_history_count(&self, network: NetworkId) -> Result<Vec<HistoryMonth>, ApiError>;

    /// Asks for one page of the account's networks.
    async fn list_networks(&self, next: Option<&PageToken>) -> Result<NetworkPage, ApiError>;

    /// Asks for one network.
    async fn get_network(&self, network: NetworkId) -> Result<Network, ApiError>;

    /// Mends what an error complained of, before the same request is tried again: fetches new credentials, or
    /// sets the signing clock by the server's. Says whether there was anything to mend.
    async fn mend(&self, error: &ApiError) -> bool;
}
