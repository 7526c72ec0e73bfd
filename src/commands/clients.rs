//! The HTTP clients that a command uses, set up as the environment says.

use crate::job::UsageError;
use crate::wickr::{HttpClientError, HttpClients, TimeLimit};

/// Returns the clients of exchanges that are bounded so.
pub(super) fn http_clients(time_limit: TimeLimit) -> Result<HttpClients, UsageError> {
    Ok(HttpClients::new(time_limit, ca_bundle()?.as_deref())?)
}

fn ca_bundle() -> Result<Option<Vec<u8>>, UsageError> {
    let Some(path) = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    std::fs::read(&path)
        .map(Some)
        .map_err(|error| UsageError(format!("AWS_CA_BUNDLE: {} cannot be read: {error}", path.display())))
}

impl From<HttpClientError> for UsageError {
    fn from(error: HttpClientError) -> Self {
        Self(error.to_string())
    }
}
