//! `diff`: which guests came, went and stayed between two periods or two revisions.

use std::path::Path;

use super::places::{self, PlaceSettings};
use super::print;
use crate::cli::{DiffArguments, SummaryFormat};
use crate::dataset::Format;
use crate::exit::ExitStatus;
use crate::job::UsageError;
use crate::ledger::{NothingPublished, is_anything_published};
use crate::report::turnover;
use crate::storage::Destination;
use crate::turnover::{ListSettings, Question, compare};

pub(super) async fn diff(arguments: DiffArguments) -> anyhow::Result<ExitStatus> {
    let settings = PlaceSettings::default();
    let output = places::open_output(&arguments.output, arguments.roster_url.as_deref(), &settings).await?;
    NothingPublished::unless(is_anything_published(&*output).await?, &output.describe())?;
    let lists = match &arguments.lists {
        Some(place) => {
            let place = places::open(place, &settings).await?;
            keep_out_of(&*output, &*place)?;
            place.probe_writable().await?;
            let wanted = |format: &Format| arguments.format.is_empty() || arguments.format.contains(format);
            let formats = Format::ALL.into_iter().filter(wanted).collect();
            Some(ListSettings { place, formats, kept: arguments.kept })
        }
        None => None,
    };
    let networks = arguments.network.iter().copied().collect();
    let question = Question { from: arguments.from, to: arguments.to, networks };
    let compared = compare(&output, &question, lists.as_ref()).await;
    if let Some(lists) = &lists {
        lists.place.clear_away().await;
    }
    let report = compared?;
    print(&match arguments.summary {
        SummaryFormat::Text => turnover(&report),
        SummaryFormat::Json => serde_json::to_string_pretty(&report)?,
    })?;
    Ok(report.exit)
}

/// Refuses lists within the output, where `verify` finds files of nobody and engines read what no purge removes.
fn keep_out_of(output: &dyn Destination, lists: &dyn Destination) -> Result<(), UsageError> {
    let place = lists.full_name();
    match output.full_names().into_iter().find(|output| Path::new(&place).starts_with(output)) {
        Some(output) => Err(UsageError(format!(
            "--lists {place} is within the output, {output}; lists of guests are no part of what is published, give \
             another folder"
        ))),
        None => Ok(()),
    }
}
