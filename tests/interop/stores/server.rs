//! An S3 server of somebody else's making: moto's.

#[cfg(feature = "simulator")]
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::StaticCredentialProvider;
use object_store::aws::AwsCredential;

use tempfile::TempDir;
use wickr_guest_export::storage::StoreUrl;
use wickr_guest_export::storage::object::{S3Access, StoreAccess, connect};
use wickr_guest_export::wickr::{HttpSettings, TimeLimit, build_http_client};

use crate::python::Python;

pub(super) const BUCKET: &str = "billing-exports";
const KEY: &str = "stores";

/// A server that ends with its standard input.
pub(super) struct S3Server {
    process: Child,
    pub(super) endpoint: String,
    #[cfg_attr(not(feature = "simulator"), expect(dead_code, reason = "it is the server's home"))]
    pub(super) folder: TempDir,
}

impl S3Server {
    pub(super) fn start(python: &Python) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut command = python.script("s3_server.py", folder.path());
        command.arg(BUCKET).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the server starts");
        let mut endpoint = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut endpoint).expect("the server prints");
        let endpoint = endpoint.trim().to_owned();
        assert!(endpoint.starts_with("http://127.0.0.1:"), "{endpoint}");
        Self { process, endpoint, folder }
    }

    /// Connects as the program does.
    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        let time_limit = TimeLimit::Silence(std::time::Duration::from_secs(20));
        let settings = HttpSettings { time_limit, ca_bundle: None, use_proxies: false };
        let credential = AwsCredential { key_id: KEY.to_owned(), secret_key: KEY.to_owned(), token: None };
        let s3 = S3Access {
            region: "us-east-1".to_owned(),
            endpoint: Some(self.endpoint.clone()),
            credentials: Arc::new(StaticCredentialProvider::new(credential)),
            kms_key: None,
        };
        let access = StoreAccess { client: build_http_client(&settings).expect("a client"), s3: Some(s3) };
        let url = StoreUrl::parse(&format!("s3://{BUCKET}")).expect("a URL").expect("a store");
        connect(&url, &access).expect("it is set up")
    }

    #[cfg(feature = "simulator")]
    /// Lists the keys of the bucket with their storage classes, as the server tells anybody.
    pub(super) async fn storage_classes(&self) -> BTreeMap<String, String> {
        let url = format!("{}/{BUCKET}?list-type=2", self.endpoint);
        let text = reqwest::get(url).await.expect("an answer").text().await.expect("its text");
        let element = |object: &str, name: &str| {
            let (_, rest) = object.split_once(&format!("<{name}>")).expect("the element");
            rest.split_once('<').expect("its end").0.to_owned()
        };
        let objects = text.split("<Contents>").skip(1);
        objects.map(|object| (element(object, "Key"), element(object, "StorageClass"))).collect()
    }

    #[cfg(feature = "simulator")]
    /// The variables that lead the program to the server.
    pub(super) fn environment(&self) -> [(&'static str, String); 1] {
        [("AWS_ENDPOINT_URL_S3", self.endpoint.clone())]
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
