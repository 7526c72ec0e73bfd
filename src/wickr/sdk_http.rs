//! Lends the program's HTTP client to `aws-config`, so that proxies, `AWS_CA_BUNDLE` and TLS are the same for
//! the API, STS, SSO and the instance's metadata.
//!
//! What gives credentials must not be asked in the clear, or answer so: plain http is for this machine and for the
//! link-local addresses of containers and instances. No proxy could reach those either, so that way goes around them.

use std::net::IpAddr;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use super::client::{HttpClients, Way};

/// The largest answer that is read: credentials take a few KiB.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How long an exchange may take if the caller does not bound how long an answer may.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The metadata of an instance and of a Pod Identity, where IPv6 is spoken.
const METADATA_NETWORK: [u16; 2] = [0xfd00, 0x0ec2];

/// reqwest in the shape that the AWS crates want.
#[derive(Clone, Debug)]
pub(super) struct SdkHttpClient {
    clients: HttpClients,
}

impl SdkHttpClient {
    pub(super) fn new(clients: HttpClients) -> Self {
        Self { clients }
    }
}

impl HttpClient for SdkHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let timeout = settings
            .read_timeout()
            .map_or(DEFAULT_TIMEOUT, |read| settings.connect_timeout().unwrap_or_default() + read);
        SharedHttpConnector::new(SdkHttpConnector { clients: self.clients.clone(), timeout })
    }
}

#[derive(Debug)]
struct SdkHttpConnector {
    clients: HttpClients,
    timeout: Duration,
}

impl HttpConnector for SdkHttpConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let clients = self.clients.clone();
        let timeout = self.timeout;
        HttpConnectorFuture::new(async move {
            tokio::time::timeout(timeout, exchange(&clients, request))
                .await
                .map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?
        })
    }
}

async fn exchange(clients: &HttpClients, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let Some(bytes) = body.bytes().map(<[u8]>::to_vec) else {
        return Err(ConnectorError::user("credential requests carry their body in memory".into()));
    };
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, bytes))
        .map_err(|error| ConnectorError::user(error.into()))?;
    let way = Way::to(request.url());
    if way == Way::Plain && !is_near(request.url()) {
        let host = request.url().host_str().unwrap_or_default();
        let unsafe_way = format!("http://{host} is not https; plain http is for this machine and its links");
        return Err(ConnectorError::user(unsafe_way.into()));
    }
    let client = clients.get(way).map_err(|error| ConnectorError::user(error.into()))?;
    let mut response = client.execute(request).await.map_err(connector_error)?;
    let mut answer = http::Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        *headers = response.headers().clone();
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(connector_error)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            let too_large = format!("the answer is larger than {MAX_BODY_BYTES} bytes");
            return Err(ConnectorError::other(too_large.into(), None));
        }
        body.extend_from_slice(&chunk);
    }
    let answer =
        answer.body(SdkBody::from(body)).map_err(|error| ConnectorError::other(error.into(), None))?;
    HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
}

/// Says whether an endpoint is this machine, or on a link of it.
fn is_near(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            let metadata = address.segments()[..2] == METADATA_NETWORK;
            address.is_loopback() || address.is_unicast_link_local() || metadata
        }
        Err(_) => host == "localhost",
    }
}

fn connector_error(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_and_its_links() {
        let near = |url: &str| is_near(&url.parse().expect(url));
        for url in [
            "http://localhost:4566",
            "http://127.0.0.1/keys",
            "http://[::1]:80",
            "http://169.254.169.254/latest",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://[fe80::1]",
        ] {
            assert!(near(url), "{url}");
        }
        for url in
            ["http://sts.amazonaws.com", "http://10.0.0.1", "http://169.253.0.1", "http://[fd00:ec3::23]"]
        {
            assert!(!near(url), "{url}");
        }
    }
}
