//! What is published in which order, and what is left when a run dies.

mod purging;

use std::path::Path;

use futures::StreamExt;

use super::*;
use crate::dataset::ContentDigest;
use crate::evidence::{ConfirmedBy, Reconciliation};
use crate::period::PeriodState;
use crate::publish::fixture::{BOTH, Sample, local, publisher, task};
use crate::publish::manifest::{Counts, RosterKind};
use crate::publish::publication::RosterChanges;
use crate::publish::shrink::ShrinkRefused;
use crate::storage::digest::FileDigest;
use crate::storage::dying::{Death, Dying};
use crate::verify::{VerificationFilter, VerificationReport, verify};

fn root() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

async fn verified(root: &Path) -> VerificationReport {
    verify(local(root), &VerificationFilter::default(), chrono::Utc::now()).await.unwrap()
}

async fn assert_clean(root: &Path) {
    let report = verified(root).await;
    assert!(report.is_clean(), "{:#?}", report.findings);
}

/// Lists every file below a folder with its inode.
fn inodes(root: &Path, below: &str) -> Vec<(String, u64)> {
    use std::os::unix::fs::MetadataExt;
    let mut files = Vec::new();
    let mut folders = vec![root.join(below)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((name, entry.metadata().unwrap().ino()));
            }
        }
    }
    files.sort();
    files
}

fn names(root: &Path, below: &str) -> Vec<String> {
    inodes(root, below).into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn a_first_publication_is_whole_and_in_its_places() {
    let root = root();
    let outcome = Sample::new(0..250).run(local(root.path())).await.unwrap();
    assert_eq!((outcome.status, outcome.changes), (PublicationStatus::Published, None));
    let manifest = outcome.manifest.manifest();
    assert_eq!((manifest.revision, manifest.counts.guests, manifest.walk.guarded_cells), (1, 250, 25));
    let current: Vec<String> = ["guest_counts", "guest_roster"].map(|of| names(root.path(), of)).concat();
    assert_eq!(
        current,
        [
            "guest_counts/csv/period=2026-10/network=12345678/guest_counts.csv",
            "guest_counts/parquet/period=2026-10/network=12345678/guest_counts.parquet",
            "guest_roster/csv/period=2026-10/network=12345678/guest_roster.csv",
            "guest_roster/parquet/period=2026-10/network=12345678/guest_roster.parquet",
        ]
    );
    assert_eq!(read_manifest(&*local(root.path()), manifest.task()).await.unwrap().as_ref(), Some(manifest));
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn an_unchanged_roster_touches_no_data_file_and_renews_the_manifest() {
    let root = root();
    let first = Sample::new(0..250);
    first.run(local(root.path())).await.unwrap();
    let before = ["revisions", "guest_roster", "guest_counts"].map(|below| inodes(root.path(), below));
    let outcome = first.clone().hours_later(24).run(local(root.path())).await.unwrap();
    assert_eq!(outcome.status, PublicationStatus::Unchanged);
    let after = ["revisions", "guest_roster", "guest_counts"].map(|below| inodes(root.path(), below));
    assert_eq!(before, after);
    let manifest = outcome.manifest.manifest();
    assert_eq!(manifest.exported_at, first.checked_at);
    assert_eq!(manifest.checked_at, first.hours_later(24).checked_at);
    assert_eq!(manifest.walk.guarded_cells, 25);
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn an_unchanged_roster_keeps_better_evidence_and_takes_better_evidence() {
    let root = root();
    let sample = Sample::new(0..20);
    let publisher = publisher(local(root.path()));
    let lock = publisher.lock(sample.task).await.unwrap();
    let second_walk = |api_guests, reconciliation| {
        let mut publication = sample.publication();
        publication.counts =
            Counts { guests: 20, api_guests, reconciliation, confirmed_by: Some(ConfirmedBy::SecondWalk) };
        publication.source.network_name = None;
        publication
    };
    publisher.publish(&lock, second_walk(None, Reconciliation::Unavailable)).await.unwrap();
    let confirmed_by = |outcome: &Outcome| outcome.manifest.manifest().counts.confirmed_by.unwrap();
    let better = publisher.publish(&lock, sample.publication()).await.unwrap();
    assert_eq!(confirmed_by(&better), ConfirmedBy::ControlTotal);
    let worse = publisher.publish(&lock, second_walk(None, Reconciliation::Unavailable)).await.unwrap();
    assert_eq!(confirmed_by(&worse), ConfirmedBy::ControlTotal);
    assert_eq!(worse.manifest.manifest().source.network_name.as_deref(), Some("=Acme"));
    let news = publisher.publish(&lock, second_walk(Some(21), Reconciliation::Mismatch)).await.unwrap();
    assert_eq!(news.manifest.manifest().counts.reconciliation, Reconciliation::Mismatch);
    assert_eq!(news.status, PublicationStatus::Unchanged);
}

#[tokio::test]
async fn a_changed_roster_is_restated_with_who_came_and_went() {
    let root = root();
    Sample::new(0..250).run(local(root.path())).await.unwrap();
    let outcome = Sample::new(5..260).hours_later(1).run(local(root.path())).await.unwrap();
    let changes = ChangesRecord { against_revision: 1, added: 10, removed: 5 };
    assert_eq!((outcome.status, outcome.changes), (PublicationStatus::Restated, Some(changes)));
    assert_eq!(outcome.manifest.manifest().changes, Some(changes));
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn a_restatement_rewrites_or_removes_every_format_published_before() {
    let root = root();
    let sample = Sample::new(0..30);
    sample.run(local(root.path())).await.unwrap();

    let without_csv = Sample { formats: vec![Format::Parquet], ..sample.clone() };
    let outcome = without_csv.run(local(root.path())).await.unwrap();
    assert_eq!(outcome.status, PublicationStatus::Restated);
    assert_eq!(outcome.changes, Some(ChangesRecord { against_revision: 1, added: 0, removed: 0 }));
    assert!(!root.path().join("guest_roster/csv").exists() && !root.path().join("guest_counts/csv").exists());
    assert_clean(root.path()).await;

    let counts_only = Sample { mode: RosterKind::None, ..sample.clone() };
    let outcome = counts_only.run(local(root.path())).await.unwrap();
    assert_eq!((outcome.status, outcome.changes), (PublicationStatus::Restated, None));
    assert!(!root.path().join("guest_roster").exists());
    assert_clean(root.path()).await;

    let pseudonymous =
        Sample { mode: RosterKind::Pseudonymous, formats: vec![Format::Csv], ..sample.clone() };
    let outcome = pseudonymous.run(local(root.path())).await.unwrap();
    assert_eq!((outcome.status, outcome.changes), (PublicationStatus::Restated, None));
    assert_clean(root.path()).await;

    let mut with_mark = pseudonymous.clone();
    with_mark.csv.bom = true;
    assert_eq!(with_mark.run(local(root.path())).await.unwrap().status, PublicationStatus::Restated);
    assert_eq!(with_mark.run(local(root.path())).await.unwrap().status, PublicationStatus::Unchanged);
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn a_roster_that_lost_too_many_guests_leaves_the_old_one() {
    let root = root();
    let sample = Sample::new(0..200);
    sample.run(local(root.path())).await.unwrap();
    let before = read_manifest(&*local(root.path()), sample.task).await.unwrap();

    // As many guests as before, but other ones: the count alone would not tell.
    let replaced = Sample::new(21..221);
    let refused = replaced.run(local(root.path())).await.unwrap_err();
    assert!(
        matches!(refused, PublishError::Shrink(ShrinkRefused { before: 200, lost: 21, .. })),
        "{refused}"
    );
    let counts_only = Sample { mode: RosterKind::None, ..Sample::new(0..179) };
    assert!(matches!(counts_only.run(local(root.path())).await, Err(PublishError::Shrink(_))));
    assert_eq!(read_manifest(&*local(root.path()), sample.task).await.unwrap(), before);
    assert_clean(root.path()).await;

    Sample::new(20..220).run(local(root.path())).await.unwrap();
    let allowed = Sample { allow_shrink: true, ..Sample::new(300..310) };
    assert_eq!(allowed.run(local(root.path())).await.unwrap().status, PublicationStatus::Restated);
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn data_of_the_simulator_and_real_data_never_stand_in_one_output() {
    for (first, second) in
        [(SourceKind::Wickr, SourceKind::Simulator), (SourceKind::Simulator, SourceKind::Wickr)]
    {
        let root = root();
        let sample = Sample { source: first, ..Sample::new(0..5) };
        sample.run(local(root.path())).await.unwrap();
        let publisher = publisher(local(root.path()));
        publisher.check_source(first).await.unwrap();
        assert!(publisher.check_source(second).await.is_err());
        for other in [sample.task, task("12345678", "2026-11"), task("87654321", "2026-10")] {
            let mixed = Sample { source: second, ..Sample::new(0..9).of(other) };
            let refused = mixed.run(local(root.path())).await.unwrap_err();
            assert!(matches!(refused, PublishError::MixedSources { .. }), "{refused}");
        }
        assert_clean(root.path()).await;
    }
}

#[tokio::test]
async fn two_first_runs_of_different_sources_cannot_both_publish() {
    let root = root();
    let real = publisher(local(root.path()));
    let simulated = publisher(local(root.path()));
    // Both have looked, and found nothing.
    real.check_source(SourceKind::Wickr).await.unwrap();
    simulated.check_source(SourceKind::Simulator).await.unwrap();
    let one = Sample::new(0..5);
    let other = Sample { source: SourceKind::Simulator, ..Sample::new(0..5).of(task("87654321", "2026-10")) };
    let real_lock = real.lock(one.task).await.unwrap();
    let simulated_lock = simulated.lock(other.task).await.unwrap();
    let (real, simulated) = tokio::join!(
        real.publish(&real_lock, one.publication()),
        simulated.publish(&simulated_lock, other.publication())
    );
    assert_ne!(real.is_ok(), simulated.is_ok());
    assert_eq!(names(root.path(), "manifests").len(), 1);
}

#[tokio::test]
async fn what_cannot_be_compared_is_judged_by_its_count() {
    let root = root();
    let sample = Sample::new(0..100);
    let outcome = sample.run(local(root.path())).await.unwrap();
    let roster = &outcome.manifest.manifest().file(Dataset::GuestRoster, Format::Parquet).unwrap().path;
    damage(&root.path().join(roster.as_str()));
    assert!(Sample::new(0..80).run(local(root.path())).await.is_err());
    let outcome = Sample::new(0..95).run(local(root.path())).await.unwrap();
    assert_eq!((outcome.status, outcome.changes), (PublicationStatus::Restated, None));
}

/// Changes one byte in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_publication_whose_files_are_gone_or_cut_short_is_published_anew() {
    let root = root();
    let sample = Sample::new(0..30);
    let outcome = sample.run(local(root.path())).await.unwrap();
    let file = outcome.manifest.manifest().files[0].path.as_str().to_owned();
    std::fs::remove_file(root.path().join(file)).unwrap();
    let healed = sample.run(local(root.path())).await.unwrap();
    assert_eq!((healed.status, healed.manifest.revision().number), (PublicationStatus::Restated, 2));
    let findings = verified(root.path()).await.findings;
    assert!(findings.iter().all(|finding| finding.path.contains("r000001")), "{findings:#?}");
}

#[tokio::test]
async fn current_copies_that_were_lost_altered_or_outlived_are_put_right_by_the_next_run() {
    let root = root();
    let sample = Sample { formats: vec![Format::Parquet], ..Sample::new(0..30) };
    sample.run(local(root.path())).await.unwrap();
    let current = |dataset, format| root.path().join(layout::current(sample.task, dataset, format).as_str());
    std::fs::remove_file(current(Dataset::GuestRoster, Format::Parquet)).unwrap();
    damage(&current(Dataset::GuestCounts, Format::Parquet));
    let outlived = current(Dataset::GuestRoster, Format::Csv);
    std::fs::create_dir_all(outlived.parent().unwrap()).unwrap();
    std::fs::write(&outlived, "of an earlier revision").unwrap();
    assert_eq!(verified(root.path()).await.findings.len(), 3);
    assert_eq!(sample.run(local(root.path())).await.unwrap().status, PublicationStatus::Unchanged);
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn a_lost_or_damaged_manifest_stops_the_task_rather_than_its_history() {
    let root = root();
    let sample = Sample::new(0..30);
    sample.run(local(root.path())).await.unwrap();
    let place = root.path().join(layout::manifest(sample.task).as_str());
    let json = std::fs::read(&place).unwrap();
    let revisions = names(root.path(), "revisions");

    std::fs::remove_file(&place).unwrap();
    let error = sample.run(local(root.path())).await.unwrap_err();
    assert!(matches!(error, PublishError::ManifestLost { .. }), "{error}");
    std::fs::write(&place, &json[..json.len() / 2]).unwrap();
    let error = sample.run(local(root.path())).await.unwrap_err();
    assert!(matches!(error, PublishError::ManifestDamaged { .. }), "{error}");
    assert_eq!(names(root.path(), "revisions"), revisions);

    std::fs::write(&place, &json).unwrap();
    assert_eq!(sample.run(local(root.path())).await.unwrap().status, PublicationStatus::Unchanged);
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn a_run_whose_clock_is_behind_replaces_no_roster_of_a_later_state() {
    use PeriodState::{Closed, Open, Settling};
    for (published, seen, replaces) in [
        (Closed, Open, false),
        (Closed, Settling, false),
        (Settling, Open, false),
        (Open, Open, true),
        (Open, Settling, true),
        (Settling, Closed, true),
        (Closed, Closed, true),
    ] {
        let root = root();
        let first = Sample { state: published, ..Sample::new(0..30) };
        first.run(local(root.path())).await.unwrap();
        let before = read_manifest(&*local(root.path()), first.task).await.unwrap();
        let changed = Sample { state: seen, allow_shrink: true, ..Sample::new(0..31) };
        let outcome = changed.hours_later(1).run(local(root.path())).await;
        if replaces {
            assert_eq!(outcome.unwrap().status, PublicationStatus::Restated, "{published} by {seen}");
            continue;
        }
        let error = outcome.unwrap_err();
        let expected = format!(
            "12345678/2026-10 was published as {published} and this run sees it as {seen}, so the published \
             roster stays; check this machine's clock, --as-of and settle_days"
        );
        assert_eq!(error.to_string(), expected);
        let exit = crate::exit::ExitStatus::of(&error.into());
        assert_eq!(exit, crate::exit::ExitStatus::Refused);
        let same = Sample { state: seen, ..first.clone() };
        let unchanged = same.run(local(root.path())).await.unwrap();
        assert_eq!(unchanged.status, PublicationStatus::Unchanged, "an equal roster keeps its evidence");
        assert_eq!(read_manifest(&*local(root.path()), first.task).await.unwrap(), before);
        assert_clean(root.path()).await;
    }
}

#[tokio::test]
async fn an_edited_manifest_is_neither_believed_nor_sealed_anew() {
    let root = root();
    let sample = Sample::new(0..30);
    sample.run(local(root.path())).await.unwrap();
    let place = root.path().join(layout::manifest(sample.task).as_str());
    let json = std::fs::read_to_string(&place).unwrap();
    let edited = json.replace("\"pages\": 1", "\"pages\": 2");
    assert_ne!(edited, json);
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, &edited).unwrap();
    let altered = |error: &PublishError| {
        matches!(error, PublishError::ManifestDamaged { cause: ManifestError::Altered, .. })
    };
    assert!(altered(&sample.run(local(root.path())).await.unwrap_err()));
    assert!(altered(&read_manifest(&*local(root.path()), sample.task).await.unwrap_err()));
    let publisher = publisher(local(root.path()));
    let lock = publisher.lock(sample.task).await.unwrap();
    assert!(altered(&publisher.recover(&lock).await.unwrap_err()));
    assert_eq!(std::fs::read_to_string(&place).unwrap(), edited);
}

#[test]
fn an_error_says_its_cause_once_and_the_remedy_last() {
    let task = task("12345678", "2026-10");
    let io = |kind| DestinationError::io("written", "out", std::io::Error::from(kind));
    let place = layout::manifest(task).to_string();
    let shrink = ShrinkRefused { task, before: 9, lost: 8, after: 1 };
    let errors: [PublishError; 6] = [
        io(std::io::ErrorKind::PermissionDenied).into(),
        io(std::io::ErrorKind::StorageFull).into(),
        io(std::io::ErrorKind::BrokenPipe).into(),
        shrink.into(),
        PublishError::ManifestDamaged { place, cause: ManifestError::Altered },
        PublishError::Inconsistent {
            task,
            cause: ManifestError::Inconsistent("it lists no files".to_owned()),
        },
    ];
    let said: Vec<String> =
        errors.into_iter().map(|error| format!("error: {:#}", anyhow::Error::from(error))).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    error: out cannot be written: permission denied; give this user the right to write there, or choose another place
    error: out cannot be written: no storage space; free some space and run again
    error: out cannot be written: broken pipe
    error: 8 of the 9 guests published for 12345678/2026-10 are gone, and the new roster has 1, so the published roster stays; if that is right, run again with --allow-shrink 12345678/2026-10
    error: manifests/period=2026-10/network=12345678/manifest.json was altered since it was written: its manifest_sha256 does not hold; restore it from the manifest.json of its newest revision under revisions/, or move the task's files away to publish it anew
    error: nothing was published for 12345678/2026-10, because its manifest contradicts itself: it lists no files; this is a bug, please report it
    ");
}

#[tokio::test]
async fn what_contradicts_itself_is_never_published() {
    let root = root();
    let publisher = publisher(local(root.path()));
    let sample = Sample::new(0..30);
    let lock = publisher.lock(sample.task).await.unwrap();
    let break_it: [fn(&mut Publication); 5] = [
        |publication| publication.counts.guests = 31,
        |publication| publication.counts.confirmed_by = None,
        |publication| drop(publication.parts.pop()),
        |publication| publication.csv = None,
        |publication| publication.source.network_name = Some("n".repeat(1024 * 1024)),
    ];
    for broken in break_it {
        let mut publication = sample.publication();
        broken(&mut publication);
        let error = publisher.publish(&lock, publication).await.unwrap_err();
        assert!(matches!(error, PublishError::Inconsistent { .. }), "{error}");
    }
    let mut publication = sample.publication();
    publication.parts[1].encode = Box::new(|_| Err("an encoder's bug".into()));
    let error = publisher.publish(&lock, publication).await.unwrap_err();
    assert!(matches!(error, PublishError::Encode { .. }), "{error}");
    assert_eq!(names(root.path(), ""), [".locks/period=2026-10/network=12345678.lock"]);
}

#[tokio::test]
async fn a_check_never_makes_a_manifest_too_long_to_be_read_again() {
    let root = root();
    let publisher = publisher(local(root.path()));
    let sample = Sample::new(0..30);
    let lock = publisher.lock(sample.task).await.unwrap();
    let first = publisher.publish(&lock, sample.publication()).await.unwrap();
    let mut again = sample.publication();
    again.source.network_name = Some("n".repeat(1024 * 1024));
    let error = publisher.publish(&lock, again).await.unwrap_err();
    assert!(error.to_string().contains("none of more than 1048576 is read"), "{error}");
    let standing = read_manifest(&*local(root.path()), sample.task).await.unwrap();
    assert_eq!(standing.as_ref(), Some(first.manifest.manifest()));
}

#[tokio::test]
async fn a_publication_needs_the_lock_that_it_began_with() {
    let root = root();
    let publisher = publisher(local(root.path()));
    let sample = Sample::new(0..30);
    let lock = publisher.lock(sample.task).await.unwrap();
    let mut publication = sample.publication();
    let path = root.path().join(layout::task_lock(sample.task).as_str());
    let encode = std::mem::replace(&mut publication.parts[0].encode, Box::new(|_| unreachable!()));
    publication.parts[0].encode = Box::new(move |out| {
        std::fs::remove_file(path)?;
        encode(out)
    });
    let error = publisher.publish(&lock, publication).await.unwrap_err();
    assert!(matches!(error, PublishError::Destination(DestinationError::LockLost { .. })), "{error}");
    assert!(read_manifest(&*local(root.path()), sample.task).await.unwrap().is_none());
}

#[tokio::test]
async fn the_comparison_sees_the_published_roster() {
    let root = root();
    let sample = Sample::new(0..30);
    let first = sample.run(local(root.path())).await.unwrap();
    let recorded = first.manifest.manifest().file(Dataset::GuestRoster, Format::Parquet).unwrap().sha256;
    let publisher = publisher(local(root.path()));
    let lock = publisher.lock(sample.task).await.unwrap();
    let mut publication = Sample::new(0..31).publication();
    publication.compare = Some(Box::new(move |mut file| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes)?;
        assert_eq!(FileDigest::of(&bytes), recorded);
        Ok(RosterChanges { added: 1, removed: 0 })
    }));
    let outcome = publisher.publish(&lock, publication).await.unwrap();
    assert_eq!(outcome.changes.map(|changes| changes.added), Some(1));
}

/// Copies what an output holds, links of one file becoming links of one file again.
fn cloned(from: &Path) -> tempfile::TempDir {
    let to = root();
    let mut linked = std::collections::HashMap::new();
    for (name, inode) in inodes(from, "") {
        let target = to.path().join(&name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        if let Some(first) = linked.get(&inode) {
            std::fs::hard_link(first, target).unwrap();
        } else {
            std::fs::copy(from.join(&name), &target).unwrap();
            linked.insert(inode, target);
        }
    }
    to
}

/// Kills a run that publishes `new` over `old` at every change it makes, before and after the change.
async fn die_everywhere(old: Option<Sample>, new: Sample) {
    let origin = root();
    let mut before = None;
    if let Some(old) = old {
        before = Some(old.run(local(origin.path())).await.unwrap().manifest.manifest().content_sha256);
    }
    let undisturbed = cloned(origin.path());
    let counting = Dying::at(local(undisturbed.path()), u64::MAX, Death::Before);
    new.run(counting.clone()).await.unwrap();
    let changes = counting.changes();
    assert!(changes > 2, "a publication makes several changes, not {changes}");
    let deaths = (0..changes).flat_map(|fatal| [(fatal, Death::Before), (fatal, Death::After)]);
    // Most of the time is spent waiting for the disk.
    futures::stream::iter(deaths)
        .for_each_concurrent(8, |(fatal, death)| {
            let (output, new) = (cloned(origin.path()), &new);
            async move { die_once(output.path(), new, before, fatal, death).await }
        })
        .await;
}

async fn die_once(output: &Path, new: &Sample, before: Option<ContentDigest>, fatal: u64, death: Death) {
    let at = format!("{death:?} change {fatal}");
    let after = Some(new.publication().content_sha256);
    let dying = Dying::at(local(output), fatal, death);
    let _ = new.run(dying.clone()).await;
    assert!(dying.has_died(), "{at}");
    let published = read_manifest(&*local(output), new.task).await.unwrap();
    let published = published.map(|manifest| manifest.content_sha256);
    assert!(published == before || published == after, "{at}");
    // The publication is whole; only what is derived from it and what nothing names may be behind.
    for finding in verified(output).await.findings {
        let is_derived = ["guest_roster/", "guest_counts/", "summary/"]
            .iter()
            .any(|prefix| finding.path.starts_with(prefix));
        let is_unnamed = finding.problem.contains("never published");
        let is_nothing = published.is_none() && finding.problem.contains("no publication");
        assert!(is_derived || is_unnamed || is_nothing, "{at}: {finding}");
    }
    new.clone().hours_later(1).run(local(output)).await.unwrap();
    let report = verified(output).await;
    assert!(report.is_clean(), "{at}: {:#?}", report.findings);
    let finished = read_manifest(&*local(output), new.task).await.unwrap();
    assert_eq!(finished.map(|manifest| manifest.content_sha256), after, "{at}");
}

#[tokio::test]
async fn a_first_publication_may_die_anywhere() {
    die_everywhere(None, Sample::new(0..30)).await;
}

#[tokio::test]
async fn a_restatement_may_die_anywhere() {
    die_everywhere(Some(Sample::new(0..30)), Sample::new(2..33)).await;
}

#[tokio::test]
async fn a_restatement_that_drops_files_may_die_anywhere() {
    let old = Sample { formats: BOTH.to_vec(), ..Sample::new(0..30) };
    let new = Sample { formats: vec![Format::Parquet], mode: RosterKind::None, ..Sample::new(0..31) };
    die_everywhere(Some(old), new).await;
}

#[tokio::test]
async fn a_check_that_changes_nothing_may_die_anywhere() {
    die_everywhere(Some(Sample::new(0..30)), Sample::new(0..30).hours_later(1)).await;
}
