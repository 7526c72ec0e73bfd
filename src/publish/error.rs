//! Why a roster was not published, and what to do about it.
//!
//! Each variant names its exit code; the mapping itself is in `exit`, where every error is placed.

use super::layout::TaskKey;
use super::manifest::{ManifestError, SourceKind};
use super::publication::PartError;
use super::shrink::ShrinkRefused;
use crate::period::PeriodState;
use crate::storage::RelativePath;
use crate::storage::destination::DestinationError;

/// Why a roster was not published.
///
/// What is wrong with a manifest is said before the remedy, so it is no source that a chain would repeat after it.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The destination (exit 73; 75 where [`DestinationError`] says so).
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// What is published cannot be read, so nothing can be held against it (exit 73).
    #[error(
        "{place} {cause}; restore it from the manifest.json of its newest revision under revisions/, or move \
         the task's files away to publish it anew"
    )]
    ManifestDamaged {
        /// The manifest.
        place: String,
        /// What is wrong with it.
        cause: ManifestError,
    },
    /// Files show that a manifest was there, and it is not (exit 73).
    #[error(
        "the manifest of {task} is gone, but {remains} shows that it was published; restore {place} from the \
         manifest.json of its newest revision under revisions/{otherwise}",
        otherwise = if *.was_purged {
            ": its rosters were purged, and if the task's files were moved away instead, its guests would be published \
             again"
        } else {
            ", or move the task's files away to publish it anew"
        }
    )]
    ManifestLost {
        /// The task.
        task: TaskKey,
        /// Where the manifest belongs.
        place: RelativePath,
        /// A file that should not be there without it.
        remains: String,
        /// Whether a purge is known of, which publishing it anew would undo.
        was_purged: bool,
    },
    /// Rule 9 (exit 73).
    #[error(
        "data of the {offered} source cannot go where data of the {found} source stands ({place}); choose \
         another output",
        offered = .offered.as_str(),
        found = .found.as_str()
    )]
    MixedSources {
        /// A manifest of the other source.
        place: RelativePath,
        /// What stands there.
        found: SourceKind,
        /// What was to be published.
        offered: SourceKind,
    },
    /// Rule 8 (exit 3).
    #[error(transparent)]
    Shrink(#[from] ShrinkRefused),
    /// The period was further when the roster was published: time does not run backwards (exit 3).
    #[error(
        "{task} was published as {published} and this run sees it as {seen}, so the published roster stays; \
         check this machine's clock, --as-of and settle_days"
    )]
    StateWentBack {
        /// The task.
        task: TaskKey,
        /// The state of the period in the published manifest.
        published: PeriodState,
        /// The state that this run saw.
        seen: PeriodState,
    },
    /// The rows of a roster ended before their end, because of a stop or of damage to what held them (exit 75).
    #[error("the roster of {task} could not be read to its end, so nothing was published; run again")]
    Rows {
        /// The task.
        task: TaskKey,
        /// Why.
        source: PartError,
    },
    /// A part could not be encoded (exit 70: the roster was read and confirmed).
    #[error("{dataset}.{format} of {task} could not be encoded; this is a bug, please report it")]
    Encode {
        /// The task.
        task: TaskKey,
        /// The part's dataset.
        dataset: &'static str,
        /// The part's format.
        format: &'static str,
        /// What the encoder said.
        source: PartError,
    },
    /// What would have been published contradicts itself (exit 70).
    #[error(
        "nothing was published for {task}, because its manifest {cause}; this is a bug, please report it"
    )]
    Inconsistent {
        /// The task.
        task: TaskKey,
        /// The contradiction.
        cause: ManifestError,
    },
}
