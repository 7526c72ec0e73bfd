//! What a run has tried and no run has published: known to the summary alone, as nothing else is written of it.

use std::collections::BTreeSet;

use crate::dataset::Format;
use crate::error_chain::error_chain;
use crate::publish::layout;
use crate::publish::summary::read_parquet;
use crate::storage::{Destination, DestinationError};
use crate::task::TaskKey;

/// What the summary knows of tasks without a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempts {
    /// The tasks that were tried and not published when the summary was written.
    Known(BTreeSet<TaskKey>),
    /// The summary cannot be believed, and why.
    Unreadable(String),
}

impl Attempts {
    /// Reads the summary of an output; one without a summary has tried nothing that is known.
    ///
    /// # Errors
    /// [`DestinationError`] if the output does not answer.
    pub async fn read(output: &dyn Destination) -> Result<Self, DestinationError> {
        let file = match output.open(&layout::summary(Format::Parquet)).await {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Self::Known(BTreeSet::new())),
            Err(error) if error.is_of_one_document() => return Ok(Self::Unreadable(error_chain(&error))),
            Err(error) => return Err(error),
        };
        let rows = match tokio::task::spawn_blocking(move || read_parquet(file)).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => return Ok(Self::Unreadable(error_chain(&*error))),
            Err(_panicked) => return Ok(Self::Unreadable("its reader panicked".to_owned())),
        };
        Ok(Self::Known(rows.into_iter().filter(|row| !row.is_published()).map(|row| row.task).collect()))
    }
}
