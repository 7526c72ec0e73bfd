//! The signature of a request, as each attempt has its own.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use criterion::{BatchSize, Criterion};
use reqwest::header::HeaderValue;
use wickr_guest_export::wickr::{SIGNING_NAME, sign};

pub(crate) fn signing(criterion: &mut Criterion) {
    let credentials =
        Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "bench");
    let token = "0123456789abcdef".repeat(8);
    let uri = format!(
        "https://admin.wickr.us-east-1.amazonaws.com/networks/12345678/guest-users?maxResults=100\
         &sortDirection=ASC&sortFields=username&billingPeriod=2026-10&nextToken={token}"
    );
    let request = || {
        let mut request = reqwest::Request::new(reqwest::Method::GET, uri.parse().expect("a URL"));
        request.headers_mut().insert("accept", HeaderValue::from_static("application/json"));
        request
    };
    criterion.bench_function("signing a request", |bencher| {
        bencher.iter_batched(
            request,
            |mut request| {
                sign(&mut request, &credentials, "us-east-1", SIGNING_NAME, SystemTime::now())
                    .expect("a signature");
                request
            },
            BatchSize::SmallInput,
        );
    });
}
