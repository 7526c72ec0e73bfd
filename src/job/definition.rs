//! The job file as it is written: TOML, every key optional, unknown keys refused.
//!
//! Values are read straight into their domain types, so that a bad one is reported by the TOML reader with its
//! line, its column and the value underlined.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::shard::ShardDefinition;
use crate::dataset::Format;
use crate::error_chain::excerpt;
use crate::evidence::Strategy;
use crate::guest::NetworkId;
use crate::period::{PeriodSelector, PeriodSpelling};
use crate::publish::RosterKind;
use crate::storage::object::ConditionalPuts;
use crate::task::TaskKey;
use crate::wickr::{RoleArn, RoleSessionName};

/// The longest job file that is read, in bytes.
const MAX_JOB_BYTES: u64 = 1024 * 1024;

/// A span of time as people write it: `90s`, `55m`, `6h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self).map_err(|error| {
            let (text, error) = (excerpt(text, 40), excerpt(&error.to_string(), 200));
            format!("`{text}` is not a span of time such as 90s, 55m or 6h: {error}")
        })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// What happens when the service's own count contradicts a roster that two walks confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnMismatch {
    /// It is published and said.
    #[default]
    Warn,
    /// It is published, and the exit code is 3.
    Fail,
}

/// The networks of a job: their ids, or all that the account has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected \"all\" or a list of network ids, each eight digits in quotes")]
pub enum NetworksDefinition {
    /// The word `all`.
    Word(AllNetworks),
    /// A list of ids.
    Ids(Vec<NetworkId>),
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllNetworks {
    /// Every network that `ListNetworks` names.
    All,
}

/// What kind of service answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceDefinitionKind {
    /// AWS.
    #[default]
    Wickr,
    /// The embedded simulator, started for the job and stopped after it.
    Simulator,
}

/// A `[source]` table, or one of several `[[source]]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceDefinition {
    /// What answers.
    pub kind: SourceDefinitionKind,
    /// Whose guests.
    pub networks: Option<NetworksDefinition>,
    /// The AWS region.
    pub region: Option<String>,
    /// The AWS profile.
    pub profile: Option<String>,
    /// An endpoint that replaces AWS's.
    pub endpoint_url: Option<String>,
    /// A role to assume.
    pub role_arn: Option<RoleArn>,
    /// What the role's trust policy asks for. It is looked at later: the TOML reader would show the line.
    pub external_id: Option<String>,
    /// The name of the role's session.
    pub role_session_name: Option<RoleSessionName>,
    /// How billing periods are written in requests.
    pub period_spelling: Option<PeriodSpelling>,
}

/// A storage class of S3 whose objects are readable at once: what was published is compared with and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StorageClass {
    /// The usual one.
    Standard,
    /// For what is read rarely.
    StandardIa,
    /// The same in one availability zone.
    #[serde(rename = "ONEZONE_IA")]
    OneZoneIa,
    /// S3 decides by what is read.
    IntelligentTiering,
    /// For what is read once a quarter.
    GlacierIr,
}

impl StorageClass {
    /// Returns the name that S3 gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::StandardIa => "STANDARD_IA",
            Self::OneZoneIa => "ONEZONE_IA",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::GlacierIr => "GLACIER_IR",
        }
    }
}

/// The sources: one where a `[source]` table is written or none is, or as many as there are `[[source]]`.
#[derive(Clone, Debug)]
pub struct SourcesDefinition(pub Vec<SourceDefinition>);

impl Default for SourcesDefinition {
    fn default() -> Self {
        Self(vec![SourceDefinition::default()])
    }
}

impl SourcesDefinition {
    /// Says whether the embedded simulator is to answer, and nobody else.
    #[must_use]
    pub fn are_simulated(&self) -> bool {
        self.0.iter().all(|source| source.kind == SourceDefinitionKind::Simulator)
    }
}

/// By hand, so that what is wrong within a table is said of its key and not of the choice between the two forms.
impl<'de> Deserialize<'de> for SourcesDefinition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> Visitor<'de> for OneOrSeveral {
            type Value = SourcesDefinition;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a [source] table, or [[source]] once for each account and region")
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
                let one = SourceDefinition::deserialize(MapAccessDeserializer::new(table))?;
                Ok(SourcesDefinition(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, tables: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(tables)).map(SourcesDefinition)
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}

/// The `[output]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputDefinition {
    /// The folder or the store that is published to.
    pub url: Option<String>,
    /// Where rosters are, if not there.
    pub roster_url: Option<String>,
    /// The profile that reaches the bucket, where it is not that of the sources.
    pub profile: Option<String>,
    /// The region of the bucket, where it is not the environment's.
    pub region: Option<String>,
    /// The KMS key that encrypts what is written to S3.
    pub kms_key: Option<String>,
    /// The storage class of revisions in S3.
    pub storage_class: Option<StorageClass>,
    /// Whether a store that ignores conditional puts will do.
    pub conditional_puts: ConditionalPuts,
    /// The file formats.
    pub formats: Option<Vec<Format>>,
    /// How much of a roster is published.
    pub roster: RosterKind,
    /// The environment variable that holds the pseudonym key.
    pub pseudonym_key_env: Option<String>,
    /// The file that holds the pseudonym key; a line feed at its end is no part of it.
    pub pseudonym_key_file: Option<PathBuf>,
}

/// The `[csv]` table.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvDefinition {
    /// Begin with a byte order mark, which some spreadsheets need to see UTF-8.
    pub bom: bool,
    /// Neutralise cells that a spreadsheet would run as a formula.
    pub formula_guard: bool,
}

impl Default for CsvDefinition {
    fn default() -> Self {
        Self { bom: false, formula_guard: true }
    }
}

/// The `[walk]` table.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WalkDefinition {
    /// Whether a list is walked from one end or from both.
    pub strategy: Strategy,
    /// How many pairs of walks may differ before a number is refused.
    pub attempts: Option<u32>,
}

/// The `[request]` table.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestDefinition {
    /// How long one attempt may take.
    pub timeout: Option<Span>,
    /// How often a request may fail for other reasons than throttling.
    pub attempts: Option<u32>,
}

/// The `[resume]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResumeDefinition {
    /// The folder that keeps what interrupted walks have read.
    pub state: Option<String>,
    /// How old what was kept may be for a run to go on with it.
    pub max_age: Option<Span>,
    /// How many rows are read before they are written down: what a killed run reads again at most.
    pub rows: Option<u32>,
}

/// A URL that may hold a password, and so is never shown as it is written.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(pub String);

impl std::str::FromStr for SecretUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretUrl(redacted)")
    }
}

/// The `[metrics]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsDefinition {
    /// What the job is called in its metrics.
    pub job: Option<String>,
    /// The file that they are written to.
    pub file: Option<PathBuf>,
    /// The Pushgateway that they are pushed to.
    pub pushgateway: Option<SecretUrl>,
}

/// A job file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobDefinition {
    /// Which periods.
    pub periods: Option<Vec<PeriodSelector>>,
    /// How many days a period settles after its end.
    pub settle_days: Option<u32>,
    /// The instant that decides which periods are open and closed, where it is not now.
    pub as_of: Option<DateTime<Utc>>,
    /// How long the run may take.
    pub deadline: Option<Span>,
    /// How recently checked a task is left alone.
    pub fresh_for: Option<Span>,
    /// How long a lock is waited for.
    pub lock_wait: Option<Span>,
    /// How long a run that was told to stop may still take.
    pub shutdown_grace: Option<Span>,
    /// How many tasks are worked on at once.
    pub concurrency: Option<usize>,
    /// The most requests a second.
    pub max_requests_per_second: Option<f64>,
    /// The share of the networks that is exported.
    pub shard: Option<ShardDefinition>,
    /// What a mismatch does to the exit code.
    pub on_mismatch: Option<OnMismatch>,
    /// The share of its guests that a roster may lose without being asked for.
    pub max_shrink: Option<f64>,
    /// The number of guests that a roster may lose whatever share they are.
    pub max_shrink_rows: Option<u64>,
    /// Tasks whose roster may shrink.
    pub allow_shrink: Vec<TaskKey>,
    /// Tasks whose roster may be empty.
    pub accept_zero: Vec<TaskKey>,
    /// Where the guests come from.
    #[serde(rename = "source")]
    pub sources: SourcesDefinition,
    /// Where the files go.
    pub output: OutputDefinition,
    /// How CSV is written.
    pub csv: CsvDefinition,
    /// How a list is walked.
    pub walk: WalkDefinition,
    /// How one request is tried.
    pub request: RequestDefinition,
    /// What is kept of an interrupted walk.
    pub resume: ResumeDefinition,
    /// Where metrics go.
    pub metrics: MetricsDefinition,
    /// The embedded simulator, for a source of that kind.
    #[cfg(feature = "simulator")]
    pub simulator: Option<crate::simulator::SimulatorConfig>,
}

/// A job file that cannot be read (exit 2).
#[derive(Debug, thiserror::Error)]
pub enum JobFileError {
    /// The file cannot be opened or is not text.
    #[error("job file {path}: {reason}; give the path of an existing job file, or none and only flags")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The text is not a job.
    #[error("job file {path}: {}", without_passwords(&reason.to_string()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, column, the value, and what is wrong with it.
        reason: Box<toml::de::Error>,
    },
}

impl JobDefinition {
    /// Reads a job file.
    ///
    /// # Errors
    /// [`JobFileError`], which names file, line and key.
    pub fn read(path: &Path) -> Result<Self, JobFileError> {
        let text = bounded_text(path)
            .map_err(|reason| JobFileError::Unreadable { path: path.to_owned(), reason })?;
        Self::parse(&text)
            .map_err(|reason| JobFileError::Invalid { path: path.to_owned(), reason: Box::new(reason) })
    }

    /// Reads the text of a job file.
    ///
    /// # Errors
    /// What the TOML reader says: line, column, the value, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Returns the job as far as it says whom to ask and where to look, for whoever exports nothing: without the key
    /// of its pseudonyms and the share that one of several processes has.
    #[must_use]
    pub fn for_looking_only(mut self) -> Self {
        let OutputDefinition { url, profile, region, kms_key, storage_class, conditional_puts, .. } =
            self.output;
        let of_rosters = OutputDefinition::default();
        self.output =
            OutputDefinition { url, profile, region, kms_key, storage_class, conditional_puts, ..of_rosters };
        self.resume = ResumeDefinition::default();
        self.shard = None;
        self
    }
}

/// Takes out of a text, which quotes a line of a job file, what stands in URLs before the host.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let authority = part.split(['/', '"', '\'', '\n', ' ']).next().unwrap_or_default();
        let host = authority.rfind('@').map_or(part, |at| &part[at..]);
        shown.push_str("://");
        shown.push_str(host);
    }
    shown
}

/// Reads a text that is no longer than any job file: the path may be that of something without end.
fn bounded_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_JOB_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_JOB_BYTES {
        return Err(io::Error::other("it is longer than the MiB that a job file may have"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        JobDefinition::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn a_whole_job_is_read() {
        let job = JobDefinition::parse(
            r#"
            periods = ["current", "missing:3"]
            deadline = "55m"
            accept_zero = ["01234567/2026-10"]
            [source]
            networks = ["01234567"]
            [output]
            url = "out"
            formats = ["parquet"]
            roster = "pseudonymous"
            [csv]
            bom = true
            "#,
        )
        .unwrap();
        assert_eq!(job.deadline, Some(Span(Duration::from_mins(55))));
        assert_eq!(job.output.roster, RosterKind::Pseudonymous);
        assert!(job.csv.bom && job.csv.formula_guard);
        assert_eq!(job.accept_zero[0].to_string(), "01234567/2026-10");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_remedy() {
        insta::assert_snapshot!(refusal("[source]\nnetwork = [\"12345678\"]\n"));
        insta::assert_snapshot!(refusal("periods = [\"2026-13\"]\n"));
        insta::assert_snapshot!(refusal("deadline = \"soon\"\n"));
        insta::assert_snapshot!(refusal("[source]\nnetworks = \"12345678\"\n"));
        insta::assert_snapshot!(refusal("accept_zero = [\"12345678\"]\n"));
        insta::assert_snapshot!(refusal("[output]\nformats = [\"xlsx\"]\n"));
        insta::assert_snapshot!(refusal("[source]\nrole_arn = \"reader\"\n"));
        insta::assert_snapshot!(refusal(
            "[[source]]\nnetworks = \"all\"\n[[source]]\nregions = \"us-east-1\"\n"
        ));
        insta::assert_snapshot!(refusal("source = \"wickr\"\n"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = JobDefinition::read(Path::new("no/such/job.toml")).unwrap_err().to_string();
        assert!(error.starts_with("job file no/such/job.toml: "), "{error}");
    }
    #[test]
    fn a_file_that_is_no_job_file_is_not_read_to_its_end() {
        let error = JobDefinition::read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.starts_with("job file /dev/zero: it is longer than the MiB"), "{error}");
    }

    #[test]
    fn a_line_that_is_quoted_shows_no_password() {
        for line in
            ["pushgateway = http://me:secret@gateway:9091/x", "pushgateway = [\"https://me:secret@gateway\"]"]
        {
            let reason = Box::new(JobDefinition::parse(&format!("[metrics]\n{line}\n")).expect_err(line));
            assert!(reason.to_string().contains("secret"), "the line is quoted: {reason}");
            let shown = JobFileError::Invalid { path: PathBuf::from("job.toml"), reason }.to_string();
            assert!(!shown.contains("secret") && shown.contains("://@gateway"), "{shown}");
        }
    }

    #[test]
    fn a_span_that_is_none_is_quoted_briefly() {
        let error = format!("1{}", "x\n".repeat(1000)).parse::<Span>().unwrap_err();
        assert!(error.len() < 500 && !error.contains('\n'), "{error}");
    }
}
