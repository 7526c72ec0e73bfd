//! Signature Version 4, checked from what arrived: the second implementation, against which the client's signing
//! is held.
//!
//! Nothing is taken from a signing library. Every refusal says which rule was broken and carries the code that
//! AWS uses for it, because that is what a client's handling of refusals depends on.

use std::fmt::Write as _;
use std::sync::Mutex;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};

use super::wire::Refusal;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "wickr";
/// How far a request's time may lie from the server's, in minutes.
const TOLERANCE_MINUTES: i64 = 5;
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The key pair that the simulator accepts. Nothing about it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token, if the simulator asks for one.
    pub session_token: Option<String>,
}

impl Credentials {
    /// Returns the simulator's key pair, with a session token if one is configured.
    pub(super) fn simulated(session_token: Option<String>) -> Self {
        Self {
            access_key_id: "AKIDWICKRSIMULATOR01".to_owned(),
            secret_access_key: "wickr-simulator-only/not-a-real-secret-key".to_owned(),
            session_token,
        }
    }
}

/// Checks signatures for one region: with the key pair that always holds, and with those that were issued.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) credentials: Credentials,
    pub(super) region: String,
    issued: Mutex<Vec<IssuedKeys>>,
}

/// A key pair that expires.
#[derive(Debug)]
struct IssuedKeys {
    credentials: Credentials,
    /// How many requests it is still good for: a lifetime that no clock decides.
    requests_left: u64,
}

/// The parts of an `Authorization` header.
struct Claim<'a> {
    access_key_id: &'a str,
    date: &'a str,
    scope: String,
    region: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl Verifier {
    pub(super) const fn new(credentials: Credentials, region: String) -> Self {
        Self { credentials, region, issued: Mutex::new(Vec::new()) }
    }

    /// Makes a key pair that is accepted for so many requests and then refused as expired.
    pub(super) fn issue(&self, requests: u64) -> Credentials {
        let mut issued = self.issued.lock().expect("nobody panics with it");
        let number = issued.len() + 1;
        let credentials = Credentials {
            access_key_id: format!("ASIAWICKRSIMULATED{number:04}"),
            secret_access_key: format!("wickr-simulator-only/not-a-real-secret/{number:04}"),
            session_token: Some(format!("wickr-simulator-only/issued-session-token/{number:04}")),
        };
        issued.push(IssuedKeys { credentials: credentials.clone(), requests_left: requests });
        credentials
    }

    /// Finds the key pair that a request claims to be signed with.
    fn claimed(&self, access_key_id: &str) -> Option<Credentials> {
        if access_key_id == self.credentials.access_key_id {
            return Some(self.credentials.clone());
        }
        let issued = self.issued.lock().expect("nobody panics with it");
        let found = issued.iter().find(|issued| issued.credentials.access_key_id == access_key_id)?;
        Some(found.credentials.clone())
    }

    /// Takes one request off what a key pair is still good for.
    fn use_up(&self, access_key_id: &str) -> Result<(), Refusal> {
        let mut issued = self.issued.lock().expect("nobody panics with it");
        let found = issued.iter_mut().find(|issued| issued.credentials.access_key_id == access_key_id);
        let Some(keys) = found else { return Ok(()) };
        keys.requests_left = keys.requests_left.checked_sub(1).ok_or_else(|| {
            refuse("ExpiredTokenException", "The security token included in the request is expired.")
        })?;
        Ok(())
    }

    /// Checks the signature of a request with its body, at the server's time.
    ///
    /// # Errors
    /// The refusal that AWS would answer with.
    pub(super) fn verify(&self, request: &Parts, body: &[u8], now: DateTime<Utc>) -> Result<(), Refusal> {
        let header = text(&request.headers, "authorization").ok_or_else(|| {
            refuse("MissingAuthenticationTokenException", "The request carries no authentication token.")
        })?;
        let claim = parse(header).ok_or_else(|| {
            refuse("IncompleteSignatureException", "The Authorization header is not a whole SigV4 signature.")
        })?;
        let timestamp = text(&request.headers, "x-amz-date").ok_or_else(|| {
            refuse("IncompleteSignatureException", "The request carries no X-Amz-Date header.")
        })?;
        let token = text(&request.headers, "x-amz-security-token");
        let keys = self.claimed(claim.access_key_id).filter(|keys| keys.session_token.as_deref() == token);
        let Some(keys) = keys else {
            let message = "The security token included in the request is invalid.";
            return Err(refuse("UnrecognizedClientException", message));
        };
        self.check_scope(&claim, timestamp)?;
        check_time(timestamp, now)?;
        check_signed_headers(&request.headers, &claim)?;
        let canonical = canonical_request(request, &claim, body)?;
        let signed =
            format!("{ALGORITHM}\n{timestamp}\n{}\n{}", claim.scope, hex(&Sha256::digest(canonical)));
        if hex(&mac(&signing_key(&keys.secret_access_key, &claim), signed.as_bytes())) != claim.signature {
            let message = "The request signature we calculated does not match the signature you provided. \
                           Check your AWS Secret Access Key and signing method.";
            return Err(refuse("InvalidSignatureException", message));
        }
        self.use_up(claim.access_key_id)
    }

    fn check_scope(&self, claim: &Claim<'_>, timestamp: &str) -> Result<(), Refusal> {
        let wrong = |message: String| Err(refuse("InvalidSignatureException", message));
        if claim.service != SERVICE {
            return wrong(format!("Credential should be scoped to correct service: '{SERVICE}'."));
        }
        if claim.region != self.region {
            return wrong(format!(
                "Credential should be scoped to a valid Region, not '{}'; this is '{}'.",
                claim.region, self.region
            ));
        }
        if timestamp.get(..8) != Some(claim.date) {
            return wrong("Date in Credential scope does not match the date of X-Amz-Date.".to_owned());
        }
        Ok(())
    }
}

fn signing_key(secret_access_key: &str, claim: &Claim<'_>) -> Vec<u8> {
    let secret = format!("AWS4{secret_access_key}");
    [claim.date, claim.region, claim.service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| mac(&key, part.as_bytes()))
}

fn refuse(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, code, message)
}

/// Refuses a request for its time, in the words that AWS has for it.
pub(super) fn time_refusal(timestamp: &str, now: DateTime<Utc>, late: bool) -> Refusal {
    let compact = |time: DateTime<Utc>| time.format("%Y%m%dT%H%M%SZ").to_string();
    let tolerance = TimeDelta::minutes(TOLERANCE_MINUTES);
    let server = compact(now);
    let message = if late {
        let limit = compact(now - tolerance);
        format!("Signature expired: {timestamp} is now earlier than {limit} ({server} - 5 min.)")
    } else {
        let limit = compact(now + tolerance);
        format!("Signature not yet current: {timestamp} is still later than {limit} ({server} + 5 min.)")
    };
    refuse("InvalidSignatureException", message)
}

fn check_time(timestamp: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
    let Ok(time) = NaiveDateTime::parse_from_str(timestamp, "%Y%m%dT%H%M%SZ") else {
        return Err(refuse("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'."));
    };
    let behind = now - time.and_utc();
    if behind.abs() > TimeDelta::minutes(TOLERANCE_MINUTES) {
        return Err(time_refusal(timestamp, now, behind > TimeDelta::zero()));
    }
    Ok(())
}

fn check_signed_headers(headers: &HeaderMap, claim: &Claim<'_>) -> Result<(), Refusal> {
    let must_be_signed = |name: &str| name == "host" || name.starts_with("x-amz-");
    let unsigned = headers
        .keys()
        .map(http::HeaderName::as_str)
        .find(|name| must_be_signed(name) && !claim.signed_headers.contains(name));
    match unsigned {
        Some(name) => Err(refuse(
            "InvalidSignatureException",
            format!("The header '{name}' must be signed and is not among the signed headers."),
        )),
        None => Ok(()),
    }
}

fn parse(header: &str) -> Option<Claim<'_>> {
    let fields = header.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
    let field = |name: &str| {
        fields.split(',').map(str::trim).find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let credential: Vec<&str> = field("Credential")?.split('/').collect();
    let [access_key_id, date, region, service, "aws4_request"] = credential[..] else { return None };
    let signed_headers: Vec<&str> = field("SignedHeaders")?.split(';').collect();
    let in_order = signed_headers.is_sorted_by(|left, right| left < right);
    let signature = field("Signature")?;
    in_order.then(|| Claim {
        access_key_id,
        date,
        scope: credential[1..].join("/"),
        region,
        service,
        signed_headers,
        signature,
    })
}

/// Builds the canonical request from what arrived.
fn canonical_request(request: &Parts, claim: &Claim<'_>, body: &[u8]) -> Result<String, Refusal> {
    let digest = hex(&Sha256::digest(body));
    let payload = match text(&request.headers, "x-amz-content-sha256") {
        None => digest,
        Some(claimed) if claimed == digest || claimed == "UNSIGNED-PAYLOAD" => claimed.to_owned(),
        Some(_) => {
            return Err(refuse("InvalidSignatureException", "The body is not the one that was signed."));
        }
    };
    let mut headers = String::new();
    for name in &claim.signed_headers {
        let values: Vec<String> = request
            .headers
            .get_all(*name)
            .iter()
            .map(|value| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                value.split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect();
        if values.is_empty() {
            let message = format!("The signed header '{name}' did not arrive.");
            return Err(refuse("InvalidSignatureException", message));
        }
        writeln!(headers, "{name}:{}", values.join(",")).expect("a string takes everything");
    }
    Ok(format!(
        "{}\n{}\n{}\n{headers}\n{}\n{payload}",
        request.method,
        canonical_path(request.uri.path()),
        canonical_query(request.uri.query().unwrap_or("")),
        claim.signed_headers.join(";"),
    ))
}

/// Encodes the path once more, segment by segment, as every service but S3 has it.
fn canonical_path(path: &str) -> String {
    path.split('/').map(|segment| encode(segment.as_bytes())).collect::<Vec<_>>().join("/")
}

/// Decodes the pairs, encodes them in the one canonical way, and sorts them.
fn canonical_query(query: &str) -> String {
    let canonical = |text: &str| encode(&percent_decode_str(text).collect::<Vec<u8>>());
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (canonical(name), canonical(value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, &UNRESERVED).to_string()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&'static str, &str)]) -> Parts {
        let mut builder = http::Request::get(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).expect("a request").into_parts().0
    }

    /// The example of AWS's Signature Version 4 documentation: a GET of IAM's `ListUsers`.
    #[test]
    fn the_documented_example_gives_the_documented_digest_and_signature() {
        let authorization = "AWS4-HMAC-SHA256 \
            Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
            SignedHeaders=content-type;host;x-amz-date, \
            Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        let request = request(
            "/?Action=ListUsers&Version=2010-05-08",
            &[
                ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("host", "iam.amazonaws.com"),
                ("x-amz-date", "20150830T123600Z"),
            ],
        );
        let claim = parse(authorization).unwrap();
        let canonical = canonical_request(&request, &claim, b"").unwrap();
        assert_eq!(
            hex(&Sha256::digest(&canonical)),
            "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
        );
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let signed =
            format!("{ALGORITHM}\n20150830T123600Z\n{}\n{}", claim.scope, hex(&Sha256::digest(canonical)));
        assert_eq!(hex(&mac(&signing_key(secret, &claim), signed.as_bytes())), claim.signature);
    }

    #[test]
    fn the_query_is_decoded_encoded_and_sorted() {
        assert_eq!(canonical_query("b=2&a=%7e&a=%20+&c"), "a=%20%2B&a=~&b=2&c=");
        assert_eq!(canonical_path("/networks/0%201"), "/networks/0%25201");
    }

    #[test]
    fn a_claim_with_a_part_missing_or_out_of_order_is_incomplete() {
        let whole =
            "AWS4-HMAC-SHA256 Credential=a/20260101/r/wickr/aws4_request, SignedHeaders=host;x, Signature=0";
        assert!(parse(whole).is_some());
        for (part, instead) in [
            ("AWS4-HMAC-SHA256", "AWS3"),
            ("aws4_request", "aws"),
            ("Signature=0", ""),
            ("SignedHeaders=host;x,", ""),
            ("host;x", "x;host"),
            ("a/20260101", "20260101"),
        ] {
            assert!(parse(&whole.replace(part, instead)).is_none(), "{part}");
        }
    }

    #[test]
    fn time_is_tolerated_for_five_minutes_either_way() {
        let now: DateTime<Utc> = "2026-10-05T12:00:00Z".parse().unwrap();
        for within in ["20261005T115500Z", "20261005T120500Z"] {
            assert_eq!(check_time(within, now), Ok(()), "{within}");
        }
        let late = check_time("20261005T115459Z", now).unwrap_err();
        assert_eq!(
            late.message,
            "Signature expired: 20261005T115459Z is now earlier than 20261005T115500Z (20261005T120000Z - 5 min.)"
        );
        let early = check_time("20261005T120501Z", now).unwrap_err();
        assert!(early.message.starts_with("Signature not yet current: "), "{}", early.message);
        assert!(check_time("2026-10-05", now).is_err());
    }
}
