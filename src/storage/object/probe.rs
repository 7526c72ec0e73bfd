//! Finds out whether a store takes files, and whether it honours the conditions of puts.
//!
//! Everything that keeps two runs apart rests on conditions, and stores that do not know them ignore them without a
//! word. So each kind is tried once with a condition that does not hold.

use std::sync::atomic::Ordering;

use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion};

use super::answer::{answer_of, failed};
use super::{ConditionalPuts, ObjectDestination};
use crate::storage::destination::{Destination as _, DestinationError};
use crate::storage::path::RelativePath;

/// Puts, replaces and removes a small object.
pub(super) async fn probe(destination: &ObjectDestination) -> Result<(), DestinationError> {
    let path = RelativePath::known(format!(".probe/{}", hex::encode(rand::random::<[u8; 16]>())));
    let location = destination.at(path.as_str());
    let honours = conditions_hold(destination, &path, &location).await;
    if let Err(DestinationError::Unauthorized { .. }) = honours {
        // Nothing was put, and to remove it would be refused as well.
        return honours.map(drop);
    }
    if let Ok(false) = honours {
        if destination.settings.conditional_puts == ConditionalPuts::Required {
            destination.remove(&path).await?;
            return Err(DestinationError::Unconditional { place: destination.describe() });
        }
        let first_time = !destination.ignores_conditions.swap(true, Ordering::Relaxed);
        let put = destination.store.put(&location, PutPayload::from_static(b"any"));
        destination
            .in_time("written", &path, put)
            .await?
            .map_err(|error| failed("written", destination.describe(), &error))?;
        if first_time {
            tracing::warn!(
                destination = %destination.url,
                "this store ignores conditional puts, so nothing keeps two runs at the same time from overwriting \
                 each other's publications: never let two run at once"
            );
        }
    }
    let removed = destination.remove(&path).await;
    honours.and(removed)
}

/// Says whether a put whose condition does not hold is refused, of either kind, and one whose condition holds is not.
async fn conditions_hold(
    destination: &ObjectDestination,
    path: &RelativePath,
    location: &Path,
) -> Result<bool, DestinationError> {
    let put = async |text: &'static str, mode: PutMode| -> Result<Put, DestinationError> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = destination.store.put_opts(location, PutPayload::from_static(text.as_bytes()), options);
        match destination.in_time("written", path, put).await? {
            Ok(put) => Ok(Put::Done(put)),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Put::Refused)
            }
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                Ok(Put::Unknown)
            }
            Err(error) if answer_of(&error).is_some_and(super::answer::Answer::is_unsupported) => {
                Ok(Put::Unknown)
            }
            Err(error) => Err(failed("written", destination.describe(), &error)),
        }
    };
    let Put::Done(first) = put("first", PutMode::Create).await? else { return Ok(false) };
    if !matches!(put("second", PutMode::Create).await?, Put::Refused) {
        return Ok(false);
    }
    let version = UpdateVersion { e_tag: first.e_tag, version: first.version };
    let Put::Done(_) = put("third", PutMode::Update(version.clone())).await? else { return Ok(false) };
    Ok(matches!(put("fourth", PutMode::Update(version)).await?, Put::Refused))
}

/// What became of a put.
enum Put {
    Done(PutResult),
    Refused,
    /// The store does not know such a condition.
    Unknown,
}
