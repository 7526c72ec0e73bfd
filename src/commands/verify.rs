//! `verify`: is what is published whole and unaltered?

use super::places::{self, PlaceSettings};
use super::print;
use crate::cli::VerifyArguments;
use crate::clock::{Clock as _, SystemClock};
use crate::exit::ExitStatus;
use crate::job::UsageError;
use crate::verify::{VerificationFilter, VerificationReport, verify as read_everything};

pub(super) async fn verify(arguments: VerifyArguments) -> anyhow::Result<ExitStatus> {
    let mut filter =
        VerificationFilter { networks: arguments.network.into_iter().collect(), ..Default::default() };
    let now = SystemClock.now();
    for selector in &arguments.period {
        let selected =
            selector.select(now, arguments.settle_days).map_err(|error| UsageError(error.to_string()))?;
        filter.periods.extend(selected.into_iter().map(|selected| selected.period));
    }
    let rosters = arguments.roster_url.as_deref();
    let output = places::open_output(&arguments.output, rosters, &PlaceSettings::default()).await?;
    let report = read_everything(output, &filter, now).await?;
    if rosters.is_none() && report.misses_rosters() {
        tracing::warn!("rosters are missing: if the job has output.roster_url, give it as --roster-url");
    }
    print(&shown(&report, &arguments.output))?;
    Ok(if report.is_clean() { ExitStatus::Success } else { ExitStatus::Untrusted })
}

fn shown(report: &VerificationReport, output: &str) -> String {
    let mut lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let totals = report.totals;
    let verdict = match lines.len() {
        0 => "whole and unaltered".to_owned(),
        1 => "1 finding".to_owned(),
        findings => format!("{findings} findings"),
    };
    lines.push(format!(
        "{output}: {verdict}. Read {} publications with {} guests, {} revisions, {} files, {} bytes of data",
        totals.publications, totals.guests, totals.revisions, totals.files, totals.bytes
    ));
    lines.join("\n")
}
