//! Lends the program's HTTP client to `aws-config`, so that proxies, `AWS_CA_BUNDLE` and TLS are the same for
//! the API, STS, SSO and the instance's metadata.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

/// The largest answer that is read: credentials take a few KiB.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How long an exchange may take if the caller sets no bound.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// reqwest in the shape that the AWS crates want.
#[derive(Clone, Debug)]
pub(super) struct SdkHttpClient {
    client: reqwest::Client,
}

impl SdkHttpClient {
    pub(super) fn new(client: reqwest::Client) -> Self {
        Self { client }
    }
}

impl HttpClient for SdkHttpClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let timeout = match (settings.connect_timeout(), settings.read_timeout()) {
            (None, None) => DEFAULT_TIMEOUT,
            (connect, read) => connect.unwrap_or_default() + read.unwrap_or_default(),
        };
        SharedHttpConnector::new(SdkHttpConnector { client: self.client.clone(), timeout })
    }
}

#[derive(Debug)]
struct SdkHttpConnector {
    client: reqwest::Client,
    timeout: Duration,
}

impl HttpConnector for SdkHttpConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.client.clone();
        let timeout = self.timeout;
        HttpConnectorFuture::new(async move {
            tokio::time::timeout(timeout, exchange(&client, request))
                .await
                .map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?
        })
    }
}

async fn exchange(client: &reqwest::Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (parts, body) = request.into_parts();
    let Some(bytes) = body.bytes().map(<[u8]>::to_vec) else {
        return Err(ConnectorError::user("credential requests carry their body in memory".into()));
    };
    let request = reqwest::Request::try_from(http::Request::from_parts(parts, bytes))
        .map_err(|error| ConnectorError::user(error.into()))?;
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

fn connector_error(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}
