//! Object stores: what is published there, by programs that their authors wrote, and the same bytes as in a folder.

mod conformance;
#[cfg(feature = "simulator")]
mod doctor;
#[cfg(feature = "simulator")]
mod exports;
mod file_server;
mod server;

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use wickr_guest_export::storage::object::{LeaseTerm, StoreKind, StoreSettings};
use wickr_guest_export::storage::{Destination, LocalDestination, ObjectDestination, RelativePath, StoreUrl};

use self::server::StoreServer;
use crate::python::Python;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn place(store: Arc<dyn ObjectStore>, prefix: &str) -> Arc<dyn Destination> {
    let url = StoreUrl {
        kind: StoreKind::S3,
        bucket: server::BUCKET.to_owned(),
        prefix: Some(RelativePath::new(prefix).expect("a prefix")),
    };
    // That a holder lives shows when it renews, which is waited for: not as long as users wait.
    let settings = StoreSettings { term: LeaseTerm(Duration::from_secs(6)), ..StoreSettings::default() };
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
