//! Publication: from a confirmed roster to files that finance and engines read.
//!
//! Files are stored through [`crate::storage`]; [`layout`] knows every path, and [`divided`] which of them lie
//! elsewhere; [`manifest`] is the document whose replacement is the publication; [`publisher`] keeps the order in which
//! all this happens, and [`summary`] is derived from it; [`closed`] is the event that a month's numbers are all
//! there. Rosters come as parts that write themselves. A clock tells no more than how long ago a run left what it did
//! not publish.

pub mod closed;
pub mod divided;
pub mod error;
#[cfg(test)]
pub(crate) mod fixture;
pub mod layout;
pub mod manifest;
pub mod publication;
pub mod publisher;
mod recheck;
pub mod shrink;
pub mod summary;
pub mod summary_row;

pub use closed::{ClosedNetwork, ClosedPeriod, read_closed, write_closed};
pub use divided::DividedOutput;
pub use error::PublishError;
pub use layout::TaskKey;
pub use manifest::{
    ChangesRecord, Counts, CsvRecord, Manifest, Program, RosterKind, RosterRecord, Source, SourceKind, Walk,
};
pub use publication::{CompareRosters, EncodedPart, Part, PartError, Publication, RosterChanges};
pub use publisher::{
    MANIFESTS_AT_ONCE, Outcome, PublicationStatus, PublishedManifest, Publisher, PublisherSettings,
    PurgeError, PurgeTerms, Purged, RosterFiles, find_kept_purge, read_manifest, read_revision_manifest,
};
pub use shrink::ShrinkLimit;
pub use summary::Summary;
pub use summary_row::AttemptedTask;
