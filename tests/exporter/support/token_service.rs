//! What gives keys in place of AWS: STS as it answers in XML, and the documents of containers and instances.
//!
//! The keys are those that a simulator issued, which checks every signature that is made with them.

use std::sync::Mutex;

use chrono::{TimeDelta, Utc};
use wickr_guest_export::simulator::Credentials;

use super::plain_server::PlainAnswer;

/// An instant that keys hold until, long after every test.
pub(crate) const FAR: &str = "2999-01-01T00:00:00Z";

/// An instant so near that whoever means to go on renews what ends then.
pub(crate) fn soon() -> String {
    let soon = Utc::now() + TimeDelta::minutes(3);
    soon.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Gives out keys one after the other.
pub(crate) struct KeyRing(Mutex<std::vec::IntoIter<Credentials>>);

impl KeyRing {
    pub(crate) fn new(keys: Vec<Credentials>) -> Self {
        Self(Mutex::new(keys.into_iter()))
    }

    pub(crate) fn next(&self) -> Credentials {
        let next = self.0.lock().expect("no panic").next();
        next.expect("keys were issued for as often as they are asked for")
    }
}

/// Keys in JSON, as containers and instances give them.
pub(crate) fn keys_document(keys: &Credentials, expiration: &str) -> PlainAnswer {
    PlainAnswer::ok(&serde_json::json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2025-11-02T09:00:00Z",
        "AccessKeyId": keys.access_key_id, "SecretAccessKey": keys.secret_access_key,
        "Token": keys.session_token, "Expiration": expiration,
    }))
}

/// Keys in XML, as STS answers one of its operations.
pub(crate) fn lent_role(operation: &str, keys: &Credentials, expiration: &str) -> PlainAnswer {
    PlainAnswer::ok(&format!(
        "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{operation}Result>\
         <AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:session</AssumedRoleId>\
         <Arn>arn:aws:sts::222222222222:assumed-role/reader/session</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{}</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
         </{operation}Result></{operation}Response>",
        keys.access_key_id,
        keys.secret_access_key,
        keys.session_token.as_deref().expect("a session token")
    ))
}

/// A refusal of STS.
pub(crate) fn sts_refusal(status: u16, code: &str, message: &str) -> PlainAnswer {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    );
    PlainAnswer { status, body }
}
