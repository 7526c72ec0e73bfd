//! Where the API lives: the rules of the service's published endpoint rule set.
//!
//! The rule set builds a host for any region of a known partition, so that a mistyped region is found only
//! when its name does not resolve; the error for that says so (see `http`).

use std::net::IpAddr;

use reqwest::Url;

/// The name that requests are signed for.
pub const SIGNING_NAME: &str = "wickr";

/// A group of AWS regions with its DNS suffixes, as botocore's `partitions.json` lists them.
struct Partition {
    region_prefixes: &'static [&'static str],
    dns_suffix: &'static str,
    dual_stack_suffix: &'static str,
}

/// Ordered so that the longer prefixes come first; the last one is the commercial partition.
const PARTITIONS: &[Partition] = &[
    Partition { region_prefixes: &["us-gov-"], dns_suffix: "amazonaws.com", dual_stack_suffix: "api.aws" },
    Partition {
        region_prefixes: &["cn-"],
        dns_suffix: "amazonaws.com.cn",
        dual_stack_suffix: "api.amazonwebservices.com.cn",
    },
    Partition {
        region_prefixes: &["eusc-"],
        dns_suffix: "amazonaws.eu",
        dual_stack_suffix: "api.amazonwebservices.eu",
    },
    Partition {
        region_prefixes: &["us-isob-"],
        dns_suffix: "sc2s.sgov.gov",
        dual_stack_suffix: "api.aws.scloud",
    },
    Partition {
        region_prefixes: &["us-isof-"],
        dns_suffix: "csp.hci.ic.gov",
        dual_stack_suffix: "api.aws.hci.ic.gov",
    },
    Partition {
        region_prefixes: &["us-iso-"],
        dns_suffix: "c2s.ic.gov",
        dual_stack_suffix: "api.aws.ic.gov",
    },
    Partition {
        region_prefixes: &["eu-isoe-"],
        dns_suffix: "cloud.adc-e.uk",
        dual_stack_suffix: "api.cloud-aws.adc-e.uk",
    },
    Partition {
        region_prefixes: &["us-", "eu-", "ap-", "sa-", "ca-", "me-", "af-", "il-", "mx-"],
        dns_suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
    },
];

/// What decides about the endpoint.
#[derive(Clone, Debug, Default)]
pub struct EndpointRequest {
    /// The AWS region.
    pub region: Option<String>,
    /// Ask the FIPS endpoint (`AWS_USE_FIPS_ENDPOINT`).
    pub use_fips: bool,
    /// Ask the dual-stack endpoint (`AWS_USE_DUALSTACK_ENDPOINT`).
    pub use_dual_stack: bool,
    /// An endpoint that replaces the computed one.
    pub custom_url: Option<String>,
}

/// Where requests go and which region they are signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme and host, and a path for a custom endpoint that has one.
    pub url: Url,
    /// The signing region.
    pub region: String,
}

/// Why there is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No region is configured.
    #[error("no AWS region is configured; set `source.region`, `--region` or AWS_REGION")]
    NoRegion,
    /// The region belongs to no known partition.
    #[error(
        "`{0}` is not an AWS region; correct `source.region`, `--region` or AWS_REGION, which looks like us-east-1 or \
         us-gov-west-1"
    )]
    UnknownRegion(String),
    /// The custom endpoint is not a URL.
    #[error("the endpoint `{0}` is not a URL such as https://wickr.example.com: {1}")]
    NotAUrl(String, String),
    /// The custom endpoint would send credentials and personal data in the clear.
    #[error("the endpoint `{0}` is not https; plain http is allowed to loopback addresses only")]
    Insecure(String),
    /// The custom endpoint carries what an endpoint must not.
    #[error("the endpoint `{0}` must not carry credentials, a query or a fragment")]
    Decorated(String),
    /// A custom endpoint beside a computed variant, which AWS's rule set refuses.
    #[error("{0} and a custom endpoint exclude each other; unset one of them")]
    VariantWithCustomUrl(&'static str),
}

impl EndpointRequest {
    /// Computes the endpoint, or checks the custom one.
    ///
    /// # Errors
    /// [`EndpointError`], which names the setting to change.
    pub fn resolve(&self) -> Result<Endpoint, EndpointError> {
        let region = self.region.clone().ok_or(EndpointError::NoRegion)?;
        let partition = partition_of(&region).ok_or_else(|| EndpointError::UnknownRegion(region.clone()))?;
        if let Some(custom) = &self.custom_url {
            if self.use_fips {
                return Err(EndpointError::VariantWithCustomUrl("the FIPS endpoint"));
            }
            if self.use_dual_stack {
                return Err(EndpointError::VariantWithCustomUrl("the dual-stack endpoint"));
            }
            return Ok(Endpoint { url: check_custom_url(custom)?, region });
        }
        let service = if self.use_fips { "admin.wickr-fips" } else { "admin.wickr" };
        let suffix = if self.use_dual_stack { partition.dual_stack_suffix } else { partition.dns_suffix };
        let url = format!("https://{service}.{region}.{suffix}");
        let url = Url::parse(&url).map_err(|_| EndpointError::UnknownRegion(region.clone()))?;
        Ok(Endpoint { url, region })
    }
}

/// Returns the endpoint of S3 in a region where the configuration wants another than the plain one: by FIPS 140, or by
/// IPv6 as well ("Amazon Simple Storage Service endpoints and quotas", AWS General Reference).
#[must_use]
pub fn s3_variant(region: &str, use_fips: bool, use_dual_stack: bool) -> Option<String> {
    let service = match (use_fips, use_dual_stack) {
        (false, false) => return None,
        (true, false) => "s3-fips",
        (false, true) => "s3.dualstack",
        (true, true) => "s3-fips.dualstack",
    };
    // Of a region that nobody knows, the store says so.
    let suffix = partition_of(region).map_or("amazonaws.com", |partition| partition.dns_suffix);
    Some(format!("https://{service}.{region}.{suffix}"))
}

fn partition_of(region: &str) -> Option<&'static Partition> {
    let shaped = region.len() <= 40
        && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && region.split('-').count() >= 3
        && region.split('-').all(|part| !part.is_empty())
        && region.ends_with(|last: char| last.is_ascii_digit());
    if !shaped {
        return None;
    }
    PARTITIONS
        .iter()
        .find(|partition| partition.region_prefixes.iter().any(|prefix| region.starts_with(prefix)))
}

fn check_custom_url(text: &str) -> Result<Url, EndpointError> {
    let url = Url::parse(text).map_err(|error| EndpointError::NotAUrl(text.to_owned(), error.to_string()))?;
    let shown = || format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(EndpointError::Decorated(shown()));
    }
    // Not every host of a URL can be asked for: one with braces, as a template has that nobody filled in, cannot.
    url.as_str()
        .parse::<http::Uri>()
        .map_err(|error| EndpointError::NotAUrl(text.to_owned(), error.to_string()))?;
    let loopback = match url.host_str() {
        None => return Err(EndpointError::NotAUrl(text.to_owned(), "it names no host".to_owned())),
        Some("localhost") => true,
        Some(host) => {
            host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(EndpointError::Insecure(shown())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(region: &str) -> EndpointRequest {
        EndpointRequest { region: Some(region.to_owned()), ..EndpointRequest::default() }
    }

    fn host(request: &EndpointRequest) -> String {
        request.resolve().expect("an endpoint").url.to_string()
    }

    #[test]
    fn every_partition_has_its_hosts() {
        for (region, plain, dual) in [
            ("us-east-1", "amazonaws.com", "api.aws"),
            ("ap-southeast-5", "amazonaws.com", "api.aws"),
            ("us-gov-west-1", "amazonaws.com", "api.aws"),
            ("cn-north-1", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
            ("eusc-de-east-1", "amazonaws.eu", "api.amazonwebservices.eu"),
            ("us-iso-east-1", "c2s.ic.gov", "api.aws.ic.gov"),
            ("us-isob-east-1", "sc2s.sgov.gov", "api.aws.scloud"),
            ("us-isof-south-1", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
            ("eu-isoe-west-1", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        ] {
            assert_eq!(host(&request(region)), format!("https://admin.wickr.{region}.{plain}/"));
            let fips = EndpointRequest { use_fips: true, ..request(region) };
            assert_eq!(host(&fips), format!("https://admin.wickr-fips.{region}.{plain}/"));
            let both = EndpointRequest { use_fips: true, use_dual_stack: true, ..request(region) };
            assert_eq!(host(&both), format!("https://admin.wickr-fips.{region}.{dual}/"));
            let dual_stack = EndpointRequest { use_dual_stack: true, ..request(region) };
            assert_eq!(host(&dual_stack), format!("https://admin.wickr.{region}.{dual}/"));
        }
    }

    #[test]
    fn s3_has_the_variants_that_the_api_has() {
        let variant = |region, fips, dual| s3_variant(region, fips, dual).unwrap_or_default();
        assert_eq!(variant("us-east-1", false, false), "");
        assert_eq!(variant("us-gov-west-1", true, false), "https://s3-fips.us-gov-west-1.amazonaws.com");
        assert_eq!(variant("eu-west-1", false, true), "https://s3.dualstack.eu-west-1.amazonaws.com");
        assert_eq!(variant("us-east-2", true, true), "https://s3-fips.dualstack.us-east-2.amazonaws.com");
        assert_eq!(variant("cn-north-1", false, true), "https://s3.dualstack.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn what_is_no_region_is_refused() {
        for region in
            ["", "us", "us-east", "useast1", "US-EAST-1", "us-east-1.evil.com", "xx-east-1", "us--1"]
        {
            assert_eq!(
                request(region).resolve(),
                Err(EndpointError::UnknownRegion(region.to_owned())),
                "{region}"
            );
        }
        assert_eq!(EndpointRequest::default().resolve(), Err(EndpointError::NoRegion));
    }

    #[test]
    fn a_custom_endpoint_is_https_or_loopback() {
        let custom = |url: &str| EndpointRequest { custom_url: Some(url.to_owned()), ..request("us-east-1") };
        for url in
            ["https://wickr.example.com", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost:9"]
        {
            assert!(custom(url).resolve().is_ok(), "{url}");
        }
        for url in
            ["http://wickr.example.com", "http://10.0.0.1", "ftp://127.0.0.1", "http://127.0.0.1.evil.com"]
        {
            assert!(matches!(custom(url).resolve(), Err(EndpointError::Insecure(_))), "{url}");
        }
        for url in ["wickr", "https://wickr.{region}.example.com"] {
            assert!(matches!(custom(url).resolve(), Err(EndpointError::NotAUrl(..))), "{url}");
        }
        let error = custom("https://key:secret@wickr.example.com").resolve().unwrap_err();
        assert!(matches!(error, EndpointError::Decorated(_)) && !error.to_string().contains("secret"));
    }

    #[test]
    fn a_custom_endpoint_excludes_the_computed_variants() {
        let custom =
            EndpointRequest { custom_url: Some("https://a.example".to_owned()), ..request("us-east-1") };
        let fips = EndpointRequest { use_fips: true, ..custom.clone() };
        assert!(matches!(fips.resolve(), Err(EndpointError::VariantWithCustomUrl(_))));
        let dual_stack = EndpointRequest { use_dual_stack: true, ..custom };
        assert!(matches!(dual_stack.resolve(), Err(EndpointError::VariantWithCustomUrl(_))));
    }
}
