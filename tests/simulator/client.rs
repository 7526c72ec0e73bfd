//! A client that is not the program's own: plain HTTP, signed by AWS's signing library.
//!
//! It follows nothing, tries nothing twice and believes nothing, so that a test sees exactly what was sent.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::Value;
use wickr_guest_export::simulator::{RunningSimulator, Simulator, SimulatorConfig};

/// How a request is signed; what a test changes to be refused.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
    pub(crate) region: String,
    pub(crate) service: &'static str,
    /// How far the client's clock is behind, in seconds; negative if it is ahead.
    pub(crate) behind_seconds: i64,
}

pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) endpoint: String,
    pub(crate) signer: Signer,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn code(&self) -> Option<&str> {
        self.header("x-amzn-errortype")
    }

    /// Returns the usernames of a page.
    pub(crate) fn usernames(&self) -> Vec<String> {
        let text = |row: &Value| row["username"].as_str().unwrap().to_owned();
        self.json()["guestlist"].as_array().unwrap().iter().map(text).collect()
    }

    /// Returns the token of a page, if it has one that is not empty.
    pub(crate) fn token(&self) -> Option<String> {
        let token = self.json()["nextToken"].as_str().map(str::to_owned);
        token.filter(|token| !token.is_empty())
    }
}

/// Starts a simulator and a client for it.
pub(crate) async fn start(config: SimulatorConfig) -> (RunningSimulator, Client) {
    let simulator = Simulator::start(config).await.expect("a free port");
    let client = Client::new(&simulator);
    (simulator, client)
}

impl Client {
    pub(crate) fn new(simulator: &RunningSimulator) -> Self {
        // An error only says that another test of this process was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let credentials = simulator.credentials();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .expect("a client");
        let signer = Signer {
            access_key_id: credentials.access_key_id.clone(),
            secret_access_key: credentials.secret_access_key.clone(),
            session_token: credentials.session_token.clone(),
            region: simulator.region().to_owned(),
            service: "wickr",
            behind_seconds: 0,
        };
        Self { http, endpoint: simulator.endpoint(), signer }
    }

    /// Signs a GET of a path with its query.
    pub(crate) fn request(&self, path: &str) -> reqwest::Request {
        let url = format!("{}{path}", self.endpoint);
        let signer = &self.signer;
        let (id, secret) = (signer.access_key_id.clone(), signer.secret_access_key.clone());
        let identity = Credentials::new(id, secret, signer.session_token.clone(), None, "test").into();
        let shift = Duration::from_secs(signer.behind_seconds.unsigned_abs());
        let now = SystemTime::now();
        let time = if signer.behind_seconds < 0 { now + shift } else { now - shift };
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&signer.region)
            .name(signer.service)
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .expect("every parameter is given")
            .into();
        let signable = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]));
        let output = sign(signable.expect("a valid URL"), &parameters).expect("a signature");
        let mut request = http::Request::get(&url).body("").expect("a request");
        output.into_parts().0.apply_to_request_http1x(&mut request);
        request.try_into().expect("a request")
    }

    /// Sends a request that may fail below HTTP.
    pub(crate) async fn send(&self, request: reqwest::Request) -> Result<Answer, reqwest::Error> {
        let response = self.http.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }

    /// Signs and sends a GET, which must be answered.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(path)).await.expect(path)
    }

    /// Reads a list to its end, page by page; `path` has a query already. Gives up after `limit` pages.
    pub(crate) async fn pages(&self, path: &str, limit: usize) -> Vec<Answer> {
        let mut pages = vec![self.get(path).await];
        while let Some(token) = pages.last().and_then(Answer::token).filter(|_| pages.len() < limit) {
            pages.push(self.get(&format!("{path}&nextToken={token}")).await);
        }
        pages
    }
}
