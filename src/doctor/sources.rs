//! What each source says to whoever asks it: who that is, what they may do, and what time it is there.
//!
//! Sources are asked for their networks as a run does it. Then each action is tried by itself on one network, also what
//! this job has no need of: an export goes on without some of them, and what that costs is said.

use std::sync::Arc;

use chrono::TimeDelta;
use futures::future::join_all;

use super::Check;
use crate::clock::Clock;
use crate::error_chain::error_chain;
use crate::evidence::leaves_count_unavailable;
use crate::exit::ExitStatus;
use crate::export::{
    DescribedSources, Description, KnownNetworks, NetworksError, Source, SourceError, leaves_network_unnamed,
};
use crate::guest::NetworkId;
use crate::job::{Networks, Shard};
use crate::pacing::{Paced, RetryPolicy};
use crate::period::BillingPeriod;
use crate::wickr::{
    ApiError, Caller, CallerIdentity, CallerUnknown, ListGuestUsers, SortDirection, SortField,
    WickrAdmin as _,
};

/// A clock that is off by more than this is worth a word: it says when a month is closed.
const LARGEST_OFFSET: TimeDelta = TimeDelta::seconds(30);
/// The most networks of a job's list that are asked for one by one.
const MOST_ASKED: usize = 10;

/// How sources are examined.
pub struct SourceExamination {
    /// How requests are tried again.
    pub policy: RetryPolicy,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// How many networks of a source are asked for at once.
    pub at_once: usize,
    /// The share of the networks that falls to this process.
    pub shard: Shard,
    /// The period whose guests are asked for.
    pub period: BillingPeriod,
}

/// A source, what is wanted of it, and what knows whose credentials ask it; none for the embedded simulator.
pub struct Asker<'a> {
    /// Which source.
    pub source: &'a Arc<Source>,
    /// What is wanted of it.
    pub wanted: &'a Networks,
    /// Who asks.
    pub caller: Option<&'a Caller>,
}

/// What an export does without an action.
#[derive(Clone, Copy)]
struct Loss {
    /// Says whether it goes on.
    is_borne: fn(&ApiError) -> bool,
    told: &'static str,
}

impl Loss {
    const fn of(is_borne: fn(&ApiError) -> bool, told: &'static str) -> Self {
        Self { is_borne, told }
    }
}

/// The checks of one source, while it is asked.
struct Answers<'a> {
    source: &'a Source,
    api: &'a Paced,
    /// What the name of each check begins with: which source, if there are several.
    prefix: String,
    checks: Vec<Check>,
    /// Why nothing more can be tried.
    stopped: Option<&'static str>,
    /// Why nobody answers.
    unanswered: Option<ApiError>,
    is_only_source: bool,
}

impl SourceExamination {
    /// Examines all sources of a job; the checks come in the order of the sources.
    pub async fn examine(&self, askers: &[Asker<'_>]) -> Vec<Check> {
        let identities = askers.iter().map(async |asker| match asker.caller {
            Some(caller) => Some(caller.identity(self.clock.now()).await),
            None => None,
        });
        let identities = join_all(identities).await;
        let sources: Vec<_> =
            askers.iter().map(|asker| (asker.source.clone(), asker.wanted.clone())).collect();
        let description = Description {
            policy: self.policy,
            clock: self.clock.clone(),
            at_once: self.at_once,
            shard: self.shard,
            // Asking for each of thousands of networks takes longer than anybody looks on.
            lists_only: true,
        };
        let (mut described, conflict) = match description.of(&sources).await {
            Ok(described) => (described, None),
            Err(error) => {
                let check = Check::failed("networks", ExitStatus::Usage, error.to_string()).ending_the_run();
                (DescribedSources::default(), Some(check))
            }
        };
        let mut checks = Vec::new();
        for (asker, identity) in askers.iter().zip(identities) {
            let api = asker.source.paced(self.policy, self.clock.clone());
            let number = asker.source.number;
            let prefix = if askers.len() > 1 { format!("source {number}: ") } else { String::new() };
            let mut answers = Answers {
                source: asker.source,
                api: &api,
                prefix,
                checks: Vec::new(),
                stopped: None,
                unanswered: None,
                is_only_source: askers.len() == 1,
            };
            answers.tell_identity(identity);
            let failed = described.failed.iter().position(|failed| failed.source.number == number);
            let failed = failed.map(|position| described.failed.remove(position).error);
            self.try_actions(&mut answers, asker, &described.networks, failed).await;
            checks.extend(answers.conclude());
        }
        checks.extend(conflict);
        checks
    }

    async fn try_actions(
        &self,
        answers: &mut Answers<'_>,
        asker: &Asker<'_>,
        known: &KnownNetworks,
        failed: Option<SourceError>,
    ) {
        let (api, number) = (answers.api, asker.source.number);
        let own = || known.iter().filter(|(_, network)| network.source.number == number);
        let lists = !matches!(asker.wanted, Networks::Listed(_));
        match failed {
            Some(SourceError::Networks(NetworksError::Api(error))) => {
                answers.add("wickr:ListNetworks", Err(error), None);
            }
            Some(error) => answers.fail("wickr:ListNetworks", &error),
            None if lists => answers.add("wickr:ListNetworks", Ok(networks_of(own().count())), None),
            None => {
                let unneeded =
                    Loss::of(leaves_network_unnamed, "the job names its networks, so an export does without");
                let listed = async { api.list_networks(None).await.map(|_page| "allowed".to_owned()) };
                answers.ask("wickr:ListNetworks", listed, Some(unneeded)).await;
            }
        }
        let sample: Vec<NetworkId> =
            own().map(|(id, _)| *id).take(if lists { 1 } else { MOST_ASKED }).collect();
        let Some(network) = sample.first().copied() else {
            let reason = answers.stopped.unwrap_or("there is no network to try it on");
            for action in ["wickr:GetNetwork", "wickr:GetGuestUserHistoryCount", "wickr:ListGuestUsers"] {
                answers.push(Check::not_tried(action, reason));
            }
            return;
        };
        let unnamed =
            Loss::of(leaves_network_unnamed, "networks are exported without their names and accounts");
        for network in sample {
            let named = async { api.get_network(network).await.map(|_| "allowed".to_owned()) };
            answers.ask(&format!("wickr:GetNetwork {network}"), named, Some(unnamed)).await;
        }
        let counted =
            async { api.guest_user_history_count(network).await.map(|_| format!("allowed for {network}")) };
        let uncounted = Loss::of(
            leaves_count_unavailable,
            "ended months are confirmed by a second walk instead, which takes twice the requests",
        );
        answers.ask("wickr:GetGuestUserHistoryCount", counted, Some(uncounted)).await;
        answers.ask("wickr:ListGuestUsers", self.first_guest(answers.api, asker.source, network), None).await;
    }

    /// Asks for one guest, in either spelling of the period, and keeps nothing of what comes.
    async fn first_guest(
        &self,
        api: &Paced,
        source: &Source,
        network: NetworkId,
    ) -> Result<String, ApiError> {
        let in_spelling = |spelling| ListGuestUsers {
            network,
            billing_period: self.period,
            spelling,
            sort_field: SortField::Username,
            sort_direction: SortDirection::Ascending,
            max_results: 1,
            username: None,
            next_token: None,
        };
        let first = api.list_guest_users(&in_spelling(source.spelling)).await;
        match first {
            Err(ApiError::Validation { .. } | ApiError::BadRequest { .. }) => {
                api.list_guest_users(&in_spelling(source.spelling.other())).await.or(first)
            }
            first => first,
        }
        .map(|_page| format!("allowed for {network} in {}", self.period))
    }
}

impl Answers<'_> {
    fn tell_identity(&mut self, identity: Option<Result<CallerIdentity, CallerUnknown>>) {
        const NAME: &str = "credentials";
        let check = match identity {
            None => Check::passed(NAME, "the embedded simulator's own"),
            Some(Ok(found)) => Check::passed(NAME, found.to_string()),
            Some(Err(CallerUnknown::NoCredentials(error))) => {
                self.stopped = Some("there are no credentials");
                Check::failed(NAME, ExitStatus::of_api(&error), error.to_string())
            }
            Some(Err(unknown)) => Check::warning(NAME, format!("there are some; {unknown}")),
        };
        self.push(check);
    }

    /// Tries an action, unless nothing can be tried any more.
    async fn ask(
        &mut self,
        action: &str,
        asked: impl Future<Output = Result<String, ApiError>>,
        dispensable: Option<Loss>,
    ) {
        if let Some(reason) = self.stopped {
            return self.push(Check::not_tried(action, reason));
        }
        let answer = asked.await;
        self.add(action, answer, dispensable);
    }

    /// Tells what came of an action. `dispensable` says what an export does without it, if it does.
    fn add(&mut self, action: &str, answer: Result<String, ApiError>, dispensable: Option<Loss>) {
        let error = match (answer, self.stopped) {
            (Ok(found), _) => return self.push(Check::passed(action, found)),
            (Err(_), Some(reason)) => return self.push(Check::not_tried(action, reason)),
            (Err(error), None) => error,
        };
        if !self.source.api.has_answered() && !error.is_of_the_identity() {
            self.unanswered = Some(error);
            self.stopped = Some("the endpoint does not answer");
            return self.push(Check::not_tried(action, "the endpoint does not answer"));
        }
        if let Some(loss) = dispensable.filter(|loss| (loss.is_borne)(&error)) {
            return self.push(Check::warning(action, format!("{error}; {}", loss.told)));
        }
        if let ApiError::DeadlineReached { .. } = error {
            self.stopped = Some("there is no time left to try it");
            let advice = "a run has more time, see its deadline";
            return self.push(Check::warning(action, format!("{}; {advice}", error_chain(&error))));
        }
        if concerns_every_action(&error) {
            self.stopped = Some("what failed above fails here too");
        }
        let check = Check::failed(action, ExitStatus::of_api(&error), error_chain(&error));
        let ends = self.is_only_source && action == "wickr:ListNetworks";
        self.push(if ends { check.ending_the_run() } else { check });
    }

    fn fail(&mut self, action: &str, error: &SourceError) {
        let check = Check::failed(action, ExitStatus::of_source(error), error_chain(error));
        self.push(if self.is_only_source { check.ending_the_run() } else { check });
    }

    fn push(&mut self, check: Check) {
        self.checks.push(Check { name: format!("{}{}", self.prefix, check.name), ..check });
    }

    /// Puts what was learnt on the way beside the credentials: whether anybody answers, and by which clock.
    fn conclude(mut self) -> Vec<Check> {
        let actions = self.checks.split_off(1);
        let endpoint = format!("{} in {}", self.source.endpoint_name(), self.source.endpoint.region);
        self.push(match &self.unanswered {
            Some(error) => Check::failed("endpoint", ExitStatus::of_api(error), error_chain(error)),
            None if self.source.api.has_answered() => {
                let kind = if self.source.is_simulated() { ", a simulator" } else { "" };
                Check::passed("endpoint", format!("{endpoint} answers{kind}"))
            }
            None => Check::not_tried("endpoint", format!("{endpoint} was not asked")),
        });
        self.push(clock(self.source.api.observed_offset()));
        self.checks.extend(actions);
        self.checks
    }
}

/// Says whether whatever else is asked fails for the same reason.
fn concerns_every_action(error: &ApiError) -> bool {
    match error {
        ApiError::GaveUp { last, .. } => concerns_every_action(last),
        ApiError::ClockSkewed { .. } | ApiError::Transport { .. } => true,
        error => error.is_of_the_identity(),
    }
}

fn networks_of(count: usize) -> String {
    match count {
        1 => "allowed; 1 network to export".to_owned(),
        count => format!("allowed; {count} networks to export"),
    }
}

fn clock(offset: Option<TimeDelta>) -> Check {
    const NAME: &str = "clock";
    let Some(offset) = offset else { return Check::not_tried(NAME, "nobody has told the time") };
    let seconds = offset.num_seconds().abs();
    if offset.abs() <= LARGEST_OFFSET {
        return Check::passed(NAME, "agrees with the service's");
    }
    let way = if offset > TimeDelta::zero() { "behind" } else { "ahead of" };
    Check::warning(
        NAME,
        format!(
            "{seconds} seconds {way} the service's; set it by NTP, as it decides when a month is closed and when \
             locks have ended"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::CheckStatus;

    #[test]
    fn a_clock_is_told_by_how_far_and_in_which_direction_it_is_off() {
        let told = |seconds| clock(Some(TimeDelta::seconds(seconds)));
        assert_eq!(told(-2).status, CheckStatus::Passed);
        assert!(told(90).message.starts_with("90 seconds behind the service's"), "{}", told(90));
        assert!(told(-3600).message.starts_with("3600 seconds ahead of the service's"), "{}", told(-3600));
        assert_eq!(clock(None).status, CheckStatus::NotTried);
    }
}
