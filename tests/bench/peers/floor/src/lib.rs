//! What both floors share: what is asked for, how a page is read, and how the rows become a file.
//!
//! Nothing is checked, kept or retried: whatever takes less than this takes away from what a roster is.

use std::borrow::Cow;
use std::error::Error;
use std::fs::File;
use std::iter::repeat_n;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    guestlist: Vec<Row<'a>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    username_hash: Cow<'a, str>,
}

/// What is asked for: `NETWORK PERIOD FOLDER`, of the server that the environment names.
pub struct Asked {
    /// `http://HOST:PORT`.
    pub endpoint: String,
    network: String,
    period: String,
    folder: String,
}

impl Asked {
    /// Reads the arguments and the environment.
    pub fn read() -> Result<Self, Box<dyn Error>> {
        let mut arguments = std::env::args().skip(1);
        let mut argument = || arguments.next().ok_or("usage: NETWORK PERIOD FOLDER");
        let (network, period, folder) = (argument()?, argument()?, argument()?);
        Ok(Self { endpoint: std::env::var("AWS_ENDPOINT_URL_WICKR")?, network, period, folder })
    }

    /// Returns the path and the query of a page. The server's tokens need no escapes.
    pub fn target(&self, token: Option<&str>) -> String {
        let (network, period) = (&self.network, &self.period);
        let token = token.map(|token| format!("&nextToken={token}")).unwrap_or_default();
        format!(
            "/networks/{network}/guest-users?maxResults=100&sortDirection=ASC&sortFields=username\
             &billingPeriod={period}{token}"
        )
    }
}

/// The rows so far.
#[derive(Default)]
pub struct Guests(Vec<(String, String)>);

impl Guests {
    /// Takes a page, and returns the token of the next.
    pub fn absorb(&mut self, body: &[u8]) -> Result<Option<String>, serde_json::Error> {
        let page: Page = serde_json::from_slice(body)?;
        let rows = page.guestlist.into_iter();
        self.0.extend(rows.map(|row| (row.username_hash.into_owned(), row.username.into_owned())));
        Ok(page.next_token)
    }

    /// Writes each guest once, sorted, and says how many there are.
    pub fn write(mut self, asked: &Asked) -> Result<(), Box<dyn Error>> {
        self.0.sort_unstable();
        self.0.dedup_by(|left, right| left.0 == right.0);
        let (guests, rows) = (&self.0, self.0.len());
        let (period, network) = (asked.period.as_str(), asked.network.as_str());
        let columns: [(&str, ArrayRef); 4] = [
            ("billing_period", Arc::new(StringArray::from_iter_values(repeat_n(period, rows)))),
            ("network_id", Arc::new(StringArray::from_iter_values(repeat_n(network, rows)))),
            ("username_hash", Arc::new(StringArray::from_iter_values(guests.iter().map(|row| &row.0)))),
            ("username", Arc::new(StringArray::from_iter_values(guests.iter().map(|row| &row.1)))),
        ];
        let batch = RecordBatch::try_from_iter(columns)?;
        let file = File::create(Path::new(&asked.folder).join("guest_roster.parquet"))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.close()?;
        println!("{rows}");
        Ok(())
    }
}
