//! Signature Version 4, in the `Authorization` header.
//!
//! The algorithm is AWS's own crate; what is decided here is what gets signed: all headers that the request
//! carries, an empty or given body by its digest, and the session token where there is one.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as sign_request};
use aws_sigv4::sign::v4;
use reqwest::header::HeaderValue;

/// A request that could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// Its URL is no URI, a header is no text, or its body is a stream.
    #[error("the request cannot be signed: {0}")]
    Request(String),
    /// The credentials are none.
    #[error("the request could not be signed: {0}")]
    Credentials(String),
}

/// Signs a request for a service and region at an instant, adding the headers that carry the signature.
///
/// # Errors
/// [`SigningError`] if the request, or the credentials, are none that can be signed, or signed with.
pub fn sign(
    request: &mut reqwest::Request,
    credentials: &Credentials,
    region: &str,
    service: &str,
    time: SystemTime,
) -> Result<(), SigningError> {
    let unsignable = |error: &dyn std::error::Error| SigningError::Request(error.to_string());
    let no_credentials = |error: &dyn std::error::Error| SigningError::Credentials(error.to_string());
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| no_credentials(&error))?
        .into();
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| value.to_str().map(|value| (name.as_str(), value)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unsignable(&error))?;
    let body = request.body().map_or(Some(&b""[..]), reqwest::Body::as_bytes);
    let body = body.ok_or_else(|| SigningError::Request("its body is a stream".to_owned()))?;
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.url().as_str(),
        headers.into_iter(),
        SignableBody::Bytes(body),
    )
    .map_err(|error| unsignable(&error))?;
    let (instructions, _signature) =
        sign_request(signable, &parameters).map_err(|error| no_credentials(&error))?.into_parts();
    // The signature is in headers alone: no parameters of the query come with it.
    let (headers, _parameters) = instructions.into_parts();
    for header in headers {
        let mut value = HeaderValue::from_str(header.value()).map_err(|error| no_credentials(&error))?;
        value.set_sensitive(header.sensitive());
        request.headers_mut().insert(header.name(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::Method;

    use super::*;

    /// Signs as AWS's published test suite does (`aws-sig-v4-test-suite`): its example key, region, service
    /// and instant (2015-08-30T12:36:00Z).
    fn signature(mut request: reqwest::Request, session_token: Option<&str>) -> String {
        let credentials = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session_token.map(str::to_owned),
            None,
            "test",
        );
        let time = SystemTime::UNIX_EPOCH + Duration::from_mins(24_015_636);
        sign(&mut request, &credentials, "us-east-1", "service", time).expect("a signature");
        let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
        authorization.rsplit("Signature=").next().unwrap().to_owned()
    }

    fn request(method: Method, url: &str, headers: &[(&'static str, &'static str)]) -> reqwest::Request {
        let mut request = reqwest::Request::new(method, url.parse().unwrap());
        for (name, value) in [("host", "example.amazonaws.com")].iter().chain(headers) {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        request
    }

    fn get(url: &str) -> reqwest::Request {
        request(Method::GET, url, &[])
    }

    #[test]
    fn the_published_vectors_hold() {
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let host = "https://example.amazonaws.com";
        let headers = [("my-header1", " value1"), ("my-header2", " \"a   b   c\"")];
        let trimmed = request(Method::GET, &format!("{host}/"), &headers);
        let post = request(Method::POST, &format!("{host}/"), &[]);
        for (name, request, session_token, expected) in [
            (
                "get-vanilla",
                get(&format!("{host}/")),
                None,
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-with-session-token",
                get(&format!("{host}/")),
                Some(token),
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
            (
                "get-vanilla-query-order-key-case",
                get(&format!("{host}/?Param2=value2&Param1=value1")),
                None,
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-query-unreserved",
                get(&format!("{host}/?{unreserved}={unreserved}")),
                None,
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            (
                "get-vanilla-query-order-encoded",
                get(&format!("{host}/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1")),
                None,
                "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
            ),
            (
                "get-unreserved",
                get(&format!("{host}/{unreserved}")),
                None,
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            (
                "get-header-value-trim",
                trimmed,
                None,
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            ("post-vanilla", post, None, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ] {
            assert_eq!(signature(request, session_token), expected, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_signed_is_refused() {
        let credentials = Credentials::new("a", "b", None, None, "test");
        let refused = |mut request| {
            sign(&mut request, &credentials, "us-east-1", "wickr", SystemTime::UNIX_EPOCH).is_err()
        };
        let mut odd = get("https://example.amazonaws.com/");
        odd.headers_mut().insert("x-odd", HeaderValue::from_bytes(&[0xff]).unwrap());
        assert!(refused(odd));
        let mut streamed = get("https://example.amazonaws.com/");
        *streamed.body_mut() = Some(reqwest::Response::from(http::Response::new("a")).into());
        assert!(refused(streamed));
    }
}
