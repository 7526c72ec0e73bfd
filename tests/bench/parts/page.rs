//! From the bytes of an answer to a checked page.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use wickr_guest_export::wickr::model;

use crate::guests::{bodies, month};

pub(crate) fn parsing(criterion: &mut Criterion) {
    let body = bodies(100).remove(0);
    let mut group = criterion.benchmark_group("page");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("parsing 100 guests", |bencher| {
        let read = |body| model::guest_page(black_box(body), month()).expect("a page");
        bencher.iter_batched(|| body.clone(), read, BatchSize::SmallInput);
    });
    group.finish();
}
