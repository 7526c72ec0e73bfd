//! What may befall a publication in a store: manifests whose put takes effect late, and runs that are overtaken.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectStore;

use super::*;
use crate::publish::fixture::{Sample, publisher};
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
    let listing = output.list(&layout::task_revisions(restated.task)).await.unwrap();
    let late = listing.files.iter().rfind(|file| file.path.as_str().ends_with("/manifest.json")).unwrap();
    let late = output.read(&late.path, MAX_MANIFEST_BYTES).await.unwrap().unwrap();
    output.put(late.bytes, &manifest, Precondition::Unchanged(standing.version)).await.unwrap();
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

#[tokio::test(start_paused = true)]
async fn a_run_that_was_overtaken_while_it_copied_leaves_the_copies_of_what_is_published() {
    let store = Moody::new(&[]);
    Sample::new(0..250).run(place(&store)).await.unwrap();
    let (slow, fast) = (Sample::new(0..260).hours_later(1), Sample::new(0..270).hours_later(2));
    let held = store.hold_next_copy();
    let overtaken = tokio::spawn({
        let (slow, place) = (slow.clone(), place(&store));
        async move { slow.run(place).await }
    });
    while !store.holds_a_copy() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Somebody who saw no renewal for a term: the lease is replaced, and then as that of a dead run.
    let output = place(&store);
    let name = layout::task_lock(slow.task);
    let lease = String::from_utf8(output.read(&name, 4096).await.unwrap().unwrap().bytes).unwrap();
    let lease = lease.replacen("\"nonce\":\"", "\"nonce\":\"f", 1).into_bytes();
    output.put(lease, &name, Precondition::Any).await.unwrap();
    let next = publisher(place(&store));
    let lock = next.lock(fast.task).await.unwrap();
    next.publish(&lock, fast.publication()).await.unwrap();

    held.notify_one();
    let error = overtaken.await.unwrap().unwrap_err();
    assert!(matches!(error, PublishError::Destination(DestinationError::LockLost { .. })), "{error}");
    assert_eq!(read_manifest(&*output, slow.task).await.unwrap().unwrap().revision, 3);
    assert_whole_but_for_the_summary(&store).await;
}

/// The summary is whose run merged last, and the next merge makes it anew.
async fn assert_whole_but_for_the_summary(store: &Arc<Moody>) {
    crate::publish::fixture::summary(place(store)).merge(&[]).await.unwrap();
    assert_whole(store).await;
}
