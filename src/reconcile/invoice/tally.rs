//! Rows on their way to the lines of an invoice: filtered, read cell by cell, added up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::copies::{self, FileRows, Rows};
use super::error::{CellError, Place, RowAt};
use super::files::{self, Format};
use super::totals;
use super::{Bearer, Grain, Invoice, InvoiceError, InvoicedLine, MAX_LINES};
use crate::error_chain::excerpt;
use crate::guest::NetworkId;
use crate::period::BillingPeriod;
use crate::reconcile::mapping::{Aggregate, Columns, Mapping, PeriodPlace};
use crate::reconcile::quantity::{Decimal, DecimalError, may_separate_thousands};
use crate::reconcile::written_period::WrittenPeriod;

/// The most values of a filter's column that are kept to be named.
const MAX_SEEN_VALUES: usize = 100;
/// The longest account or region that is believed, in bytes.
const MAX_LABEL_BYTES: usize = 64;
/// The key before the period in the folders of a cost-and-usage export.
const USUAL_PARTITION: &str = "BILLING_PERIOD";
/// The digits of an AWS account's id and of a network's, which programs drop the leading zeros of.
const ACCOUNT_DIGITS: usize = 12;
const NETWORK_DIGITS: usize = 8;

/// A column that says whom a line is for: which row has it, and which has not.
#[derive(Default)]
struct Presence {
    with: Option<Place>,
    without: Option<Place>,
}

impl Presence {
    fn note(&mut self, is_there: bool, place: impl FnOnce() -> Place) {
        let noted = if is_there { &mut self.with } else { &mut self.without };
        noted.get_or_insert_with(place);
    }

    /// Says whether all rows have it.
    fn settle(self, what: &'static str) -> Result<bool, InvoiceError> {
        match (self.with, self.without) {
            (Some(with), Some(without)) => Err(InvoiceError::Mixed { what, without, with }),
            (with, _) => Ok(with.is_some()),
        }
    }
}

type Lines = BTreeMap<(BillingPeriod, Bearer), Gathered>;

/// What was read of a line.
struct Gathered {
    quantity: Decimal,
    rows: u64,
    /// The places of its files among all, ascending.
    files: Vec<usize>,
    /// A row with a fraction.
    fraction: Option<Place>,
}

impl Gathered {
    fn add(&mut self, other: Self, aggregate: Aggregate) {
        self.quantity = match aggregate {
            Aggregate::Sum => self.quantity.plus(&other.quantity),
            Aggregate::Max => self.quantity.clone().max(other.quantity),
        };
        self.rows += other.rows;
        self.files.extend(other.files);
        self.files.sort_unstable();
        self.files.dedup();
        self.fraction = self.fraction.take().or(other.fraction);
    }
}

/// What was read so far.
pub(super) struct Tally<'a> {
    pub(super) mapping: &'a Mapping,
    lines: Lines,
    files: Vec<FileRows>,
    /// The rows of the file that is read which count.
    counted: Rows,
    pub(super) rows_read: u64,
    rows_kept: u64,
    network: Presence,
    account: Presence,
    region: Presence,
    /// What the filter's columns hold: what there is, if nothing passes.
    seen: BTreeMap<String, Seen>,
}

/// What a column of the filter holds, in the rows that pass the columns before it.
#[derive(Default)]
struct Seen {
    /// Whether a row had one of the values that are wanted.
    is_met: bool,
    /// Values, the smallest.
    values: BTreeSet<String>,
    /// Whether there are more.
    has_more: bool,
}

/// A file whose columns are known.
pub(super) struct OpenFile<'a> {
    path: PathBuf,
    pub(super) columns: Columns<'a>,
    pub(super) titles: Vec<String>,
    /// The period of its path, if it is there.
    period: Option<BillingPeriod>,
    /// The columns in which words may stand.
    pub(super) texts: Vec<usize>,
    /// Whether its quantities are numbers, so that nothing separates their thousands.
    pub(super) has_numbers: bool,
}

impl<'a> Tally<'a> {
    pub(super) fn new(mapping: &'a Mapping) -> Self {
        Self {
            mapping,
            lines: Lines::new(),
            files: Vec::new(),
            counted: Rows::default(),
            rows_read: 0,
            rows_kept: 0,
            network: Presence::default(),
            account: Presence::default(),
            region: Presence::default(),
            seen: BTreeMap::new(),
        }
    }

    /// Finds the columns of a file.
    pub(super) fn open(&self, path: &Path, titles: Vec<String>) -> Result<OpenFile<'a>, InvoiceError> {
        let in_path = match &self.mapping.period.place {
            PeriodPlace::Column(_) => None,
            PeriodPlace::Usual => files::partition(path, USUAL_PARTITION),
            PeriodPlace::Partition(key) => {
                let no_partition = || InvoiceError::NoPartition { path: path.to_owned(), key: key.clone() };
                Some(files::partition(path, key).ok_or_else(no_partition)?)
            }
        };
        let columns = self
            .mapping
            .locate(&titles, in_path.is_some())
            .map_err(|reason| InvoiceError::Columns { path: path.to_owned(), reason })?;
        let read = |written: String| {
            let read = WrittenPeriod::read(self.mapping.period.written, &written);
            read.map_err(|reason| InvoiceError::PartitionPeriod { path: path.to_owned(), reason })
        };
        let in_path = in_path.filter(|_| columns.period.is_none());
        let period = in_path.map(read).transpose()?;
        Ok(OpenFile { path: path.to_owned(), columns, titles, period, texts: Vec::new(), has_numbers: false })
    }

    /// Ends a file, of which it may be known what all of it holds.
    pub(super) fn close(&mut self, path: &Path, format: Format, whole: Option<Rows>) {
        let counted = std::mem::take(&mut self.counted);
        self.files.push(FileRows { path: path.to_owned(), format, counted, whole });
    }

    /// Adds a row, whose cells are asked for by their column; an absent value is an empty text.
    pub(super) fn add<C: AsRef<str>>(
        &mut self,
        file: &OpenFile<'a>,
        row: RowAt,
        cell: impl Fn(usize) -> Result<C, InvoiceError>,
    ) -> Result<(), InvoiceError> {
        self.rows_read += 1;
        for (column, values) in &file.columns.filter {
            let value = cell(*column)?;
            let is_met = values.allow(value.as_ref().trim());
            if self.rows_kept == 0 {
                self.note_value(&file.titles[*column], value.as_ref().trim(), is_met);
            }
            if !is_met {
                return Ok(());
            }
        }
        for (column, values) in &file.columns.exclude {
            if values.allow(cell(*column)?.as_ref().trim()) {
                return Ok(());
            }
        }
        self.rows_kept += 1;
        let place = || Place { file: file.path.clone(), row };
        let refused = |column: usize, reason: CellError| InvoiceError::Cell {
            place: place(),
            column: excerpt(file.titles[column].trim(), 60),
            reason,
        };
        if let Some((column, value)) = total(file, &cell)? {
            let column = file.titles[column].trim().to_owned();
            return Err(InvoiceError::Total { place: place(), column, value });
        }
        let text = |column: Option<usize>| -> Result<Option<String>, InvoiceError> {
            let Some(column) = column else { return Ok(None) };
            let text = cell(column)?.as_ref().trim().to_owned();
            Ok((!text.is_empty()).then_some(text))
        };
        let label = |column: Option<usize>| -> Result<Option<String>, InvoiceError> {
            let Some(label) = text(column)? else { return Ok(None) };
            if label.len() > MAX_LABEL_BYTES || label.contains(char::is_control) {
                let reason = CellError::Label(excerpt(&label, MAX_LABEL_BYTES));
                return Err(refused(column.unwrap_or_default(), reason));
            }
            Ok(Some(label))
        };
        let network = match (text(file.columns.network)?, file.columns.network) {
            (Some(digits), Some(column)) => {
                let parsed = with_leading_zeros(&digits, NETWORK_DIGITS).parse::<NetworkId>();
                Some(parsed.map_err(|error| refused(column, error.into()))?)
            }
            _ => None,
        };
        let account = label(file.columns.account)?.map(|written| {
            let account = account_id(&written);
            account
                .ok_or_else(|| refused(file.columns.account.unwrap_or_default(), CellError::Rounded(written)))
        });
        let account = account.transpose()?;
        let region = label(file.columns.region)?.map(|region| region.to_ascii_lowercase());
        let period = match (file.period, file.columns.period) {
            (None, Some(column)) => {
                let written = cell(column)?;
                WrittenPeriod::read(self.mapping.period.written, written.as_ref())
                    .map_err(|error| refused(column, error.into()))?
            }
            (Some(period), _) => period,
            (None, None) => unreachable!("a mapping has a column or a partition"),
        };
        let written = cell(file.columns.quantity)?;
        let quantity: Decimal = written
            .as_ref()
            .parse()
            .map_err(|error: DecimalError| refused(file.columns.quantity, error.into()))?;
        let is_in_doubt = !self.mapping.fractions && !file.has_numbers;
        if is_in_doubt && may_separate_thousands(written.as_ref()) {
            let reason = CellError::Thousands(written.as_ref().trim().to_owned());
            return Err(refused(file.columns.quantity, reason));
        }
        self.network.note(network.is_some(), place);
        self.account.note(account.is_some(), place);
        self.region.note(region.is_some(), place);
        if self.lines.len() > MAX_LINES {
            return Err(InvoiceError::TooManyLines(file.path.clone()));
        }
        let bearer = Bearer { network, account, region };
        self.counted.add([period.to_string(), bearer.to_string(), quantity.shortest().to_string()]);
        let fraction = (!quantity.is_whole()).then(place);
        let row = Gathered { quantity, rows: 1, files: vec![self.files.len()], fraction };
        gather(&mut self.lines, (period, bearer), row, self.mapping.aggregate);
        Ok(())
    }

    fn note_value(&mut self, column: &str, value: &str, is_met: bool) {
        let seen = match self.seen.get_mut(column) {
            Some(seen) => seen,
            None => self.seen.entry(column.to_owned()).or_default(),
        };
        seen.is_met |= is_met;
        if !seen.values.contains(value) {
            seen.values.insert(excerpt(value, MAX_LABEL_BYTES));
            if seen.values.len() > MAX_SEEN_VALUES {
                seen.values.pop_last();
                seen.has_more = true;
            }
        }
    }

    /// Adds up what was read, by the finest that all rows have.
    pub(super) fn finish(self, path: &Path) -> Result<Invoice, InvoiceError> {
        if self.rows_read == 0 {
            return Err(InvoiceError::NoRows(path.to_owned()));
        }
        if self.rows_kept == 0 {
            let seen = what_there_is(&self.seen);
            return Err(InvoiceError::NothingPasses { path: path.to_owned(), rows: self.rows_read, seen });
        }
        if self.mapping.aggregate == Aggregate::Sum {
            copies::check(&self.files)?;
        }
        let network = self.network.settle("network")?;
        // Where networks tell the lines apart, nobody asks whose they are.
        let account = !network && self.account.settle("account")?;
        let region = !network && self.region.settle("region")?;
        let grain = Grain { network, account, region };
        let mut gathered = Lines::new();
        for ((period, bearer), line) in self.lines {
            gather(&mut gathered, (period, bearer.up_to(grain)), line, self.mapping.aggregate);
        }
        let mut lines = BTreeMap::new();
        for ((period, bearer), Gathered { quantity, rows, files, fraction }) in gathered {
            let quantity = quantity.shortest();
            if let Some(place) = fraction.filter(|_| !self.mapping.fractions && !quantity.is_whole()) {
                let bearer = bearer.to_string();
                return Err(InvoiceError::Fraction { place, bearer, period, quantity });
            }
            let files = files.len() as u64;
            lines.insert((period, bearer), InvoicedLine { quantity, rows, files });
        }
        let (rows_read, rows_kept, files) = (self.rows_read, self.rows_kept, self.files.len() as u64);
        Ok(Invoice { grain, lines, rows_read, rows_kept, files, files_skipped: Vec::new() })
    }
}

fn gather(lines: &mut Lines, line: (BillingPeriod, Bearer), row: Gathered, aggregate: Aggregate) {
    match lines.get_mut(&line) {
        Some(so_far) => so_far.add(row, aggregate),
        None => drop(lines.insert(line, row)),
    }
}

/// Finds the column in which a row says that it adds up others. What the filter asks for by its value is wanted.
fn total<C: AsRef<str>>(
    file: &OpenFile<'_>,
    cell: impl Fn(usize) -> Result<C, InvoiceError>,
) -> Result<Option<(usize, String)>, InvoiceError> {
    let Columns { filter, period, account, region, network, .. } = &file.columns;
    let bearers = [period, account, region, network].into_iter().copied().flatten();
    for (column, is_bearer) in bearers.map(|at| (at, true)).chain(file.texts.iter().map(|at| (*at, false))) {
        if filter.iter().any(|(wanted, _)| *wanted == column) {
            continue;
        }
        let value = cell(column)?;
        let value = value.as_ref().trim();
        // No network, account, region or period is called so, alone or with other words.
        let is_total = if is_bearer { totals::mentions(value) } else { totals::is_word(value) };
        if is_total || (value.is_empty() && Some(column) == *period) {
            return Ok(Some((column, excerpt(value, MAX_LABEL_BYTES))));
        }
    }
    Ok(None)
}

/// Says which column of the filter no row passes that passes those before it, and what it holds instead.
fn what_there_is(seen: &BTreeMap<String, Seen>) -> String {
    let named = |column: &str| format!("`{}`", excerpt(column.trim(), 60));
    let met: Vec<String> =
        seen.iter().filter(|(_, seen)| seen.is_met).map(|(column, _)| named(column)).collect();
    let Some((column, seen)) = seen.iter().find(|(_, seen)| !seen.is_met) else { return String::new() };
    let values: Vec<String> = seen.values.iter().map(|value| format!("`{value}`")).collect();
    let more = if seen.has_more { " and others" } else { "" };
    let before =
        if met.is_empty() { String::new() } else { format!("where {} is as wanted, ", met.join(" and ")) };
    format!("; {before}the column {} holds {}{more}", named(column), values.join(", "))
}

/// Restores the zeros that a program took off an id that it held for a number.
fn with_leading_zeros(id: &str, digits: usize) -> String {
    if id.bytes().all(|byte| byte.is_ascii_digit()) { format!("{id:0>digits$}") } else { id.to_owned() }
}

/// Returns the id of an account as AWS writes it: the console shows groups of four digits, and a program that held it for
/// a number dropped its zeros. None if a spreadsheet has rounded it, so that its last digits are lost.
fn account_id(written: &str) -> Option<String> {
    let groups: Vec<&str> = written.split('-').collect();
    let is_group = |group: &&str| group.len() == 4 && group.bytes().all(|byte| byte.is_ascii_digit());
    if groups.len() == 3 && groups.iter().all(is_group) {
        return Some(groups.concat());
    }
    let is_rounded = written.contains(['e', 'E']) && written.replace(',', ".").parse::<Decimal>().is_ok();
    (!is_rounded).then(|| with_leading_zeros(written, ACCOUNT_DIGITS))
}
