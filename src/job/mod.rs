//! A job: what is exported, from where, to where, and how carefully.
//!
//! Two stages: what was written (the job file in `definition`, the flags in `cli`), then what it means
//! ([`Job`]). Below this module nobody reads a file, a flag, the environment or the clock to find out what to do.

mod definition;
mod metrics;
mod resolve;
mod shard;
mod sources;

pub use definition::{JobDefinition, JobFileError, OnMismatch, SecretUrl, Span};
pub use metrics::{MetricsOverrides, MetricsSettings};
pub use resolve::{Job, JobError, JobOverrides, UsageError};
pub use shard::{Shard, ShardDefinition, ShardError};
pub use sources::{JobSource, NetworkScope, Networks, Service};
