//! Why there are no credentials: refused, which wants a person, or not to be had just now, which wants patience.
//!
//! The providers of `aws-config` say the one and the other with the same error, so its causes are looked through for
//! the few types that tell. Where a container's endpoint answers with an error, only a text tells: a test holds it.

use std::error::Error;

use aws_config::imds::client::error::ImdsError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sso::operation::get_role_credentials::GetRoleCredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::error::{ApiError, quotable};
use super::refusal::is_unauthentic;
use super::role::RoleArn;
use crate::error_chain::error_chain;

/// How the provider for containers begins to tell of an answer that is no success.
const CONTAINER_STATUS: &str = "Non-success status from HTTP credential provider: ";

/// What can be learnt from one cause of an error.
enum Finding<'a> {
    /// Nobody answered, or not all of an answer came.
    NoAnswer,
    /// The answer was an error with this status.
    Status(u16),
    /// A service refused, in its own words.
    Refusal(ServiceRefusal<'a>),
}

/// What STS or SSO answered instead of credentials.
struct ServiceRefusal<'a> {
    status: u16,
    /// Empty where there is none.
    code: &'a str,
    message: Option<&'a str>,
}

impl ServiceRefusal<'_> {
    /// Says whether the same question may be answered otherwise a little later.
    fn is_temporary(&self) -> bool {
        is_temporary(self.status) || self.code.contains("Throttl") || self.code == "RequestLimitExceeded"
    }

    /// What may be shown of it: what follows the first sentence may quote the request that was signed.
    fn words(&self, secrets: &[&str]) -> String {
        let Some(message) = self.message else {
            return format!("status {} {}", self.status, quotable(self.code, secrets)).trim_end().to_owned();
        };
        let message = quotable(message, secrets);
        let message = if is_unauthentic(self.code) {
            message.split(['.', '\\']).next().unwrap_or_default().to_owned()
        } else {
            message
        };
        format!("{}: {message}", quotable(self.code, secrets))
    }
}

/// Reads what the credential chain failed with, which may have been told of a profile.
pub(super) fn chain_failure(error: &CredentialsError, profile: Option<&str>) -> ApiError {
    if matches!(error, CredentialsError::ProviderTimedOut(_)) {
        return ApiError::CredentialsUnavailable(quotable(&error.to_string(), &[]));
    }
    match finding(error) {
        Some(Finding::Refusal(refusal)) if !refusal.is_temporary() => ApiError::NoCredentials(format!(
            "{}; check the trust policy of the role that AWS_ROLE_ARN or the profile names, or log in with `aws sso \
             login`",
            refusal.words(&[])
        )),
        Some(Finding::Status(status)) if !is_temporary(status) => ApiError::NoCredentials(advice(error)),
        Some(_) => ApiError::CredentialsUnavailable(quotable(&error_chain(error), &[])),
        None => match (error, profile) {
            // It says no more than that nobody has any.
            (CredentialsError::CredentialsNotLoaded(_), Some(profile)) => ApiError::NoCredentials(format!(
                "there is no profile `{}` with credentials; see to ~/.aws/config and ~/.aws/credentials, or to what \
                 AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name, or choose another with --profile",
                quotable(profile, &[])
            )),
            _ => ApiError::NoCredentials(advice(error)),
        },
    }
}

/// Reads what STS failed with when it was asked for a role; `secrets` signed the question or were part of it.
pub(super) fn role_failure(error: &CredentialsError, role: &RoleArn, secrets: &[&str]) -> ApiError {
    let unavailable =
        |words: &str| ApiError::CredentialsUnavailable(format!("STS was asked for the role {role}; {words}"));
    if matches!(error, CredentialsError::ProviderTimedOut(_)) {
        return unavailable("no answer came in time");
    }
    match finding(error) {
        Some(Finding::Refusal(refusal)) => {
            let words = refusal.words(secrets);
            let told = format!("STS was asked for the role {role}; {words}");
            match refusal.code {
                _ if refusal.is_temporary() => unavailable(&words),
                "ExpiredToken" | "ExpiredTokenException" => ApiError::ExpiredCredentials { message: told },
                code if is_unauthentic(code) => ApiError::Unauthorized { message: told },
                "RegionDisabledException" => ApiError::NoCredentials(format!(
                    "{told}; have it activated there, or choose another region with source.region"
                )),
                _ => ApiError::RoleRefused { role: role.to_string(), message: words },
            }
        }
        Some(Finding::NoAnswer | Finding::Status(_)) => unavailable(&quotable(&error_chain(error), secrets)),
        None => ApiError::NoCredentials(format!(
            "the role {role} cannot be assumed: {}",
            quotable(&error_chain(error), secrets)
        )),
    }
}

fn finding(error: &CredentialsError) -> Option<Finding<'_>> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |&cause| cause.source()).find_map(|cause| {
        of_service::<AssumeRoleError>(cause)
            .or_else(|| of_service::<AssumeRoleWithWebIdentityError>(cause))
            .or_else(|| of_service::<GetRoleCredentialsError>(cause))
            .or_else(|| of_instance(cause))
            .or_else(|| of_connection(cause))
            .or_else(|| of_container(cause))
    })
}

fn of_service<'a, E>(cause: &'a (dyn Error + 'static)) -> Option<Finding<'a>>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match cause.downcast_ref::<SdkError<E, HttpResponse>>()? {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Some(Finding::NoAnswer),
        // A success that could not be read.
        SdkError::ServiceError(context) if context.raw().status().is_success() => Some(Finding::NoAnswer),
        SdkError::ServiceError(context) => Some(Finding::Refusal(ServiceRefusal {
            status: context.raw().status().as_u16(),
            code: context.err().code().unwrap_or_default(),
            message: context.err().message(),
        })),
        // Their cause tells.
        _ => None,
    }
}

fn of_instance<'a>(cause: &'a (dyn Error + 'static)) -> Option<Finding<'a>> {
    match cause.downcast_ref::<ImdsError>()? {
        ImdsError::ErrorResponse(context) => Some(Finding::Status(context.response().status().as_u16())),
        _ => None,
    }
}

fn of_connection<'a>(cause: &'a (dyn Error + 'static)) -> Option<Finding<'a>> {
    let error = cause.downcast_ref::<ConnectorError>()?;
    (error.is_io() || error.is_timeout()).then_some(Finding::NoAnswer)
}

fn of_container<'a>(cause: &'a (dyn Error + 'static)) -> Option<Finding<'a>> {
    let told = cause.to_string();
    let digits: String =
        told.strip_prefix(CONTAINER_STATUS)?.chars().filter(char::is_ascii_digit).take(3).collect();
    digits.parse().ok().map(Finding::Status)
}

fn is_temporary(status: u16) -> bool {
    status >= 500 || status == 429
}

fn advice(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let cause = cause.to_string();
    // The chain lists each of its providers on a line; those that nobody set up say nothing of interest.
    let lines: Vec<&str> =
        cause.lines().map(str::trim).filter(|line| !line.contains("provider was not enabled")).collect();
    let told = lines.join(" ");
    format!(
        "{}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile with --profile, log in with \
         `aws sso login`, or run under a role",
        quotable(told.strip_suffix(". Attempted:").unwrap_or(&told), &[])
    )
}
