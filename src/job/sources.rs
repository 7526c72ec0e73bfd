//! What the sources of a job mean: one service each, as one identity, with the networks that are exported from it.
//!
//! Flags describe a single source. Beside several they would make all of them the same, so they are refused, save
//! `--network`, which then picks among the networks that the sources name.

use std::collections::{BTreeMap, BTreeSet};

use super::definition::{
    AllNetworks, JobDefinition, NetworksDefinition, SourceDefinition, SourceDefinitionKind, SourcesDefinition,
};
use super::resolve::{JobError, JobOverrides, filled};
use crate::guest::NetworkId;
use crate::period::PeriodSpelling;
use crate::storage::StoreUrl;
use crate::storage::object::StoreKind;
use crate::wickr::AssumedRole;

/// Whose guests are exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Networks {
    /// Those of every network of the account.
    All,
    /// Those of the networks of the account that are among these.
    Among(BTreeSet<NetworkId>),
    /// Those of these, each once, in order.
    Listed(Vec<NetworkId>),
}

/// Which of the networks that there are a run exports, as far as its job tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkScope {
    /// All that the job file names, or that the account has.
    All,
    /// Those that flags name, and no job file says whether there are others.
    ByHand,
    /// Some of those that the job file names.
    Picked,
}

/// What answers.
#[derive(Clone, Debug)]
pub enum Service {
    /// AWS, as the AWS configuration and these settings say.
    Wickr {
        /// The region.
        region: Option<String>,
        /// The profile.
        profile: Option<String>,
        /// An endpoint that replaces AWS's.
        endpoint_url: Option<String>,
        /// The role that is assumed to ask it.
        role: Option<AssumedRole>,
    },
    /// The embedded simulator.
    #[cfg(feature = "simulator")]
    Simulator(Box<crate::simulator::SimulatorConfig>),
}

impl Service {
    /// Says whether the embedded simulator answers.
    #[must_use]
    pub const fn is_simulated(&self) -> bool {
        match self {
            Self::Wickr { .. } => false,
            #[cfg(feature = "simulator")]
            Self::Simulator(_) => true,
        }
    }

    /// Returns the region that the job names, if it does.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Wickr { region, .. } => region.as_deref(),
            #[cfg(feature = "simulator")]
            Self::Simulator(_) => None,
        }
    }

    /// Returns the profile that the job names, if it does.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        match self {
            Self::Wickr { profile, .. } => profile.as_deref(),
            #[cfg(feature = "simulator")]
            Self::Simulator(_) => None,
        }
    }

    /// Returns the role that is assumed, if one is.
    #[must_use]
    pub fn role(&self) -> Option<&AssumedRole> {
        match self {
            Self::Wickr { role, .. } => role.as_ref(),
            #[cfg(feature = "simulator")]
            Self::Simulator(_) => None,
        }
    }
}

/// A source of a job.
#[derive(Clone, Debug)]
pub struct JobSource {
    /// Its place in the job file, counted from 1.
    pub number: usize,
    /// What answers.
    pub service: Service,
    /// Whose guests.
    pub networks: Networks,
    /// How billing periods are written in requests, at first.
    pub spelling: PeriodSpelling,
}

/// Works out the sources; those that `--network` leaves nothing of are not among them.
pub(super) fn sources(
    overrides: &JobOverrides,
    definition: &JobDefinition,
) -> Result<Vec<JobSource>, JobError> {
    match &definition.sources.0[..] {
        [] => Err(JobError::Missing {
            what: "the job names no source",
            setting: "[source], or [[source]] once for each account and region",
        }),
        [written] => Ok(vec![JobSource {
            number: 1,
            service: only_service(overrides, written, definition)?,
            networks: only_networks(&overrides.networks, written.networks.as_ref())?,
            spelling: written.period_spelling.unwrap_or_default(),
        }]),
        several => {
            refuse_flags_of_one(overrides)?;
            let mut sources = Vec::new();
            for (index, written) in several.iter().enumerate() {
                sources.push(one_of_several(index + 1, written, definition)?);
            }
            refuse_networks_of_two(&sources)?;
            selected(&overrides.networks, sources)
        }
    }
}

/// Says which of the networks that there are a run exports, as far as its job tells.
pub(super) fn scope(overrides: &JobOverrides, definition: &JobDefinition) -> NetworkScope {
    let flags = &overrides.networks;
    if flags.is_empty() || flags.contains(&Networks::All) {
        return NetworkScope::All;
    }
    let mut of_file = definition.sources.0.iter().filter_map(|source| source.networks.as_ref()).peekable();
    if of_file.peek().is_none() {
        return NetworkScope::ByHand;
    }
    let flagged: BTreeSet<NetworkId> = ids_of(flags).collect();
    let is_whole = of_file.all(|networks| match networks {
        NetworksDefinition::Ids(ids) => ids.iter().all(|id| flagged.contains(id)),
        NetworksDefinition::Word(AllNetworks::All) => false,
    });
    if is_whole { NetworkScope::All } else { NetworkScope::Picked }
}

/// Finds the profile that reaches buckets: the one that is named for them, or the one of all sources.
pub(super) fn output_profile(
    written: Option<String>,
    flag: Option<&String>,
    sources: &SourcesDefinition,
    places: [Option<&str>; 3],
) -> Result<Option<String>, JobError> {
    if written.is_some() {
        return Ok(written);
    }
    let profiles: BTreeSet<Option<&String>> =
        sources.0.iter().map(|source| flag.or(source.profile.as_ref())).collect();
    let is_bucket =
        |place: &str| matches!(StoreUrl::parse(place), Ok(Some(url)) if url.kind == StoreKind::S3);
    match (profiles.first(), profiles.len()) {
        (Some(profile), 1) => Ok(profile.cloned()),
        _ if places.into_iter().flatten().any(is_bucket) => Err(JobError::Missing {
            what: "the sources have different profiles, and the job does not say which one reaches its bucket",
            setting: "output.profile",
        }),
        _ => Ok(None),
    }
}

fn only_service(
    overrides: &JobOverrides,
    written: &SourceDefinition,
    definition: &JobDefinition,
) -> Result<Service, JobError> {
    let overridden = SourceDefinition {
        region: overrides.region.clone().or_else(|| written.region.clone()),
        profile: overrides.profile.clone().or_else(|| written.profile.clone()),
        endpoint_url: overrides.endpoint_url.clone().or_else(|| written.endpoint_url.clone()),
        role_arn: overrides.role_arn.clone().or_else(|| written.role_arn.clone()),
        external_id: overrides.external_id.clone().or_else(|| written.external_id.clone()),
        ..written.clone()
    };
    service(&overridden, definition)
}

fn service(written: &SourceDefinition, definition: &JobDefinition) -> Result<Service, JobError> {
    match written.kind {
        SourceDefinitionKind::Wickr => {
            #[cfg(feature = "simulator")]
            if definition.simulator.is_some() {
                return Err(JobError::WrongSource { setting: "[simulator]", kind: "wickr" });
            }
            Ok(Service::Wickr {
                region: filled("--region or source.region", written.region.clone())?,
                profile: filled("--profile or source.profile", written.profile.clone())?,
                endpoint_url: filled("--endpoint-url or source.endpoint_url", written.endpoint_url.clone())?,
                role: role(written)?,
            })
        }
        SourceDefinitionKind::Simulator => {
            let settings = [
                ("--region or source.region", written.region.is_some()),
                ("--profile or source.profile", written.profile.is_some()),
                ("--endpoint-url or source.endpoint_url", written.endpoint_url.is_some()),
                ("--role-arn or source.role_arn", written.role_arn.is_some()),
                ("--external-id or source.external_id", written.external_id.is_some()),
                ("source.role_session_name", written.role_session_name.is_some()),
            ];
            if let Some((setting, _)) = settings.into_iter().find(|(_, written)| *written) {
                return Err(JobError::WrongSource { setting, kind: "simulator" });
            }
            simulator(definition)
        }
    }
}

#[cfg(feature = "simulator")]
#[expect(clippy::unnecessary_wraps, reason = "without the simulator it fails")]
fn simulator(definition: &JobDefinition) -> Result<Service, JobError> {
    Ok(Service::Simulator(Box::new(definition.simulator.clone().unwrap_or_default())))
}

#[cfg(not(feature = "simulator"))]
fn simulator(_definition: &JobDefinition) -> Result<Service, JobError> {
    Err(JobError::NoSimulator)
}

fn role(written: &SourceDefinition) -> Result<Option<AssumedRole>, JobError> {
    let without_role = [
        ("--external-id or source.external_id", written.external_id.is_some()),
        ("source.role_session_name", written.role_session_name.is_some()),
    ];
    let Some(arn) = &written.role_arn else {
        return match without_role.into_iter().find(|(_, written)| *written) {
            Some((setting, _)) => Err(JobError::NoRole(setting)),
            None => Ok(None),
        };
    };
    let external_id = written.external_id.as_ref().map(|id| id.parse()).transpose()?;
    let session_name = written.role_session_name.clone().unwrap_or_default();
    Ok(Some(AssumedRole { arn: arn.clone(), external_id, session_name }))
}

fn only_networks(flags: &[Networks], written: Option<&NetworksDefinition>) -> Result<Networks, JobError> {
    let mut ids = match written {
        None => Vec::new(),
        Some(_) if !flags.is_empty() => Vec::new(),
        Some(NetworksDefinition::Word(_)) => return Ok(Networks::All),
        Some(NetworksDefinition::Ids(ids)) => ids.clone(),
    };
    let all = flags.contains(&Networks::All);
    ids.extend(ids_of(flags));
    match (all, ids.is_empty()) {
        (true, false) => Err(JobError::AllAndSome),
        (true, true) => Ok(Networks::All),
        (false, true) => Err(JobError::Missing {
            what: "the job names no network",
            setting: "--network ID, --network all or source.networks",
        }),
        (false, false) => Ok(listed(ids)),
    }
}

fn ids_of(flags: &[Networks]) -> impl Iterator<Item = NetworkId> {
    flags.iter().flat_map(|flag| match flag {
        Networks::All | Networks::Among(_) => Vec::new(),
        Networks::Listed(ids) => ids.clone(),
    })
}

fn listed(mut ids: Vec<NetworkId>) -> Networks {
    ids.sort_unstable();
    ids.dedup();
    Networks::Listed(ids)
}

fn refuse_flags_of_one(overrides: &JobOverrides) -> Result<(), JobError> {
    let key = |flag, written, key| (flag, written, key);
    let flags = [
        key("--region", overrides.region.is_some(), "`region` in each [[source]], or AWS_REGION for all"),
        key("--profile", overrides.profile.is_some(), "`profile` in each [[source]], or AWS_PROFILE for all"),
        key("--endpoint-url", overrides.endpoint_url.is_some(), "`endpoint_url` in each [[source]]"),
        key("--role-arn", overrides.role_arn.is_some(), "`role_arn` in each [[source]]"),
        key("--external-id", overrides.external_id.is_some(), "`external_id` in each [[source]]"),
        key(
            "--network all",
            overrides.networks.contains(&Networks::All),
            "`networks` in each [[source]]; --network ID picks some of them",
        ),
    ];
    match flags.into_iter().find(|(_, written, _)| *written) {
        Some((flag, _, instead)) => Err(JobError::FlagOfOneSource { flag, instead }),
        None => Ok(()),
    }
}

fn one_of_several(
    number: usize,
    written: &SourceDefinition,
    definition: &JobDefinition,
) -> Result<JobSource, JobError> {
    if written.kind == SourceDefinitionKind::Simulator {
        return Err(JobError::SimulatorAmongSeveral(number));
    }
    let networks = match &written.networks {
        Some(NetworksDefinition::Word(_)) => Networks::All,
        Some(NetworksDefinition::Ids(ids)) if !ids.is_empty() => listed(ids.clone()),
        Some(NetworksDefinition::Ids(_)) | None => return Err(JobError::SourceWithoutNetworks(number)),
    };
    let spelling = written.period_spelling.unwrap_or_default();
    Ok(JobSource { number, service: service(written, definition)?, networks, spelling })
}

/// What is published is told apart by network, so that the same one of two sources would be two numbers in one place.
fn refuse_networks_of_two(sources: &[JobSource]) -> Result<(), JobError> {
    let mut named = BTreeMap::new();
    for source in sources {
        let Networks::Listed(ids) = &source.networks else { continue };
        for network in ids {
            if let Some(first) = named.insert(*network, source.number) {
                return Err(JobError::NetworkOfTwo { network: *network, first, second: source.number });
            }
        }
    }
    Ok(())
}

/// Keeps of the sources' networks those that are wanted. Whoever lists a whole account is asked all the same: a network
/// of two sources must not pass because only one of them was looked at.
fn selected(flags: &[Networks], sources: Vec<JobSource>) -> Result<Vec<JobSource>, JobError> {
    let wanted: BTreeSet<NetworkId> = ids_of(flags).collect();
    if wanted.is_empty() {
        return Ok(sources);
    }
    let mut unknown = wanted.clone();
    let mut kept = Vec::new();
    let mut is_any_listed_in_full = false;
    for source in sources {
        let networks = match source.networks {
            Networks::All | Networks::Among(_) => {
                is_any_listed_in_full = true;
                Networks::Among(wanted.clone())
            }
            Networks::Listed(ids) => {
                let ids: Vec<_> = ids.into_iter().filter(|id| wanted.contains(id)).collect();
                for id in &ids {
                    unknown.remove(id);
                }
                if ids.is_empty() {
                    continue;
                }
                Networks::Listed(ids)
            }
        };
        kept.push(JobSource { networks, ..source });
    }
    match unknown.first() {
        Some(network) if !is_any_listed_in_full => Err(JobError::NetworkOfNone(*network)),
        _ => Ok(kept),
    }
}
