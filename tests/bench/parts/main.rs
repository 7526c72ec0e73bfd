//! What each part of the hot path costs by itself: `cargo bench --bench parts`, or `-- page` for one of them.
//!
//! The parts are those that every guest passes on the way from an answer to the files. What they add up to is less than
//! a run takes: the comparison measures that. The guests are those of the comparison, so that figures can be held
//! against its profile.

#[expect(dead_code, reason = "the comparison's own, of which only the pages are needed here")]
#[path = "../comparison/lists.rs"]
mod lists;

mod encoding;
mod guests;
mod page;
mod roster;
mod signing;

criterion::criterion_group!(
    parts,
    page::parsing,
    roster::absorbing,
    roster::sorting,
    roster::digesting,
    roster::merging,
    encoding::batching,
    encoding::parquet,
    encoding::csv,
    signing::signing
);
criterion::criterion_main!(parts);
