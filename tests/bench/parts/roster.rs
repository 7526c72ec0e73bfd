//! From pages to a roster: absorbing, sorting, digesting, and merging the runs of a long walk.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use tokio_util::sync::CancellationToken;
use wickr_guest_export::roster::{OpenRuns, Roster, RosterRows, RunStore, UnsortedRows};
use wickr_guest_export::storage::{LocalDestination, RelativePath};

use crate::guests::{absorbed, of, pages};

const GUESTS: u64 = 100_000;
const RUNS: usize = 4;

pub(crate) fn absorbing(criterion: &mut Criterion) {
    let pages = pages(GUESTS);
    let mut group = criterion.benchmark_group("roster");
    group.sample_size(20).throughput(Throughput::Elements(GUESTS));
    group.bench_function("absorbing 1,000 pages", |bencher| {
        bencher.iter_with_large_drop(|| absorbed(&pages));
    });
    group.finish();
}

pub(crate) fn sorting(criterion: &mut Criterion) {
    let pages = pages(GUESTS);
    let mut group = criterion.benchmark_group("roster");
    group.sample_size(20).throughput(Throughput::Elements(GUESTS));
    group.bench_function("sorting a run", |bencher| {
        let rows = || absorbed(&pages).take_rows();
        bencher.iter_batched(rows, UnsortedRows::sorted, BatchSize::LargeInput);
    });
    group.finish();
}

pub(crate) fn digesting(criterion: &mut Criterion) {
    let run = Arc::new(absorbed(&pages(GUESTS)).take_rows().sorted());
    let mut group = criterion.benchmark_group("roster");
    group.sample_size(20).throughput(Throughput::Elements(GUESTS));
    group.bench_function("counting and digesting a run in memory", |bencher| {
        bencher.iter(|| Roster::of(of(), GUESTS, RosterRows::Memory(Arc::clone(&run))).expect("a roster"));
    });
    group.finish();
}

pub(crate) fn merging(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = written(folder.path());
    let mut group = criterion.benchmark_group("roster");
    group.sample_size(20).throughput(Throughput::Elements(GUESTS));
    group.bench_function(format!("the same of {RUNS} runs, merged"), |bencher| {
        bencher.iter(|| Roster::of(of(), GUESTS, RosterRows::Runs(runs.clone())).expect("a roster"));
    });
    group.finish();
}

/// Writes all guests down in runs.
fn written(folder: &std::path::Path) -> OpenRuns {
    let pages = pages(GUESTS);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let place = Arc::new(LocalDestination::new(folder.to_owned()));
    let store = RunStore::new(place, RelativePath::new("runs").expect("a path"), CancellationToken::new());
    runtime.block_on(async {
        let mut records = Vec::new();
        for pages in pages.chunks(pages.len() / RUNS) {
            let run = Arc::new(absorbed(pages).take_rows().sorted());
            records.push(store.write(run).await.expect("a run"));
        }
        store.open(&records).await.expect("runs")
    })
}
