//! The Wickr Admin API, API version 2024-02-01: its operations, one signed attempt at a time.
//!
//! The requests are made by hand rather than with the generated SDK: that one neither tries a 429 again nor
//! notices a repeated page token, and it fills a missing `usernameHash` with an empty text. Here an answer is
//! either exactly of the documented shape or an error.

mod api;
mod caller;
mod client;
mod credential_faults;
mod credentials;
mod endpoint;
mod error;
mod http;
pub mod model;
mod refusal;
mod retry_after;
mod role;
mod sdk_http;
mod signing;

pub use api::{
    GuestPage, HistoryMonth, ListGuestUsers, Network, NetworkPage, SortDirection, SortField, WickrAdmin,
};
pub use caller::{Caller, CallerIdentity, CallerUnknown};
pub use client::{HttpClientError, HttpClients, TimeLimit, Way};
pub use credentials::{AwsEnvironment, CachedCredentials, load_aws_environment};
pub use endpoint::{Endpoint, EndpointError, EndpointRequest, SIGNING_NAME, s3_variant};
pub use error::{ApiError, Disposition, TransportFault, ValidationReason};
pub use http::{HttpWickrAdmin, SIMULATOR_HEADER};
pub use model::{MAX_PAGE_ROWS, ShapeError};
pub use refusal::Refusal;
pub use retry_after::server_hint;
pub use role::{
    AssumedRole, ExternalId, ExternalIdError, RoleArn, RoleArnError, RoleSessionName, RoleSessionNameError,
};
pub use signing::{SigningError, sign};
