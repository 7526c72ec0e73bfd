//! What may befall a publication in a store: manifests whose put takes effect late, and runs that are overtaken.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectStore;

use super::*;
use crate::publish::fixture::{BOTH, Sample, publisher};
use crate::publish::shrink::ShrinkLimit;
use crate::storage::ObjectDestination;
use crate::storage::StoreUrl;
use crate::storage::object::StoreSettings;
use crate::storage::object::moody::{Fate, Moody};
use crate::verify::{VerificationFilter, verify};

fn place(store: &Arc<Moody>) -> Arc<dyn Destination> {
    let url = StoreUrl::parse("s3://bucket/out").unwrap().unwrap();
    let store = Arc::clone(store) as Arc<dyn ObjectStore>;
    Arc::new(ObjectDestination::new(store, url, StoreSettings::default()))
}

/// A clock that is so far ahead.
struct Ahead(TimeDelta);

impl Clock for Ahead {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.0
    }
}

async fn assert_whole(store: &Arc<Moody>) {
    let report = verify(place(store), &VerificationFilter::default(), Utc::now()).await.unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

async fn revisions(store: &Arc<Moody>, sample: &Sample) -> usize {
    let listing = place(store).list(&layout::task_revisions(sample.task)).await.unwrap();
    listing.files.iter().filter(|file| file.path.as_str().ends_with("/manifest.json")).count()
}

/// Restates what is published, with a put of the manifest that gets no answer.
async fn restated_without_answer(fate: Fate) -> (Arc<Moody>, Sample) {
    let store = Moody::new(&[]);
    Sample::new(0..250).run(place(&store)).await.unwrap();
    store.become_at("out/manifests/", &[fate]);
    let restated = Sample::new(0..260).hours_later(1);
    let error = restated.run(place(&store)).await.unwrap_err();
    let is_unknown = matches!(error, PublishError::Destination(DestinationError::Unavailable { .. }));
    assert!(is_unknown, "{error}");
    store.become_(&[Fate::Answered]);
    assert_eq!(revisions(&store, &restated).await, 2, "both are there");
    (store, restated)
}

/// Returns the manifest of the newest revision, which is the one that got lost.
async fn late_manifest(store: &Arc<Moody>, sample: &Sample) -> Vec<u8> {
    let output = place(store);
    let listing = output.list(&layout::task_revisions(sample.task)).await.unwrap();
    let late = listing.files.iter().rfind(|file| file.path.as_str().ends_with("/manifest.json")).unwrap();
    output.read(&late.path, MAX_MANIFEST_BYTES).await.unwrap().unwrap().bytes
}

/// Lets the manifest arrive that got lost, if its condition still holds.
async fn arrives_late(
    store: &Arc<Moody>,
    sample: &Sample,
    replaced: Version,
) -> Result<Version, DestinationError> {
    let late = late_manifest(store, sample).await;
    place(store).put(late, &layout::manifest(sample.task), Precondition::Unchanged(replaced)).await
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_was_put_without_an_answer_names_files_that_are_there() {
    let (store, restated) = restated_without_answer(Fate::Unanswered).await;
    let outcome = restated.run(place(&store)).await.unwrap();
    assert_eq!(outcome.status, PublicationStatus::Unchanged);
    assert_eq!(outcome.manifest.manifest().revision, 2);
    assert_whole(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_takes_effect_after_the_next_run_has_begun_names_files_that_are_there() {
    let (store, restated) = restated_without_answer(Fate::Lost).await;
    let output = place(&store);
    let next = publisher(place(&store));
    let lock = next.lock(restated.task).await.unwrap();
    assert_eq!(next.recover(&lock).await.unwrap().unwrap().0.manifest().revision, 1);
    assert_whole_but_for_the_summary(&store).await;

    // Now it arrives, and its condition still holds.
    let manifest = layout::manifest(restated.task);
    let standing = output.read(&manifest, MAX_MANIFEST_BYTES).await.unwrap().unwrap();
    arrives_late(&store, &restated, standing.version).await.unwrap();
    let published = read_manifest(&*output, restated.task).await.unwrap().unwrap();
    assert_eq!(published.revision, 2);
    next.recover(&lock).await.unwrap();
    assert_whole_but_for_the_summary(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_no_manifest_can_name_any_more_is_swept() {
    let (store, restated) = restated_without_answer(Fate::Lost).await;
    let again = restated.run(place(&store)).await.unwrap();
    assert_eq!(again.manifest.manifest().revision, 2);
    assert_eq!(revisions(&store, &restated).await, 2, "the manifest that it was to replace is gone");
    assert_whole(&store).await;

    let (store, restated) = restated_without_answer(Fate::Lost).await;
    let settings = PublisherSettings {
        shrink: ShrinkLimit::default(),
        lock_wait: LockWait::of(Duration::from_secs(10)),
    };
    let much_later = Publisher::new(place(&store), settings, Arc::new(Ahead(TimeDelta::hours(2))));
    let lock = much_later.lock(restated.task).await.unwrap();
    much_later.recover(&lock).await.unwrap();
    assert_eq!(revisions(&store, &restated).await, 1);
}

/// Restates what is published, is overtaken while it copies, and goes on when somebody else has done something.
async fn overtaken_while_it_copies(
    store: &Arc<Moody>,
    slow: &Sample,
    meanwhile: impl AsyncFnOnce(Publisher, TaskLock),
) -> PublishError {
    let held = store.hold_next_copy();
    let overtaken = tokio::spawn({
        let (slow, place) = (slow.clone(), place(store));
        async move { slow.run(place).await }
    });
    while !store.holds_a_copy() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Somebody who saw no renewal for a term: the lease is replaced, and then as that of a dead run.
    let output = place(store);
    let name = layout::task_lock(slow.task);
    let lease = String::from_utf8(output.read(&name, 4096).await.unwrap().unwrap().bytes).unwrap();
    let lease = lease.replacen("\"nonce\":\"", "\"nonce\":\"f", 1).into_bytes();
    output.put(lease, &name, Precondition::Any).await.unwrap();
    let next = publisher(place(store));
    let lock = next.lock(slow.task).await.unwrap();
    meanwhile(next, lock).await;
    held.notify_one();
    overtaken.await.unwrap().unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_overtaken_while_it_copied_leaves_the_copies_of_what_is_published() {
    let store = Moody::new(&[]);
    Sample::new(0..250).run(place(&store)).await.unwrap();
    let (slow, fast) = (Sample::new(0..260).hours_later(1), Sample::new(0..270).hours_later(2));
    let error = overtaken_while_it_copies(&store, &slow, async |next, lock| {
        next.publish(&lock, fast.publication()).await.unwrap();
    })
    .await;
    assert!(matches!(error, PublishError::Destination(DestinationError::LockLost { .. })), "{error}");
    assert_eq!(read_manifest(&*place(&store), slow.task).await.unwrap().unwrap().revision, 3);
    assert_whole_but_for_the_summary(&store).await;
}

async fn rosters(store: &Arc<Moody>) -> Vec<String> {
    let everything = futures::TryStreamExt::try_collect::<Vec<_>>(store.list(None)).await.unwrap();
    let names = everything.into_iter().map(|object| object.location.to_string());
    names.filter(|name| name.contains("/guest_roster.")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_held_up_while_it_copied_brings_back_no_guest_who_was_purged_meanwhile() {
    // With one format nothing is left to copy; with two, the second roster is gone when its turn comes.
    for formats in [vec![Format::Parquet], BOTH.to_vec()] {
        let of = |guests| Sample { formats: formats.clone(), ..Sample::new(guests) };
        let store = Moody::new(&[]);
        of(0..250).run(place(&store)).await.unwrap();
        let slow = of(0..260).hours_later(1);
        let error = overtaken_while_it_copies(&store, &slow, async |next, lock| {
            let purged = next.purge(&lock, &PurgeTerms::default()).await.unwrap();
            assert!(matches!(purged, Purged::Now(_)), "{purged:?}");
        })
        .await;
        assert!(matches!(error, PublishError::Destination(DestinationError::LockLost { .. })), "{error}");
        assert_eq!(rosters(&store).await, Vec::<String>::new(), "{formats:?}");
        assert_whole_but_for_the_summary(&store).await;
    }
}

/// Purges what is published, as one that was told nothing.
async fn purge(store: &Arc<Moody>, task: TaskKey) -> Purged {
    let publisher = publisher(place(store));
    let lock = publisher.lock(task).await.unwrap();
    publisher.purge(&lock, &PurgeTerms::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_second_purge_leaves_the_files_of_what_a_run_may_yet_publish() {
    let store = Moody::new(&[]);
    let sample = Sample::new(0..250);
    sample.run(place(&store)).await.unwrap();
    assert!(matches!(purge(&store, sample.task).await, Purged::Now(_)));
    let restated = Sample::new(0..260).hours_later(1);
    store.become_at("out/manifests/", &[Fate::Lost]);
    restated.run(place(&store)).await.unwrap_err();
    store.become_(&[Fate::Answered]);

    let output = place(&store);
    let manifest = layout::manifest(sample.task);
    let before = output.read(&manifest, MAX_MANIFEST_BYTES).await.unwrap().unwrap();
    assert_eq!(purge(&store, sample.task).await, Purged::Before);

    // Now it arrives, with the condition that it was sent with.
    arrives_late(&store, &restated, before.version).await.unwrap();
    assert_eq!(read_manifest(&*output, sample.task).await.unwrap().unwrap().revision, 2);
    let next = publisher(place(&store));
    let lock = next.lock(sample.task).await.unwrap();
    next.recover(&lock).await.unwrap();
    assert_eq!(rosters(&store).await, Vec::<String>::new());
    assert_whole_but_for_the_summary(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_purge_decides_what_no_run_can_publish_any_more() {
    let (store, restated) = restated_without_answer(Fate::Lost).await;
    let manifest = layout::manifest(restated.task);
    let before = place(&store).read(&manifest, MAX_MANIFEST_BYTES).await.unwrap().unwrap();
    let lists = late_manifest(&store, &restated).await;
    assert!(matches!(purge(&store, restated.task).await, Purged::Now(_)));
    assert_eq!(revisions(&store, &restated).await, 1, "what nobody can publish is swept");
    let late = place(&store).put(lists, &manifest, Precondition::Unchanged(before.version)).await;
    assert!(matches!(late, Err(DestinationError::Changed { .. })), "{late:?}");
    assert_eq!(rosters(&store).await, Vec::<String>::new());
    assert_whole_but_for_the_summary(&store).await;
}

/// The summary is whose run merged last, and the next merge makes it anew.
async fn assert_whole_but_for_the_summary(store: &Arc<Moody>) {
    crate::publish::fixture::summary(place(store)).merge(&[]).await.unwrap();
    assert_whole(store).await;
}
