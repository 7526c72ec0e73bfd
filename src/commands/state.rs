//! `state`: what interrupted runs have left, and how to be rid of it.

use super::places::{self, PlaceSettings};
use super::print;
use crate::checkpoint::{Cursor, KeptWalk, Resumable, StateLocation};
use crate::cli::{StateArguments, StateCommand};
use crate::clock::{Clock as _, SystemClock};
use crate::error_chain::error_chain;
use crate::evidence::Inquiry;
use crate::exit::ExitStatus;
use crate::job::UsageError;
use crate::report::{KeptWalkSummary, KnownWalk, kept_walks};
use crate::storage::{DestinationError, LockWait};

pub(super) async fn state(arguments: StateArguments) -> anyhow::Result<ExitStatus> {
    let suggested = || StateLocation::default_folder(|name| std::env::var(name).ok());
    let state = arguments.state.clone().or_else(suggested);
    let state = state.ok_or_else(|| {
        UsageError(
            "there is no state folder: neither XDG_STATE_HOME nor HOME is set; give --state DIR".to_owned(),
        )
    })?;
    let place = places::open(&state, &PlaceSettings::default()).await?;
    let location = StateLocation::new(place, LockWait::none());
    let mut walks = location.kept_walks().await?;
    walks.retain(|walk| is_selected(&arguments, walk));
    let done = match arguments.command.unwrap_or(StateCommand::List) {
        StateCommand::List => list(&arguments, &location, &walks).await,
        StateCommand::Clear => clear(&arguments, &location, &walks).await,
    };
    location.finish().await;
    done
}

fn is_selected(arguments: &StateArguments, walk: &KeptWalk) -> bool {
    let StateArguments { network, period, .. } = arguments;
    (network.is_empty() || network.contains(&walk.task.network))
        && (period.is_empty() || period.contains(&walk.task.period))
}

async fn list(
    arguments: &StateArguments,
    location: &StateLocation,
    walks: &[KeptWalk],
) -> anyhow::Result<ExitStatus> {
    let mut summaries = Vec::with_capacity(walks.len());
    for walk in walks {
        let cursor = match location.cursor(walk).await {
            Err(DestinationError::TooLong { .. }) => None,
            read => read?,
        };
        let cursor = cursor.and_then(|bytes| Cursor::<Inquiry>::parse(&bytes).ok());
        let known = cursor.filter(|cursor| cursor.document.check().is_ok()).map(|cursor| KnownWalk {
            saved_at: cursor.saved_at,
            pages: cursor.document.kept().map(|walk| walk.pages).sum(),
            rows: cursor.document.kept_rows(),
            output: cursor.fingerprint.destination,
        });
        summaries.push(KeptWalkSummary { task: walk.task, bytes: walk.bytes, known });
    }
    print(&match summaries.as_slice() {
        [] => nothing(arguments, location),
        summaries => format!("{}\nIn {}", kept_walks(summaries, SystemClock.now()), location.describe()),
    })?;
    Ok(ExitStatus::Success)
}

fn nothing(arguments: &StateArguments, location: &StateLocation) -> String {
    let place = location.describe();
    if arguments.state.is_some() && location.is_missing() {
        return format!("There is no folder {place}, so no interrupted run has left anything there");
    }
    if arguments.network.is_empty() && arguments.period.is_empty() {
        format!("No interrupted run has left anything in {place}")
    } else {
        format!("No interrupted run has left anything of what was asked for in {place}")
    }
}

/// Removes one after the other; what a run is using stays, and is said.
async fn clear(
    arguments: &StateArguments,
    location: &StateLocation,
    walks: &[KeptWalk],
) -> anyhow::Result<ExitStatus> {
    if walks.is_empty() {
        print(&nothing(arguments, location))?;
        return Ok(ExitStatus::Success);
    }
    let (mut removed, mut bytes, mut statuses) = (0, 0, Vec::new());
    for walk in walks {
        match location.clear(walk).await {
            Ok(()) => {
                removed += 1;
                bytes += walk.bytes;
            }
            Err(error) => {
                let (network, period) = (walk.task.network, walk.task.period);
                tracing::error!(%network, %period, error = %error_chain(&error), "not removed");
                statuses.push(ExitStatus::of(&error.into()));
            }
        }
    }
    if removed == 0 {
        return Ok(ExitStatus::of_all(statuses));
    }
    let walks =
        if removed == 1 { "1 unfinished walk".to_owned() } else { format!("{removed} unfinished walks") };
    print(&format!("Removed {walks}, {bytes} bytes, from {}", location.describe()))?;
    Ok(ExitStatus::of_all(statuses))
}
