//! Never faster than the service allows: the rate, the waiting, and the retries.
//!
//! One [`Pacer`] serves the whole process, because the service limits the account and not the walk. [`Paced`]
//! decorates any [`WickrAdmin`](crate::wickr::WickrAdmin) with it.

mod backoff;
mod paced;
mod pacer;

pub use backoff::Backoff;
pub use paced::{Paced, RequestCount, RequestCounters, RetryPolicy};
pub use pacer::{Pacer, PacerSettings, Permit};
