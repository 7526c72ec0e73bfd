//! A double of Google Cloud Storage's XML API, and of what gives tokens for it.
//!
//! It is written from Google's documentation and is not Google's: no program of theirs that speaks this API can be
//! installed from a package registry. So it is strict instead. It takes only what the pages below describe, answers
//! 400 or 501 to all else, believes only tokens that it handed out itself and signatures of its account's key, and
//! decides each request under one lock, as a store that is strongly consistent does.
//!
//! - objects: "PUT Object", "GET Object", "DELETE Object", "Copy an object", `cloud.google.com/storage/docs/xml-api/…`
//! - conditions: "Request preconditions", `cloud.google.com/storage/docs/request-preconditions`
//! - multipart: "XML API multipart uploads", `cloud.google.com/storage/docs/multipart-uploads`
//! - listing: "List objects" with `list-type=2`, `cloud.google.com/storage/docs/xml-api/get-bucket-list`
//! - errors: "HTTP status and error codes for XML", `cloud.google.com/storage/docs/xml-api/reference-status`
//! - one change of an object a second: "Quotas & limits", `cloud.google.com/storage/quotas`
//! - tokens: AIP-4111 (a key's own signature), AIP-4113 (a user), AIP-4115 (metadata), AIP-4117 (federation)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, Utc};
use percent_encoding::percent_decode_str;
use quick_xml::escape::escape;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::server::BUCKET;

/// A key that opens nothing but this double.
const KEY: &str = include_str!("service_account.pem");
const KEY_ID: &str = "0123456789abcdef";
const ACCOUNT: &str = "exporter@project.iam.gserviceaccount.com";
const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster";
/// What the other provider says who somebody is by.
const SUBJECT_TOKEN: &str = "a/token+of the=cluster";
/// The least that a part may have that is not the last.
const LEAST_PART_BYTES: usize = 5 * 1024 * 1024;
/// How many keys a page of a listing has: fewer than may be asked for, so that there are several.
const PAGE_KEYS: usize = 7;

/// The double, until it is dropped.
pub(super) struct GoogleServer {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
}

/// Which request is done and not answered, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// A put of a whole object under a condition.
    ConditionalPut,
    /// The completion of an upload in parts.
    Completion,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    generation: u64,
    /// What the storage believes.
    tokens: BTreeSet<String>,
    /// What only the IAM Service Account Credentials API believes.
    federated: BTreeSet<String>,
    unanswered: Option<Unanswered>,
    /// Whether tokens of the metadata server nearly end when they are handed out.
    shortens_tokens: bool,
    /// Whether one object may be changed but once a second, and when each was.
    limits_changes: bool,
    changes: BTreeMap<String, Instant>,
    /// How many changes were refused for that.
    refused_changes: u32,
}

#[derive(Clone)]
struct Object {
    bytes: Arc<Vec<u8>>,
    generation: u64,
    modified: SystemTime,
    content_type: String,
    metadata: BTreeMap<String, String>,
}

struct Upload {
    key: String,
    content_type: String,
    metadata: BTreeMap<String, String>,
    parts: BTreeMap<u32, (String, Vec<u8>)>,
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl GoogleServer {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = Self { address, stopped: Arc::default(), state: Arc::default() };
        let (stopped, state) = (Arc::clone(&server.stopped), Arc::clone(&server.state));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let state = Arc::clone(&state);
                // Whoever breaks off is gone, which is no concern of the others.
                std::thread::spawn(move || drop(serve(&stream, &state)));
            }
        });
        server
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub(super) fn leave_unanswered(&self, what: Unanswered) {
        self.state().unanswered = Some(what);
    }

    /// Says whether it happened.
    pub(super) fn left_unanswered(&self) -> bool {
        self.state().unanswered.is_none()
    }

    pub(super) fn limit_changes(&self) {
        self.state().limits_changes = true;
    }

    pub(super) fn refused_changes(&self) -> u32 {
        self.state().refused_changes
    }

    /// How many uploads were begun and neither completed nor aborted.
    pub(super) fn uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Writes the key of the service account, as the console downloads it.
    pub(super) fn key_file(&self, folder: &Path) -> PathBuf {
        Self::credentials(
            folder,
            "key.json",
            &json!({
                "type": "service_account", "project_id": "project", "private_key_id": KEY_ID, "private_key": KEY,
                "client_email": ACCOUNT, "client_id": "1", "token_uri": format!("{}/token", self.endpoint()),
            }),
        )
    }

    pub(super) fn credentials(folder: &Path, name: &str, file: &Value) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, file.to_string()).expect("room for a file");
        path
    }
}

/// What the real program is set up with in its stories.
#[cfg(feature = "simulator")]
impl GoogleServer {
    /// The host that a metadata server is named by.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn shorten_tokens(&self) {
        self.state().shortens_tokens = true;
    }

    /// How many tokens of whatever kind it has handed out.
    pub(super) fn tokens(&self) -> usize {
        self.state().tokens.len()
    }

    /// Hands a token out to whoever calls.
    pub(super) fn token(&self) -> String {
        self.state().granted()
    }

    /// Writes what `gcloud auth application-default login` leaves, with the place where it is exchanged.
    pub(super) fn user_file(&self, folder: &Path, refresh_token: &str) -> PathBuf {
        Self::credentials(
            folder,
            "application_default_credentials.json",
            &json!({
                "type": "authorized_user", "client_id": "client", "client_secret": "s&cret",
                "refresh_token": refresh_token, "token_uri": format!("{}/token", self.endpoint()),
            }),
        )
    }

    /// Writes what `gcloud iam workload-identity-pools create-cred-config` does, and the cluster's token.
    pub(super) fn federation_file(
        &self,
        folder: &Path,
        subject_token: &str,
        acts_as_account: bool,
    ) -> PathBuf {
        let token = folder.join("cluster-token.json");
        std::fs::write(&token, json!({ "token": subject_token }).to_string()).expect("room for a file");
        let mut file = json!({
            "type": "external_account", "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/v1/token", self.endpoint()),
            "credential_source": {
                "file": token, "format": { "type": "json", "subject_token_field_name": "token" },
            },
        });
        if acts_as_account {
            let account = format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken");
            file["service_account_impersonation_url"] = json!(format!("{}{account}", self.endpoint()));
        }
        Self::credentials(folder, "federation.json", &file)
    }

    /// The token that the federation's file should name.
    pub(super) fn subject_token() -> &'static str {
        SUBJECT_TOKEN
    }
}

impl Drop for GoogleServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Whoever waits for connections sees it with the next one.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers what comes over one connection until it ends.
fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let answer = state.lock().expect("no panic").answer(&request);
        let Some(response) = answer else { return Ok(()) };
        let mut head = format!("HTTP/1.1 {} Told\r\n", response.status);
        for (name, value) in &response.headers {
            write!(head, "{name}: {value}\r\n").expect("a string takes text");
        }
        if !response.headers.iter().any(|(name, _)| *name == "Content-Length") {
            write!(head, "Content-Length: {}\r\n", response.body.len()).expect("a string takes text");
        }
        let mut bytes = (head + "\r\n").into_bytes();
        if request.method != "HEAD" {
            bytes.extend(&response.body);
        }
        (&mut &*stream).write_all(&bytes)?;
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_ascii_whitespace();
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let query = pairs(query);
    let (method, path) = (method.to_owned(), decoded(path));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { method, path, query, headers, body }))
}

/// Reads `application/x-www-form-urlencoded`.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn asks(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let named = self.headers.iter().filter(|(name, _)| name.starts_with("x-goog-meta-"));
        named.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn content_type(&self) -> String {
        self.header("content-type").unwrap_or("application/octet-stream").to_owned()
    }

    /// Says which of Google's headers it has that the operation does not have.
    fn unknown_header(&self, known: &[&str]) -> Option<&String> {
        let is_known = |name: &str| name.starts_with("x-goog-meta-") || known.contains(&name);
        let mut special =
            self.headers.keys().filter(|name| name.starts_with("x-") || name.starts_with("if-"));
        special.find(|name| !is_known(name))
    }
}

impl Response {
    fn of(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type", content_type.to_owned())], body: body.into() }
    }

    fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    fn xml(status: u16, body: &str) -> Self {
        let text = format!("<?xml version='1.0' encoding='UTF-8'?>{body}");
        Self::of(status, "application/xml; charset=UTF-8", text)
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        Self::xml(status, &format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
    }

    fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json; charset=UTF-8", body.to_string())
    }
}

fn no_such_key() -> Response {
    Response::error(404, "NoSuchKey", "The specified key does not exist.")
}

fn no_such_upload() -> Response {
    Response::error(404, "NoSuchUpload", "The requested upload was not found.")
}

fn invalid(what: &str) -> Response {
    Response::error(400, "InvalidArgument", &format!("Invalid argument: {what}"))
}

/// Of the bytes alone, as Google's are of most objects: so it tells no version from an earlier one of the same bytes.
fn e_tag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(&Sha256::digest(bytes)[..16]))
}

impl State {
    /// None leaves the request unanswered.
    fn answer(&mut self, request: &Request) -> Option<Response> {
        let response = self.decide(request);
        let is_done = response.status < 300;
        let is_unanswered = |what| match what {
            Unanswered::ConditionalPut => {
                request.method == "PUT" && request.header("x-goog-if-generation-match").is_some()
            }
            Unanswered::Completion => request.method == "POST" && request.asks("uploadId").is_some(),
        };
        match self.unanswered.take_if(|what| is_done && is_unanswered(*what)) {
            Some(_) => None,
            None => Some(response),
        }
    }

    fn decide(&mut self, request: &Request) -> Response {
        match (&*request.method, &*request.path) {
            ("GET", "/computeMetadata/v1/instance/service-accounts/default/token") => {
                return self.metadata_token(request);
            }
            ("POST", "/token") => return self.user_token(request),
            ("POST", "/v1/token") => return self.federated_token(request),
            ("POST", path) if path.ends_with(":generateAccessToken") => return self.account_token(request),
            _ => {}
        }
        let is_believed =
            request.bearer().is_some_and(|bearer| self.tokens.contains(bearer) || is_signed(bearer));
        if !is_believed {
            return Response::error(401, "AuthenticationRequired", "Authentication required.");
        }
        let path = request.path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket != BUCKET {
            return Response::error(404, "NoSuchBucket", "The specified bucket does not exist.");
        }
        if matches!(&*request.method, "PUT" | "POST") && request.header("content-length").is_none() {
            return Response::error(
                411,
                "MissingContentLength",
                "You must provide the Content-Length header.",
            );
        }
        match (&*request.method, key) {
            ("GET", "") => self.list(request),
            (_, "") => Response::error(501, "NotImplemented", "Buckets are only listed here."),
            ("GET" | "HEAD", key) => self.get(request, key),
            ("PUT", key) if request.asks("uploadId").is_some() => self.put_part(request, key),
            ("PUT", key) => self.change(key, |state| state.put(request, key)),
            ("POST", key) if request.asks("uploads").is_some() => self.initiate(request, key),
            ("POST", key) if request.asks("uploadId").is_some() => {
                self.change(key, |state| state.complete(request, key))
            }
            ("DELETE", _) if request.asks("uploadId").is_some() => self.abort(request),
            ("DELETE", key) => self.change(key, |state| match state.objects.remove(key) {
                Some(_) => Response::empty(204),
                None => no_such_key(),
            }),
            _ => Response::error(501, "NotImplemented", "Not known here."),
        }
    }

    /// Changes an object, unless it was changed within this second.
    fn change(&mut self, key: &str, change: impl FnOnce(&mut Self) -> Response) -> Response {
        let second = Duration::from_secs(1);
        if self.limits_changes && self.changes.get(key).is_some_and(|last| last.elapsed() < second) {
            self.refused_changes += 1;
            let message = format!(
                "The object {BUCKET}/{} exceeded the rate limit for object mutation operations (create, update, and \
                 delete). Please reduce your request rate.",
                escape(key)
            );
            return Response::error(429, "SlowDown", &message);
        }
        let response = change(self);
        if response.status < 300 {
            self.changes.insert(key.to_owned(), Instant::now());
        }
        response
    }

    /// Holds a request against the generation that it names; 0 is that of no object.
    fn condition(&self, request: &Request, key: &str) -> Result<(), Response> {
        let Some(wanted) = request.header("x-goog-if-generation-match") else { return Ok(()) };
        let Ok(wanted) = wanted.parse::<u64>() else { return Err(invalid("x-goog-if-generation-match")) };
        if self.objects.get(key).map_or(0, |object| object.generation) == wanted {
            return Ok(());
        }
        let body = "<Error><Code>PreconditionFailed</Code><Message>At least one of the pre-conditions you specified \
                    did not hold.</Message><Details>x-goog-if-generation-match</Details></Error>";
        Err(Response::xml(412, body))
    }

    fn put(&mut self, request: &Request, key: &str) -> Response {
        let known = ["x-goog-if-generation-match", "x-goog-copy-source"];
        if let Some(name) = request.unknown_header(&known) {
            return invalid(name);
        }
        if let Some(name) = request.query.keys().next() {
            return invalid(name);
        }
        if let Err(refusal) = self.condition(request, key) {
            return refusal;
        }
        let Some(source) = request.header("x-goog-copy-source") else {
            let bytes = Arc::new(request.body.clone());
            return self.place(key, bytes, request.content_type(), request.metadata());
        };
        let source = percent_decode_str(source).decode_utf8_lossy();
        let source =
            source.trim_start_matches('/').strip_prefix(BUCKET).and_then(|key| key.strip_prefix('/'));
        if !request.body.is_empty() {
            return invalid("a copy has no body");
        }
        let Some(object) = source.and_then(|source| self.objects.get(source)).cloned() else {
            return no_such_key();
        };
        // Without x-goog-metadata-directive the copy has the metadata of its source.
        let placed = self.place(key, Arc::clone(&object.bytes), object.content_type, object.metadata);
        let body = format!(
            "<CopyObjectResult><LastModified>{}</LastModified><ETag>{}</ETag></CopyObjectResult>",
            rfc3339(object.modified),
            e_tag(&object.bytes)
        );
        Response { headers: placed.headers, ..Response::xml(200, &body) }
    }

    fn place(
        &mut self,
        key: &str,
        bytes: Arc<Vec<u8>>,
        content_type: String,
        metadata: BTreeMap<String, String>,
    ) -> Response {
        self.generation += 1;
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_micros();
        // Later ones are larger, and no two are the same.
        let generation = self.generation.max(u64::try_from(micros).expect("this millennium"));
        self.generation = generation;
        let e_tag = e_tag(&bytes);
        let object = Object { bytes, generation, modified: SystemTime::now(), content_type, metadata };
        self.objects.insert(key.to_owned(), object);
        let headers = vec![
            ("ETag", e_tag),
            ("x-goog-generation", generation.to_string()),
            ("x-goog-metageneration", "1".to_owned()),
        ];
        Response { headers, ..Response::empty(200) }
    }

    fn get(&self, request: &Request, key: &str) -> Response {
        if let Some(name) = request.unknown_header(&[]).or_else(|| request.query.keys().next()) {
            return invalid(name);
        }
        if request.header("range").is_some() {
            return Response::error(501, "NotImplemented", "Objects are only read whole here.");
        }
        let Some(object) = self.objects.get(key) else { return no_such_key() };
        let mut response = Response::of(200, &object.content_type, object.bytes.to_vec());
        response.headers.extend([
            ("Content-Length", object.bytes.len().to_string()),
            ("ETag", e_tag(&object.bytes)),
            ("Last-Modified", httpdate::fmt_http_date(object.modified)),
            ("x-goog-generation", object.generation.to_string()),
            ("x-goog-metageneration", "1".to_owned()),
            ("x-goog-stored-content-length", object.bytes.len().to_string()),
        ]);
        for (name, value) in &object.metadata {
            let known = ["x-goog-meta-guestexportorigin"].into_iter().find(|known| known == name);
            response.headers.push((known.expect("no other metadata is put"), value.clone()));
        }
        response
    }

    fn list(&self, request: &Request) -> Response {
        let known = ["list-type", "prefix", "continuation-token"];
        if let Some(name) = request.query.keys().find(|name| !known.contains(&name.as_str())) {
            return invalid(name);
        }
        if request.asks("list-type") != Some("2") {
            return Response::error(
                501,
                "NotImplemented",
                "Only the second version of listings is known here.",
            );
        }
        let prefix = request.asks("prefix").unwrap_or_default();
        let after = request.asks("continuation-token").unwrap_or_default();
        let mut rest =
            self.objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after).peekable();
        let (mut contents, mut count, mut last) = (String::new(), 0, "");
        while count < PAGE_KEYS
            && let Some((key, object)) = rest.next()
        {
            write!(
                contents,
                "<Contents><Key>{}</Key><Generation>{}</Generation><MetaGeneration>1</MetaGeneration>\
                 <LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                escape(key.as_str()),
                object.generation,
                rfc3339(object.modified),
                escape(e_tag(&object.bytes)),
                object.bytes.len()
            )
            .expect("a string takes text");
            (count, last) = (count + 1, key);
        }
        let is_truncated = rest.peek().is_some();
        let next = if is_truncated {
            format!("<NextContinuationToken>{}</NextContinuationToken>", escape(last))
        } else {
            String::new()
        };
        let body = format!(
            "<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'><Name>{BUCKET}</Name><Prefix>{}</Prefix>\
             <KeyCount>{count}</KeyCount><IsTruncated>{is_truncated}</IsTruncated>{next}{contents}</ListBucketResult>",
            escape(prefix)
        );
        Response::xml(200, &body)
    }

    fn initiate(&mut self, request: &Request, key: &str) -> Response {
        if let Some(name) = request.unknown_header(&[]) {
            return invalid(name);
        }
        if !request.body.is_empty() {
            return invalid("an initiation has no body");
        }
        let id = format!("upload-{}-of/{}", self.uploads.len(), hex::encode(rand::random::<[u8; 8]>()));
        let upload = Upload {
            key: key.to_owned(),
            content_type: request.content_type(),
            metadata: request.metadata(),
            parts: BTreeMap::new(),
        };
        let body = format!(
            "<InitiateMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Bucket>{BUCKET}</Bucket>\
             <Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            escape(key)
        );
        self.uploads.insert(id, upload);
        Response::xml(200, &body)
    }

    fn put_part(&mut self, request: &Request, key: &str) -> Response {
        // A part has no condition and no metadata of its own.
        if let Some(name) = request.unknown_header(&[]) {
            return invalid(name);
        }
        let id = request.asks("uploadId").unwrap_or_default();
        let Some(upload) = self.uploads.get_mut(id).filter(|upload| upload.key == key) else {
            return no_such_upload();
        };
        let number = request.asks("partNumber").and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|number| (1..=10_000).contains(number)) else {
            return invalid("partNumber");
        };
        let e_tag = e_tag(&request.body);
        upload.parts.insert(number, (e_tag.clone(), request.body.clone()));
        Response { headers: vec![("ETag", e_tag)], ..Response::empty(200) }
    }

    /// Completing replaces whatever is there: it takes no condition.
    fn complete(&mut self, request: &Request, key: &str) -> Response {
        if let Some(name) = request.unknown_header(&[]) {
            return invalid(name);
        }
        let id = request.asks("uploadId").unwrap_or_default();
        let Some(upload) = self.uploads.get(id).filter(|upload| upload.key == key) else {
            return no_such_upload();
        };
        let wanted = String::from_utf8_lossy(&request.body);
        let element = |part: &str, name: &str| {
            let (_, rest) = part.split_once(&format!("<{name}>"))?;
            Some(rest.split_once("</")?.0.trim().to_owned())
        };
        let parts: Option<Vec<(u32, String)>> = wanted
            .split("<Part>")
            .skip(1)
            .map(|part| Some((element(part, "PartNumber")?.parse().ok()?, element(part, "ETag")?)))
            .collect();
        let Some(parts) = parts.filter(|parts| !parts.is_empty()) else {
            return Response::error(400, "MalformedCompleteMultipartUploadRequest", "No parts.");
        };
        if !parts.is_sorted_by(|one, other| one.0 < other.0) {
            return Response::error(400, "InvalidPartOrder", "The parts are not in order.");
        }
        let mut bytes = Vec::new();
        for (at, (number, e_tag)) in parts.iter().enumerate() {
            match upload.parts.get(number) {
                Some((known, part)) if known == e_tag => {
                    if at + 1 < parts.len() && part.len() < LEAST_PART_BYTES {
                        return Response::error(400, "EntityTooSmall", "A part is too small.");
                    }
                    bytes.extend(part);
                }
                _ => return Response::error(400, "InvalidPart", "A part was not found."),
            }
        }
        let upload = self.uploads.remove(id).expect("it is there");
        let placed = self.place(key, Arc::new(bytes), upload.content_type, upload.metadata);
        let e_tag = placed.headers.iter().find(|(name, _)| *name == "ETag").expect("it has one").1.clone();
        let body = format!(
            "<CompleteMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Location>there</Location>\
             <Bucket>{BUCKET}</Bucket><Key>{}</Key><ETag>{}</ETag></CompleteMultipartUploadResult>",
            escape(key),
            escape(e_tag)
        );
        Response { headers: placed.headers, ..Response::xml(200, &body) }
    }

    fn abort(&mut self, request: &Request) -> Response {
        match self.uploads.remove(request.asks("uploadId").unwrap_or_default()) {
            Some(_) => Response::empty(204),
            None => no_such_upload(),
        }
    }

    fn granted(&mut self) -> String {
        let token = format!("ya29.{}", hex::encode(rand::random::<[u8; 16]>()));
        self.tokens.insert(token.clone());
        token
    }

    fn metadata_token(&mut self, request: &Request) -> Response {
        if request.header("metadata-flavor") != Some("Google") {
            return Response::of(403, "text/html", "Missing required header");
        }
        let seconds = if self.shortens_tokens { 60 } else { 3599 };
        let granted =
            json!({ "access_token": self.granted(), "expires_in": seconds, "token_type": "Bearer" });
        Response::json(200, &granted)
    }

    fn user_token(&mut self, request: &Request) -> Response {
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let wanted = [
            ("client_id", "client"),
            ("client_secret", "s&cret"),
            ("grant_type", "refresh_token"),
            ("refresh_token", "1//refresh"),
        ];
        if !form.iter().map(|(name, value)| (&**name, &**value)).eq(wanted) {
            let refused = json!({ "error": "invalid_grant", "error_description": "Bad Request" });
            return Response::json(400, &refused);
        }
        Response::json(200, &json!({ "access_token": self.granted(), "expires_in": 3599 }))
    }

    fn federated_token(&mut self, request: &Request) -> Response {
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let has = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
        if !has("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            || !has("requested_token_type", "urn:ietf:params:oauth:token-type:access_token")
            || !has("subject_token_type", "urn:ietf:params:oauth:token-type:jwt")
            || !has("audience", AUDIENCE)
        {
            return Response::json(400, &json!({ "error": "invalid_request" }));
        }
        if !has("subject_token", SUBJECT_TOKEN) {
            return Response::json(400, &json!({ "error": "invalid_grant", "error_description": "secret" }));
        }
        let token = if has("scope", "https://www.googleapis.com/auth/devstorage.read_write") {
            self.granted()
        } else if has("scope", "https://www.googleapis.com/auth/cloud-platform") {
            let token = format!("federated.{}", hex::encode(rand::random::<[u8; 16]>()));
            self.federated.insert(token.clone());
            token
        } else {
            return Response::json(400, &json!({ "error": "invalid_scope" }));
        };
        Response::json(200, &json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }))
    }

    fn account_token(&mut self, request: &Request) -> Response {
        let account = format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken");
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let is_known = request.bearer().is_some_and(|bearer| self.federated.contains(bearer));
        if request.path != account || !is_known {
            let refused =
                json!({ "error": { "code": 403, "status": "PERMISSION_DENIED", "message": "No." } });
            return Response::json(403, &refused);
        }
        if body["scope"] != json!(["https://www.googleapis.com/auth/devstorage.read_write"])
            || body["lifetime"] != "3600s"
        {
            return Response::json(400, &json!({ "error": { "code": 400, "status": "INVALID_ARGUMENT" } }));
        }
        let ends = rfc3339(SystemTime::now() + Duration::from_hours(1));
        Response::json(200, &json!({ "accessToken": self.granted(), "expireTime": ends }))
    }
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Says whether a token is one that the service account signed itself, is of now, and asks for what storage takes.
fn is_signed(token: &str) -> bool {
    let Some((message, signature)) = token.rsplit_once('.') else { return false };
    let Some((header, claims)) = message.split_once('.') else { return false };
    let decoded = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let parsed = |text: &str| serde_json::from_slice::<Value>(&decoded(text)?).ok();
    let (Some(header), Some(claims), Some(signature)) = (parsed(header), parsed(claims), decoded(signature))
    else {
        return false;
    };
    let now = Utc::now().timestamp();
    let (issued, ends) = (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
    let scopes = ["cloud-platform", "devstorage.full_control", "devstorage.read_write"]
        .map(|scope| format!("https://www.googleapis.com/auth/{scope}"));
    let is_meant = header["alg"] == "RS256"
        && header["kid"] == KEY_ID
        && claims["iss"] == ACCOUNT
        && claims["sub"] == ACCOUNT
        && claims["scope"].as_str().is_some_and(|asked| scopes.iter().any(|scope| scope == asked))
        && issued <= now + 60
        && now < ends
        && ends - issued <= 3600;
    let pem: String = KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    let key = BASE64_STANDARD.decode(pem).expect("the key is PEM");
    let key = RsaKeyPair::from_pkcs8(&key).expect("the key is PKCS#8");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    is_meant && public.verify(message.as_bytes(), &signature).is_ok()
}
