//! The mapping: which columns of an invoice say what. A small TOML, as it is written.
//!
//! What it does not say is as without one: an invoice has the columns that go by their usual names, those of them that it
//! has. A column that is written down is meant, and has to be there; and where one of network, account and region is
//! written down, the others are left out by those that are not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::written_period::WrittenPeriod;
use crate::error_chain::excerpt;

/// The longest mapping that is read, in bytes.
const MAX_MAPPING_BYTES: u64 = 1024 * 1024;

/// Which columns of an invoice say what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The column with the number of guests.
    pub quantity: Option<String>,
    /// What is made of several rows for the same.
    pub aggregate: Aggregate,
    /// The column with the AWS account.
    pub account: Option<String>,
    /// The column with the region.
    pub region: Option<String>,
    /// The column with the network.
    pub network: Option<String>,
    /// Where the billing period is.
    pub period: PeriodMapping,
    /// The rows that count: those in which each of these columns has one of its values.
    pub filter: BTreeMap<String, FilterValues>,
    /// The rows that do not count: those in which any of these columns has one of its values, as rows of totals have.
    pub exclude: BTreeMap<String, FilterValues>,
    /// By what lines are told apart.
    pub compare_by: CompareBy,
    /// Whether guests may be prorated, so that a point is a decimal point and a line need not be a whole number.
    pub fractions: bool,
    /// What separates the cells of a CSV, if it is not to be found.
    pub delimiter: Option<Delimiter>,
}

/// By what the lines of an invoice are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompareBy {
    /// By the finest that all rows have: network, else account and region, else nothing.
    #[default]
    Finest,
    /// By nothing, whatever columns there are.
    Total,
}

/// What is made of several rows for the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// Their sum: each row adds guests, or takes some back.
    #[default]
    Sum,
    /// The largest: each row says how many there were until then.
    Max,
}

/// Where the billing period is: in a column, or in the path, as in `BILLING_PERIOD=2026-10/`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as period = { column = \"…\" }")]
struct WrittenPeriodMapping {
    column: Option<String>,
    partition: Option<String>,
    written: Option<WrittenPeriod>,
}

/// Where the billing period is, and how it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenPeriodMapping")]
pub struct PeriodMapping {
    /// Where it is.
    pub place: PeriodPlace,
    /// How it is written; by its shape, where that leaves no doubt.
    pub written: Option<WrittenPeriod>,
}

/// Where the billing period is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PeriodPlace {
    /// In the column of the usual name or, where there is none, in a path as that of a cost-and-usage export.
    #[default]
    Usual,
    /// In a column.
    Column(String),
    /// In the path of the file, behind this key and `=`.
    Partition(String),
}

impl TryFrom<WrittenPeriodMapping> for PeriodMapping {
    type Error = &'static str;

    fn try_from(mapping: WrittenPeriodMapping) -> Result<Self, Self::Error> {
        let place = match (mapping.column, mapping.partition) {
            (Some(column), None) => PeriodPlace::Column(column),
            (None, Some(partition)) => PeriodPlace::Partition(partition),
            (None, None) if mapping.written.is_some() => PeriodPlace::Usual,
            _ => return Err("give one of period.column and period.partition"),
        };
        Ok(Self { place, written: mapping.written })
    }
}

/// The values that a column of the filter may have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a filter is a text, or a list of texts")]
pub enum FilterValues {
    /// One.
    One(String),
    /// Any of several.
    Any(Vec<String>),
}

impl FilterValues {
    /// Says whether a cell has one of the values.
    #[must_use]
    pub fn allow(&self, cell: &str) -> bool {
        match self {
            Self::One(value) => value == cell,
            Self::Any(values) => values.iter().any(|value| value == cell),
        }
    }
}

/// What separates the cells of a CSV: one ASCII character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Delimiter(pub u8);

impl TryFrom<String> for Delimiter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_bytes() {
            &[byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(Self(byte)),
            _ => Err("a delimiter is one character, such as \",\", \";\" or \"\\t\""),
        }
    }
}

/// Why a mapping cannot be used (exit 2).
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// It cannot be read.
    #[error("mapping {path}: {reason}; give the path of a TOML file, or none for columns of the usual names")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// It is no mapping.
    #[error("mapping {path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, column, and what is wrong there.
        reason: Box<toml::de::Error>,
    },
}

/// Why a mapping does not fit a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// A column is not there.
    #[error("has no column `{column}`, but {columns}; name the right one with --mapping")]
    Missing {
        /// What was looked for.
        column: String,
        /// What there is.
        columns: String,
    },
    /// Two columns have the name of one that is wanted.
    #[error("has more than one column `{0}`, and nothing says which is meant; rename one")]
    Twice(String),
    /// The header is one text, as one is whose cells something else separates.
    #[error(
        "has a single column `{title}`, whose parts {delimiter:?} seems to separate; say delimiter = {delimiter:?} in the \
         mapping"
    )]
    Delimiter {
        /// What there is.
        title: String,
        /// What may separate its parts.
        delimiter: String,
    },
    /// Without a mapping, a column that may tell lines apart is not known by its name.
    #[error(
        "has a column `{0}` that may tell networks, accounts or regions apart, and no such column is known by that name; \
         say what it is with --mapping, or remove it"
    )]
    Overlooked(String),
}

/// Where the columns are that matter in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns<'a> {
    /// Those of the filter.
    pub filter: Vec<(usize, &'a FilterValues)>,
    /// Those of what is excluded.
    pub exclude: Vec<(usize, &'a FilterValues)>,
    /// The billing period's; it is in the path without one.
    pub period: Option<usize>,
    /// The account's.
    pub account: Option<usize>,
    /// The region's.
    pub region: Option<usize>,
    /// The network's.
    pub network: Option<usize>,
    /// The quantity's.
    pub quantity: usize,
}

impl Columns<'_> {
    /// Lists the columns that are read.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        let optional = [self.period, self.account, self.region, self.network];
        let filter = self.filter.iter().chain(&self.exclude).map(|(column, _)| *column);
        let mut all: Vec<usize> =
            filter.chain(optional.into_iter().flatten()).chain([self.quantity]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Mapping {
    /// Returns what separates the cells of a CSV that begins like this. Only where nobody has said so it is looked for:
    /// a spreadsheet that writes decimal commas writes semicolons between its cells.
    #[must_use]
    pub fn delimiter_of(&self, head: &[u8]) -> u8 {
        let header = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let is_there = |delimiter: &u8| header.contains(delimiter);
        let found = || b",;\t".iter().find(|delimiter| is_there(delimiter)).copied().unwrap_or(b',');
        self.delimiter.map_or_else(found, |Delimiter(delimiter)| delimiter)
    }

    /// Says whether network, account and region are looked for by their usual names, and done without.
    fn looks_for_bearers(&self) -> bool {
        let named = [&self.network, &self.account, &self.region].into_iter().any(Option::is_some);
        !named && self.compare_by == CompareBy::Finest
    }

    /// Reads a mapping.
    ///
    /// # Errors
    /// [`MappingError`] with file and line.
    pub fn read(path: &Path) -> Result<Self, MappingError> {
        let unreadable = |reason| MappingError::Unreadable { path: path.to_owned(), reason };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_MAPPING_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MAX_MAPPING_BYTES {
            return Err(unreadable(std::io::Error::other(
                "it is longer than the MiB that a mapping may have",
            )));
        }
        let invalid = |reason| MappingError::Invalid { path: path.to_owned(), reason: Box::new(reason) };
        toml::from_str(&text).map_err(invalid)
    }

    /// Finds the columns in the header of a file, whose path may say the period.
    ///
    /// # Errors
    /// [`ColumnsError`] names the column that is not there, or there twice.
    pub fn locate<'a>(
        &'a self,
        header: &[String],
        path_has_period: bool,
    ) -> Result<Columns<'a>, ColumnsError> {
        let find = |name: &str, is_named: &dyn Fn(&str) -> bool| {
            let mut found = header.iter().enumerate().filter(|(_, title)| is_named(title.trim()));
            match (found.next(), found.next()) {
                (Some((at, _)), None) => Ok(Some(at)),
                (Some(_), Some(_)) => Err(ColumnsError::Twice(name.to_owned())),
                (None, _) => Ok(None),
            }
        };
        let named = |name: &str| find(name, &|title| title == name)?.ok_or_else(|| missing(name, header));
        let usual = |name: &str| find(name, &|title| is_usual(name, title));
        let bearer = |written: &Option<String>, name: &str| match written {
            Some(_) if self.compare_by == CompareBy::Total => Ok(None),
            Some(written) => named(written).map(Some),
            None if self.looks_for_bearers() => usual(name),
            None => Ok(None),
        };
        let placed = |filter: &'a BTreeMap<String, FilterValues>| {
            let columns = filter.iter().map(|(name, values)| Ok((named(name)?, values)));
            columns.collect::<Result<_, ColumnsError>>()
        };
        let columns = Columns {
            filter: placed(&self.filter)?,
            exclude: placed(&self.exclude)?,
            period: match &self.period.place {
                PeriodPlace::Column(name) => Some(named(name)?),
                PeriodPlace::Partition(_) => None,
                PeriodPlace::Usual => match usual("period")? {
                    None if !path_has_period => return Err(missing("period", header)),
                    found => found,
                },
            },
            account: bearer(&self.account, "account")?,
            region: bearer(&self.region, "region")?,
            network: bearer(&self.network, "network")?,
            quantity: match &self.quantity {
                Some(name) => named(name)?,
                None => usual("quantity")?.ok_or_else(|| missing("quantity", header))?,
            },
        };
        // Whoever names none of those has not looked at them.
        let names_none = self.looks_for_bearers();
        let used = columns.all();
        let is_overlooked = |(at, title): &(usize, &String)| !used.contains(at) && tells_lines_apart(title);
        match header.iter().enumerate().find(is_overlooked) {
            Some((_, title)) if names_none => Err(ColumnsError::Overlooked(excerpt(title, 60))),
            _ => Ok(columns),
        }
    }
}

/// Says whether a title is one of those that a column goes by where nobody has said what it is called: this program's
/// own in its summary and in comparisons, however they are capitalised.
fn is_usual(name: &str, title: &str) -> bool {
    let others: &[&str] = match name {
        "network" => &["network_id"],
        "account" => &["aws_account_id", "account_id"],
        "period" => &["billing_period"],
        _ => &[],
    };
    others.iter().chain([&name]).any(|known| title.eq_ignore_ascii_case(known))
}

/// Says whether lines of an invoice may differ in such a column; what a network is called tells no more than its id.
fn tells_lines_apart(title: &str) -> bool {
    let title = title.trim().to_ascii_lowercase();
    title != "network_name" && ["network", "account", "region"].iter().any(|part| title.contains(part))
}

/// Says what there is in place of a column.
fn missing(column: &str, header: &[String]) -> ColumnsError {
    if let [title] = header
        && let Some(delimiter) =
            [',', ';', '\t', '|'].into_iter().find(|delimiter| title.contains(*delimiter))
    {
        return ColumnsError::Delimiter { title: excerpt(title, 60), delimiter: delimiter.to_string() };
    }
    ColumnsError::Missing { column: column.to_owned(), columns: listed(header) }
}

fn listed(header: &[String]) -> String {
    const SHOWN: usize = 30;
    let titles = header.iter().take(SHOWN).map(|title| format!("`{}`", excerpt(title, 60)));
    let mut listed = titles.collect::<Vec<_>>().join(", ");
    if header.len() > SHOWN {
        listed.push_str(", …");
    }
    if listed.is_empty() { "none at all".to_owned() } else { listed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "\
        quantity = \"usage\"\naggregate = \"max\"\nregion = \"place\"\ndelimiter = \";\"\n\
        [period]\npartition = \"BILLING_PERIOD\"\n\
        [filter]\nproduct = \"Wickr\"\ntype = [\"Usage\", \"Credit\"]\n";

    fn header(titles: &[&str]) -> Vec<String> {
        titles.iter().map(|&title| title.to_owned()).collect()
    }

    #[test]
    fn a_mapping_says_where_everything_is() {
        let mapping: Mapping = toml::from_str(WRITTEN).unwrap();
        assert_eq!((mapping.aggregate, mapping.delimiter), (Aggregate::Max, Some(Delimiter(b';'))));
        assert_eq!(mapping.period.place, PeriodPlace::Partition("BILLING_PERIOD".to_owned()));
        let titles = header(&["type", "usage", "other", " product ", "place"]);
        let columns = mapping.locate(&titles, false).unwrap();
        assert_eq!((columns.quantity, columns.region, columns.period), (1, Some(4), None));
        assert_eq!(columns.all(), [0, 1, 3, 4]);
        let allowed = |column: usize, cell: &str| {
            columns.filter.iter().any(|(at, values)| *at == column && values.allow(cell))
        };
        assert!(allowed(3, "Wickr") && !allowed(3, "wickr") && allowed(0, "Credit") && !allowed(0, "Tax"));
    }

    #[test]
    fn the_mapping_of_a_cost_and_usage_report_fits_its_columns() {
        let mapping: Mapping = toml::from_str(include_str!("../../deploy/reconcile/cur2.toml")).unwrap();
        let titles = header(&[
            "bill_billing_period_start_date",
            "line_item_line_item_type",
            "line_item_product_code",
            "line_item_usage_account_id",
            "line_item_usage_amount",
            "line_item_usage_type",
            "product_region_code",
        ]);
        assert_eq!(mapping.locate(&titles, false).unwrap().all(), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_column_that_was_written_down_has_to_be_there_once() {
        let mapping: Mapping = toml::from_str(WRITTEN).unwrap();
        let error = mapping.locate(&header(&["type", "product", "usage"]), false).unwrap_err().to_string();
        assert!(error.contains("no column `place`, but `type`, `product`, `usage`"), "{error}");
        let twice =
            mapping.locate(&header(&["type", "product", "usage", "place", "usage"]), false).unwrap_err();
        assert_eq!(twice, ColumnsError::Twice("usage".to_owned()));
        let usual = Mapping::default();
        let columns = usual.locate(&header(&["quantity", "period"]), false).unwrap();
        assert_eq!((columns.network, columns.quantity), (None, 0));
        assert!(usual.locate(&header(&["quantity", "month"]), false).is_err());
    }

    #[test]
    fn a_mapping_holds_only_what_differs() {
        let of = |text: &str| toml::from_str::<Mapping>(text).unwrap();
        assert_eq!(of(""), Mapping::default());
        let titles = header(&["Period", "network_id", "aws_account_id", "quantity"]);
        let columns = |text: &str| of(text).locate(&titles, false).map(|columns| columns.all());
        assert_eq!(columns("exclude = { Period = \"Total\" }"), Ok(vec![0, 1, 2, 3]));
        assert_eq!(columns("period = { written = \"MM/DD/YYYY\" }"), Ok(vec![0, 1, 2, 3]));
        assert_eq!(columns("account = \"aws_account_id\""), Ok(vec![0, 2, 3]), "the rest is left out");
        assert_eq!(of("fractions = true").delimiter_of(b"period;quantity\n1,5;2,5"), b';');
        let fractions = of("fractions = true");
        let overlooked = fractions.locate(&header(&["period", "Network ID", "quantity"]), false);
        assert!(matches!(overlooked, Err(ColumnsError::Overlooked(_))), "{overlooked:?}");
        let nothing = of("");
        let in_path = nothing.locate(&header(&["network", "quantity"]), true).map(|columns| columns.period);
        assert_eq!(in_path, Ok(None));
        let in_column = nothing.locate(&titles, true).map(|columns| columns.period);
        assert_eq!(in_column, Ok(Some(0)));
    }

    #[test]
    fn what_is_no_mapping_is_refused_with_its_line() {
        for (text, words) in [
            ("quantity = 1", "line 1"),
            ("period = \"p\"", "expected a table such as period = { column = \"…\" }"),
            ("quantity = \"q\"\nperiod = {}", "one of period.column and period.partition"),
            ("quantity = \"q\"\nperiod = {column = \"p\", partition = \"k\"}", "one of"),
            ("quantity = \"q\"\nperiod = {column = \"p\"}\nprice = 5", "unknown field `price`"),
            ("quantity = \"q\"\nperiod = {column = \"p\"}\naggregate = \"mean\"", "unknown variant `mean`"),
            ("quantity = \"q\"\nperiod = {column = \"p\"}\ndelimiter = \"ab\"", "one character"),
            ("quantity = \"q\"\nperiod = {column = \"p\"}\nfilter = {a = 1}", "a text, or a list of texts"),
            ("quantity = \"q\"\nperiod = {column = \"p\", written = \"%Y\"}", "unknown variant `%Y`"),
        ] {
            let error = toml::from_str::<Mapping>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn without_a_mapping_no_column_that_may_tell_lines_apart_is_overlooked() {
        let header = |titles: &str| titles.split(',').map(str::to_owned).collect::<Vec<_>>();
        let usual = Mapping::default();
        for titles in [
            "period,network_id,quantity",
            "Period,Network,QUANTITY",
            "billing_period,network,quantity,network_name",
        ] {
            let header = header(titles);
            assert_eq!(usual.locate(&header, false).expect(titles).network, Some(1), "{titles}");
        }
        let own = header("billing_period,aws_account_id,region,quantity");
        let columns = usual.locate(&own, false).unwrap();
        assert_eq!((columns.account, columns.region), (Some(1), Some(2)));
        for titles in
            ["period,Network ID,quantity", "period,usage_account,quantity", "period,quantity,sub-region"]
        {
            let overlooked = usual.locate(&header(titles), false).map(|columns| columns.all());
            assert!(matches!(overlooked, Err(ColumnsError::Overlooked(_))), "{titles}: {overlooked:?}");
        }
        assert_eq!(
            usual.locate(&header("period,network,network_id,quantity"), false).map(|columns| columns.all()),
            Err(ColumnsError::Twice("network".to_owned()))
        );
    }
}
