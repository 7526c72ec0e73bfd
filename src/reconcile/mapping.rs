//! The mapping: which columns of an invoice say what. A small TOML, as it is written.
//!
//! Without one, an invoice has the columns that its own words suggest, those of them that it has. A mapping that is
//! written down is meant: each of its columns has to be there.

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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The column with the number of guests.
    pub quantity: String,
    /// What is made of several rows for the same.
    #[serde(default)]
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
    #[serde(default)]
    pub filter: BTreeMap<String, FilterValues>,
    /// The rows that do not count: those in which any of these columns has one of its values, as rows of totals have.
    #[serde(default)]
    pub exclude: BTreeMap<String, FilterValues>,
    /// Whether guests may be prorated, so that a point is a decimal point and a line need not be a whole number.
    #[serde(default)]
    pub fractions: bool,
    /// What separates the cells of a CSV.
    #[serde(default)]
    pub delimiter: Delimiter,
    /// Whether account, region and network are looked for, and done without.
    #[serde(skip)]
    is_guessed: bool,
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
#[serde(deny_unknown_fields)]
struct WrittenPeriodMapping {
    column: Option<String>,
    partition: Option<String>,
    written: Option<WrittenPeriod>,
}

/// Where the billing period is, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenPeriodMapping")]
pub struct PeriodMapping {
    /// Where it is.
    pub place: PeriodPlace,
    /// How it is written; by its shape, where that leaves no doubt.
    pub written: Option<WrittenPeriod>,
}

/// Where the billing period is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeriodPlace {
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

impl Default for Delimiter {
    fn default() -> Self {
        Self(b',')
    }
}

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
    /// The billing period's, if it is not in the path.
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
    /// Returns the mapping of an invoice that nobody has described: columns of the names that this program uses.
    #[must_use]
    pub fn guessed() -> Self {
        let named = |name: &str| Some(name.to_owned());
        Self {
            quantity: "quantity".to_owned(),
            aggregate: Aggregate::Sum,
            account: named("account"),
            region: named("region"),
            network: named("network"),
            period: PeriodMapping { place: PeriodPlace::Column("period".to_owned()), written: None },
            filter: BTreeMap::new(),
            exclude: BTreeMap::new(),
            fractions: false,
            delimiter: Delimiter::default(),
            is_guessed: true,
        }
    }

    /// Returns what separates the cells of a CSV that begins like this. Only where nobody has said so it is looked for:
    /// a spreadsheet that writes decimal commas writes semicolons between its cells.
    #[must_use]
    pub fn delimiter_of(&self, head: &[u8]) -> u8 {
        let header = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let is_there = |delimiter: &u8| header.contains(delimiter);
        let found = self.is_guessed.then(|| b",;\t".iter().find(|delimiter| is_there(delimiter))).flatten();
        found.copied().unwrap_or(self.delimiter.0)
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

    /// Finds the columns in the header of a file.
    ///
    /// # Errors
    /// [`ColumnsError`] names the column that is not there, or there twice.
    pub fn locate<'a>(&'a self, header: &[String]) -> Result<Columns<'a>, ColumnsError> {
        let find = |name: &str| {
            let is_named = |title: &str| {
                let title = title.trim();
                title == name || (self.is_guessed && is_guess_of(name, title))
            };
            let mut found = header.iter().enumerate().filter(|(_, title)| is_named(title));
            match (found.next(), found.next()) {
                (Some((at, _)), None) => Ok(Some(at)),
                (Some(_), Some(_)) => Err(ColumnsError::Twice(name.to_owned())),
                (None, _) => Ok(None),
            }
        };
        let needed = |name: &str| find(name)?.ok_or_else(|| missing(name, header));
        let optional = |name: &Option<String>| match name {
            Some(name) if self.is_guessed => find(name),
            Some(name) => needed(name).map(Some),
            None => Ok(None),
        };
        let placed = |filter: &'a BTreeMap<String, FilterValues>| {
            let columns = filter.iter().map(|(name, values)| Ok((needed(name)?, values)));
            columns.collect::<Result<_, ColumnsError>>()
        };
        let columns = Columns {
            filter: placed(&self.filter)?,
            exclude: placed(&self.exclude)?,
            period: match &self.period.place {
                PeriodPlace::Column(name) => Some(needed(name)?),
                PeriodPlace::Partition(_) => None,
            },
            account: optional(&self.account)?,
            region: optional(&self.region)?,
            network: optional(&self.network)?,
            quantity: needed(&self.quantity)?,
        };
        let used = columns.all();
        let is_overlooked = |(at, title): &(usize, &String)| !used.contains(at) && tells_lines_apart(title);
        match header.iter().enumerate().find(is_overlooked) {
            Some((_, title)) if self.is_guessed => Err(ColumnsError::Overlooked(excerpt(title, 60))),
            _ => Ok(columns),
        }
    }
}

/// Says whether a title is one of those that a column goes by where nobody has said what it is called: this program's
/// own in its summary and in comparisons, however they are capitalised.
fn is_guess_of(name: &str, title: &str) -> bool {
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
        assert_eq!((mapping.aggregate, mapping.delimiter), (Aggregate::Max, Delimiter(b';')));
        assert_eq!(mapping.period.place, PeriodPlace::Partition("BILLING_PERIOD".to_owned()));
        let titles = header(&["type", "usage", "other", " product ", "place"]);
        let columns = mapping.locate(&titles).unwrap();
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
        assert_eq!(mapping.locate(&titles).unwrap().all(), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_column_that_was_written_down_has_to_be_there_once() {
        let mapping: Mapping = toml::from_str(WRITTEN).unwrap();
        let error = mapping.locate(&header(&["type", "product", "usage"])).unwrap_err().to_string();
        assert!(error.contains("no column `place`, but `type`, `product`, `usage`"), "{error}");
        let twice = mapping.locate(&header(&["type", "product", "usage", "place", "usage"])).unwrap_err();
        assert_eq!(twice, ColumnsError::Twice("usage".to_owned()));
        let guessed = Mapping::guessed();
        let columns = guessed.locate(&header(&["quantity", "period"])).unwrap();
        assert_eq!((columns.network, columns.quantity), (None, 0));
        assert!(guessed.locate(&header(&["quantity", "month"])).is_err());
    }

    #[test]
    fn what_is_no_mapping_is_refused_with_its_line() {
        for (text, words) in [
            ("quantity = 1", "line 1"),
            ("quantity = \"q\"\n", "missing field `period`"),
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
        let guessed = Mapping::guessed();
        for titles in [
            "period,network_id,quantity",
            "Period,Network,QUANTITY",
            "billing_period,network,quantity,network_name",
        ] {
            let header = header(titles);
            assert_eq!(guessed.locate(&header).expect(titles).network, Some(1), "{titles}");
        }
        let own = header("billing_period,aws_account_id,region,quantity");
        let columns = guessed.locate(&own).unwrap();
        assert_eq!((columns.account, columns.region), (Some(1), Some(2)));
        for titles in
            ["period,Network ID,quantity", "period,usage_account,quantity", "period,quantity,sub-region"]
        {
            let overlooked = guessed.locate(&header(titles)).map(|columns| columns.all());
            assert!(matches!(overlooked, Err(ColumnsError::Overlooked(_))), "{titles}: {overlooked:?}");
        }
        assert_eq!(
            guessed.locate(&header("period,network,network_id,quantity")).map(|columns| columns.all()),
            Err(ColumnsError::Twice("network".to_owned()))
        );
    }
}
