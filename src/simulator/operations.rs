//! The operations: what the true answer to each request is, and how a planned fault alters a list of guests.
//!
//! A request is first read (`Ask`), which refuses what breaks the documented bounds, and only then answered, so
//! that faults can be matched against what was asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::config::{LastToken, OldestMonth, PeriodAnswer, SimulatorConfig};
use super::effects::{Alteration, RowDefect};
use super::faults::Site;
use super::noise::Noise;
use super::paging::{EdgeRepeats, Order, Reading, Section, slice};
use super::population::{Lists, Population, World};
use super::query::{self, Direction, Paging, Parameters};
use super::token::{Bookmark, TokenSeal};
use super::wire::{
    BlockedGuestUser, GuestUser, HistoryCount, Network, Operation, Refusal, read_period, spell,
};
use crate::guest::NetworkId;
use crate::period::{BillingPeriod, PeriodSpelling};

const ACCOUNT: &str = "111122223333";
const HISTORY_DAYS: i64 = 90;

/// The service behind the wire.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) config: SimulatorConfig,
    pub(super) world: World,
    seal: TokenSeal,
    history_reads: Mutex<BTreeMap<NetworkId, i64>>,
}

/// A request that was read and is within bounds.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) operation: Operation,
    network: Option<NetworkId>,
    paging: Paging,
    bookmark: Bookmark,
    binding: String,
    sort: &'static str,
    username: Option<String>,
    period: PeriodAsked,
}

/// What the `billingPeriod` of a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PeriodAsked {
    All,
    One(BillingPeriod, PeriodSpelling),
    Unreadable,
}

impl Ask {
    /// Returns where the request stands, for faults to match.
    pub(super) fn site(&self) -> Site {
        let paged = !matches!(self.operation, Operation::GetNetwork | Operation::GetGuestUserHistoryCount);
        Site {
            operation: self.operation,
            network: self.network,
            period: self.period(),
            direction: paged.then_some(self.paging.direction),
            page: self.bookmark.page,
            has_token: self.paging.token.is_some(),
        }
    }

    fn period(&self) -> Option<BillingPeriod> {
        match self.period {
            PeriodAsked::One(period, _) => Some(period),
            PeriodAsked::All | PeriodAsked::Unreadable => None,
        }
    }
}

impl Service {
    pub(super) fn new(config: SimulatorConfig, world: World) -> Self {
        let seal = TokenSeal::new(config.seed);
        Self { config, world, seal, history_reads: Mutex::default() }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// The refusal for parameters out of bounds and for tokens that were not given out for this request.
    pub(super) fn read(
        &self,
        operation: Operation,
        network: Option<&str>,
        query: &str,
    ) -> Result<Ask, Refusal> {
        let network = network.map(query::network).transpose()?;
        let parameters = Parameters::read(query)?;
        let (sorts, filters): (&[&'static str], &[&str]) = match operation {
            Operation::ListGuestUsers => (&["billingPeriod", "username"], &["username", "billingPeriod"]),
            Operation::ListBlockedGuestUsers => (&["username", "admin", "modified"], &["username", "admin"]),
            Operation::ListNetworks => (&["networkId", "networkName"], &[]),
            Operation::GetNetwork | Operation::GetGuestUserHistoryCount => (&[], &[]),
        };
        let (paging, sort) = match sorts {
            [] => (Parameters::default().paging()?, ""),
            sorts => (parameters.paging()?, parameters.sort_field(sorts)?),
        };
        let filters: Vec<Option<&str>> = filters.iter().map(|name| parameters.get(name)).collect();
        let binding = format!("{:?}", (operation, network, paging.size, paging.direction, sort, filters));
        let bookmark = match &paging.token {
            None => Bookmark::default(),
            Some(token) => self
                .seal
                .open(token, &binding)
                .ok_or_else(|| Refusal::bad_request("The nextToken is not valid for this request."))?,
        };
        let period = match (operation, parameters.get("billingPeriod")) {
            (Operation::ListGuestUsers, Some(text)) => match read_period(text) {
                Some((period, spelling)) => PeriodAsked::One(period, spelling),
                None => PeriodAsked::Unreadable,
            },
            _ => PeriodAsked::All,
        };
        let username = parameters.get("username").map(str::to_owned);
        Ok(Ask { operation, network, paging, bookmark, binding, sort, username, period })
    }

    /// Lets happen what is planned for the list that a request is about to read.
    pub(super) fn advance(&self, ask: &Ask) {
        if let (Operation::ListGuestUsers, Some(network), Some(period)) =
            (ask.operation, ask.network, ask.period())
        {
            self.world.advance(network, period);
        }
    }

    /// Answers a request, altered by a fault if one struck it.
    ///
    /// # Errors
    /// The refusal for networks that do not exist and for periods that are configured to be refused.
    pub(super) fn answer(
        &self,
        ask: &Ask,
        alteration: Option<Alteration>,
        now: DateTime<Utc>,
    ) -> Result<Value, Refusal> {
        let networks = self.world.read();
        let Some(network) = ask.network else {
            return Ok(self.list_networks(ask, networks.keys().copied().collect()));
        };
        let lists = networks.get(&network).ok_or_else(Refusal::not_found)?;
        match ask.operation {
            Operation::ListGuestUsers => self.list_guest_users(ask, lists, alteration),
            Operation::GetGuestUserHistoryCount => Ok(self.history(network, lists, now)),
            Operation::ListBlockedGuestUsers => Ok(self.blocked(ask, lists)),
            Operation::GetNetwork | Operation::ListNetworks => Ok(json!(self.network(network))),
        }
    }

    fn list_guest_users(
        &self,
        ask: &Ask,
        lists: &Lists,
        alteration: Option<Alteration>,
    ) -> Result<Value, Refusal> {
        let answers = &self.config.answers;
        let habit = match ask.period {
            PeriodAsked::All | PeriodAsked::One(_, PeriodSpelling::Hyphen) => answers.hyphen,
            PeriodAsked::One(_, PeriodSpelling::Underscore) => answers.underscore,
            PeriodAsked::Unreadable => answers.unreadable,
        };
        let sections = match (habit, ask.period) {
            (_, PeriodAsked::All) | (PeriodAnswer::Served, PeriodAsked::One(..)) => sections(ask, lists),
            (PeriodAnswer::Refused, _) => {
                return Err(Refusal::invalid("billingPeriod", "is not a billing period of the network"));
            }
            (PeriodAnswer::Served, PeriodAsked::Unreadable) | (PeriodAnswer::Empty, _) => Vec::new(),
        };
        let bookmark = &ask.bookmark;
        let positions = match bookmark.positions.as_slice() {
            [] => vec![0; sections.len()],
            positions => positions.to_vec(),
        };
        let stale = || Refusal::bad_request("The nextToken is not valid any more.");
        let mut page = self.reading(ask).page(&sections, &positions).ok_or_else(stale)?;
        let same_page =
            |turn, cycle| Some(Bookmark { page: bookmark.page, turn, cycle, positions: positions.clone() });
        let forward = page.next.take().map(|positions| Bookmark {
            page: bookmark.page + 1,
            turn: 0,
            cycle: 0,
            positions,
        });
        let next = match (alteration, bookmark.cycle) {
            (Some(Alteration::EmptyPage), _) => {
                page.rows.clear();
                same_page(bookmark.turn + 1, 0)
            }
            (Some(Alteration::RepeatedPage), _) => same_page(bookmark.turn + 1, 0),
            (Some(Alteration::TokenLoop(length)), 0) => same_page(0, length),
            (_, cycle @ 1..) => same_page((bookmark.turn + 1) % cycle, cycle),
            (Some(Alteration::Row(_)) | None, 0) => forward,
        };
        let rows = page.rows.into_iter().map(|(period, row)| {
            let billing_period = spell(period, answers.rows);
            json!(GuestUser { billing_period, username: row.username, username_hash: row.username_hash })
        });
        let mut rows: Vec<Value> = rows.collect();
        if let Some(Alteration::Row(defect)) = alteration {
            rows.insert(rows.len() / 2, self.defective_row(defect, ask.period()));
        }
        let mut answer = json!({ "guestlist": rows });
        match (next, answers.last_token) {
            (Some(next), _) => answer["nextToken"] = self.seal.seal(&next, &ask.binding).into(),
            (None, LastToken::Omitted) => {}
            (None, LastToken::Null) => answer["nextToken"] = Value::Null,
            (None, LastToken::Empty) => answer["nextToken"] = "".into(),
        }
        Ok(answer)
    }

    fn reading(&self, ask: &Ask) -> Reading {
        let place = Noise::seeded(self.config.seed).named("edges");
        let noise = place.named(&format!("{:?}", (ask.network, ask.period(), ask.paging.direction)));
        Reading {
            size: ask.paging.size,
            direction: ask.paging.direction,
            order: if ask.sort == "username" { Order::Username } else { Order::Period },
            mode: self.config.paging,
            edge_repeats: EdgeRepeats {
                noise,
                per_thousand: self.config.edge_repeats_per_thousand,
                rows: self.config.edge_repeat_rows,
            },
            trailing_empty_page: self.config.answers.trailing_empty_page,
        }
    }

    fn defective_row(&self, defect: RowDefect, period: Option<BillingPeriod>) -> Value {
        let asked =
            period.unwrap_or(BillingPeriod::containing(DateTime::UNIX_EPOCH + TimeDelta::days(20_000)));
        let spelled = |period| spell(period, self.config.answers.rows);
        let mut row = json!(GuestUser {
            billing_period: spelled(asked),
            username: "defective.row@acme.example".to_owned(),
            username_hash: "defective-row".to_owned(),
        });
        match defect {
            RowDefect::ForeignPeriod => row["billingPeriod"] = spelled(asked.plus_months(-1)).into(),
            RowDefect::UnreadablePeriod => {
                row["billingPeriod"] = spell(asked, PeriodSpelling::Hyphen).replace('-', "/").into();
            }
            RowDefect::NullHash => row["usernameHash"] = Value::Null,
            RowDefect::EmptyHash => row["usernameHash"] = "".into(),
            RowDefect::Missing(field) => {
                row.as_object_mut().expect("a row is an object").remove(field);
            }
        }
        row
    }

    fn history(&self, network: NetworkId, lists: &Lists, now: DateTime<Utc>) -> Value {
        let habits = &self.config.history;
        let now = self.config.now.unwrap_or(now);
        let horizon = now - TimeDelta::days(HISTORY_DAYS);
        let reads = {
            let mut reads = self.history_reads.lock().unwrap_or_else(PoisonError::into_inner);
            let reads = reads.entry(network).or_default();
            *reads += 1;
            *reads - 1
        };
        let delta = habits.delta.saturating_add(habits.delta_per_read.saturating_mul(reads));
        let covered = |period: BillingPeriod| period.start() <= now && period.end() > horizon;
        let count = |period: BillingPeriod, guests: u64| {
            let days = (period.end() - period.start()).num_days().unsigned_abs();
            let within = (period.end() - horizon).num_days().unsigned_abs();
            match habits.oldest_month {
                _ if period.start() >= horizon => Some(guests),
                OldestMonth::Whole => Some(guests),
                OldestMonth::Partial => Some(guests * within / days),
                OldestMonth::Omitted => None,
            }
        };
        let history: Vec<HistoryCount> = lists
            .iter()
            .filter(|(period, _)| covered(**period) && !habits.unlisted.contains(period))
            .filter_map(|(period, list)| {
                let count = count(*period, list.guests())?.saturating_add_signed(delta).to_string();
                Some(HistoryCount { month: spell(*period, habits.spelling), count })
            })
            .collect();
        json!({ "history": history })
    }

    fn blocked(&self, ask: &Ask, lists: &Lists) -> Value {
        let latest = lists.values().next_back();
        let rows = latest.map_or(0, |list| list.rows().min(self.config.blocked_guests));
        let mut blocklist: Vec<BlockedGuestUser> = (0..rows)
            .filter_map(|rank| Some(latest?.row(rank)))
            .map(|row| BlockedGuestUser {
                username: row.username,
                admin: "admin@acme.example".to_owned(),
                modified: "2026-01-15T09:30:00Z".to_owned(),
                username_hash: row.username_hash,
            })
            .filter(|row| ask.username.as_ref().is_none_or(|wanted| *wanted == row.username))
            .collect();
        if ask.paging.direction == Direction::Descending {
            blocklist.reverse();
        }
        self.sliced(ask, "blocklist", blocklist.iter().map(|row| json!(row)).collect())
    }

    fn list_networks(&self, ask: &Ask, mut networks: Vec<NetworkId>) -> Value {
        if ask.paging.direction == Direction::Descending {
            networks.reverse();
        }
        self.sliced(
            ask,
            "networks",
            networks.into_iter().map(|network| json!(self.network(network))).collect(),
        )
    }

    fn sliced(&self, ask: &Ask, field: &str, items: Vec<Value>) -> Value {
        let given = ask.bookmark.positions.first().copied().unwrap_or(0);
        let (items, next) = slice(items, ask.paging.size, given);
        let mut answer = json!({ field: items });
        if let Some(next) = next {
            let bookmark =
                Bookmark { page: ask.bookmark.page + 1, positions: vec![next], ..Bookmark::default() };
            answer["nextToken"] = self.seal.seal(&bookmark, &ask.binding).into();
        }
        answer
    }

    fn network(&self, network: NetworkId) -> Network {
        let name = match &self.config.population {
            Population::Explicit(population) => population.name(network),
            Population::Generated => None,
        };
        Network {
            id: network.to_string(),
            name: name.map_or_else(|| format!("Simulated network {network}"), str::to_owned),
            access_level: "PREMIUM",
            aws_account_id: ACCOUNT,
            arn: format!("arn:aws:wickr:{}:{ACCOUNT}:network/{network}", self.config.region),
            standing: 0,
            migration_state: 0,
        }
    }
}

/// Returns the lists that a request reads, in the order of their periods in its direction.
fn sections<'a>(ask: &Ask, lists: &'a Lists) -> Vec<Section<'a>> {
    let wanted = |period: &BillingPeriod| ask.period().is_none_or(|wanted| wanted == *period);
    let mut sections: Vec<Section<'a>> = lists
        .iter()
        .filter(|(period, _)| wanted(period))
        .map(|(period, list)| {
            let ranks = match &ask.username {
                Some(username) => list.ranks_named(username),
                None => 0..list.rows(),
            };
            Section { period: *period, list, ranks }
        })
        .collect();
    if ask.paging.direction == Direction::Descending {
        sections.reverse();
    }
    sections
}
