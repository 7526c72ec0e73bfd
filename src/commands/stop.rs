//! SIGTERM and SIGINT become a token that work in progress can watch.
//!
//! A second signal ends the process where it stands: publication is made to survive that.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::ExitStatus;

/// Returns a token that is cancelled when the process is told to stop.
pub(super) fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::warn!(signal = "SIGTERM", "stopping"),
            _ = interrupt.recv() => tracing::warn!(signal = "SIGINT", "stopping"),
        }
        told.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(ExitStatus::Temporary.code().into());
    });
    Ok(token)
}
