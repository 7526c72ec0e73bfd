//! The program's HTTP clients, each built when it is first needed: one that speaks TLS reads every certificate of the
//! system, which most runs need once and a run against this machine never.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::error_chain::error_chain;

/// How long connecting may take.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// What is bounded of an exchange.
#[derive(Clone, Copy, Debug)]
pub enum TimeLimit {
    /// The whole of it, connecting and reading the body included.
    Exchange(Duration),
    /// Each silence: for files, whose length decides how long they take.
    Silence(Duration),
}

/// The way that requests take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the proxies of the environment, where it names any.
    Proxied,
    /// Past all proxies: what is on this machine or its links, where a proxy would carry it elsewhere.
    Direct,
    /// Past all proxies and without TLS: no certificate is known, so that https fails.
    Plain,
}

impl Way {
    /// Returns the way to a URL that may be plain http only where it is near.
    #[must_use]
    pub fn to(url: &reqwest::Url) -> Self {
        if url.scheme() == "http" { Self::Plain } else { Self::Proxied }
    }
}

/// A client that cannot be built (exit 2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("AWS_CA_BUNDLE or TLS: {0}")]
pub struct HttpClientError(String);

/// The clients of one kind of exchange, one for each way. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct HttpClients(Arc<Clients>);

#[derive(Debug)]
struct Clients {
    time_limit: TimeLimit,
    authorities: Option<Vec<reqwest::Certificate>>,
    proxied: OnceLock<reqwest::Client>,
    direct: OnceLock<reqwest::Client>,
    plain: OnceLock<reqwest::Client>,
}

impl HttpClients {
    /// Takes the settings that all ways have in common. `ca_bundle` holds certificate authorities in PEM that replace
    /// the system's (`AWS_CA_BUNDLE`).
    ///
    /// # Errors
    /// [`HttpClientError`] if the bundle holds no certificate, or one that is none.
    pub fn new(time_limit: TimeLimit, ca_bundle: Option<&[u8]>) -> Result<Self, HttpClientError> {
        let authorities = ca_bundle.map(reqwest::Certificate::from_pem_bundle).transpose();
        let authorities = authorities.map_err(|error| HttpClientError(error_chain(&error)))?;
        if authorities.as_ref().is_some_and(Vec::is_empty) {
            return Err(HttpClientError("it holds no certificate".to_owned()));
        }
        let (proxied, direct, plain) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let clients = Self(Arc::new(Clients { time_limit, authorities, proxied, direct, plain }));
        if ca_bundle.is_some() {
            // Whether its certificates are any shows only here, and a run must not find out halfway.
            clients.get(Way::Proxied)?;
        }
        Ok(clients)
    }

    /// Returns the client of a way.
    ///
    /// # Errors
    /// [`HttpClientError`] if TLS cannot be set up.
    pub fn get(&self, way: Way) -> Result<reqwest::Client, HttpClientError> {
        let built = match way {
            Way::Proxied => &self.0.proxied,
            Way::Direct => &self.0.direct,
            Way::Plain => &self.0.plain,
        };
        if let Some(client) = built.get() {
            return Ok(client.clone());
        }
        // Of two that are built at the same time one stays.
        let client = self.build(way)?;
        Ok(built.get_or_init(|| client).clone())
    }

    /// Retries and redirects are off: every attempt is signed anew, counted and paced by `pacing`, and a redirect would
    /// carry the signature to a place that nobody configured.
    fn build(&self, way: Way) -> Result<reqwest::Client, HttpClientError> {
        // A second installation is refused and harmless: the provider is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("wickr-guest-export/", env!("CARGO_PKG_VERSION")));
        builder = match self.0.time_limit {
            TimeLimit::Exchange(longest) => {
                builder.timeout(longest).connect_timeout(longest.min(LONGEST_CONNECT))
            }
            TimeLimit::Silence(longest) => {
                builder.read_timeout(longest).connect_timeout(longest.min(LONGEST_CONNECT))
            }
        };
        builder = match (way, &self.0.authorities) {
            (Way::Plain, _) => builder.tls_certs_only([]),
            (Way::Proxied | Way::Direct, Some(authorities)) => builder.tls_certs_only(authorities.clone()),
            (Way::Proxied | Way::Direct, None) => builder,
        };
        if way != Way::Proxied {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| HttpClientError(error_chain(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_a_certificate_is_refused_before_anything_is_asked() {
        let limit = TimeLimit::Exchange(Duration::from_secs(1));
        for bundle in [
            "",
            "# nothing\n",
            "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nbm8gREVS\n-----END CERTIFICATE-----\n",
        ] {
            let error = HttpClients::new(limit, Some(bundle.as_bytes())).unwrap_err();
            assert!(error.to_string().starts_with("AWS_CA_BUNDLE or TLS: "), "{error}");
        }
        assert!(HttpClients::new(limit, None).unwrap().get(Way::Proxied).is_ok());
    }

    #[test]
    fn only_plain_http_takes_the_plain_way() {
        let way = |url: &str| Way::to(&url.parse().unwrap());
        assert_eq!(way("http://127.0.0.1:1"), Way::Plain);
        assert_eq!(way("https://127.0.0.1:1"), Way::Proxied);
    }
}
