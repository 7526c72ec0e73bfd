//! The page's facts as texts, in the shape in which the template shows them. What is long is folded here: the template
//! knows no numbers of rows.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use super::PageFacts;
use super::arrivals::{Arrivals, Compared, Unknown};
use super::attention::{Attention, Matter, Trouble};
use super::chart::{self, Bar, Size};
use super::months::{Month, Months, is_contradicted};
use super::number::{Change, grouped};
use crate::error_chain::excerpt;
use crate::evidence::ConfirmedBy;
use crate::guest::NetworkId;
use crate::ledger::Ledger;
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::{Manifest, SourceKind};

/// How many rows of a table are shown before the rest is folded.
const ROWS: usize = 12;
/// How many networks are shown before the rest is folded.
const NETWORKS: usize = 20;
/// How many matters of one kind are shown before the rest is folded.
const MATTERS: usize = 6;
/// The months of the chart, the latest ones: more than this and their bars cannot be told apart.
const CHARTED: i64 = 36;
/// The characters of a network's name that are shown.
const NAME: usize = 80;

/// The page.
#[derive(Template)]
#[template(path = "page.html", config = "src/page/askama.toml")]
pub(super) struct View {
    css: &'static str,
    program: String,
    output: String,
    as_of: String,
    settle_days: u32,
    span: String,
    source: String,
    warnings: Vec<TroubleView>,
    notes: Vec<TroubleView>,
    in_order: String,
    headline: Headline,
    charts: [ChartView; 2],
    chart_title: String,
    chart_text: String,
    chart_from: Option<BillingPeriod>,
    months: Folded<MonthRow>,
    networks: NetworksView,
    arrivals: Folded<ArrivalsRow>,
    corrections: Folded<Correction>,
}

/// Rows, the first of which are shown at once.
struct Folded<T> {
    first: Vec<T>,
    rest: Vec<T>,
}

impl<T> Folded<T> {
    fn after(mut rows: Vec<T>, shown: usize) -> Self {
        let rest = rows.split_off(rows.len().min(shown));
        Self { first: rows, rest }
    }
}

#[derive(Clone)]
struct Label {
    id: NetworkId,
    name: Option<String>,
    place: Option<String>,
}

struct TroubleView {
    title: &'static str,
    advice: &'static str,
    count: usize,
    first: Vec<MatterView>,
    rest: Vec<MatterView>,
}

struct MatterView {
    label: Option<Label>,
    months: String,
    text: String,
}

struct Headline {
    title: String,
    tiles: Vec<Tile>,
}

struct Tile {
    label: &'static str,
    period: Option<BillingPeriod>,
    /// A number, or that there is none.
    value: String,
    is_known: bool,
    detail: String,
}

struct ChartView {
    class: &'static str,
    width: u32,
    height: u32,
    drawing: String,
}

struct MonthRow {
    period: BillingPeriod,
    state: String,
    guests: String,
    change: String,
    networks: usize,
    /// How many networks have no number, and why.
    lacking: Option<String>,
    confirmed: String,
}

struct NetworksView {
    total: usize,
    period: BillingPeriod,
    caption: String,
    first: Vec<NetworkRow>,
    rest: Vec<NetworkRow>,
    rest_guests: String,
}

struct NetworkRow {
    rank: usize,
    label: Label,
    guests: String,
    change: String,
    confirmed: String,
    contradicted: bool,
}

struct ArrivalsRow {
    period: BillingPeriod,
    known: Option<KnownArrivals>,
    known_for: String,
}

struct KnownArrivals {
    new: String,
    returning: String,
    /// None until the month has ended.
    gone: Option<String>,
}

struct Correction {
    period: BillingPeriod,
    label: Label,
    revision: u32,
    on: String,
    added: String,
    removed: String,
}

impl View {
    pub(super) fn of(facts: PageFacts<'_>, months: &Months<'_>, attention: &Attention) -> Self {
        let labels = labels(months, facts.ledger);
        let headline_month = months.headline().expect("something is published");
        let first = months.months.first().expect("a month").period;
        let last = months.months.last().expect("a month").period;
        let span = if first == last { first.to_string() } else { format!("{first} to {last}") };
        let troubles = |notes: bool| {
            let kinds = attention.iter().filter(move |(trouble, _)| trouble.is_note() == notes);
            kinds.map(|(trouble, matters)| trouble_view(*trouble, matters, &labels)).collect()
        };
        let bars = bars(months, last);
        let chart_from = bars.first().map(|bar| bar.period).filter(|charted| *charted > first);
        let arrivals = Folded::after(arrivals_rows(facts.arrivals, months), ROWS);
        Self {
            css: include_str!("page.css"),
            program: concat!("wickr-guest-export ", env!("CARGO_PKG_VERSION")).to_owned(),
            output: facts.output.to_owned(),
            as_of: facts.as_of.format("%Y-%m-%d %H:%M UTC").to_string(),
            settle_days: facts.settle_days,
            source: sources(facts.ledger),
            warnings: troubles(false),
            notes: troubles(true),
            in_order: format!(
                "Every network that is still exported has a number for every month of {span}, every month that is closed was exported since it \
                 closed, and AWS’s own count contradicts none of them."
            ),
            headline: headline(months, headline_month, facts),
            charts: [("wide", Size::WIDE), ("narrow", Size::NARROW)].map(|(class, size)| ChartView {
                class,
                width: size.width,
                height: size.height,
                drawing: chart::draw(&bars, size),
            }),
            chart_title: format!("Guests by month, {span}"),
            chart_text: chart_text(&bars),
            chart_from,
            months: Folded::after(month_rows(months), ROWS),
            networks: networks(months, headline_month, &labels),
            arrivals,
            corrections: Folded::after(corrections(facts.ledger, &labels), ROWS),
            span,
        }
    }
}

/// Writes a number so that a program that reads the page finds it as it is. Nothing in it needs escaping.
fn data(number: u128) -> String {
    format!("<data value=\"{number}\">{}</data>", grouped(number))
}

/// Names every network as its latest manifest does.
fn labels(months: &Months<'_>, ledger: &Ledger) -> BTreeMap<NetworkId, Label> {
    let latest = months.latest();
    let places: BTreeSet<_> = ledger.publications.values().map(place).collect();
    let label = |id: NetworkId| {
        let manifest = latest.get(&id);
        let name = manifest.and_then(|manifest| manifest.source.network_name.as_deref());
        // One place for all needs no mention at each.
        let place = manifest.filter(|_| places.len() > 1).map(|manifest| place(manifest));
        Label { id, name: name.map(|name| excerpt(name, NAME)), place }
    };
    months.networks().into_iter().map(|id| (id, label(id))).collect()
}

/// Says whose network it is.
fn place(manifest: &Manifest) -> String {
    let region = excerpt(&manifest.source.region, NAME);
    match &manifest.source.aws_account_id {
        Some(account) => format!("account {}, {region}", excerpt(account, NAME)),
        None => region,
    }
}

fn sources(ledger: &Ledger) -> String {
    let source = |manifest: &Manifest| match manifest.source.kind {
        SourceKind::Wickr => format!("AWS, {}", place(manifest)),
        SourceKind::Simulator => "the simulator".to_owned(),
    };
    let sources: BTreeSet<String> = ledger.publications.values().map(source).collect();
    match sources.len() {
        1..=3 => sources.into_iter().collect::<Vec<_>>().join("; "),
        more => format!("AWS, {more} accounts and regions"),
    }
}

fn trouble_view(trouble: Trouble, matters: &[Matter], labels: &BTreeMap<NetworkId, Label>) -> TroubleView {
    let said =
        |matter: &&Matter| matter.network.is_some() || !matter.months.is_empty() || !matter.text.is_empty();
    let views = matters.iter().filter(said).map(|matter| MatterView {
        label: matter.network.map(|id| label(labels, id)),
        months: matter.months.clone(),
        text: matter.text.clone(),
    });
    let Folded { first, rest } = Folded::after(views.collect(), MATTERS);
    TroubleView { title: trouble.title(), advice: trouble.advice(), count: matters.len(), first, rest }
}

/// Returns what a network is called; one that was only tried has no name.
fn label(labels: &BTreeMap<NetworkId, Label>, id: NetworkId) -> Label {
    labels.get(&id).cloned().unwrap_or(Label { id, name: None, place: None })
}

/// Says what confirmed some numbers.
fn confirmation<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> String {
    let (mut by, mut contradicted, mut all) = (BTreeMap::new(), 0, 0);
    for manifest in manifests {
        let word = match manifest.counts.confirmed_by {
            Some(ConfirmedBy::ControlTotal) => (0, "AWS’s count"),
            Some(ConfirmedBy::SecondWalk) => (1, "second reading"),
            Some(ConfirmedBy::AcceptedZero) => (2, "accepted by hand"),
            None => (3, "not confirmed"),
        };
        *by.entry(word).or_insert(0) += 1;
        contradicted += usize::from(is_contradicted(manifest));
        all += 1;
    }
    let said = |((_, word), count): (&(u8, &str), &usize)| {
        if *count == all { (*word).to_owned() } else { format!("{word} ({count} of {all})") }
    };
    let text = by.iter().map(said).collect::<Vec<_>>().join(", ");
    if contradicted > 0 && all > 1 {
        return format!("{text}; AWS counts another number for {contradicted}");
    }
    text
}

/// Says which state a month is in, and whether its numbers are from an earlier one.
fn state(month: &Month<'_>) -> String {
    let is_stale = !month.publications.is_empty() && !month.is_published_as_closed();
    match month.calendar {
        PeriodState::Closed if is_stale => "closed, stale".to_owned(),
        state => state.to_string(),
    }
}

/// Counts the networks that have no number for a month, by what they lack it for; none if all have one.
fn lacking(month: &Month<'_>) -> Option<String> {
    if month.is_gap() {
        return Some("nothing published".to_owned());
    }
    let missing = if month.calendar == PeriodState::Closed { "missing" } else { "not yet" };
    let counts = [(month.absent.len(), missing), (month.damaged.len(), "damaged")];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

fn headline(months: &Months<'_>, month: &Month<'_>, facts: PageFacts<'_>) -> Headline {
    let period = month.period;
    let title = match (month.is_published_as_closed(), month.lacking()) {
        (true, 0) => format!("The latest final month: {period}"),
        (true, _) => format!("The latest final numbers, incomplete: {period}"),
        (false, _) => format!("No month has final numbers yet. The latest: {period}"),
    };
    let confirmed = confirmation(month.publications.values().copied());
    let guests = month.guests();
    let mut tiles = vec![
        Tile {
            label: "Guests in",
            period: Some(period),
            value: data(guests),
            is_known: true,
            detail: format!("confirmed by: {confirmed}"),
        },
        change_tile(months, month),
        Tile {
            label: "Networks",
            period: None,
            value: data(month.publications.len() as u128),
            is_known: true,
            detail: lacking(month)
                .map_or_else(|| "none is missing".to_owned(), |lacking| format!("and {lacking}")),
        },
        new_tile(months, month, facts.arrivals),
    ];
    let is_so_far = |latest: &&Month<'_>| {
        latest.period > period && latest.calendar != PeriodState::Closed && latest.guests() > 0
    };
    if let Some(latest) = months.months.iter().rfind(is_so_far) {
        tiles.push(Tile {
            label: "So far in",
            period: Some(latest.period),
            value: data(latest.guests()),
            is_known: true,
            detail: format!("{}, not final", state(latest)),
        });
    }
    Headline { title, tiles }
}

fn tile(label: &'static str, period: BillingPeriod, value: Option<String>, detail: String) -> Tile {
    let is_known = value.is_some();
    let value = value.unwrap_or_else(|| "not known".to_owned());
    Tile { label, period: Some(period), value, is_known, detail }
}

fn change_tile(months: &Months<'_>, month: &Month<'_>) -> Tile {
    let before = month.period.plus_months(-1);
    let tile = |value: Option<String>, detail| tile("Change from", before, value, detail);
    let Some(earlier) = months.month(before).filter(|month| !month.publications.is_empty()) else {
        return tile(None, "nothing is published for it".to_owned());
    };
    let compared = month.since(earlier);
    let left_out = compared.left_out();
    if compared.networks == 0 {
        return tile(None, left_out.unwrap_or_else(|| "no network has a number for both".to_owned()));
    }
    let mut detail = format!("{} guests then", grouped(compared.change.before()));
    if let Some(share) = compared.change.share() {
        detail = format!("{share}, {detail}");
    }
    if let Some(left_out) = left_out {
        detail = format!("{detail}, {}; {left_out}", in_both(compared.networks));
    }
    tile(Some(compared.change.difference()), detail)
}

/// Names the networks that two months are compared by.
fn in_both(networks: usize) -> String {
    match networks {
        1 => "in the 1 network with a number for both".to_owned(),
        networks => format!("in the {networks} networks with a number for both"),
    }
}

fn new_tile(months: &Months<'_>, month: &Month<'_>, arrivals: &Arrivals) -> Tile {
    let tile = |value: Option<String>, detail| tile("New guests in", month.period, value, detail);
    let unknown = |reason| tile(None, reason);
    match arrivals_rows(arrivals, months).into_iter().find(|row| row.period == month.period) {
        Some(ArrivalsRow { known: Some(known), known_for, .. }) => {
            tile(Some(known.new), format!("not there the month before; known for {known_for}"))
        }
        Some(row) => unknown(row.known_for),
        None => unknown("rosters were not read for this page".to_owned()),
    }
}

/// Returns the latest months, those without a publication among them.
fn bars(months: &Months<'_>, last: BillingPeriod) -> Vec<Bar> {
    let first = months.months.first().map_or(last, |month| month.period).max(last.plus_months(1 - CHARTED));
    let periods = (0..CHARTED).map(|months| first.plus_months(months)).take_while(|period| *period <= last);
    let bar = |period| {
        let month = months.month(period).filter(|month| !month.publications.is_empty());
        Bar { period, guests: month.map(Month::guests), is_final: month.is_some_and(Month::is_final) }
    };
    periods.map(bar).collect()
}

/// Says in words what the chart shows.
fn chart_text(bars: &[Bar]) -> String {
    let known: Vec<(BillingPeriod, u128)> =
        bars.iter().filter_map(|bar| Some((bar.period, bar.guests?))).collect();
    let most = known.iter().max_by_key(|(_, guests)| *guests);
    let fewest = known.iter().min_by_key(|(_, guests)| *guests);
    let (Some(most), Some(fewest)) = (most, fewest) else { return "No month has a number.".to_owned() };
    let final_bars = bars.iter().filter(|bar| bar.is_final).count();
    let months = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 month {one}.")),
        count => Some(format!("{count} months {many}.")),
    };
    let sentences = [
        Some(format!("One bar a month. Most guests: {} in {}.", grouped(most.1), most.0)),
        Some(format!("Fewest: {} in {}.", grouped(fewest.1), fewest.0)),
        months(final_bars, "is final", "are final"),
        months(known.len() - final_bars, "is not final", "are not final"),
        months(bars.len() - known.len(), "has no number", "have no number"),
        Some("The table below has every number.".to_owned()),
    ];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn month_rows(months: &Months<'_>) -> Vec<MonthRow> {
    let row = |month: &Month<'_>| {
        let before =
            months.month(month.period.plus_months(-1)).filter(|month| !month.publications.is_empty());
        let is_published = !month.publications.is_empty();
        // What has not ended has not shrunk either.
        let compared = before.filter(|_| month.has_ended_in_all()).map(|before| month.since(before));
        let change = compared.map(|compared| match compared.left_out() {
            None => compared.change.to_string(),
            Some(left_out) if compared.networks == 0 => left_out,
            Some(_) => format!("{} {}", compared.change, in_both(compared.networks)),
        });
        MonthRow {
            period: month.period,
            state: state(month),
            guests: if is_published { data(month.guests()) } else { "not known".to_owned() },
            change: change.unwrap_or_default(),
            networks: month.publications.len(),
            lacking: lacking(month),
            confirmed: confirmation(month.publications.values().copied()),
        }
    };
    months.months.iter().rev().map(row).collect()
}

fn networks(months: &Months<'_>, month: &Month<'_>, labels: &BTreeMap<NetworkId, Label>) -> NetworksView {
    let before = month.period.plus_months(-1);
    let earlier = months.month(before);
    let mut ranked: Vec<(&NetworkId, &&Manifest)> = month.publications.iter().collect();
    ranked.sort_by_key(|(id, manifest)| (std::cmp::Reverse(manifest.counts.guests), **id));
    let row = |(at, (id, manifest)): (usize, (&NetworkId, &&Manifest))| {
        let guests = u128::from(manifest.counts.guests);
        let before = earlier.and_then(|earlier| earlier.publications.get(id));
        let change = before.map(|before| Change::between(before.counts.guests.into(), guests).to_string());
        let by = confirmation(std::iter::once(*manifest));
        let confirmed = match manifest.counts.api_guests {
            Some(counted) if is_contradicted(manifest) => {
                format!("{by}; AWS counts {}", grouped(counted.into()))
            }
            _ => by,
        };
        NetworkRow {
            rank: at + 1,
            label: label(labels, *id),
            guests: data(guests),
            change: change.unwrap_or_else(|| "no number before".to_owned()),
            confirmed,
            contradicted: is_contradicted(manifest),
        }
    };
    let rest_guests =
        ranked.iter().skip(NETWORKS).map(|(_, manifest)| u128::from(manifest.counts.guests)).sum();
    let rows: Vec<NetworkRow> = ranked.into_iter().enumerate().map(row).collect();
    let Folded { first, rest } = Folded::after(rows, NETWORKS);
    NetworksView {
        total: months.networks().len(),
        period: month.period,
        caption: format!("Most guests first, with the change from {before}"),
        first,
        rest,
        rest_guests: data(rest_guests),
    }
}

/// Adds up who came and went in each month, the latest first.
///
/// Who has not come yet in a month that has not ended is not gone.
fn arrivals_rows(arrivals: &Arrivals, months: &Months<'_>) -> Vec<ArrivalsRow> {
    let mut periods: BTreeMap<BillingPeriod, (Vec<Compared>, BTreeSet<&Unknown>, usize)> = BTreeMap::new();
    for (task, compared) in arrivals {
        let (known, unknown, all) = periods.entry(task.period).or_default();
        *all += 1;
        match compared {
            Ok(compared) => known.push(*compared),
            Err(reason) => drop(unknown.insert(reason)),
        }
    }
    let row =
        |(period, (known, unknown, all)): (BillingPeriod, (Vec<Compared>, BTreeSet<&Unknown>, usize))| {
            let reasons = unknown.iter().map(|unknown| unknown.reason()).collect::<Vec<_>>().join("; ");
            let sum =
                |of: fn(&Compared) -> u64| data(known.iter().map(|compared| u128::from(of(compared))).sum());
            let month = months.month(period);
            let without = month.and_then(lacking).map(|lacking| format!("; {lacking}")).unwrap_or_default();
            let known_for = match (known.len(), all) {
                (0, _) => reasons,
                (1, 1) if without.is_empty() => "the network".to_owned(),
                (1, 1) => format!("1 network{without}"),
                (count, all) if count == all && without.is_empty() => format!("all {all} networks"),
                (count, all) if count == all => format!("{all} networks{without}"),
                (count, all) => format!("{count} of {all} networks; not for the rest: {reasons}{without}"),
            };
            let has_ended = month.is_some_and(Month::has_ended_in_all);
            let sums = (!known.is_empty()).then(|| KnownArrivals {
                new: sum(|compared| compared.new),
                returning: sum(|compared| compared.returning),
                gone: has_ended.then(|| sum(|compared| compared.gone)),
            });
            let known_for =
                if has_ended || sums.is_none() { known_for } else { format!("so far, {known_for}") };
            ArrivalsRow { period, known: sums, known_for }
        };
    periods.into_iter().rev().map(row).collect()
}

/// Lists what was published anew because its guests had changed, the latest first.
fn corrections(ledger: &Ledger, labels: &BTreeMap<NetworkId, Label>) -> Vec<Correction> {
    let mut corrected: Vec<_> =
        ledger.publications.values().filter_map(|manifest| Some((manifest, manifest.changes?))).collect();
    corrected.sort_by_key(|(manifest, _)| (std::cmp::Reverse(manifest.exported_at), manifest.task()));
    let row = |(manifest, changes): (&Manifest, crate::publish::ChangesRecord)| Correction {
        period: manifest.billing_period,
        label: label(labels, manifest.network_id),
        revision: manifest.revision,
        on: manifest.exported_at.format("%Y-%m-%d").to_string(),
        added: data(changes.added.into()),
        removed: data(changes.removed.into()),
    };
    corrected.into_iter().map(row).collect()
}
