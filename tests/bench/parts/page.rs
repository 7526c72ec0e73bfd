//! From the bytes of an answer to a checked page.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use wickr_guest_export::wickr::model;

use crate::guests::{bodies, month};

pub(crate) fn parsing(criterion: &mut Criterion) {
    let body = Bytes::from(bodies(100).remove(0));
    let mut group = criterion.benchmark_group("page");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("parsing 100 guests", |bencher| {
        bencher.iter(|| model::guest_page(black_box(&body), month()).expect("a page"));
    });
    group.finish();
}
