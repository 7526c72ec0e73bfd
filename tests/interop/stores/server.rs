//! Object stores of somebody else's making: moto's S3, the one of s3s, and Microsoft's Azurite; and a double of Google's.

#[cfg(feature = "simulator")]
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::StaticCredentialProvider;
use object_store::aws::AwsCredential;

use tempfile::TempDir;
use wickr_guest_export::storage::StoreUrl;
use wickr_guest_export::storage::object::{
    AzureAccess, GoogleAccess, GoogleIdentity, S3Access, StoreAccess, StoreIdentity, StoreKind, connect,
};
use wickr_guest_export::wickr::{HttpClients, TimeLimit, Way};

use super::file_server::FileServer;
use super::google::GoogleServer;
use crate::python::Python;

pub(super) const BUCKET: &str = "billing-exports";
/// The simulator's key: the program asks API and store with the same.
pub(crate) const KEY_ID: &str = "AKIDWICKRSIMULATOR01";
pub(crate) const SECRET_KEY: &str = "wickr-simulator-only/not-a-real-secret-key";

/// What the Azure servers of developers are all called ("Use the Azurite emulator", Microsoft Learn).
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Azurite, and Azure's client, which makes the container.
const AZURE_PACKAGES: [&str; 2] = ["azurite@3.35.0", "@azure/storage-blob@12.32.0"];

/// What serves.
enum Service {
    Process(Child),
    Here(#[expect(dead_code, reason = "it is there until it is dropped")] FileServer),
    Google(GoogleServer),
}

/// A server that ends with its test.
pub(crate) struct StoreServer {
    service: Service,
    kind: StoreKind,
    pub(super) endpoint: String,
    pub(super) folder: TempDir,
}

impl StoreServer {
    /// Starts moto's S3.
    pub(super) fn s3(python: &Python) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut command = python.script("s3_server.py", folder.path());
        command.arg(BUCKET).stdin(Stdio::piped());
        let (process, endpoint) = started(command, |line| line.starts_with("http").then(|| line.to_owned()));
        Self { service: Service::Process(process), kind: StoreKind::S3, endpoint, folder }
    }

    /// Starts the S3 of s3s, which checks signatures, as moto does not.
    pub(crate) fn signed_s3() -> Self {
        let folder = TempDir::new().expect("a folder");
        let server = FileServer::start(&folder.path().join("buckets"));
        let endpoint = server.endpoint.clone();
        Self { service: Service::Here(server), kind: StoreKind::S3, endpoint, folder }
    }

    /// Installs Azurite where it is not yet, and starts it.
    pub(super) fn azure() -> Self {
        let folder = TempDir::new().expect("a folder");
        let packages = azure_packages();
        let mut command = Command::new("node");
        command
            .arg(packages.join("azurite/dist/src/blob/main.js"))
            .args(["--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"])
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0"])
            .current_dir(folder.path());
        let listens = |line: &str| line.split_once(" listens on ").map(|(_, url)| url.trim().to_owned());
        let (process, root) = started(command, listens);
        let (service, endpoint) = (Service::Process(process), format!("{root}/{AZURE_ACCOUNT}"));
        let server = Self { service, kind: StoreKind::Azure, endpoint, folder };
        let made = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/azure_container.mjs"))
            .args([packages.as_os_str(), server.endpoint.as_ref(), BUCKET.as_ref()])
            .envs(server.environment())
            .status();
        assert!(made.expect("node runs").success(), "the container is made");
        server
    }

    /// Starts the double of Google's.
    pub(super) fn google() -> Self {
        let folder = TempDir::new().expect("a folder");
        let google = GoogleServer::start();
        let endpoint = google.endpoint();
        google.key_file(folder.path());
        Self { service: Service::Google(google), kind: StoreKind::Google, endpoint, folder }
    }

    /// The double of Google's, if it is that.
    pub(super) fn double(&self) -> &GoogleServer {
        match &self.service {
            Service::Google(google) => google,
            Service::Process(_) | Service::Here(_) => panic!("it is not Google's"),
        }
    }

    fn google_key(&self) -> PathBuf {
        self.folder.path().join("key.json")
    }

    /// Names a place in it.
    pub(crate) fn url(&self, prefix: &str) -> String {
        let scheme = match self.kind {
            StoreKind::S3 => "s3",
            StoreKind::Google => "gs",
            StoreKind::Azure => "az",
        };
        format!("{scheme}://{BUCKET}/{prefix}")
    }

    /// Connects as the program does.
    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        let credential =
            AwsCredential { key_id: KEY_ID.to_owned(), secret_key: SECRET_KEY.to_owned(), token: None };
        let identity = match self.kind {
            StoreKind::S3 => StoreIdentity::S3(S3Access {
                region: Some("us-east-1".to_owned()),
                endpoint: Some(self.endpoint.clone()),
                credentials: Arc::new(StaticCredentialProvider::new(credential)),
                kms_key: None,
            }),
            StoreKind::Google => StoreIdentity::Google(GoogleAccess {
                endpoint: Some(self.endpoint.clone()),
                identity: GoogleIdentity::File(self.google_key()),
                near: client(),
            }),
            StoreKind::Azure => StoreIdentity::Azure(AzureAccess(
                self.environment().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            )),
        };
        let access = StoreAccess { client: client(), identity };
        let url = StoreUrl::parse(&self.url("")).expect("a URL").expect("a store");
        connect(&url, &access).expect("it is set up")
    }

    #[cfg(feature = "simulator")]
    /// Lists the keys of the bucket with their storage classes, as the server tells anybody.
    pub(super) async fn storage_classes(&self) -> BTreeMap<String, String> {
        let url = format!("{}/{BUCKET}?list-type=2", self.endpoint);
        let answer = client().get(url).send().await.expect("an answer");
        let listed = answer.text().await.expect("its text");
        let element = |object: &str, name: &str| {
            let (_, rest) = object.split_once(&format!("<{name}>")).expect("the element");
            rest.split_once('<').expect("its end").0.to_owned()
        };
        let objects = listed.split("<Contents>").skip(1);
        objects.map(|object| (element(object, "Key"), element(object, "StorageClass"))).collect()
    }

    #[cfg(feature = "simulator")]
    /// From now on nothing that is written to the bucket is forgotten.
    pub(super) async fn keep_versions(&self) {
        let url = format!("{}/{BUCKET}?versioning", self.endpoint);
        let wanted = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        let answer = client().put(url).body(wanted).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// The variables that lead the program to the server.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        match self.kind {
            StoreKind::S3 => vec![("AWS_ENDPOINT_URL_S3", self.endpoint.clone())],
            StoreKind::Google => vec![
                ("GOOGLE_BASE_URL", self.endpoint.clone()),
                ("GOOGLE_APPLICATION_CREDENTIALS", self.google_key().display().to_string()),
            ],
            StoreKind::Azure => vec![
                ("AZURE_STORAGE_ENDPOINT", self.endpoint.clone()),
                ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT.to_owned()),
                ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY.to_owned()),
            ],
        }
    }
}

/// Speaks HTTP as the program does.
fn client() -> reqwest::Client {
    let time_limit = TimeLimit::Silence(Duration::from_secs(20));
    let clients = HttpClients::new(time_limit, None);
    clients.and_then(|clients| clients.get(Way::Direct)).expect("a client")
}

/// Starts a server and waits until a line of its output tells where it is.
fn started(mut command: Command, endpoint: impl Fn(&str) -> Option<String>) -> (Child, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().expect("the server starts");
    let mut stdout = BufReader::new(process.stdout.take().expect("a pipe"));
    let told = stdout.by_ref().lines().map_while(Result::ok).find_map(|line| endpoint(line.trim()));
    let Some(endpoint) = told.filter(|endpoint| endpoint.starts_with("http://127.0.0.1:")) else {
        panic!("the server does not tell where it is: {:?}", process.wait());
    };
    // It may go on printing, to nobody.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    (process, endpoint)
}

/// Returns the folder that holds the packages, installed once below `target/`.
fn azure_packages() -> &'static Path {
    static INSTALLED: LazyLock<PathBuf> = LazyLock::new(install_azure_packages);
    &INSTALLED
}

fn install_azure_packages() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("azure");
    let packages = folder.join("node_modules");
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).ok() != Some(AZURE_PACKAGES.join(" ")) {
        fs::create_dir_all(&folder).expect("room for a folder");
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-fund", "--no-audit", "--silent", "--prefix"]).arg(&folder);
        let status = npm.args(AZURE_PACKAGES).status().expect("npm runs: this test takes Node.js");
        assert!(status.success(), "npm installs {AZURE_PACKAGES:?}");
        fs::write(&installed, AZURE_PACKAGES.join(" ")).expect("room for a file");
    }
    packages
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        if let Service::Process(process) = &mut self.service {
            drop(process.stdin.take());
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
