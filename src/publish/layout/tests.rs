//! Paths: the documented ones, and those that are none.

use super::*;

fn task() -> TaskKey {
    TaskKey::new("01234567".parse().unwrap(), "2026-10".parse().unwrap())
}

#[test]
fn the_layout_is_the_documented_one() {
    let revision = RevisionName { number: 1, nonce: 0x1a2b_3c4d };
    let paths = [
        manifest(task()),
        closed(task().period),
        revision_manifest(task(), revision),
        revision_file(task(), revision, Dataset::GuestRoster, Format::Parquet),
        current(task(), Dataset::GuestCounts, Format::Csv),
        summary(Format::Csv),
    ]
    .map(String::from);
    assert_eq!(
        paths,
        [
            "manifests/period=2026-10/network=01234567/manifest.json",
            "manifests/period=2026-10/_CLOSED.json",
            "revisions/period=2026-10/network=01234567/r000001-1a2b3c4d/manifest.json",
            "revisions/period=2026-10/network=01234567/r000001-1a2b3c4d/guest_roster.parquet",
            "guest_counts/csv/period=2026-10/network=01234567/guest_counts.csv",
            "summary/csv/guest_counts.csv",
        ]
    );
}

#[test]
fn every_path_that_is_written_is_recognised_as_what_it_is() {
    let revision = RevisionName { number: 1_234_567, nonce: 7 };
    assert_eq!(Place::of(&manifest(task())), Some(Place::Manifest(task())));
    assert_eq!(Place::of(&closed(task().period)), Some(Place::Closed(task().period)));
    assert_eq!(
        Place::of(&revision_manifest(task(), revision)),
        Some(Place::RevisionManifest(task(), revision))
    );
    for (dataset, format) in every_data_file() {
        assert_eq!(
            Place::of(&revision_file(task(), revision, dataset, format)),
            Some(Place::RevisionFile(task(), revision, dataset, format))
        );
        let current = current(task(), dataset, format);
        assert_eq!(Place::of(&current), Some(Place::Current(task(), dataset, format)));
        assert!(published_prefixes().iter().any(|prefix| current.is_below(prefix)));
    }
    for format in Format::ALL {
        assert_eq!(Place::of(&summary(format)), Some(Place::Summary(format)));
    }
}

#[test]
fn what_merely_resembles_a_published_path_is_a_stray() {
    for text in [
        "manifests/period=2026-10/network=1234567/manifest.json",
        "manifests/period=2026_10/network=12345678/manifest.json",
        "manifests/period=2026-10/network=12345678/manifest.json.bak",
        "manifests/period=2026-10/network=12345678/_CLOSED.json",
        "manifests/period=2026-13/_CLOSED.json",
        "manifests/_CLOSED.json",
        "revisions/period=2026-10/network=12345678/r1-1a2b3c4d/manifest.json",
        "revisions/period=2026-10/network=12345678/r000000-1a2b3c4d/manifest.json",
        "revisions/period=2026-10/network=12345678/r000001-1A2B3C4D/manifest.json",
        "revisions/period=2026-10/network=12345678/r+00001-1a2b3c4d/manifest.json",
        "guest_roster/csv/period=2026-10/network=12345678/guest_roster.parquet",
        "guest_roster/csv/period=2026-10/network=12345678/guest_counts.csv",
        "summary/csv/guest_counts.parquet",
        "summary/csv/guest_roster.csv",
    ] {
        assert_eq!(Place::of(&RelativePath::new(text).unwrap()), None, "{text}");
    }
}

#[test]
fn a_prefix_ends_at_the_edge_of_a_segment() {
    let prefix = RelativePath::new("revisions/period=2026-1").unwrap();
    assert!(RelativePath::new("revisions/period=2026-1/x").unwrap().is_below(&prefix));
    assert!(!RelativePath::new("revisions/period=2026-10/x").unwrap().is_below(&prefix));
}
