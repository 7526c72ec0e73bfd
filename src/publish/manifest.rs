//! The manifest: what is published for one network in one period, and why it can be trusted.
//!
//! A manifest is believed only as far as it is consistent: [`Manifest::parse`] holds it against the path that it
//! was read from and against itself, so that whatever is built on one (recovery, the shrink rule, the summary)
//! cannot be led to another task's files. Unknown fields are ignored, so that a later version may add some; the
//! JSON Schema in `deploy/` describes the same document for other programs.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

use super::layout::{Place, RevisionName, TaskKey};
use super::recheck::strength;
use crate::dataset::{ContentDigest, Dataset, Format};
use crate::error_chain::excerpt;
use crate::evidence::{ConfirmedBy, Reconciliation};
use crate::guest::NetworkId;
use crate::period::{BillingPeriod, PeriodState};
use crate::storage::RelativePath;
use crate::storage::digest::FileDigest;
use crate::storage::seal;

/// The field that seals a manifest, as [`seal`] defines it.
pub const SEAL_FIELD: &str = "manifest_sha256";
/// The version that this program writes, and the only one that it reads.
pub const MANIFEST_VERSION: u32 = 1;
/// The longest manifest that is read, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;

/// What is published for one network in one period. Field by field as in `deploy/manifest.schema.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`MANIFEST_VERSION`].
    pub manifest_version: u32,
    /// What wrote the revision.
    pub program: Program,
    /// What was asked.
    pub source: Source,
    /// The network.
    pub network_id: NetworkId,
    /// The period.
    pub billing_period: BillingPeriod,
    /// The first instant of the period.
    pub period_start: DateTime<Utc>,
    /// The first instant after it.
    pub period_end: DateTime<Utc>,
    /// The state of the period when the first page of the walk was asked.
    pub period_state: PeriodState,
    /// The number of the revision, counted from 1.
    pub revision: u32,
    /// The digest of the roster's rows, whatever files they stand in.
    pub content_sha256: ContentDigest,
    /// When the revision was exported.
    pub exported_at: DateTime<Utc>,
    /// When the roster was last found to be the same.
    pub checked_at: DateTime<Utc>,
    /// When the rosters of all revisions up to this one were purged: none of their files are there, whatever is
    /// recorded of them, and no later revision has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rosters_purged_at: Option<DateTime<Utc>>,
    /// What of the roster is published.
    pub roster: RosterRecord,
    /// How the CSV was written; none if there is none.
    pub csv: Option<CsvRecord>,
    /// The numbers.
    pub counts: Counts,
    /// The walk that the evidence comes from.
    pub walk: Walk,
    /// What the revision changed; none if there was nothing to compare with.
    pub changes: Option<ChangesRecord>,
    /// The files of the revision.
    pub files: Vec<FileRecord>,
}

/// A program and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Program {
    /// Names this program.
    #[must_use]
    pub fn this() -> Self {
        Self { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// AWS.
    Wickr,
    /// The simulator, whatever address it was reached at.
    Simulator,
}

impl SourceKind {
    /// Says what has to be said before numbers of it are shown to whoever pays for guests.
    #[must_use]
    pub const fn caveat(self) -> Option<&'static str> {
        match self {
            Self::Wickr => None,
            Self::Simulator => {
                Some("SIMULATED: these are numbers of the simulator, not of AWS; nobody is billed for them.")
            }
        }
    }

    /// Returns the word used in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wickr => "wickr",
            Self::Simulator => "simulator",
        }
    }
}

/// Where the answers came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What answered.
    pub kind: SourceKind,
    /// The URL that was asked.
    pub endpoint: String,
    /// The region that requests were signed for.
    pub region: String,
    /// The account that owns the network, where it is known.
    pub aws_account_id: Option<String>,
    /// The name of the network, where it is known.
    pub network_name: Option<String>,
}

/// How much of a roster is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RosterKind {
    /// Hashes and usernames as they are.
    #[default]
    Full,
    /// Hashes under the user's key, no usernames.
    Pseudonymous,
    /// Only how many.
    None,
}

/// What of the roster is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterRecord {
    /// How much of it.
    pub mode: RosterKind,
    /// Which key pseudonyms were made with.
    pub key_id: Option<String>,
}

/// How the CSV was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvRecord {
    /// With a byte order mark.
    pub bom: bool,
    /// With cells neutralised that a spreadsheet would run.
    pub formula_guard: bool,
}

/// The numbers of a publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Distinct guests.
    pub guests: u64,
    /// The service's own count, where there is one.
    pub api_guests: Option<u64>,
    /// How the two compare.
    pub reconciliation: Reconciliation,
    /// What confirmed the number; none for an open period that nothing confirmed.
    pub confirmed_by: Option<ConfirmedBy>,
}

/// How the roster was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// `forward`, `backward` or `converge`.
    pub strategy: String,
    /// Full walks made.
    pub walks: u32,
    /// Pages read.
    pub pages: u64,
    /// Rows read.
    pub rows: u64,
    /// Rows dropped because their hash had been read.
    pub duplicates: u64,
    /// Those of them that repeated a row of the page before.
    pub edge_repeats: u64,
    /// Hashes seen with more than one username.
    pub username_conflicts: u64,
    /// Guests whose username is empty.
    pub empty_usernames: u64,
    /// Cells of the published CSV that the formula guard changed.
    pub guarded_cells: u64,
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Requests that were answered with 429.
    pub throttled: u64,
    /// Requests that were repeated.
    pub retries: u64,
    /// Whether the walk was taken up where an earlier run left it.
    pub resumed: bool,
    /// Whether nothing moved while the pages were read, as far as is known.
    pub stable: bool,
    /// When the first page was asked.
    pub started_at: DateTime<Utc>,
    /// When the last page was read.
    pub finished_at: DateTime<Utc>,
}

/// How a revision differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesRecord {
    /// The revision compared with.
    pub against_revision: u32,
    /// Guests who were not in it.
    pub added: u64,
    /// Guests who were only in it.
    pub removed: u64,
}

/// One file of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Where it lies.
    pub path: RelativePath,
    /// What it holds.
    pub dataset: Dataset,
    /// How it is written.
    pub format: Format,
    /// Its rows, a CSV's header not among them.
    pub rows: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its digest.
    pub sha256: FileDigest,
}

/// Why a manifest is not believed (exit 73; `verify`: 65).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is of another version than this program knows.
    #[error(
        "is of manifest version {0}, and this program knows version {MANIFEST_VERSION}; use a newer program"
    )]
    Version(u64),
    /// Its seal does not hold: it is damaged, or was edited by hand.
    #[error("was altered since it was written: its manifest_sha256 does not hold")]
    Altered,
    /// It would be longer than any manifest that is read.
    #[error("would be {0} bytes long, and none of more than {MAX_MANIFEST_BYTES} is read")]
    TooLong(usize),
    /// It cannot be read as a manifest at all.
    #[error("is not a manifest: {0}")]
    Unreadable(String),
    /// It contradicts the path it was read from, or itself.
    #[error("contradicts itself: {0}")]
    Inconsistent(String),
}

impl Manifest {
    /// Reads a manifest of a task and holds it against the task and against itself.
    ///
    /// # Errors
    /// [`ManifestError`] with the first contradiction found.
    pub fn parse(bytes: &[u8], task: TaskKey) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Versioned {
            manifest_version: u64,
        }
        let unreadable =
            |error: serde_json::Error| ManifestError::Unreadable(excerpt(&error.to_string(), 300));
        let Versioned { manifest_version } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if manifest_version != u64::from(MANIFEST_VERSION) {
            return Err(ManifestError::Version(manifest_version));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        manifest.revision_of(task)?;
        Ok(manifest)
    }

    /// Writes the manifest as it is stored: indented, sealed, with a final newline.
    ///
    /// # Panics
    /// Never: every field has a JSON form.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        seal::sealed(SEAL_FIELD, &serde_json::to_string_pretty(self).expect("every field has a JSON form"))
    }

    /// Returns the task that the manifest speaks of.
    #[must_use]
    pub const fn task(&self) -> TaskKey {
        TaskKey::new(self.network_id, self.billing_period)
    }

    /// Returns the record of a data file, if the revision has it.
    #[must_use]
    pub fn file(&self, dataset: Dataset, format: Format) -> Option<&FileRecord> {
        self.files.iter().find(|file| file.dataset == dataset && file.format == format)
    }

    /// Says whether a file of the revision was purged.
    #[must_use]
    pub fn is_purged(&self, file: &FileRecord) -> bool {
        self.rosters_purged_at.is_some() && file.dataset == Dataset::GuestRoster
    }

    /// Lists the files of the revision that have to be there: all that were not purged.
    pub fn present_files(&self) -> impl Iterator<Item = &FileRecord> {
        self.files.iter().filter(|file| !self.is_purged(file))
    }

    /// Returns the record of a data file that has to be there.
    #[must_use]
    pub fn present_file(&self, dataset: Dataset, format: Format) -> Option<&FileRecord> {
        self.file(dataset, format).filter(|file| !self.is_purged(file))
    }

    /// Says whether rosters of the revision have to be there.
    #[must_use]
    pub fn has_rosters(&self) -> bool {
        self.present_files().any(|file| file.dataset == Dataset::GuestRoster)
    }

    /// Returns the formats of the revision, in a fixed order.
    #[must_use]
    pub fn formats(&self) -> Vec<Format> {
        Format::ALL.into_iter().filter(|format| self.file(Dataset::GuestCounts, *format).is_some()).collect()
    }

    /// Names the fields in which a published manifest departs from the one kept with its revision, though it may
    /// not: a later check renews the evidence and nothing else. A purge says so in both, in the published one first.
    #[must_use]
    pub fn departures_from(&self, kept: &Self) -> Vec<&'static str> {
        let evidence = |manifest: &Self| strength((manifest.period_state, &manifest.counts));
        let mut departures = Vec::new();
        for (field, agrees) in [
            ("program", self.program == kept.program),
            ("source.kind", self.source.kind == kept.source.kind),
            ("revision", self.revision == kept.revision),
            ("content_sha256", self.content_sha256 == kept.content_sha256),
            ("exported_at", self.exported_at == kept.exported_at),
            ("checked_at (an earlier one)", self.checked_at >= kept.checked_at),
            (
                "rosters_purged_at",
                kept.rosters_purged_at.is_none() || self.rosters_purged_at == kept.rosters_purged_at,
            ),
            ("roster", self.roster == kept.roster),
            ("csv", self.csv == kept.csv),
            ("counts.guests", self.counts.guests == kept.counts.guests),
            ("evidence (a weaker one)", evidence(self) >= evidence(kept)),
            ("walk.guarded_cells", self.walk.guarded_cells == kept.walk.guarded_cells),
            ("changes", self.changes == kept.changes),
            ("files", self.files == kept.files),
        ] {
            if !agrees {
                departures.push(field);
            }
        }
        departures
    }

    /// Holds the manifest against a task and against itself, and returns the folder of its revision.
    ///
    /// # Errors
    /// [`ManifestError::Inconsistent`] with the first contradiction found.
    pub fn revision_of(&self, task: TaskKey) -> Result<RevisionName, ManifestError> {
        self.contradiction(task).map_err(ManifestError::Inconsistent)
    }

    fn contradiction(&self, task: TaskKey) -> Result<RevisionName, String> {
        if self.task() != task {
            return Err(format!("it speaks of {} at the place of {task}", self.task()));
        }
        if (self.period_start, self.period_end) != (task.period.start(), task.period.end()) {
            return Err("its period_start and period_end are not those of its billing_period".to_owned());
        }
        if self.roster.key_id.is_some() != (self.roster.mode == RosterKind::Pseudonymous) {
            return Err("roster.key_id belongs to pseudonymous rosters and to no others".to_owned());
        }
        let usual = |instant: DateTime<Utc>| (1970..=9999).contains(&instant.year());
        if self.checked_at < self.exported_at || !usual(self.exported_at) || !usual(self.checked_at) {
            return Err("its checked_at lies before its exported_at, or in no usual year".to_owned());
        }
        if !self.rosters_purged_at.is_none_or(usual) {
            return Err("its rosters_purged_at lies in no usual year".to_owned());
        }
        self.evidence_contradiction()?;
        self.files_contradiction(task)
    }

    fn evidence_contradiction(&self) -> Result<(), String> {
        let counts = &self.counts;
        if i64::try_from(counts.guests).is_err()
            || counts.api_guests.is_some_and(|api| i64::try_from(api).is_err())
        {
            return Err("its counts are larger than any number of guests".to_owned());
        }
        let equal = counts.api_guests.map(|api| api == counts.guests);
        let reconciled = match counts.reconciliation {
            Reconciliation::Match => equal == Some(true),
            Reconciliation::Mismatch => equal == Some(false),
            Reconciliation::Unavailable => true,
        };
        if !reconciled {
            return Err("counts.reconciliation is not what its two numbers say".to_owned());
        }
        let confirmed = match counts.confirmed_by {
            Some(ConfirmedBy::ControlTotal) => counts.reconciliation == Reconciliation::Match,
            Some(ConfirmedBy::AcceptedZero) => counts.guests == 0,
            Some(ConfirmedBy::SecondWalk) => true,
            None => !self.period_state.has_ended(),
        };
        if !confirmed {
            return Err("counts.confirmed_by is not possible with its numbers and period_state".to_owned());
        }
        Ok(())
    }

    fn files_contradiction(&self, task: TaskKey) -> Result<RevisionName, String> {
        let mut revisions = BTreeSet::new();
        let mut data_files = BTreeSet::new();
        for file in &self.files {
            match Place::of(&file.path) {
                Some(Place::RevisionFile(owner, revision, dataset, format))
                    if owner == task && (dataset, format) == (file.dataset, file.format) =>
                {
                    revisions.insert(revision);
                    if !data_files.insert((dataset, format)) {
                        return Err(format!("it lists {} twice", file.path));
                    }
                }
                _ => return Err(format!("{} is no path of a file of this task", file.path)),
            }
            let rows = match file.dataset {
                Dataset::GuestRoster => self.counts.guests,
                Dataset::GuestCounts => 1,
            };
            if file.rows != rows {
                return Err(format!("{} should have {rows} rows, not {}", file.path, file.rows));
            }
        }
        let with_roster = self.roster.mode != RosterKind::None;
        for format in Format::ALL {
            let has_counts = self.file(Dataset::GuestCounts, format).is_some();
            let (has_roster, should) =
                (self.file(Dataset::GuestRoster, format).is_some(), has_counts && with_roster);
            // A revision that was published after a purge has none to begin with.
            let was_withheld = self.rosters_purged_at.is_some() && !has_roster;
            if has_roster != should && !was_withheld {
                return Err(format!("its {} files do not fit its roster mode", format.name()));
            }
        }
        if self.csv.is_some() != self.file(Dataset::GuestCounts, Format::Csv).is_some() {
            return Err("csv belongs to publications with CSV files and to no others".to_owned());
        }
        match (revisions.pop_first(), revisions.pop_first()) {
            (Some(revision), None) if revision.number == self.revision => Ok(revision),
            (Some(_), None) => Err("its files are those of another revision".to_owned()),
            (Some(_), Some(_)) => Err("its files are of more than one revision".to_owned()),
            (None, _) => Err("it lists no files".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
