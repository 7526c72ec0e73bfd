//! The floor of whoever speaks to AWS: the same as `floor-socket` with an HTTP client and a signature a request.

use std::error::Error;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use peer_floor::{Asked, Guests};

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(walk())
}

async fn walk() -> Result<(), Box<dyn Error>> {
    let asked = Asked::read()?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Nothing is verified over plain http, and reading the system's certificates is not what is measured.
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
    let variable = |name| std::env::var(name);
    let (key, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
    let identity = Credentials::new(key, secret, None, None, "environment").into();
    let region = variable("AWS_REGION")?;
    let mut guests = Guests::default();
    let mut token: Option<String> = None;
    loop {
        let uri = asked.endpoint.clone() + &asked.target(token.as_deref());
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name("wickr")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable = SignableRequest::new("GET", &uri, [].into_iter(), SignableBody::Bytes(&[]))?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request = http::Request::get(uri).body(Vec::new())?;
        instructions.apply_to_request_http1x(&mut request);
        let response = client.execute(request.try_into()?).await?.error_for_status()?;
        token = guests.absorb(&response.bytes().await?)?;
        if token.is_none() {
            return guests.write(&asked);
        }
    }
}
