//! What a request asks: the query string, decoded and held against the documented bounds.
//!
//! A parameter that the operation does not know is ignored, as AWS ignores it; one that is known and wrong is
//! refused with its name, as `ValidationError`.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::wire::Refusal;
use crate::guest::NetworkId;

/// The page size where none is asked.
const DEFAULT_PAGE_SIZE: u64 = 10;
/// The largest page that may be asked.
const MAX_PAGE_SIZE: u64 = 100;

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Direction {
    /// The smallest first.
    #[serde(rename = "ASC")]
    Ascending,
    /// The largest first: the service's default.
    #[default]
    #[serde(rename = "DESC")]
    Descending,
}

/// The parameters that all paged operations share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) size: u64,
    pub(super) direction: Direction,
    pub(super) token: Option<String>,
}

/// Splits a query string into its pairs, percent-decoded.
///
/// # Errors
/// The parameter's position does not matter: any text that is not UTF-8 once decoded fails the request.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Refusal::bad_request("The query string is not valid UTF-8.")),
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

/// The decoded parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads a query string.
    ///
    /// # Errors
    /// A refusal for text that is not UTF-8 and for a parameter that is given twice.
    pub(super) fn read(query: &str) -> Result<Self, Refusal> {
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs(query)? {
            if parameters.insert(name, value).is_some() {
                return Err(Refusal::bad_request("A parameter is given more than once."));
            }
        }
        Ok(Self(parameters))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Reads `maxResults`, `sortDirection` and `nextToken`.
    pub(super) fn paging(&self) -> Result<Paging, Refusal> {
        let size = match self.get("maxResults").map(str::parse) {
            None => DEFAULT_PAGE_SIZE,
            Some(Ok(size @ 1..=MAX_PAGE_SIZE)) => size,
            Some(_) => return Err(Refusal::invalid("maxResults", "must be between 1 and 100")),
        };
        let direction = match self.get("sortDirection") {
            None => Direction::default(),
            Some("ASC") => Direction::Ascending,
            Some("DESC") => Direction::Descending,
            Some(_) => return Err(Refusal::invalid("sortDirection", "must be ASC or DESC")),
        };
        Ok(Paging { size, direction, token: self.get("nextToken").map(str::to_owned) })
    }

    /// Reads `sortFields`, one of the names given; the first is the default.
    pub(super) fn sort_field(&self, names: &[&'static str]) -> Result<&'static str, Refusal> {
        let wanted = self.get("sortFields").unwrap_or(names[0]);
        match names.iter().find(|name| **name == wanted) {
            Some(name) => Ok(name),
            None => Err(Refusal::invalid("sortFields", format!("must be one of {}", names.join(", ")))),
        }
    }
}

/// Reads a network id from a path: exactly eight digits.
pub(super) fn network(text: &str) -> Result<NetworkId, Refusal> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(network) if digits => Ok(network),
        _ => Err(Refusal::invalid("networkId", "must match [0-9]{8}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_hold() {
        let parameters = Parameters::read("").unwrap();
        let paging = parameters.paging().unwrap();
        assert_eq!(paging, Paging { size: 10, direction: Direction::Descending, token: None });
        assert_eq!(parameters.sort_field(&["billingPeriod", "username"]).unwrap(), "billingPeriod");
    }

    #[test]
    fn values_out_of_bounds_are_refused_by_name() {
        for (query, field) in [
            ("maxResults=0", "maxResults"),
            ("maxResults=101", "maxResults"),
            ("maxResults=ten", "maxResults"),
            ("maxResults=", "maxResults"),
            ("sortDirection=asc", "sortDirection"),
            ("sortDirection=", "sortDirection"),
        ] {
            let refusal = Parameters::read(query).unwrap().paging().unwrap_err();
            assert_eq!((refusal.status.as_u16(), refusal.reasons[0].field), (422, field), "{query}");
        }
        let refusal = Parameters::read("sortFields=age").unwrap().sort_field(&["username"]).unwrap_err();
        assert_eq!(refusal.reasons[0].field, "sortFields");
    }

    #[test]
    fn values_are_percent_decoded_and_a_plus_stays_a_plus() {
        let parameters = Parameters::read("username=a%20b%2Bc+d&nextToken=x%3D").unwrap();
        assert_eq!(parameters.get("username"), Some("a b+c+d"));
        assert_eq!(parameters.paging().unwrap().token.as_deref(), Some("x="));
    }

    #[test]
    fn what_cannot_be_read_is_a_bad_request() {
        for query in ["username=%ff", "maxResults=1&maxResults=2"] {
            assert_eq!(Parameters::read(query).unwrap_err().code, "BadRequestError", "{query}");
        }
    }

    #[test]
    fn a_network_is_eight_digits() {
        assert!(network("01234567").is_ok());
        for text in ["", "1234567", "123456789", "1234567x", "%301234567"] {
            assert_eq!(network(text).unwrap_err().reasons[0].field, "networkId", "{text}");
        }
    }
}
