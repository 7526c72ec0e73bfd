//! From a roster to the bytes of its files.

use std::io;

use criterion::{Criterion, Throughput};
use wickr_guest_export::dataset::{Dataset, csv, parquet, schema};
use wickr_guest_export::roster::Roster;

use crate::guests::roster;

const GUESTS: u64 = 100_000;

fn bench(criterion: &mut Criterion, name: &str, mut work: impl FnMut(&Roster)) {
    let roster = roster(GUESTS);
    let mut group = criterion.benchmark_group("encoding");
    group.sample_size(20).throughput(Throughput::Elements(GUESTS));
    group.bench_function(name, |bencher| bencher.iter(|| work(&roster)));
    group.finish();
}

pub(crate) fn batching(criterion: &mut Criterion) {
    bench(criterion, "record batches", |roster| {
        let batches = roster.stream().expect("a roster with rows");
        assert!(batches.map(|batch| batch.expect("a batch").num_rows()).sum::<usize>() > 0);
    });
}

pub(crate) fn parquet(criterion: &mut Criterion) {
    let sorted_by = Dataset::GuestRoster.sorting_columns();
    bench(criterion, "record batches as Parquet", |roster| {
        let batches = roster.stream().expect("a roster with rows");
        parquet::write(&schema::guest_roster(), batches, sorted_by, io::sink()).expect("a file");
    });
}

pub(crate) fn csv(criterion: &mut Criterion) {
    bench(criterion, "record batches as CSV", |roster| {
        let batches = roster.stream().expect("a roster with rows");
        csv::write(&schema::guest_roster(), batches, csv::CsvOptions::default(), io::sink()).expect("a file");
    });
}
