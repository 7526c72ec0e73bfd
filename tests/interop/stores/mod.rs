//! Object stores: what is published there, by programs that their authors wrote, and the same bytes as in a folder.

mod conformance;
#[cfg(feature = "simulator")]
mod exports;
mod server;

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use wickr_guest_export::storage::object::LeaseTerm;
use wickr_guest_export::storage::{
    Destination, DestinationError, LocalDestination, ObjectDestination, RelativePath, StoreUrl,
};

use self::server::S3Server;
use crate::python::Python;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn place(store: Arc<dyn ObjectStore>, prefix: &str, term: LeaseTerm) -> Arc<dyn Destination> {
    let url = StoreUrl {
        bucket: server::BUCKET.to_owned(),
        prefix: Some(RelativePath::new(prefix).expect("a prefix")),
    };
    Arc::new(ObjectDestination::new(store, url, term))
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
    let open = || place(Arc::clone(&store), "some/prefix", LeaseTerm::default());
    runtime().block_on(conformance::hold((open(), open())));
}

#[test]
fn a_bucket_of_s3_conforms() {
    let Some(python) = Python::for_test("the conformance of S3 against moto") else { return };
    let server = S3Server::start(python);
    let open = || place(server.store(), "billing", LeaseTerm::default());
    runtime().block_on(conformance::hold((open(), open())));
}

#[test]
fn a_lock_whose_holder_died_is_taken_over_once_its_term_has_passed_and_never_before() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let term = LeaseTerm(Duration::from_millis(600));
    let name = RelativePath::new(".locks/task.lock").expect("a path");
    let (dead, living) = (place(Arc::clone(&store), "x", term), place(store, "x", term));

    // A runtime that runs only while something is waited for: between, its process might as well be dead.
    let dying = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let held = dying.block_on(dead.lock(&name, Duration::ZERO)).expect("nobody holds it");
    runtime().block_on(async {
        let early = living.lock(&name, Duration::from_millis(100)).await;
        assert!(matches!(early, Err(DestinationError::Locked { .. })), "{early:?}");
        let taken = living.lock(&name, Duration::from_mins(1)).await.expect("its term has passed");
        tokio::time::sleep(Duration::from_secs(1)).await;
        taken.confirm().await.expect("it is renewed");
    });
    let lost = dying.block_on(held.confirm());
    assert!(matches!(lost, Err(DestinationError::LockLost { .. })), "{lost:?}");
}
