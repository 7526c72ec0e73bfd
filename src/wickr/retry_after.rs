//! What a server says about when to come back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;

/// A hint beyond this is held to it: no honest limit lasts a year, and larger sums would overflow.
const LONGEST_HINT: Duration = Duration::from_hours(8760);

/// Reads the longest wait that the headers ask for.
///
/// Understood are `Retry-After` in seconds and as an HTTP date (RFC 9110, section 10.2.3), reckoned from the
/// answer's own `Date` or else from `now`, and `x-amz-retry-after` in milliseconds. Anything else is no hint.
#[must_use]
pub fn server_hint(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let now = text("date").and_then(http_date).unwrap_or(now);
    let standard = text("retry-after").and_then(|value| {
        whole_number(value)
            .map(Duration::from_secs)
            .or_else(|| http_date(value).map(|until| (until - now).to_std().unwrap_or_default()))
    });
    let milliseconds = text("x-amz-retry-after").and_then(whole_number).map(Duration::from_millis);
    standard.max(milliseconds).map(|hint| hint.min(LONGEST_HINT))
}

fn whole_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit mean "never", which the bound above turns into a very long time.
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(text).ok().map(DateTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        server_hint(&headers.collect(), "2026-11-23T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn all_three_forms_are_understood() {
        assert_eq!(hint(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(hint(&[("retry-after", "Mon, 23 Nov 2026 12:00:09 GMT")]), Some(Duration::from_secs(9)));
        assert_eq!(hint(&[("x-amz-retry-after", "1500")]), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_date_is_reckoned_from_the_servers_own_clock() {
        let skewed =
            [("date", "Mon, 23 Nov 2026 09:00:00 GMT"), ("retry-after", "Mon, 23 Nov 2026 09:00:05 GMT")];
        assert_eq!(hint(&skewed), Some(Duration::from_secs(5)));
    }

    #[test]
    fn the_longest_of_two_hints_counts() {
        assert_eq!(
            hint(&[("retry-after", "1"), ("x-amz-retry-after", "2500")]),
            Some(Duration::from_millis(2500))
        );
    }

    #[test]
    fn a_date_that_is_past_means_at_once() {
        assert_eq!(hint(&[("retry-after", "Mon, 23 Nov 2026 11:00:00 GMT")]), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_no_hint_is_none() {
        for value in ["", "-1", "soon", "1.5", "+3", "Mon, 99 Nov 2026"] {
            assert_eq!(hint(&[("retry-after", value)]), None, "{value}");
        }
        assert_eq!(hint(&[("retry-after", "99999999999999999999999")]), Some(LONGEST_HINT));
        assert_eq!(hint(&[]), None);
    }
}
