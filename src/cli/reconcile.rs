//! `reconcile`: the invoice, what its columns mean, and how strictly it is compared.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::LogArguments;
use crate::guest::NetworkId;
use crate::period::{DEFAULT_SETTLE_DAYS, PeriodSelector};
use crate::reconcile::quantity::{Decimal, Tolerance};

/// The arguments of `reconcile`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The invoice is CSV or Parquet, plain or gzip, a file or a folder of files. Without --mapping its
columns are period, quantity and, as far as it has them, network, account and region; the period may
also be in folders named BILLING_PERIOD=2026-10. A mapping holds what differs:

  quantity = \"line_item_usage_amount\"      # 3000, 3000.0 or 3E3
  fractions = false                        # true: guests are prorated, and 2.054 is about two
  aggregate = \"sum\"                        # or \"max\": of several rows for the same
  account = \"line_item_usage_account_id\"   # also region, network; the others are left out
  compare_by = \"finest\"                    # or \"total\": whatever columns there are
  delimiter = \";\"                          # else it is found: comma, semicolon or tab
  period = { column = \"bill_billing_period_start_date\" }
  filter = { line_item_product_code = \"…\", line_item_usage_type = [\"…\", \"…\"] }
  exclude = { line_item_usage_account_id = \"Total\" }

Rows count that have one of the values of each column of the filter, and none of those excluded. A
period is written in any form that leaves no doubt (2026-10, 10/2026, 2026-10-01,
2026-10-01T00:00:00Z), or as period.written says: \"MM/DD/YYYY\", \"DD/MM/YYYY\".
period = { partition = \"BILLING_PERIOD\" } takes it from the names of folders.

Guests are whole: a line of 36.5 is refused, and so is 2.054, which may be two thousand. Empty rows
are passed over. Refused are two files that hold the same rows, and rows of totals: those in which
any cell says Total, Subtotal, Sum, Summe, … (in Parquet of more than 40 columns, any of those that
are mapped), unless exclude leaves them out or filter asks for them.

Lines are compared by network, else by account and region, else in total: the finest that all
rows of the invoice have. The guests of an account and region are the sum of its networks': a
guest of two networks counts twice. A sum that lacks a network which other months have says so, and
is INCOMPLETE if it agrees; --gone NETWORK misses it no more. A difference is the invoice less the
roster; the total has that of what one side alone has, too. A line is judged once its period is
closed. All months from the first to the last of the invoice are compared, or
those of --period; what either side has not, or neither has between two months, is a finding
whatever the tolerance.

Exit codes: 3 if a line is off by more than the tolerance, or missing; 65 if a manifest is damaged,
or nothing is published; 2 if the invoice or the mapping cannot be used.

Examples:
  wickr-guest-export reconcile ./billing --invoice october.csv --tolerance 0.5%
  wickr-guest-export reconcile s3://bucket/billing --invoice ./cur --mapping cur2.toml
  wickr-guest-export reconcile ./billing --invoice ./cur --mapping cur2.toml \\
      --period previous --price-per-guest 5.00 --currency USD --free 100")]
pub struct ReconcileArguments {
    /// The folder or the prefix of a store that was published to.
    #[arg(value_name = "OUTPUT")]
    pub output: String,

    /// The invoice: CSV or Parquet, a file or a folder of files on this machine.
    #[arg(long, value_name = "FILE|DIR")]
    pub invoice: PathBuf,

    /// Which of its columns mean what. --help shows one. [default: period, quantity, network, account, region]
    #[arg(long, value_name = "MAPPING.toml")]
    pub mapping: Option<PathBuf>,

    /// Compare these billing periods only: a month, a range or a selector. May be repeated. [default: all
    /// months from the first to the last of the invoice]
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    pub period: Vec<PeriodSelector>,

    /// Do not miss this network after the last month that was published of it: it is no more. Without effect
    /// it says so. May be repeated.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub gone: Vec<NetworkId>,

    /// How far a line may be off: guests, or a share of the roster.
    #[arg(long, value_name = "N|N%", default_value = "0", allow_hyphen_values = true)]
    pub tolerance: Tolerance,

    /// Show differences as money too: what one guest of one period costs, such as 5.00.
    #[arg(long, value_name = "AMOUNT", requires = "currency", allow_hyphen_values = true, value_parser = parse_price)]
    pub price_per_guest: Option<Decimal>,

    /// The currency of the price, three letters.
    #[arg(long, value_name = "CODE", requires = "price_per_guest", value_parser = parse_currency)]
    pub currency: Option<String>,

    /// Of each line, so many guests cost nothing. It changes money only, never a verdict. [default: 0]
    #[arg(long, value_name = "N", requires = "price_per_guest")]
    pub free: Option<u64>,

    /// How many days a period settles after its end: decides when one that nothing is published of is closed.
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_SETTLE_DAYS)]
    pub settle_days: u32,

    /// How the comparison is printed on stdout.
    #[arg(long, default_value = "text")]
    pub summary: ComparisonFormat,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// How a comparison is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ComparisonFormat {
    /// A table for people.
    Text,
    /// One line for each compared line.
    Csv,
    /// One JSON object.
    Json,
}

fn parse_price(text: &str) -> Result<Decimal, String> {
    match text.parse::<Decimal>() {
        Ok(price) if price > Decimal::default() => Ok(price),
        Ok(_) => Err("a price is more than 0, such as 5.00".to_owned()),
        Err(_) => {
            Err("write the number alone, such as 5.00; the currency is what --currency says".to_owned())
        }
    }
}

fn parse_currency(text: &str) -> Result<String, String> {
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_code {
        Ok(text.to_owned())
    } else {
        Err("a currency is three capital letters, such as USD".to_owned())
    }
}
