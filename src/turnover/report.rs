//! What a comparison found, network by network and over all of them.

use serde::Serialize;

use super::{Movement, Question};
use crate::exit::ExitStatus;
use crate::guest::NetworkId;
use crate::period::PeriodState;
use crate::publish::{Manifest, RosterRecord, SourceKind};

/// What could be compared of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnoverStatus {
    /// Guest by guest.
    Compared,
    /// Only how many they are.
    CountsOnly,
    /// Nothing: the later edition has no publication of it.
    OnlyBefore,
    /// Nothing: the earlier edition has no publication of it.
    OnlyAfter,
    /// Nothing: what is published of it cannot be believed.
    Untrusted,
}

/// What is published of a network on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublishedSide {
    /// The revision.
    pub revision: u32,
    /// Its guests.
    pub guests: u64,
}

impl PublishedSide {
    const fn of(manifest: &Manifest) -> Self {
        Self { revision: manifest.revision, guests: manifest.counts.guests }
    }
}

/// A network. What is not known is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkTurnover {
    /// The network.
    pub network_id: NetworkId,
    /// Its name.
    pub network_name: Option<String>,
    /// What could be compared.
    pub status: TurnoverStatus,
    /// The earlier edition.
    pub before: Option<PublishedSide>,
    /// The later one.
    pub after: Option<PublishedSide>,
    /// Who came, went and stayed.
    pub guests: Option<Movement>,
    /// Why no more could be compared.
    pub message: Option<String>,
    /// Of what kind the later roster is.
    #[serde(skip)]
    roster: Option<RosterRecord>,
    /// What answered when it was published.
    #[serde(skip)]
    source_kind: Option<SourceKind>,
}

/// What two editions have and have not in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TurnoverReport {
    /// The output.
    pub output: String,
    /// What answered when the numbers were published; null if no manifest can be believed.
    pub source_kind: Option<SourceKind>,
    /// The earlier edition.
    pub from: String,
    /// The later one.
    pub to: String,
    /// The state that the numbers of the earlier one were published in, the least final of them.
    pub from_published_as: Option<PeriodState>,
    /// The same of the later one: while a month is open nobody is known to have gone.
    pub to_published_as: Option<PeriodState>,
    /// The exit code.
    #[serde(rename = "exit_code")]
    pub exit: ExitStatus,
    /// Each network of either edition.
    pub networks: Vec<NetworkTurnover>,
    /// The networks that were compared guest by guest, added up: a guest of two networks counts twice.
    pub sum: Option<Movement>,
    /// Guests of the same networks, each counted once, in however many it is; null if their hashes cannot be compared
    /// across networks, as of pseudonyms of several keys.
    pub unique: Option<Movement>,
    /// The lists that were written.
    pub lists: Vec<String>,
}

impl NetworkTurnover {
    fn of(
        network_id: NetworkId,
        status: TurnoverStatus,
        before: Option<&Manifest>,
        after: Option<&Manifest>,
    ) -> Self {
        let source_kind = after.or(before).map(|manifest| manifest.source.kind);
        let network_name = after.or(before).and_then(|manifest| manifest.source.network_name.clone());
        let (before, after) = (before.map(PublishedSide::of), after.map(PublishedSide::of));
        Self {
            network_id,
            network_name,
            status,
            before,
            after,
            guests: None,
            message: None,
            roster: None,
            source_kind,
        }
    }

    pub(super) fn compared(
        network: NetworkId,
        before: &Manifest,
        after: &Manifest,
        guests: Movement,
    ) -> Self {
        let of = Self::of(network, TurnoverStatus::Compared, Some(before), Some(after));
        Self { guests: Some(guests), roster: Some(after.roster.clone()), ..of }
    }

    pub(super) fn counts_only(network: NetworkId, before: &Manifest, after: &Manifest, reason: &str) -> Self {
        let of = Self::of(network, TurnoverStatus::CountsOnly, Some(before), Some(after));
        Self { message: Some(format!("only counts can be compared: {reason}")), ..of }
    }

    pub(super) fn on_one_side(
        network: NetworkId,
        before: Option<&Manifest>,
        after: Option<&Manifest>,
    ) -> Self {
        let (status, side) = match after {
            Some(_) => (TurnoverStatus::OnlyAfter, "earlier"),
            None => (TurnoverStatus::OnlyBefore, "later"),
        };
        let message = format!("not published in the {side} one, so nobody is said to have come or gone");
        Self { message: Some(message), ..Self::of(network, status, before, after) }
    }

    pub(super) fn untrusted(
        network: NetworkId,
        before: Option<&Manifest>,
        after: Option<&Manifest>,
        reason: String,
    ) -> Self {
        Self { message: Some(reason), ..Self::of(network, TurnoverStatus::Untrusted, before, after) }
    }
}

impl TurnoverReport {
    pub(super) fn new(
        output: String,
        question: &Question,
        [from_published_as, to_published_as]: [Option<PeriodState>; 2],
        networks: Vec<NetworkTurnover>,
        unique: Option<Movement>,
    ) -> Self {
        let is_untrusted = |network: &NetworkTurnover| network.status == TurnoverStatus::Untrusted;
        let exit =
            if networks.iter().any(is_untrusted) { ExitStatus::Untrusted } else { ExitStatus::Success };
        let compared = networks.iter().filter_map(|network| network.guests);
        let sum = compared.clone().next().is_some().then(|| compared.sum());
        let mut kinds = networks.iter().filter_map(|network| network.roster.as_ref());
        let first = kinds.next();
        let are_alike = kinds.all(|kind| Some(kind) == first);
        let unique = unique.filter(|_| sum.is_some() && are_alike && exit == ExitStatus::Success);
        let (from, to) = (question.from.to_string(), question.to.to_string());
        let source_kind = networks.iter().find_map(|network| network.source_kind);
        Self {
            output,
            source_kind,
            from,
            to,
            from_published_as,
            to_published_as,
            exit,
            networks,
            sum,
            unique,
            lists: Vec::new(),
        }
    }

    /// Adds up the counts of all networks that both editions have.
    #[must_use]
    pub fn counts_of_both(&self) -> (u64, u64) {
        let both = self.networks.iter().filter_map(|network| Some((network.before?, network.after?)));
        both.fold((0, 0), |(before, after), (one, other)| (before + one.guests, after + other.guests))
    }

    /// Says whether everything that was read can be believed.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.exit == ExitStatus::Success
    }
}
