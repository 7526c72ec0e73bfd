//! Object stores: what is published there, by programs that their authors wrote, and the same bytes as in a folder.

mod conformance;
#[cfg(feature = "simulator")]
mod doctor;
#[cfg(feature = "simulator")]
mod exports;
mod file_server;
mod google;
pub(crate) mod server;

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use wickr_guest_export::storage::object::{LeaseTerm, StoreKind, StoreSettings};
use wickr_guest_export::storage::{
    Destination, DestinationError, LocalDestination, LockWait, ObjectDestination, Precondition, RelativePath,
    StoreUrl,
};

use self::google::Unanswered;
use self::server::StoreServer;
use crate::python::Python;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn place(store: Arc<dyn ObjectStore>, prefix: &str) -> Arc<dyn Destination> {
    // That a holder lives shows when it renews, which is waited for: not as long as users wait.
    place_of_term(store, prefix, LeaseTerm(Duration::from_secs(6)))
}

fn place_of_term(store: Arc<dyn ObjectStore>, prefix: &str, term: LeaseTerm) -> Arc<dyn Destination> {
    let url = StoreUrl {
        kind: StoreKind::S3,
        bucket: server::BUCKET.to_owned(),
        prefix: Some(RelativePath::new(prefix).expect("a prefix")),
    };
    let settings = StoreSettings { term, ..StoreSettings::default() };
    Arc::new(ObjectDestination::new(store, url, settings))
}

#[test]
fn a_folder_conforms() {
    let folder = TempDir::new().expect("a folder");
    let open = || Arc::new(LocalDestination::new(folder.path().to_owned())) as Arc<dyn Destination>;
    runtime().block_on(conformance::hold((open(), open())));
}

#[test]
fn a_store_in_memory_conforms() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let open = || place(Arc::clone(&store), "some/prefix");
    runtime().block_on(conformance::hold((open(), open())));
}

#[test]
fn a_bucket_of_s3_conforms() {
    let Some(python) = Python::for_test("the conformance of S3 against moto") else { return };
    let server = StoreServer::s3(python);
    let open = || place(server.store(), "billing");
    runtime().block_on(conformance::hold((open(), open())));
}

#[test]
fn a_bucket_of_s3_that_checks_signatures_conforms() {
    let server = StoreServer::signed_s3();
    let open = || place(server.store(), "billing");
    runtime().block_on(conformance::hold((open(), open())));
}

#[test]
#[ignore = "takes Node.js and a hundred megabytes of packages"]
fn a_container_of_azure_conforms() {
    let server = StoreServer::azure();
    let open = || place(server.store(), "billing");
    runtime().block_on(conformance::hold((open(), open())));
}

#[test]
fn what_google_did_and_did_not_answer_is_known_as_ones_own() {
    let server = StoreServer::google();
    let place = place(server.store(), "billing");
    let at = |name| RelativePath::new(name).expect("a path");
    runtime().block_on(async {
        server.double().leave_unanswered(Unanswered::ConditionalPut);
        let created =
            place.put(b"one".to_vec(), &at("small"), Precondition::Absent).await.expect("it is ours");
        assert!(server.double().left_unanswered());
        server.double().leave_unanswered(Unanswered::ConditionalPut);
        let replaced = Precondition::Unchanged(created.clone());
        place.put(b"two".to_vec(), &at("small"), replaced).await.expect("it is ours");
        assert!(server.double().left_unanswered());
        let stale = place.put(b"one".to_vec(), &at("small"), Precondition::Unchanged(created)).await;
        assert!(matches!(stale, Err(DestinationError::Changed { .. })), "{stale:?}");

        server.double().leave_unanswered(Unanswered::Completion);
        let bytes = vec![7; 11_000_000];
        let mut staged = place.stage(&at("large")).await.expect("room for a file");
        std::io::Write::write_all(&mut staged, &bytes).expect("room for a file");
        place.install(staged, &at("large"), Precondition::Absent).await.expect("it is there");
        assert!(server.double().left_unanswered());
        let read = place.read(&at("large"), 20_000_000).await.expect("read").expect("there");
        assert!(read.bytes == bytes, "{} bytes", read.bytes.len());
    });
}

/// Side by side, as both wait.
#[test]
fn a_bucket_of_google_conforms_and_its_limit_of_changes_is_waited_for() {
    std::thread::scope(|scope| {
        scope.spawn(conform_in_google);
        scope.spawn(change_an_object_as_often_as_google_lets_it);
    });
}

fn conform_in_google() {
    let server = StoreServer::google();
    let open = || place(server.store(), "billing");
    runtime().block_on(conformance::hold((open(), open())));
    assert_eq!(server.double().uploads(), 0, "no upload is left behind");
}

fn change_an_object_as_often_as_google_lets_it() {
    let server = StoreServer::google();
    server.double().limit_changes();
    let place = place_of_term(server.store(), "billing", LeaseTerm::default());
    let name = RelativePath::new(".locks/task.lock").expect("a path");
    runtime().block_on(async {
        place.probe_writable().await.expect("it is writable");
        let held = place.lock(&name, &LockWait::none()).await.expect("nobody holds it");
        held.confirm().await.expect("it is ours");
        drop(held);
        place.finish().await;
        let lease = place.read(&name, 4096).await.expect("read").expect("there");
        let lease = String::from_utf8(lease.bytes).expect("text");
        assert!(lease.contains("\"released\":true"), "it is given back: {lease}");
    });
    assert!(server.double().refused_changes() > 0, "it was too fast at first");
}
