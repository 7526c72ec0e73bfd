//! What users write: job files, and the names and selectors in them and on the command line.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::path::PathBuf;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use wickr_guest_export::dataset::ContentDigest;
use wickr_guest_export::guest::NetworkId;
use wickr_guest_export::job::{Job, JobDefinition, JobOverrides, Networks, Span};
use wickr_guest_export::period::{BillingPeriod, MAX_SELECTED_PERIODS, PeriodSelector, PeriodSpelling};
use wickr_guest_export::publish::layout::{self, Place};
use wickr_guest_export::storage::destination::DestinationUrlError;
use wickr_guest_export::storage::{FileDigest, RelativePath, StoreUrl, local_path};
use wickr_guest_export::task::TaskKey;
use wickr_guest_export::wickr::{EndpointRequest, ExternalId, RoleArn, RoleSessionName};

use super::{MemoryBound, assert_presentable};

/// The TOML reader keeps every key with its place in the text.
const JOB_MEMORY: MemoryBound = MemoryBound { fixed: 256 * 1024, per_byte: 256 };
const NAME_MEMORY: MemoryBound = MemoryBound { fixed: 16 * 1024, per_byte: 16 };
/// The longest error about a name, in characters: names are cut before they are quoted.
const MOST_CHARACTERS: usize = 700;

fn noon() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().expect("an instant")
}

/// A job file means a job within all its bounds, or nothing.
pub fn job_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(mut definition) = JOB_MEMORY.hold(text.len(), || JobDefinition::parse(text)) else { return };
    if definition.output.pseudonym_key_file.is_some() {
        // No file of this machine is read because a fuzzer wrote its name.
        definition.output.pseudonym_key_file = Some(PathBuf::from("/dev/null"));
    }
    let key = |_: &str| Some("0123456789abcdef".to_owned());
    let resolved =
        JOB_MEMORY.hold(text.len(), || Job::resolve(JobOverrides::default(), definition, noon(), key));
    match resolved {
        Ok(job) => {
            let periods: Vec<BillingPeriod> = job.periods.iter().map(|selected| selected.period).collect();
            assert!(!periods.is_empty() && periods.is_sorted_by(|one, next| one < next), "{periods:?}");
            assert!(periods.iter().all(|period| period.start() <= job.decided_at));
            assert!(job.decided_at <= noon() || job.is_simulated());
            assert_sources(&job);
            assert!((1..=256).contains(&job.concurrency));
            assert!((0.01..=10_000.0).contains(&job.max_requests_per_second));
            assert!((0.0..=1.0).contains(&job.shrink.share));
            assert!(!job.formats.is_empty() && job.formats.is_sorted_by(|one, next| one < next));
            let instant = job.decided_at.checked_sub_signed(job.fresh_for);
            assert!(instant.is_some(), "{:?} before {}", job.fresh_for, job.decided_at);
        }
        Err(error) => assert_presentable(&error, MOST_CHARACTERS + 2 * text.chars().count()),
    }
}

/// Sources are there, in their order, and no network is named by two of them.
fn assert_sources(job: &Job) {
    assert!(!job.sources.is_empty() && job.sources.is_sorted_by(|one, next| one.number < next.number));
    let mut named = BTreeSet::new();
    for source in &job.sources {
        assert!(!source.service.is_simulated() || job.sources.len() == 1);
        if let Networks::Listed(ids) = &source.networks {
            assert!(!ids.is_empty() && ids.iter().all(|id| named.insert(*id)), "{ids:?}");
        }
    }
}

/// Whatever is read as a name or a selector is read as the same again where it is printed.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    reads_as_printed::<BillingPeriod>(text);
    reads_as_printed::<NetworkId>(text);
    reads_as_printed::<TaskKey>(text);
    reads_as_printed::<RelativePath>(text);
    reads_as_printed::<FileDigest>(text);
    reads_as_printed::<ContentDigest>(text);
    reads_as_printed::<RoleArn>(text);
    role(text);
    if let Ok(period) = BillingPeriod::from_wire(text) {
        let spellings = [PeriodSpelling::Hyphen, PeriodSpelling::Underscore];
        assert!(spellings.into_iter().any(|spelling| period.spelled(spelling) == text));
        assert!(period.start() < period.end());
    }
    selector(text);
    span(text);
    path(text);
    destination(text);
    endpoint(text);
}

/// Reads a text, and if that can be, reads what it prints; both must be the same, and so must the texts.
fn reads_as_printed<T>(text: &str)
where
    T: FromStr<Err: Error> + Display + PartialEq + Debug,
{
    match NAME_MEMORY.hold(text.len(), || text.parse::<T>()) {
        Ok(name) => assert_eq!(name.to_string(), text),
        Err(error) => assert_bounded(&error),
    }
}

/// Names that users write are quoted as they stand, line breaks too, but never at length.
fn assert_bounded(error: &dyn Error) {
    let length = error.to_string().chars().count();
    assert!(length <= MOST_CHARACTERS, "an error of {length} characters");
}

/// Whatever goes to STS is of the alphabet that it takes, and an external id is in no error.
fn role(text: &str) {
    match NAME_MEMORY.hold(text.len(), || text.parse::<RoleSessionName>()) {
        Ok(name) => assert_eq!(name.as_str(), text),
        Err(error) => assert_bounded(&error),
    }
    match NAME_MEMORY.hold(text.len(), || text.parse::<ExternalId>()) {
        Ok(id) => assert!(id.as_str() == text && !format!("{id:?}").contains(text)),
        Err(error) => assert_bounded(&error),
    }
}

fn selector(text: &str) {
    match NAME_MEMORY.hold(text.len(), || text.parse::<PeriodSelector>()) {
        Ok(selector) => {
            assert_eq!(selector.to_string().parse(), Ok(selector));
            match selector.select(noon(), 3) {
                Ok(selected) => {
                    assert!((1..=MAX_SELECTED_PERIODS as usize).contains(&selected.len()));
                    assert!(selected.is_sorted_by(|one, next| one.period < next.period));
                    assert!(selected.iter().all(|selected| selected.period.start() <= noon()));
                }
                Err(error) => assert_bounded(&error),
            }
        }
        Err(error) => assert_bounded(&error),
    }
}

fn span(text: &str) {
    match NAME_MEMORY.hold(text.len(), || text.parse::<Span>()) {
        Ok(span) => assert_eq!(humantime::format_duration(span.0).to_string().parse(), Ok(span)),
        Err(error) => assert!(error.chars().count() <= MOST_CHARACTERS, "an error of {} bytes", error.len()),
    }
}

/// No path leads out of the output, and each place has one path.
fn path(text: &str) {
    let Ok(path) = RelativePath::new(text) else { return };
    assert!(path.segments().all(|segment| !matches!(segment, "" | "." | "..")));
    assert!(!PathBuf::from(path.as_str()).is_absolute());
    let again = match Place::of(&path) {
        None => return,
        Some(Place::Manifest(task)) => layout::manifest(task),
        Some(Place::Closed(period)) => layout::closed(period),
        Some(Place::RevisionManifest(task, revision)) => layout::revision_manifest(task, revision),
        Some(Place::RevisionFile(task, revision, dataset, format)) => {
            layout::revision_file(task, revision, dataset, format)
        }
        Some(Place::Current(task, dataset, format)) => layout::current(task, dataset, format),
        Some(Place::Summary(format)) => layout::summary(format),
    };
    assert_eq!(again, path);
}

fn destination(text: &str) {
    let bounded = |error: &DestinationUrlError| {
        assert!(error.to_string().chars().count() <= MOST_CHARACTERS + 2 * text.chars().count());
    };
    match NAME_MEMORY.hold(text.len(), || StoreUrl::parse(text)) {
        Ok(Some(url)) => assert_eq!(StoreUrl::parse(&url.to_string()).as_ref(), Ok(&Some(url))),
        Ok(None) => {}
        Err(error) => return bounded(&error),
    }
    match NAME_MEMORY.hold(text.len(), || local_path(text)) {
        Ok(_) => assert!(!text.contains("://") || text.to_ascii_lowercase().starts_with("file://")),
        Err(DestinationUrlError::Empty) => assert_eq!(text, ""),
        Err(error) => bounded(&error),
    }
}

/// A custom endpoint is asked over https or on this machine, and carries nothing else than a place.
fn endpoint(text: &str) {
    let region = Some("us-east-1".to_owned());
    let custom = EndpointRequest { region, custom_url: Some(text.to_owned()), ..EndpointRequest::default() };
    if let Ok(endpoint) = custom.resolve() {
        let url = endpoint.url;
        let loopback = matches!(url.host_str(), Some("localhost" | "[::1]"))
            || url.host_str().is_some_and(|host| host.starts_with("127."));
        assert!(url.scheme() == "https" || url.scheme() == "http" && loopback, "{url}");
        assert!(url.username().is_empty() && url.password().is_none());
        assert!(url.query().is_none() && url.fragment().is_none());
    }
    let named = EndpointRequest { region: Some(text.to_owned()), ..EndpointRequest::default() };
    if let Ok(endpoint) = named.resolve() {
        let host = endpoint.url.host_str().expect("a host");
        assert!(host.starts_with(&format!("admin.wickr.{text}.")), "{host}");
        assert_eq!(BTreeSet::from([endpoint.url.path(), "/"]).len(), 1);
    }
}
