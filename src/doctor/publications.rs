//! Whether numbers of this source may stand in the output, and when a run last succeeded there.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::Check;
use crate::clock::Clock;
use crate::error_chain::error_chain;
use crate::exit::ExitStatus;
use crate::publish::layout::{self, Place};
use crate::publish::{Publisher, PublisherSettings, ShrinkLimit, SourceKind, read_manifest};
use crate::storage::{Destination, ListedFile, LockWait};

/// A job that runs once a month has succeeded within this time.
const LONGEST_SILENCE: TimeDelta = TimeDelta::days(35);

const SOURCE: &str = "published: source";
const LAST_SUCCESS: &str = "published: last success";

/// Looks at what is published. `answered` is the kind of source that answers, if any has.
pub async fn examine_publications(
    output: Arc<dyn Destination>,
    answered: Option<SourceKind>,
    clock: Arc<dyn Clock>,
) -> Vec<Check> {
    let now = clock.now();
    let last = last_success(&*output, now).await;
    // Nothing is published here, so nothing may shrink and nobody is waited for.
    let shrink = ShrinkLimit { share: 0.0, guests: 0 };
    let publisher = Publisher::new(output, PublisherSettings { shrink, lock_wait: LockWait::none() }, clock);
    let source = match answered {
        None => Check::not_tried(SOURCE, "no source has answered"),
        Some(kind) => match publisher.check_source(kind).await {
            Ok(()) => Check::passed(SOURCE, format!("numbers of the kind {} may stand there", kind.as_str())),
            Err(error) => Check::failed(SOURCE, ExitStatus::of_publication(&error), error_chain(&error))
                .ending_the_run(),
        },
    };
    vec![source, last]
}

/// The manifest that was written last is the trace of the latest success: a run writes one even if nothing changed.
async fn last_success(output: &dyn Destination, now: DateTime<Utc>) -> Check {
    let files = match output.list(&layout::manifests()).await {
        Ok(listing) => listing.files,
        Err(error) => {
            let exit = ExitStatus::of_destination(&error);
            return Check::failed(LAST_SUCCESS, exit, error.to_string());
        }
    };
    let task_of = |file: &ListedFile| match Place::of(&file.path) {
        Some(Place::Manifest(task)) => Some(task),
        _ => None,
    };
    // The closing of a month tells when it was found closed, and no more of the run.
    let manifests: Vec<_> = files.iter().filter_map(|file| Some((file, task_of(file)?))).collect();
    let Some((newest, task)) = manifests.iter().copied().max_by_key(|(file, _)| file.modified) else {
        return Check::passed(LAST_SUCCESS, "nothing is published yet");
    };
    match read_manifest(output, task).await {
        Ok(Some(manifest)) => {
            let found = format!(
                "{} of network {} was checked at {}, the latest of {} publications",
                task.period,
                task.network,
                manifest.checked_at.format("%FT%TZ"),
                manifests.len()
            );
            if now - manifest.checked_at > LONGEST_SILENCE {
                let advice = "more than a month ago; see the logs of the runs since, and the schedule";
                Check::warning(LAST_SUCCESS, format!("{found}, {advice}"))
            } else {
                Check::passed(LAST_SUCCESS, found)
            }
        }
        Ok(None) => Check::warning(LAST_SUCCESS, format!("{} went away while it was read", newest.path)),
        Err(error) => Check::failed(LAST_SUCCESS, ExitStatus::of_publication(&error), error_chain(&error)),
    }
}
