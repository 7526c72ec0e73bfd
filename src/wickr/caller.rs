//! Whose credentials these are, as STS says: for people, and no part of an export.
//!
//! Nobody needs a permission to ask it (`GetCallerIdentity`), so that it tells keys that STS does not know from keys
//! that may not do something.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use chrono::{DateTime, Utc};

use super::credentials::CachedCredentials;
use super::error::{ApiError, quotable};
use super::refusal::is_unauthentic;
use crate::error_chain::error_chain;

/// How long STS may take to say it.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);

/// Who asks, if anybody knows.
pub struct Caller {
    credentials: Arc<CachedCredentials>,
    sts: SdkConfig,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The ARN of the user or of the role's session.
    pub arn: String,
    /// When the credentials end, if they do.
    pub expires_at: Option<DateTime<Utc>>,
}

impl fmt::Display for CallerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.arn)?;
        match self.expires_at {
            Some(end) => write!(formatter, ", until {}", end.format("%FT%TZ")),
            None => Ok(()),
        }
    }
}

/// Why it is not known who asks.
#[derive(Debug, thiserror::Error)]
pub enum CallerUnknown {
    /// There are no credentials.
    #[error(transparent)]
    NoCredentials(ApiError),
    /// There are, and STS does not know them.
    #[error(
        "STS does not accept them ({0}); check which identity AWS_PROFILE or the environment selects, and its secret key"
    )]
    Refused(String),
    /// There are, and STS has not said whose.
    #[error("STS did not say whose they are ({0}); an export asks it for a role alone")]
    Silent(String),
}

impl Caller {
    pub(super) fn new(credentials: Arc<CachedCredentials>, sts: SdkConfig) -> Self {
        Self { credentials, sts }
    }

    /// Fetches credentials, if there are none yet, and asks STS whose they are.
    ///
    /// # Errors
    /// [`CallerUnknown`].
    pub async fn identity(&self, now: DateTime<Utc>) -> Result<CallerIdentity, CallerUnknown> {
        let credentials = self.credentials.current(now).await.map_err(CallerUnknown::NoCredentials)?;
        let config = self.sts.clone().into_builder();
        let provider = SharedCredentialsProvider::new(credentials.clone());
        let config = config.credentials_provider(provider).retry_config(RetryConfig::disabled()).build();
        let asking = aws_sdk_sts::Client::new(&config).get_caller_identity().send();
        let Ok(answer) = tokio::time::timeout(LONGEST_ANSWER, asking).await else {
            return Err(CallerUnknown::Silent(format!("no answer within {LONGEST_ANSWER:?}")));
        };
        let secrets = [
            credentials.session_token().unwrap_or_default(),
            credentials.secret_access_key(),
            credentials.access_key_id(),
        ];
        match answer {
            Ok(answer) => match answer.arn() {
                Some(arn) => Ok(CallerIdentity {
                    arn: quotable(arn, &secrets),
                    expires_at: credentials.expiry().map(DateTime::from),
                }),
                None => Err(CallerUnknown::Silent("an answer without an ARN".to_owned())),
            },
            Err(error) => match error.code() {
                Some(code) if is_unauthentic(code) || code.starts_with("ExpiredToken") => {
                    Err(CallerUnknown::Refused(quotable(code, &secrets)))
                }
                Some(code) => Err(CallerUnknown::Silent(quotable(code, &secrets))),
                None => Err(CallerUnknown::Silent(quotable(&error_chain(&error), &secrets))),
            },
        }
    }
}
