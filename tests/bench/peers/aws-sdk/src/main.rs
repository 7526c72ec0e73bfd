//! The guests of one network and period with the generated SDK's paginator, as Parquet and CSV.
//!
//! `peer-aws-sdk NETWORK PERIOD FOLDER`. It does what a script would: every page, each guest once, two files. It
//! confirms nothing, keeps nothing of what a failure leaves behind, and its libraries' defaults are left alone.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::iter::repeat_n;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use aws_config::BehaviorVersion;
use aws_sdk_wickr::types::SortDirection;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, period, folder] = &arguments[..] else {
        return Err("usage: peer-aws-sdk NETWORK PERIOD FOLDER".into());
    };
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let mut pages = aws_sdk_wickr::Client::new(&config)
        .list_guest_users()
        .network_id(network)
        .billing_period(period)
        .max_results(100)
        .sort_fields("username")
        .sort_direction(SortDirection::Asc)
        .into_paginator()
        .send();
    let mut guests = BTreeMap::new();
    while let Some(page) = pages.next().await {
        for guest in page?.guestlist {
            guests.insert(guest.username_hash, guest.username);
        }
    }
    let folder = Path::new(folder);
    write_parquet(&guests, network, period, &folder.join("guest_roster.parquet"))?;
    write_csv(&guests, network, period, &folder.join("guest_roster.csv"))?;
    println!("{}", guests.len());
    Ok(())
}

fn write_parquet(
    guests: &BTreeMap<String, String>,
    network: &str,
    period: &str,
    path: &Path,
) -> Result<(), Box<dyn Error>> {
    let columns: [(&str, ArrayRef); 4] = [
        ("billing_period", Arc::new(StringArray::from_iter_values(repeat_n(period, guests.len())))),
        ("network_id", Arc::new(StringArray::from_iter_values(repeat_n(network, guests.len())))),
        ("username_hash", Arc::new(StringArray::from_iter_values(guests.keys()))),
        ("username", Arc::new(StringArray::from_iter_values(guests.values()))),
    ];
    let batch = RecordBatch::try_from_iter(columns)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

fn write_csv(
    guests: &BTreeMap<String, String>,
    network: &str,
    period: &str,
    path: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record(["billing_period", "network_id", "username_hash", "username"])?;
    for (username_hash, username) in guests {
        writer.write_record([period, network, username_hash, username])?;
    }
    writer.flush()?;
    Ok(())
}
