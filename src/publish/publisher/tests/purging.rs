//! What a purge removes, what it leaves, and what is left when it dies.

use super::*;
use crate::publish::layout::holds_guests;
use crate::publish::publisher::Purged;
use crate::storage::destination::Destination;
use crate::storage::path::RelativePath;

const ROSTERS_OF_TWO_REVISIONS: u64 = 2 * 2 + 2;

fn rosters(root: &Path) -> Vec<String> {
    let is_roster = |name: &String| holds_guests(&RelativePath::new(name).unwrap());
    names(root, "").into_iter().filter(is_roster).collect()
}

/// Lists the files of counts with their inodes.
fn counts_in(root: &Path) -> Vec<(String, u64)> {
    inodes(root, "").into_iter().filter(|(name, _)| name.contains("guest_counts.")).collect()
}

async fn purge(output: Arc<dyn Destination>) -> Result<Purged, PurgeError> {
    let publisher = publisher(output);
    let lock = publisher.lock(Sample::new(0..1).task).await?;
    publisher.purge(&lock, &PurgeTerms::default()).await
}

fn files_of(purged: &Purged) -> u64 {
    match purged {
        Purged::Now(removed) => removed.files,
        Purged::Before | Purged::Nothing => 0,
    }
}

/// An output whose only task has two revisions, with rosters as the samples say.
async fn published(samples: &[Sample]) -> tempfile::TempDir {
    let root = root();
    for sample in samples {
        sample.run(local(root.path())).await.unwrap();
    }
    root
}

#[tokio::test]
async fn rosters_of_all_revisions_go_and_counts_and_evidence_stay() {
    let root = published(&[Sample::new(0..100), Sample::new(0..105)]).await;
    let task = Sample::new(0..1).task;
    let before = read_manifest(&*local(root.path()), task).await.unwrap().unwrap();
    let counts = counts_in(root.path());
    assert_eq!(rosters(root.path()).len() as u64, ROSTERS_OF_TWO_REVISIONS);

    let purged = purge(local(root.path())).await.unwrap();
    assert!(
        matches!(purged, Purged::Now(removed) if removed.files == ROSTERS_OF_TWO_REVISIONS),
        "{purged:?}"
    );
    assert_eq!(rosters(root.path()), Vec::<String>::new());
    assert!(!root.path().join("guest_roster").exists());
    assert_eq!(counts_in(root.path()), counts);
    let after = read_manifest(&*local(root.path()), task).await.unwrap().unwrap();
    assert!(after.rosters_purged_at.is_some());
    assert_eq!(Manifest { rosters_purged_at: None, ..after.clone() }, before, "all else is as it was");
    assert_clean(root.path()).await;

    let again = purge(local(root.path())).await.unwrap();
    assert_eq!(again, Purged::Before);
    assert_eq!(read_manifest(&*local(root.path()), task).await.unwrap(), Some(after));
}

#[tokio::test]
async fn a_lost_manifest_that_is_restored_from_its_revision_is_still_one_of_a_purge() {
    let root = published(&[Sample::new(0..30)]).await;
    purge(local(root.path())).await.unwrap();
    let revision = names(root.path(), "revisions").into_iter().find(|name| name.ends_with("manifest.json"));
    let manifest = layout::manifest(Sample::new(0..1).task);
    std::fs::copy(root.path().join(revision.unwrap()), root.path().join(manifest.as_str())).unwrap();
    assert_clean(root.path()).await;
    let run = Sample::new(0..30).hours_later(1).run(local(root.path())).await.unwrap();
    assert_eq!(run.status, PublicationStatus::Unchanged);
    assert_eq!(rosters(root.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_purged_task_whose_manifest_is_lost_is_not_published_anew() {
    let root = published(&[Sample::new(0..30)]).await;
    let task = Sample::new(0..1).task;
    purge(local(root.path())).await.unwrap();
    let place = root.path().join(layout::manifest(task).as_str());
    let manifest = std::fs::read(&place).unwrap();
    std::fs::remove_file(&place).unwrap();
    let counts = names(root.path(), "");
    for has_current_copies in [true, false] {
        if !has_current_copies {
            std::fs::remove_dir_all(root.path().join("guest_counts")).unwrap();
        }
        let error = Sample::new(0..30).hours_later(1).run(local(root.path())).await.unwrap_err();
        assert!(matches!(error, PublishError::ManifestLost { was_purged: true, .. }), "{error}");
        assert!(error.to_string().contains("its guests would be published again"), "{error}");
        let error = purge(local(root.path())).await.unwrap_err();
        assert!(
            matches!(error, PurgeError::Publish(PublishError::ManifestLost { was_purged: true, .. })),
            "{error}"
        );
        let findings = verified(root.path()).await.findings;
        assert!(
            findings
                .iter()
                .any(|of| of.path == layout::manifest(task).as_str() && of.problem.contains("missing")),
            "{findings:#?}"
        );
        let revisions = |names: &[String]| names.iter().filter(|name| name.starts_with("revisions/")).count();
        assert_eq!(revisions(&names(root.path(), "")), revisions(&counts), "nothing is swept");
    }
    std::fs::write(&place, manifest).unwrap();
    let run = Sample::new(0..30).hours_later(1).run(local(root.path())).await.unwrap();
    assert_eq!(run.status, PublicationStatus::Unchanged);
    assert_eq!(rosters(root.path()), Vec::<String>::new());
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn a_number_that_may_not_be_the_final_one_keeps_its_rosters() {
    for state in [PeriodState::Open, PeriodState::Settling] {
        let sample = Sample { state, ..Sample::new(0..30) };
        let root = published(std::slice::from_ref(&sample)).await;
        let untouched = inodes(root.path(), "revisions");
        let error = purge(local(root.path())).await.unwrap_err();
        let refused = matches!(error, PurgeError::NotFinal { state: seen, .. } if seen == state);
        assert!(refused, "{error}");
        assert_eq!(inodes(root.path(), "revisions"), untouched);
        let closed = Sample { state: PeriodState::Closed, ..sample.clone() };
        closed.hours_later(1).run(local(root.path())).await.unwrap();
        assert_eq!(files_of(&purge(local(root.path())).await.unwrap()), 4);

        let root = published(std::slice::from_ref(&sample)).await;
        let publisher = publisher(local(root.path()));
        let lock = publisher.lock(sample.task).await.unwrap();
        let terms = PurgeTerms { not_final_accepted: true, ..PurgeTerms::default() };
        assert_eq!(files_of(&publisher.purge(&lock, &terms).await.unwrap()), 4);
        assert_clean(root.path()).await;
    }
}

#[tokio::test]
async fn no_later_run_brings_guests_back_and_a_restatement_has_counts_alone() {
    for mode in [RosterKind::Full, RosterKind::Pseudonymous] {
        let sample = |guests: std::ops::Range<u32>| Sample { mode, ..Sample::new(guests) };
        let root = published(&[sample(0..100)]).await;
        purge(local(root.path())).await.unwrap();

        let same = sample(0..100).hours_later(1).run(local(root.path())).await.unwrap();
        assert_eq!(same.status, PublicationStatus::Unchanged);
        assert!(same.manifest.manifest().checked_at > same.manifest.manifest().exported_at);
        // Too many are gone: only the count can tell.
        let shrunk = sample(0..80).run(local(root.path())).await.unwrap_err();
        assert!(
            matches!(shrunk, PublishError::Shrink(ShrinkRefused { before: 100, lost: 20, .. })),
            "{shrunk}"
        );
        let restated = sample(0..103).hours_later(2).run(local(root.path())).await.unwrap();
        assert_eq!((restated.status, restated.changes), (PublicationStatus::Restated, None));
        let manifest = restated.manifest.manifest();
        assert_eq!((manifest.revision, manifest.counts.guests, manifest.files.len()), (2, 103, 2));
        assert!(manifest.rosters_purged_at.is_some() && !manifest.has_rosters());
        let unchanged = sample(0..103).hours_later(3).run(local(root.path())).await.unwrap();
        assert_eq!(unchanged.status, PublicationStatus::Unchanged);
        assert_eq!(rosters(root.path()), Vec::<String>::new());
        assert_clean(root.path()).await;
        assert_eq!(purge(local(root.path())).await.unwrap(), Purged::Before);
    }
}

#[tokio::test]
async fn counts_alone_are_left_alone_but_not_the_rosters_published_before_them() {
    let counts_only = Sample { mode: RosterKind::None, ..Sample::new(0..30) };
    let root = published(std::slice::from_ref(&counts_only)).await;
    let before = inodes(root.path(), "manifests");
    assert_eq!(purge(local(root.path())).await.unwrap(), Purged::Nothing);
    assert_eq!(inodes(root.path(), "manifests"), before);

    let root = published(&[Sample::new(0..30), counts_only.clone()]).await;
    assert_eq!(files_of(&purge(local(root.path())).await.unwrap()), 2);
    assert_eq!(rosters(root.path()), Vec::<String>::new());
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn rosters_that_are_elsewhere_are_not_said_to_be_purged() {
    let root = published(&[Sample::new(0..30)]).await;
    for roster in rosters(root.path()) {
        std::fs::remove_file(root.path().join(roster)).unwrap();
    }
    let error = purge(local(root.path())).await.unwrap_err();
    assert!(matches!(error, PurgeError::Elsewhere(_)), "{error}");
    let task = Sample::new(0..1).task;
    assert_eq!(read_manifest(&*local(root.path()), task).await.unwrap().unwrap().rosters_purged_at, None);
    let publisher = publisher(local(root.path()));
    let lock = publisher.lock(task).await.unwrap();
    let terms = PurgeTerms { already_removed: true, ..PurgeTerms::default() };
    let purged = publisher.purge(&lock, &terms).await.unwrap();
    assert_eq!(files_of(&purged), 0);
    assert_clean(root.path()).await;
}

#[tokio::test]
async fn what_a_dead_first_run_left_of_guests_goes_too() {
    let output = root();
    let counting = Dying::at(local(output.path()), 3, Death::After);
    Sample::new(0..30).run(counting.clone()).await.unwrap_err();
    assert!(counting.has_died() && !rosters(output.path()).is_empty());
    assert!(files_of(&purge(local(output.path())).await.unwrap()) > 0);
    assert_eq!(rosters(output.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_publication_whose_counts_are_damaged_loses_its_rosters_all_the_same() {
    let root = published(&[Sample::new(0..30)]).await;
    let counts = names(root.path(), "revisions").into_iter().find(|name| name.ends_with("guest_counts.csv"));
    std::fs::remove_file(root.path().join(counts.unwrap())).unwrap();
    assert_eq!(files_of(&purge(local(root.path())).await.unwrap()), 4);
    assert_eq!(rosters(root.path()), Vec::<String>::new());
    assert_eq!(purge(local(root.path())).await.unwrap(), Purged::Before);
    Sample::new(0..30).hours_later(1).run(local(root.path())).await.unwrap();
    assert_eq!(rosters(root.path()), Vec::<String>::new());
}

/// Kills a purge at every change that it makes; the next purge finishes it, or the next run does.
#[tokio::test]
async fn a_purge_may_die_anywhere() {
    let origin = published(&[Sample::new(0..30), Sample::new(0..33)]).await;
    let undisturbed = cloned(origin.path());
    let counting = Dying::at(local(undisturbed.path()), u64::MAX, Death::Before);
    purge(counting.clone()).await.unwrap();
    let changes = counting.changes();
    assert!(changes > 6, "{changes}");
    for fatal in 0..changes {
        for death in [Death::Before, Death::After] {
            for is_finished_by_a_run in [false, true] {
                let output = cloned(origin.path());
                die_once_purging(output.path(), fatal, death, is_finished_by_a_run).await;
            }
        }
    }
}

async fn die_once_purging(output: &Path, fatal: u64, death: Death, is_finished_by_a_run: bool) {
    let at = format!("{death:?} change {fatal}");
    let dying = Dying::at(local(output), fatal, death);
    let _ = purge(dying.clone()).await;
    assert!(dying.has_died(), "{at}");
    let task = Sample::new(0..1).task;
    let manifest = read_manifest(&*local(output), task).await.unwrap().unwrap();
    let findings = verified(output).await.findings;
    if manifest.rosters_purged_at.is_some() {
        // Each roster that is there is said to be, and nothing else is wrong.
        let still: Vec<_> = findings.iter().filter(|of| of.problem.contains("still there")).collect();
        let mut paths: Vec<_> = still.iter().map(|finding| finding.path.clone()).collect();
        paths.sort();
        assert_eq!(paths, rosters(output), "{at}");
        let kept = findings.iter().filter(|of| of.problem.contains("does not say")).count();
        assert_eq!(still.len() + kept, findings.len(), "{at}: {findings:#?}");
    } else {
        assert!(findings.is_empty(), "{at}: {findings:#?}");
        assert_eq!(rosters(output).len() as u64, ROSTERS_OF_TWO_REVISIONS, "{at}");
    }
    if is_finished_by_a_run && manifest.rosters_purged_at.is_some() {
        Sample::new(0..33).hours_later(1).run(local(output)).await.unwrap();
    } else {
        purge(local(output)).await.unwrap();
    }
    assert_eq!(rosters(output), Vec::<String>::new(), "{at}");
    assert_clean(output).await;
}
