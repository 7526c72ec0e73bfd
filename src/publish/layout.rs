//! Where everything in an output lies: every path that is ever read or written is made here.
//!
//! Strays are told from publications by parsing a
//! path into a [`Place`] and by nothing else, so that writing and recognising cannot drift apart.

use std::fmt;

use crate::dataset::{Dataset, Format};
use crate::period::BillingPeriod;
use crate::storage::RelativePath;
pub use crate::task::TaskKey;

const MANIFEST_FILE: &str = "manifest.json";
/// The `_` tells engines that read the folder to leave it alone.
const CLOSED_FILE: &str = "_CLOSED.json";

/// The folder of one revision: its number, counted from 1, and a nonce that no two attempts share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionName {
    /// The revision's number.
    pub number: u32,
    /// What tells two attempts at the same number apart.
    pub nonce: u32,
}

impl fmt::Display for RevisionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "r{:06}-{:08x}", self.number, self.nonce)
    }
}

impl RevisionName {
    fn parse(text: &str) -> Option<Self> {
        let (number, nonce) = text.strip_prefix('r')?.split_once('-')?;
        let name = Self { number: number.parse().ok()?, nonce: u32::from_str_radix(nonce, 16).ok()? };
        // Only the one spelling that is ever written: `r1-A`, `r+00001-…` and the like are strays.
        (name.number > 0 && name.to_string() == text).then_some(name)
    }
}

/// What a path in an output holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The publication of a task.
    Manifest(TaskKey),
    /// The closing of a period.
    Closed(BillingPeriod),
    /// The manifest as it stood when its revision was published.
    RevisionManifest(TaskKey, RevisionName),
    /// A data file of a revision.
    RevisionFile(TaskKey, RevisionName, Dataset, Format),
    /// A current copy of a data file.
    Current(TaskKey, Dataset, Format),
    /// The summary in one format.
    Summary(Format),
}

impl Place {
    /// Returns the task whose manifest a path is, if it is one.
    #[must_use]
    pub fn task_of_manifest(path: &RelativePath) -> Option<TaskKey> {
        match Self::of(path) {
            Some(Self::Manifest(task)) => Some(task),
            _ => None,
        }
    }

    /// Recognises a path; none is a stray.
    #[must_use]
    pub fn of(path: &RelativePath) -> Option<Self> {
        let segments: Vec<&str> = path.segments().collect();
        match segments.as_slice() {
            ["manifests", period, network, MANIFEST_FILE] => {
                TaskKey::from_segments(period, network).map(Self::Manifest)
            }
            ["manifests", period, CLOSED_FILE] => {
                period.strip_prefix("period=")?.parse().ok().map(Self::Closed)
            }
            ["revisions", period, network, revision, name] => {
                let task = TaskKey::from_segments(period, network)?;
                let revision = RevisionName::parse(revision)?;
                if *name == MANIFEST_FILE {
                    return Some(Self::RevisionManifest(task, revision));
                }
                let (dataset, format) = parse_file_name(name)?;
                Some(Self::RevisionFile(task, revision, dataset, format))
            }
            ["summary", format, name] => Format::ALL
                .into_iter()
                .find(|known| known.name() == *format && *name == file_name(Dataset::GuestCounts, *known))
                .map(Self::Summary),
            [dataset, format, period, network, name] => {
                let (named_dataset, named_format) = parse_file_name(name)?;
                if named_dataset.name() != *dataset || named_format.name() != *format {
                    return None;
                }
                let task = TaskKey::from_segments(period, network)?;
                Some(Self::Current(task, named_dataset, named_format))
            }
            _ => None,
        }
    }

    /// Says whether a file is there only once its task was published, so that its manifest is lost if there is none.
    /// A first revision may be what a run has left that died before it published.
    #[must_use]
    pub const fn shows_publication(&self) -> bool {
        match self {
            Self::Manifest(_) | Self::Current(..) => true,
            Self::RevisionManifest(_, revision) | Self::RevisionFile(_, revision, ..) => revision.number > 1,
            Self::Closed(_) | Self::Summary(_) => false,
        }
    }

    /// Returns the task that the place belongs to; the summary and the closing of a period belong to none.
    #[must_use]
    pub const fn task(&self) -> Option<TaskKey> {
        match self {
            Self::Manifest(task)
            | Self::RevisionManifest(task, _)
            | Self::RevisionFile(task, ..)
            | Self::Current(task, ..) => Some(*task),
            Self::Closed(_) | Self::Summary(_) => None,
        }
    }
}

/// Says whether a file holds guests one by one: personal data.
#[must_use]
pub fn holds_guests(path: &RelativePath) -> bool {
    matches!(
        Place::of(path),
        Some(Place::RevisionFile(_, _, Dataset::GuestRoster, _) | Place::Current(_, Dataset::GuestRoster, _))
    )
}

fn file_name(dataset: Dataset, format: Format) -> String {
    format!("{}.{}", dataset.name(), format.name())
}

fn parse_file_name(name: &str) -> Option<(Dataset, Format)> {
    every_data_file().find(|(dataset, format)| file_name(*dataset, *format) == name)
}

/// Lists every dataset in every format.
pub fn every_data_file() -> impl Iterator<Item = (Dataset, Format)> {
    Dataset::ALL.into_iter().flat_map(|dataset| Format::ALL.into_iter().map(move |format| (dataset, format)))
}

/// The manifest whose replacement publishes a task.
#[must_use]
pub fn manifest(task: TaskKey) -> RelativePath {
    RelativePath::known(format!("manifests/{}/{MANIFEST_FILE}", task.folder()))
}

/// The closing of a period.
#[must_use]
pub fn closed(period: BillingPeriod) -> RelativePath {
    RelativePath::known(format!("manifests/period={period}/{CLOSED_FILE}"))
}

/// The folder of all manifests.
#[must_use]
pub fn manifests() -> RelativePath {
    RelativePath::known("manifests".to_owned())
}

/// The folder of all revisions.
#[must_use]
pub fn revisions() -> RelativePath {
    RelativePath::known("revisions".to_owned())
}

/// The folder of one task's revisions.
#[must_use]
pub fn task_revisions(task: TaskKey) -> RelativePath {
    RelativePath::known(format!("revisions/{}", task.folder()))
}

/// A data file of a revision.
#[must_use]
pub fn revision_file(
    task: TaskKey,
    revision: RevisionName,
    dataset: Dataset,
    format: Format,
) -> RelativePath {
    RelativePath::known(format!("revisions/{}/{revision}/{}", task.folder(), file_name(dataset, format)))
}

/// The manifest that is kept with a revision.
#[must_use]
pub fn revision_manifest(task: TaskKey, revision: RevisionName) -> RelativePath {
    RelativePath::known(format!("revisions/{}/{revision}/{MANIFEST_FILE}", task.folder()))
}

/// The current copy of a data file: one format a prefix, for engines that read folders.
#[must_use]
pub fn current(task: TaskKey, dataset: Dataset, format: Format) -> RelativePath {
    let (dataset_name, format_name) = (dataset.name(), format.name());
    let file = file_name(dataset, format);
    RelativePath::known(format!("{dataset_name}/{format_name}/{}/{file}", task.folder()))
}

/// The folder of the current copy of a data file, which holds nothing else.
#[must_use]
pub fn current_folder(task: TaskKey, dataset: Dataset, format: Format) -> RelativePath {
    RelativePath::known(format!("{}/{}/{}", dataset.name(), format.name(), task.folder()))
}

/// The folder of all current copies of a dataset.
#[must_use]
pub fn current_copies(dataset: Dataset) -> RelativePath {
    RelativePath::known(dataset.name().to_owned())
}

/// The summary in one format.
#[must_use]
pub fn summary(format: Format) -> RelativePath {
    RelativePath::known(format!("summary/{}/{}", format.name(), file_name(Dataset::GuestCounts, format)))
}

/// The folders that hold published files and nothing else.
#[must_use]
pub fn published_prefixes() -> Vec<RelativePath> {
    let own = ["manifests", "revisions", "summary"].into_iter();
    own.chain(Dataset::ALL.map(Dataset::name)).map(|name| RelativePath::known(name.to_owned())).collect()
}

/// The lock of one task.
#[must_use]
pub fn task_lock(task: TaskKey) -> RelativePath {
    RelativePath::known(format!(".locks/{}.lock", task.folder()))
}

/// The lock of the summary, which all tasks share.
#[must_use]
pub fn summary_lock() -> RelativePath {
    RelativePath::known(".locks/summary.lock".to_owned())
}

/// The lock under which an output's first manifest is published, so that two first runs cannot mix sources.
#[must_use]
pub fn first_publication_lock() -> RelativePath {
    RelativePath::known(".locks/first-publication.lock".to_owned())
}

#[cfg(test)]
mod tests;
