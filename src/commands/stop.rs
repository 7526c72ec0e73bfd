//! SIGTERM and SIGINT become a token that work in progress can watch.
//!
//! What was read so far is kept then, which takes a moment. A second signal ends the process where it stands:
//! publication and checkpoints are made to survive that. One that follows at once is the same, sent twice: by a
//! terminal and by whoever passes signals on.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::ExitStatus;

/// How long after a signal another one is taken for the same.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Does something to its end, or until so long after the token was cancelled: then there is no result.
pub(super) async fn within<T>(
    stop: &CancellationToken,
    grace: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let told_to_stop = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        done = work => Some(done),
        () = told_to_stop => None,
    }
}

/// Returns a token that is cancelled when the process is told to stop.
pub(super) fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::warn!(signal, "stopping, what was read so far is kept; another signal stops without that");
        told.cancel();
        let told_at = tokio::time::Instant::now();
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if told_at.elapsed() >= SAME_SIGNAL {
                break;
            }
        }
        tracing::warn!("stopped by another signal, what was read since the last checkpoint is lost");
        std::process::exit(ExitStatus::Temporary.code().into());
    });
    Ok(token)
}
